//! Conditions, waited for with a bound.

use std::time::{Duration, Instant};

/// Looks at `condition` until it holds, and answers with what it gives. Fails the test after `limit`.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

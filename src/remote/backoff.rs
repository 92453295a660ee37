//! How long to wait before the next try.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// The bound of the first wait; each failure doubles it.
const FIRST: Duration = Duration::from_secs(1);

/// No wait is longer.
const MOST: Duration = Duration::from_secs(60);

/// Grows with every failure and is shortened at random ("full jitter"), so that the clients of a primary that comes back do not all
/// ask at once.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Nothing has failed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another failure: how long to wait now.
    pub fn failed(&mut self) -> Duration {
        let wait = wait(self.failures, random());
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// It went well: the next failure counts as the first.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How many tries in a row have failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// `random` of the way from nothing to the bound after so many earlier failures.
fn wait(failures: u32, random: u64) -> Duration {
    let bound = FIRST.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(MOST);
    bound.mul_f64(random as f64 / u64::MAX as f64)
}

/// The standard library seeds each of its hash tables at random; that is random enough here.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_a_minute_and_stays_there() {
        let bounds = [0, 1, 2, 5, 6, 31, 32, u32::MAX].map(|failures| wait(failures, u64::MAX).as_secs());
        assert_eq!(bounds, [1, 2, 4, 32, 60, 60, 60, 60]);
    }

    #[test]
    fn clients_that_failed_together_do_not_come_back_together() {
        let mut waits: Vec<Duration> = (0..50)
            .map(|_| {
                let mut backoff = Backoff::new();
                backoff.failures = 6;
                backoff.failed()
            })
            .collect();
        waits.sort();
        assert!(waits[10] < waits[40] && waits[49] <= MOST, "{waits:?}");
        waits.dedup();
        assert!(waits.len() > 40, "{waits:?}");
    }

    #[test]
    fn a_success_starts_over() {
        let mut backoff = Backoff::new();
        for _ in 0..20 {
            backoff.failed();
        }
        assert_eq!(backoff.failures(), 20);
        backoff.succeeded();
        assert!(backoff.failed() <= FIRST);
    }
}

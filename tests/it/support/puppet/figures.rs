//! Times, told as people compare them.

use std::fmt;
use std::time::Duration;

/// Some times: how many, the middle, what 99 of 100 stay below, the longest.
pub struct Figures(Vec<Duration>);

impl Figures {
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort();
        Self(times)
    }

    pub fn max(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }

    fn at(&self, share: f64) -> Duration {
        let at = (self.0.len() as f64 * share) as usize;
        self.0.get(at.min(self.0.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| match time.as_secs_f64() * 1000.0 {
            few @ ..10.0 => format!("{few:.1} ms"),
            many => format!("{many:.0} ms"),
        };
        write!(f, "p50 {}, p99 {}, max {}", ms(self.at(0.5)), ms(self.at(0.99)), ms(self.max()))
    }
}

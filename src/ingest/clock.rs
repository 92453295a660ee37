//! What time staging's file system believes it is, and what that says about a time stamp.
//!
//! A file system's clock ticks: two changes within one tick leave the same ctime, and of the same size nobody can tell them apart. So
//! what is as young as the look at it may change once more without a sign. It is not cached, and what a commit is made of is looked at when
//! it has grown old (git calls such files "racy"). The clock is asked through a trait, so that tests can give it ticks of any length.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::disk::{self, Dir, Stat};

/// How far a time stamp may lag behind the clock: five ticks of Debian's kernel, and two of the coarsest that Linux knows.
const MARGIN: i64 = 20_000_000;

/// The longest tick of a file system (`storage-format.md` §10).
const LONGEST_TICK: i64 = 2_000_000_000;

const SECOND: i64 = 1_000_000_000;

/// The clock of staging's file system.
pub(super) trait Clock: Sync {
    /// The time that a file in `dir` would get if it were changed now, in nanoseconds since 1970.
    fn now(&self, dir: &Dir) -> i64;

    /// What a look at an entry shows. For tests, which make time stamps coarser or do something at just that moment.
    fn seen(&self, stat: Stat) -> Stat {
        stat
    }

    /// Lets time pass.
    fn wait(&self, time: Duration);
}

/// The clock of the file system itself; where it may not be asked, the machine's.
pub(super) struct FileSystemClock;

impl Clock for FileSystemClock {
    fn now(&self, dir: &Dir) -> i64 {
        disk::file_system_now(dir).unwrap_or_else(machine_now)
    }

    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Nanoseconds since 1970.
fn machine_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970, for a commit's time.
pub(super) fn milliseconds() -> i64 {
    machine_now() / 1_000_000
}

/// A moment of staging's clock from which time is counted, so that the clock need not be asked for each entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    start: i64,
    begun: Instant,
}

/// What time it was, by staging's clock, just before a look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before(i64);

impl Moment {
    /// This moment. Any directory of staging will do.
    pub(super) fn now(clock: &dyn Clock, dir: &Dir) -> Self {
        Self { start: clock.now(dir), begun: Instant::now() }
    }

    /// What time it is: to be taken before a look.
    pub(super) fn before(&self) -> Before {
        let elapsed = i64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(i64::MAX);
        Before(self.start.saturating_add(elapsed))
    }
}

impl Before {
    /// Whether what the look showed may be cached: whatever happens to it afterwards will show.
    pub(super) fn vouches_for(self, stat: &Stat) -> bool {
        stat.mtime.saturating_add(MARGIN) <= self.0 && old_at(stat.ctime) <= self.0
    }

    /// When what the look showed will be old enough for its next change to show, where it is not yet. `None` also for what lies in the
    /// future: the clock was set back since it changed, and its next change shows.
    pub(super) fn unsettled_until(self, stat: &Stat) -> Option<i64> {
        // The look itself came later, but not much.
        let latest = self.0.saturating_add(LONGEST_TICK + MARGIN);
        let until = old_at(stat.ctime);
        (until > self.0 && stat.ctime <= latest).then_some(until)
    }
}

/// When a change at `ctime` is old. A ctime of a whole second may come from a file system that counts no finer; one by chance is a matter
/// of a billionth.
fn old_at(ctime: i64) -> i64 {
    let tick = if ctime % SECOND == 0 { LONGEST_TICK } else { 0 };
    ctime.saturating_add(tick).saturating_add(MARGIN)
}

/// Waits until the clock has come to `until`, but no longer than it takes for the newest possible change to become old.
pub(super) fn wait_until(clock: &dyn Clock, dir: &Dir, until: i64) {
    const STEP: Duration = Duration::from_millis(2);
    let longest = LONGEST_TICK + 2 * MARGIN;
    let mut waited = 0;
    while clock.now(dir) < until && waited < longest {
        clock.wait(STEP);
        waited += STEP.as_nanos() as i64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Kind;

    fn stat(mtime: i64, ctime: i64) -> Stat {
        Stat { kind: Kind::File, device: 1, inode: 1, mode: 0o644, uid: 0, links: 1, size: 1, mtime, ctime }
    }

    const NOW: i64 = 1_800_000_000_123_456_789;
    const MS: i64 = 1_000_000;

    #[test]
    fn a_file_as_young_as_the_scan_is_not_vouched_for() {
        let now = Before(NOW);
        assert!(now.vouches_for(&stat(0, NOW - 20 * MS)));
        assert!(!now.vouches_for(&stat(0, NOW - 19 * MS)), "five ticks of 4 ms have not passed");
        assert!(!now.vouches_for(&stat(NOW - 19 * MS, 1)));
        assert!(!now.vouches_for(&stat(NOW + SECOND, 1)), "an mtime in the future");
    }

    #[test]
    fn a_stamp_of_whole_seconds_is_taken_for_one_of_a_slow_clock() {
        let whole = NOW - NOW % SECOND;
        assert!(!Before(whole + 1900 * MS).vouches_for(&stat(0, whole)), "written again in the same tick of 2 s");
        assert!(Before(whole + 2020 * MS).vouches_for(&stat(0, whole)));
    }

    #[test]
    fn what_lies_in_the_future_is_not_waited_for() {
        let now = Before(NOW);
        assert_eq!(now.unsettled_until(&stat(0, NOW - 25 * MS)), None);
        assert_eq!(now.unsettled_until(&stat(0, NOW - MS)), Some(NOW + 19 * MS));
        assert_eq!(now.unsettled_until(&stat(0, NOW + 3600 * SECOND)), None);
    }
}

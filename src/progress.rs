//! How far a long job has come: counters that the job writes and whoever is curious reads.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing.
    #[default]
    Idle,
    /// Looking at staging, and reading what changed.
    Scanning,
    /// Looking at staging once more: whether it stood still.
    Comparing,
    /// Writing trees and the commit.
    Writing,
    /// Receiving objects from the primary.
    Fetching,
    /// Making trees of hard links.
    Building,
    /// Pausing, renaming, flushing.
    Deploying,
    /// Comparing what is stored.
    Checking,
    /// Removing what nothing needs.
    Pruning,
    /// Giving the space of what was removed back to the file system.
    Compacting,
    /// Putting right what was left behind when the program ended last.
    Recovering,
    /// Reading what was asked for.
    Reading,
    /// Waiting until clients run a commit.
    Waiting,
}

const PHASES: [Phase; 13] = [
    Phase::Idle,
    Phase::Scanning,
    Phase::Comparing,
    Phase::Writing,
    Phase::Fetching,
    Phase::Building,
    Phase::Deploying,
    Phase::Checking,
    Phase::Pruning,
    Phase::Compacting,
    Phase::Recovering,
    Phase::Reading,
    Phase::Waiting,
];

/// Counters of one job. Cheap to write from many threads; a reader may see one counter a little before another.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    files: AtomicU64,
    bytes: AtomicU64,
    total_files: AtomicU64,
    total_bytes: AtomicU64,
    cancelled: AtomicBool,
    pace: Option<Pace>,
}

/// What keeps a job from reading faster than it may.
#[derive(Debug)]
struct Pace {
    bytes_per_second: u64,
    /// When what was counted so far would be read at that rate.
    paid: Mutex<Instant>,
}

/// A job that is ahead by less is not stopped for it: records are small, and sleeping has its price.
const SHORTEST_REST: Duration = Duration::from_millis(20);

/// How long a job may sleep without a look at whether it was asked to stop.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// The counters at one moment. A total of 0 means that it is not known; where it was estimated, more may be done than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// What the job is doing.
    pub phase: Phase,
    /// Files (or objects, or links) done in this phase.
    pub files: u64,
    /// Bytes done in this phase.
    pub bytes: u64,
    /// How many files there are in this phase.
    pub total_files: u64,
    /// How many bytes there are in this phase.
    pub total_bytes: u64,
}

impl Progress {
    /// One whose job reads so many bytes a second at most: whoever counts more sleeps for a while, or until the job is asked to stop.
    pub fn paced(bytes_per_second: u64) -> Self {
        let pace = Pace { bytes_per_second: bytes_per_second.max(1), paid: Mutex::new(Instant::now()) };
        Self { pace: Some(pace), ..Self::default() }
    }

    /// Begins a phase; the counters start at zero.
    pub fn begin(&self, phase: Phase, total_files: u64, total_bytes: u64) {
        let position = PHASES.iter().position(|other| *other == phase).unwrap_or(0);
        self.files.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
        self.total_files.store(total_files, Relaxed);
        self.total_bytes.store(total_bytes, Relaxed);
        self.phase.store(u8::try_from(position).unwrap_or(0), Relaxed);
    }

    /// Adds to the totals, where they become known on the way.
    pub fn expect(&self, files: u64, bytes: u64) {
        self.total_files.fetch_add(files, Relaxed);
        self.total_bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts what was done.
    pub fn advance(&self, files: u64, bytes: u64) {
        self.files.fetch_add(files, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        if let Some(pace) = self.pace.as_ref().filter(|_| bytes > 0) {
            let until = pace.pay(bytes, Instant::now());
            while let Some(rest) = until.checked_duration_since(Instant::now())
                && rest > SHORTEST_REST
                && !self.is_cancelled()
            {
                std::thread::sleep(rest.min(LONGEST_REST));
            }
        }
    }

    /// Asks the job to stop at its next convenient point.
    pub fn cancel(&self) {
        self.cancelled.store(true, Relaxed);
    }

    /// Whether the job was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Relaxed)
    }

    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            phase: PHASES[usize::from(self.phase.load(Relaxed)) % PHASES.len()],
            files: self.files.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            total_files: self.total_files.load(Relaxed),
            total_bytes: self.total_bytes.load(Relaxed),
        }
    }
}

impl Pace {
    /// Counts bytes. Gives when they are paid for; time in which nothing was read is not saved up.
    fn pay(&self, bytes: u64, now: Instant) -> Instant {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = (*paid).max(now) + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        *paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_told_as_itself() {
        let progress = Progress::default();
        for phase in PHASES {
            progress.begin(phase, 1, 2);
            assert_eq!(progress.snapshot().phase, phase);
        }
    }

    #[test]
    fn what_is_paced_takes_as_long_as_its_bytes_need_and_saves_no_idle_time_up() {
        let pace = Pace { bytes_per_second: 1000, paid: Mutex::new(Instant::now()) };
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(pace.pay(1000, begun), begun + second);
        assert_eq!(pace.pay(500, begun + second / 2), begun + second * 3 / 2, "what is owed is paid first");
        let later = begun + second * 3600;
        assert_eq!(pace.pay(2000, later), later + second * 2, "an idle hour is no leave for a burst");
    }

    #[test]
    fn who_is_asked_to_stop_rests_no_longer() {
        let progress = Progress::paced(1);
        progress.cancel();
        // At its rate this would take as long as the test could ever wait.
        progress.advance(1, u64::from(u32::MAX));
        assert_eq!(progress.snapshot().bytes, u64::from(u32::MAX));
    }
}

//! How far a long job has come: counters that the job writes and whoever is curious reads.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing.
    #[default]
    Idle,
    /// Looking at staging.
    Scanning,
    /// Reading and hashing files.
    Hashing,
    /// Writing trees and the commit.
    Writing,
    /// Receiving objects from the primary.
    Fetching,
    /// Making trees of hard links.
    Building,
    /// Pausing, renaming, flushing.
    Deploying,
    /// Verifying what is stored.
    Checking,
    /// Removing what nothing needs.
    Pruning,
}

const PHASES: [Phase; 9] = [
    Phase::Idle,
    Phase::Scanning,
    Phase::Hashing,
    Phase::Writing,
    Phase::Fetching,
    Phase::Building,
    Phase::Deploying,
    Phase::Checking,
    Phase::Pruning,
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
}

/// The counters at one moment. A total of 0 means that it is not known.
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

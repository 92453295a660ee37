//! When the daemons read again what they store: a part at a time, in the background, all of it once in a while.
//!
//! ```text
//! scrub.rs    which part is due, and when; what was found
//! metrics.rs  what Prometheus reads of it
//! ```
//!
//! - **Nothing is left out.** Where the next part begins is noted after each part, so that a machine that is off every night does not miss the
//!   same parts in every pass. What a crash loses of it is read twice.
//! - **Nobody notices.** One part at a time on one thread, at most [`RATE`] bytes a second, and none for a while after a start.
//! - **What remains is not forgotten.** A finding that could not be repaired is tried again with every part, and told until it is gone.
//!
//! Deliberately absent: how a part is checked (`fsck`), and repaired (the daemons); threads and timers, which are theirs too.

mod metrics;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use metrics::Metrics;

use crate::findings::{Finding, Outcome};
use crate::wire::api::{ScrubStatus, rfc3339};

/// When to try again after a failure of the scrub itself, which is no finding: a full disk, say.
pub const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// The most that a scrub reads, in bytes a second: a tenth of what a plain disk gives.
pub const RATE: u64 = 16 << 20;

/// A start has better things to do.
const AFTER_START: Duration = Duration::from_secs(60);

/// How many parts everything has.
const PARTS: u32 = 256;

/// How many findings are kept to be tried again. With more the next pass finds the rest.
const MOST_REMAINING: usize = 1000;

/// A daemon's scrub.
#[derive(Debug)]
pub struct Scrub {
    /// How long a part has.
    slot: Option<Duration>,
    started: i64,
    note: Mutex<Note>,
}

/// What is noted over a restart, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Note {
    /// The part that is next.
    next: u8,
    /// When the last part was done, in milliseconds since 1970.
    done: i64,
    /// When the pass that is under way began, likewise; 0 where it did not begin with the first part.
    began: i64,
    /// When the last whole pass ended, likewise; 0 for never.
    passed: i64,
    objects: u64,
    bytes: u64,
    found: u64,
    remaining: Vec<Finding>,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Ids that begin with this byte.
    pub part: u8,
    /// After this time.
    pub wait: Duration,
}

impl Scrub {
    /// One whose passes take `pass`, `None` for none at all; `note` is what was noted last, where it can be read. Times are in milliseconds
    /// since 1970.
    pub fn new(pass: Option<Duration>, note: Option<&[u8]>, now: i64) -> Self {
        let note = note.and_then(|note| serde_json::from_slice(note).ok()).unwrap_or_default();
        Self { slot: pass.map(|pass| pass / PARTS), started: now, note: Mutex::new(note) }
    }

    /// What is due next; `None` where nothing ever is.
    pub fn due(&self, now: i64) -> Option<Due> {
        let slot = self.slot?;
        let note = self.note();
        let next = after(note.done, slot).max(after(self.started, AFTER_START.min(slot)));
        // A clock that was set back must not stop it.
        let wait = Duration::from_millis(next.saturating_sub(now).max(0).unsigned_abs()).min(slot);
        Some(Due { part: note.next, wait })
    }

    /// What could not be repaired so far.
    pub fn remaining(&self) -> Vec<Finding> {
        self.note().remaining.clone()
    }

    /// Takes what became of findings that had remained. Gives the note where it changed.
    pub fn tried_again(&self, outcomes: &[Outcome]) -> Option<Vec<u8>> {
        let mut note = self.note();
        let before = note.remaining.len();
        note.remaining
            .retain(|finding| !outcomes.iter().any(|outcome| outcome.repaired && outcome.finding == *finding));
        (note.remaining.len() < before).then(|| note.to_json())
    }

    /// Takes what the check of the part that was due has read, and what became of its findings. Gives the note.
    pub fn done(&self, objects: u64, bytes: u64, outcomes: &[Outcome], now: i64) -> Vec<u8> {
        let mut note = self.note();
        for Outcome { finding, repaired, .. } in outcomes {
            let known = note.remaining.contains(finding);
            note.found += u64::from(!known);
            match repaired {
                true => note.remaining.retain(|other| other != finding),
                false if !known && note.remaining.len() < MOST_REMAINING => note.remaining.push(finding.clone()),
                false => {}
            }
        }
        (note.objects, note.bytes) = (note.objects + objects, note.bytes + bytes);
        if note.next == 0 {
            note.began = now;
        }
        if note.next == u8::MAX && note.began > 0 {
            note.passed = now;
        }
        (note.next, note.done) = (note.next.wrapping_add(1), now);
        note.to_json()
    }

    /// How it does; `None` where it is off and never ran.
    pub fn status(&self) -> Option<ScrubStatus> {
        let note = self.note();
        (self.slot.is_some() || note.done > 0).then(|| ScrubStatus {
            objects: note.objects,
            bytes: note.bytes,
            findings: note.found,
            unrepaired: note.remaining.len() as u64,
            first_unrepaired: note.remaining.first().map(ToString::to_string),
            last_pass: (note.passed > 0).then(|| rfc3339(note.passed)),
        })
    }

    fn note(&self) -> MutexGuard<'_, Note> {
        // Every change is whole before the lock goes.
        self.note.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note {
    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data is plain JSON")
    }
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Logs what became of each finding.
pub fn log(outcomes: &[Outcome]) {
    for Outcome { finding, repaired, detail } in outcomes {
        match repaired {
            true => tracing::warn!(%finding, "damage found and repaired"),
            false => tracing::error!(%finding, detail, "damage found, and not repaired"),
        }
    }
}

fn after(time: i64, length: Duration) -> i64 {
    time.saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::PrimaryFinding;
    use crate::values::BlobId;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const NOW: i64 = 1_800_000_000_000;

    fn finding(content: &[u8]) -> Finding {
        PrimaryFinding::BlobDamaged { id: BlobId::of(content) }.into()
    }

    #[test]
    fn a_pass_takes_its_time_in_equal_parts_and_begins_a_little_after_the_start() {
        let scrub = Scrub::new(Some(DAY), None, NOW);
        assert_eq!(scrub.due(NOW), Some(Due { part: 0, wait: AFTER_START }));
        scrub.done(1, 1, &[], NOW);
        assert_eq!(scrub.due(NOW), Some(Due { part: 1, wait: DAY / 256 }));
        assert_eq!(scrub.due(NOW + 86_400_000), Some(Due { part: 1, wait: Duration::ZERO }), "a sleep is no leap");
        assert_eq!(scrub.due(NOW - 86_400_000).unwrap().wait, DAY / 256, "a clock set back does not stop it");
        assert_eq!(Scrub::new(None, None, NOW).due(NOW), None);
        assert_eq!(Scrub::new(None, None, NOW).status(), None);
    }

    #[test]
    fn a_restart_goes_on_where_it_was_and_a_pass_is_whole_only_with_all_its_parts() {
        let mut note = None;
        for part in 0..=u8::MAX {
            // A new process for each part.
            let scrub = Scrub::new(Some(DAY), note.as_deref(), NOW);
            assert_eq!(scrub.due(NOW).unwrap().part, part);
            assert_eq!(scrub.status().unwrap().last_pass, None);
            note = Some(scrub.done(2, 10, &[], NOW));
        }
        let scrub = Scrub::new(Some(DAY), note.as_deref(), NOW);
        let status = scrub.status().unwrap();
        assert_eq!((status.objects, status.bytes, status.last_pass), (512, 2560, Some(rfc3339(NOW))));
        assert_eq!(scrub.due(NOW).unwrap().part, 0);
        let lost = Scrub::new(Some(DAY), Some(b"torn"), NOW);
        assert_eq!(lost.due(NOW).unwrap().part, 0, "a note that cannot be read begins anew");
    }

    #[test]
    fn what_could_not_be_repaired_is_told_until_it_was() {
        let scrub = Scrub::new(Some(DAY), None, NOW);
        let outcomes = [Outcome::repaired(finding(b"a"), ""), Outcome::remains(finding(b"b"), "")];
        let note = scrub.done(2, 2, &outcomes, NOW);
        let scrub = Scrub::new(Some(DAY), Some(&note), NOW);
        let shown = scrub.status().unwrap();
        assert_eq!((shown.findings, shown.unrepaired), (2, 1));
        assert_eq!(shown.first_unrepaired, Some(finding(b"b").to_string()));
        assert_eq!(scrub.tried_again(&outcomes[1..]), None);
        scrub.done(1, 1, &outcomes[1..], NOW);
        assert_eq!(scrub.status().unwrap().findings, 2, "the same thing found again is no other");
        assert!(scrub.tried_again(&[Outcome::repaired(finding(b"b"), "")]).is_some());
        let shown = scrub.status().unwrap();
        assert_eq!((shown.findings, shown.unrepaired, shown.first_unrepaired), (2, 0, None));
    }
}

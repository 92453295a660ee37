//! Reads again, in the background, what the store holds, and repairs from staging what it finds damaged.
//!
//! What is checked is a snapshot, so that nothing waits for it but a repair's turn to write.
//!
//! Deliberately absent: when which part is due ([`crate::scrub`]), how it is checked and repaired (fsck, ingest).

use super::state::{Primary, Shared};
use crate::findings::{Finding, Outcome, PrimaryFinding};
use crate::fsck::{self, FsckError, Part, Scrubbed};
use crate::http::{Refusal, chain};
use crate::ingest;
use crate::scrub::{self, AFTER_FAILURE, Due};
use crate::store::StoreError;

/// Runs until the primary stops; returns at once where there is to be no scrub.
pub(super) async fn keep_scrubbing(primary: Shared) {
    while let Some(due) = primary.scrub.due(scrub::now()) {
        let mut wait = due.wait;
        loop {
            tokio::select! {
                () = primary.stopping.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            if primary.blocking(move |primary| Ok(scrub_part(primary, due)?)).await.is_ok() {
                break;
            }
            // Why stands in the log already.
            wait = AFTER_FAILURE;
        }
    }
}

fn scrub_part(primary: &Primary, due: Due) -> Result<(), FsckError> {
    let store = &primary.store;
    let again = heal(primary, primary.scrub.remaining());
    if let Some(note) = primary.scrub.tried_again(&again) {
        store.set_scrub_note(&note)?;
    }
    // A snapshot, so that neither commits nor GC have to wait for it.
    let Scrubbed { findings, counts } =
        fsck::scrub_primary(&store.snapshot(), Part::Byte(due.part), &primary.scrub_progress)?;
    let outcomes = heal(primary, findings);
    store.set_scrub_note(&primary.scrub.done(counts.objects, counts.bytes, &outcomes, scrub::now()))?;
    Ok(())
}

/// Repairs findings, and logs each with what became of it.
fn heal(primary: &Primary, findings: Vec<Finding>) -> Vec<Outcome> {
    let mine = |finding| match finding {
        Finding::Primary(finding) => Some(finding),
        Finding::Client(_) => None,
    };
    let findings: Vec<PrimaryFinding> = findings.into_iter().filter_map(mine).collect();
    if findings.is_empty() {
        return Vec::new();
    }
    let repos: Vec<_> = primary.repos.values().map(|repo| repo.source.clone()).collect();
    let _unshared = primary.streams.changing();
    let outcomes = ingest::heal(&primary.store, &repos, findings, &primary.scrub_repair);
    scrub::log(&outcomes);
    outcomes
}

impl From<FsckError> for Refusal {
    /// Nobody asked for it: the answer is for the log.
    fn from(error: FsckError) -> Self {
        match error {
            FsckError::Cancelled => StoreError::Cancelled.into(),
            error => {
                tracing::warn!(error = chain(&error), "the scrub could not read a part; it tries again");
                Self::internal(&error)
            }
        }
    }
}

//! Reads again, in the background, what the store holds, and repairs from staging what it finds damaged.

use std::time::Duration;

use super::state::{Primary, Shared};
use crate::findings::{Finding, Outcome, PrimaryFinding};
use crate::fsck::{self, FsckError, Part, Scrubbed};
use crate::http::{Refusal, chain};
use crate::ingest;
use crate::scrub::Due;
use crate::store::StoreError;

/// After a failure of the scrub itself, which is no finding.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Runs until the primary stops; returns at once where there is to be no scrub.
pub(super) async fn keep_scrubbing(primary: Shared) {
    while let Some(due) = primary.scrub.due(now()) {
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

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn scrub_part(primary: &Primary, due: Due) -> Result<(), FsckError> {
    let (store, scrub) = (&primary.store, &primary.scrub);
    let again = heal(primary, scrub.remaining());
    if let Some(note) = scrub.tried_again(&again) {
        store.set_scrub_note(&note)?;
    }
    // A snapshot, so that neither commits nor GC have to wait for it.
    let Scrubbed { findings, counts } =
        fsck::scrub_primary(&store.snapshot(), Part::Byte(due.part), &primary.scrub_progress)?;
    let outcomes = heal(primary, findings);
    store.set_scrub_note(&scrub.done(counts.objects, counts.bytes, &outcomes, now()))?;
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
    let outcomes = ingest::heal(&primary.store, &repos, findings, &primary.scrub_repair);
    for Outcome { finding, repaired, detail } in &outcomes {
        match repaired {
            true => tracing::warn!(%finding, "damage found and repaired"),
            false => tracing::error!(%finding, detail, "damage found, and not repaired"),
        }
    }
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

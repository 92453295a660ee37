//! Reads again, in the background, what the farm holds, and repairs what it finds damaged.
//!
//! What is checked, and how it is repaired, is fsck's and `repair.rs`'s: a scrub is an fsck of a part at a time that nobody has to call.
//! Deploys go on meanwhile; a pruning that had to wait for a check follows it.
//!
//! Deliberately absent: when which part is due ([`crate::scrub`]).

use std::sync::Arc;

use super::ClientError;
use super::hold::Hold;
use super::state::Client;
use crate::findings::{ClientFinding, Finding, Outcome};
use crate::fsck::{self, FsckError, Part, Scrubbed};
use crate::http::chain;
use crate::scrub::{self, AFTER_FAILURE, Due};

/// The index's note of how far the scrub is.
pub(super) const NOTE: &str = "scrub";

/// Runs until the client stops; returns at once where there is to be no scrub.
pub(super) async fn keep_scrubbing(client: Arc<Client>) {
    while let Some(due) = client.scrub.due(scrub::now()) {
        let mut wait = due.wait;
        loop {
            tokio::select! {
                () = client.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            match client.scrub_part(due).await {
                Ok(()) => break,
                Err(_) if client.stop.is_cancelled() => return,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the scrub could not read a part; it tries again");
                    wait = AFTER_FAILURE;
                }
            }
        }
    }
}

impl Client {
    async fn scrub_part(self: &Arc<Self>, due: Due) -> Result<(), ClientError> {
        let again = self.heal(self.scrub.remaining()).await?;
        if let Some(note) = self.scrub.tried_again(&again) {
            self.note_scrub(note).await?;
        }
        let Scrubbed { findings, counts } = self.check_part(due.part).await?;
        let outcomes = self.heal(findings).await?;
        let note = self.scrub.done(counts.objects, counts.bytes, &outcomes, scrub::now());
        self.note_scrub(note).await?;
        if !outcomes.is_empty() {
            self.news.notify_one();
        }
        Ok(())
    }

    async fn check_part(self: &Arc<Self>, part: u8) -> Result<Scrubbed, ClientError> {
        let hold = Hold::begin(self).await?;
        let (checkpoint, progress) = (hold.checkpoint(), Arc::clone(&self.scrub_progress));
        let checked = self.blocking(move |farm| {
            let checked = fsck::scrub_client(&farm.data().path, &checkpoint, Part::Byte(part), &progress);
            drop(hold);
            checked
        });
        let checked = checked.await;
        self.prune_if_owed().await;
        checked
    }

    /// Repairs findings, and logs each with what became of it.
    async fn heal(&self, findings: Vec<Finding>) -> Result<Vec<Outcome>, ClientError> {
        let client = |finding| match finding {
            Finding::Client(finding) => Some(finding),
            Finding::Primary(_) => None,
        };
        let findings: Vec<ClientFinding> = findings.into_iter().filter_map(client).collect();
        if findings.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes = self.repair(findings).await?;
        scrub::log(&outcomes);
        Ok(outcomes)
    }

    async fn note_scrub(&self, note: Vec<u8>) -> Result<(), ClientError> {
        self.blocking(move |farm| farm.index().put_meta(NOTE, &note)).await
    }
}

impl From<FsckError> for ClientError {
    fn from(error: FsckError) -> Self {
        ClientError::Scrub(Box::new(error))
    }
}

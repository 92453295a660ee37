//! What became of each repo's last attempt to commit, for as long as it is a failure.
//!
//! A commit is mostly asked for by a command that nobody watches: r10k ignores how its `postrun` ends. So the failure is kept, over a
//! restart too, and shown with the fleet, by every client, and as a metric, until a commit succeeds. A rollback changes nothing here: it
//! looks at no staging directory.

use std::sync::{Mutex, PoisonError};

use crate::http::chain;
use crate::ingest::IngestError;
use crate::store::{Store, StoreError};
use crate::values::RepoName;
use crate::wire::api::{CommitAnswer, CommitRequest, FailedCommit, rfc3339};

/// One repo's failure, where there is one.
pub(super) struct Failure(Mutex<Option<FailedCommit>>);

impl Failure {
    /// The one that the store knows. A record that cannot be read is left out: the next commit says how it is.
    pub(super) fn load(store: &Store, repo: &RepoName) -> Result<Self, StoreError> {
        let json = store.failed_commit(repo)?;
        let failed = json.and_then(|json| match serde_json::from_slice(&json) {
            Ok(failed) => Some(failed),
            Err(error) => {
                tracing::warn!(%repo, %error, "the record of a failed commit cannot be read");
                None
            }
        });
        Ok(Self(Mutex::new(failed)))
    }

    /// The failure, unless a commit has succeeded since.
    pub(super) fn get(&self) -> Option<FailedCommit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how a commit went. Blocking. One commit at a time calls this.
    pub(super) fn note(
        &self,
        store: &Store,
        repo: &RepoName,
        request: &CommitRequest,
        result: &Result<CommitAnswer, IngestError>,
    ) {
        let failed = match result {
            Ok(_) if self.get().is_none() => return,
            Ok(_) => None,
            Err(error) => Some(FailedCommit {
                time: rfc3339(jiff::Timestamp::now().as_millisecond()),
                error: chain(error),
                environments: request.environments.clone(),
                failures: self.get().map_or(1, |before| before.failures.saturating_add(1)),
            }),
        };
        let json = failed.as_ref().map(|failed| serde_json::to_vec(failed).expect("texts and numbers make JSON"));
        // Where the disk is full this fails like the commit did; what is in memory is still shown.
        if let Err(error) = store.set_failed_commit(repo, json.as_deref()) {
            tracing::warn!(%repo, error = chain(&error), "how the commit went is forgotten at the next start");
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failed;
    }
}

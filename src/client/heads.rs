//! Which heads are believed: with `signed-by`, those that one of its keys has signed, and that are no older than one accepted before.
//!
//! - Judged before anything is fetched, by what the signature vouches for: repo, sequence and commit. That the commit says the same of itself
//!   is looked at before it goes live.
//! - The mark that heads must not fall below only rises, and falls only where this machine is told to roll back (`pin.rs`).
//!
//! Deliberately absent: signatures of other commits. Who names a commit by its id (a rollback, a pin) has said all that a signature could.

use super::ClientError;
use super::state::Client;
use crate::farm::RepoState;
use crate::signature::VerifyingKey;
use crate::values::RepoName;
use crate::wire::api::CommitInfo;

impl Client {
    /// Notes a head, or refuses it. Gives what is noted of the repo. The caller holds `work`.
    pub(super) async fn accept(&self, name: &RepoName, head: &CommitInfo) -> Result<RepoState, ClientError> {
        let keys = &self.repo(name)?.signed_by;
        let (commit, sequence) = (head.commit, head.sequence);
        if let Err(error) = is_signed(keys, name, head) {
            self.metrics.count_refused(name);
            return Err(error);
        }
        let (repo, signed) = (name.clone(), !keys.is_empty());
        let noted = self.blocking(move |farm| {
            if let Some(accepted) = farm.state(&repo)?.accepted.filter(|accepted| signed && *accepted > sequence) {
                return Err(ClientError::Replayed { repo, commit, sequence, accepted });
            }
            let noted = farm.update_state(&repo, |state| {
                state.head = Some(commit);
                if signed {
                    state.accepted = Some(sequence);
                }
            });
            Ok(noted?)
        });
        let noted = noted.await;
        if matches!(noted, Err(ClientError::Replayed { .. })) {
            self.metrics.count_refused(name);
        }
        noted
    }

    /// Refuses to go live with a commit that says another sequence of itself than its head's answer did.
    pub(super) async fn check_sequence(&self, name: &RepoName, head: &CommitInfo) -> Result<(), ClientError> {
        let (commit, claimed) = (head.commit, head.sequence);
        let found = self.blocking(move |farm| farm.index().commit(&commit)).await?;
        match found {
            Some(found) if found.sequence != claimed => {
                self.metrics.count_refused(name);
                Err(ClientError::OtherSequence { commit, found: found.sequence, claimed })
            }
            _ => Ok(()),
        }
    }
}

fn is_signed(keys: &[VerifyingKey], name: &RepoName, head: &CommitInfo) -> Result<(), ClientError> {
    let (repo, commit) = (name.clone(), head.commit);
    match &head.signature {
        _ if keys.is_empty() => Ok(()),
        None => Err(ClientError::Unsigned { repo, commit }),
        Some(signature) if keys.iter().any(|key| key.verifies(name, head.sequence, &commit, signature)) => Ok(()),
        Some(_) => Err(ClientError::WronglySigned { repo, commit }),
    }
}

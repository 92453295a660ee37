//! What is made of objects and blobs, put right: trees, generations, modes, what does not belong. Blocking.

use std::collections::BTreeSet;

use super::key;
use crate::farm::{Farm, FarmError, Piece, SharedName};
use crate::findings::{ClientFinding, Holder};
use crate::http::chain;
use crate::progress::{Phase, Progress};

/// Puts right what is made of objects and blobs.
pub(super) struct Builder<'a> {
    farm: &'a Farm,
    progress: &'a Progress,
    troubles: &'a mut Vec<String>,
}

impl<'a> Builder<'a> {
    /// Failures are told to `troubles`, in words.
    pub(super) fn new(farm: &'a Farm, progress: &'a Progress, troubles: &'a mut Vec<String>) -> Self {
        Self { farm, progress, troubles }
    }

    pub(super) fn build(&mut self, findings: &[ClientFinding]) {
        let (mut pieces, mut in_doubt) = (BTreeSet::new(), BTreeSet::new());
        for finding in findings {
            match finding {
                ClientFinding::BlobFileMode { file, .. } | ClientFinding::BlobFileTime { file } => {
                    self.attempt(|farm| farm.reset_blob(key(file)));
                }
                ClientFinding::ForeignFile { path } => self.attempt(|farm| farm.remove_foreign(path)),
                ClientFinding::PlaceMode { path, wanted, .. } => {
                    self.attempt(|farm| farm.set_place_mode(path, *wanted));
                }
                ClientFinding::SharedTreeUnvouched { tree, .. } | ClientFinding::IndexTreeLinks { tree } => {
                    in_doubt.extend(SharedName::parse(tree.as_bytes()));
                }
                ClientFinding::IndexRecordUnreadable { family, key } if family == "built" => {
                    in_doubt.extend(SharedName::from_index_key(key));
                }
                other => pieces.extend(piece(other)),
            }
        }
        self.progress.begin(Phase::Checking, (in_doubt.len() + pieces.len()) as u64, 0);
        // Shared trees before roots, which lead to them.
        for name in in_doubt {
            self.attempt(|farm| if farm.is_vouched(&name)? { Ok(()) } else { farm.revouch(&name) });
        }
        for piece in pieces {
            self.attempt(|farm| {
                let is_right = match &piece {
                    Piece::Root(repo, commit) => farm.generation_is_right(repo, commit)?,
                    Piece::Shared(_) => true,
                };
                let sound = is_right && farm.wrong_entries(&piece)?.is_some_and(|wrong| wrong.is_empty());
                if sound { Ok(()) } else { farm.rebuild(&piece).map(drop) }
            });
        }
    }

    fn attempt(&mut self, work: impl FnOnce(&Farm) -> Result<(), FarmError>) {
        self.progress.advance(1, 0);
        // What is left is told with each finding.
        if self.progress.is_cancelled() {
            return;
        }
        if let Err(error) = work(self.farm) {
            self.troubles.push(chain(&error));
        }
    }
}

/// The piece that a finding is about, where it is about one.
fn piece(finding: &ClientFinding) -> Option<Piece> {
    match finding {
        ClientFinding::EntryMissing { holder, .. }
        | ClientFinding::EntryForeign { holder, .. }
        | ClientFinding::EntryKind { holder, .. }
        | ClientFinding::EntryNotTheBlob { holder, .. }
        | ClientFinding::EntryDamaged { holder, .. }
        | ClientFinding::EntryMode { holder, .. }
        | ClientFinding::EntryTime { holder, .. }
        | ClientFinding::LinkRetargeted { holder, .. } => held_by(holder),
        ClientFinding::SharedTreeMissing { tree } => SharedName::parse(tree.as_bytes()).map(Piece::Shared),
        ClientFinding::GenerationMissing { repo, commit }
        | ClientFinding::IdsWrong { repo, commit, .. }
        | ClientFinding::EnvironmentsLinkWrong { repo, commit }
        | ClientFinding::IndexGenerationLinks { repo, commit } => Some(Piece::Root(repo.clone(), *commit)),
        _ => None,
    }
}

pub(super) fn held_by(holder: &Holder) -> Option<Piece> {
    match holder {
        Holder::Tree(name) => SharedName::parse(name.as_bytes()).map(Piece::Shared),
        Holder::Generation { repo, commit } => Some(Piece::Root(repo.clone(), *commit)),
    }
}

//! Whether a finding still holds. Blocking.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;

use super::build::held_by;
use super::key;
use crate::farm::{Farm, FarmError, Flaw, Piece, SharedName, Survey};
use crate::findings::{ClientFinding, Holder};
use crate::progress::Progress;
use crate::values::{RepoName, TreePath};

/// Looks at findings again; what several of them are about is looked at once.
pub(super) struct Verdicts<'a> {
    farm: &'a Farm,
    pieces: BTreeMap<Piece, Option<BTreeSet<TreePath>>>,
    survey: Option<Survey>,
}

impl<'a> Verdicts<'a> {
    pub(super) fn new(farm: &'a Farm) -> Self {
        Self { farm, pieces: BTreeMap::new(), survey: None }
    }

    /// Whether what the finding says is so now.
    pub(super) fn holds(&mut self, finding: &ClientFinding) -> Result<bool, FarmError> {
        let farm = self.farm;
        Ok(match finding {
            ClientFinding::BlobFileDamaged { file }
            | ClientFinding::BlobFileMissing { file }
            | ClientFinding::BlobFileReplaced { file }
            | ClientFinding::BlobFileMode { file, .. }
            | ClientFinding::BlobFileTime { file }
            | ClientFinding::IndexBlobMissing { file, .. }
            | ClientFinding::IndexBlobSize { file } => !farm.blob_is_sound(key(file))?,
            ClientFinding::ForeignFile { path } => farm.place_is_there(path)?,
            ClientFinding::EntryMissing { holder, path }
            | ClientFinding::EntryForeign { holder, path }
            | ClientFinding::EntryKind { holder, path }
            | ClientFinding::EntryNotTheBlob { holder, path, .. }
            | ClientFinding::EntryDamaged { holder, path, .. }
            | ClientFinding::EntryMode { holder, path, .. }
            | ClientFinding::EntryTime { holder, path }
            | ClientFinding::LinkRetargeted { holder, path, .. } => self.entry_is_wrong(holder, path)?,
            ClientFinding::SharedTreeMissing { tree } => match SharedName::parse(tree.as_bytes()) {
                Some(name) => self.piece(&Piece::Shared(name))?.is_none(),
                None => false,
            },
            ClientFinding::SharedTreeUnvouched { tree, .. } | ClientFinding::IndexTreeLinks { tree } => {
                match SharedName::parse(tree.as_bytes()) {
                    Some(name) => !farm.is_vouched(&name)?,
                    None => false,
                }
            }
            ClientFinding::GenerationMissing { repo, commit } => {
                // One that the index no longer knows either is no damage: it is built again when it is wanted.
                farm.has_generation(repo, commit)? && !farm.generation_is_right(repo, commit)?
            }
            ClientFinding::IdsWrong { repo, commit, .. }
            | ClientFinding::EnvironmentsLinkWrong { repo, commit }
            | ClientFinding::IndexGenerationLinks { repo, commit } => {
                farm.has_generation(repo, commit)? && !farm.generation_is_right(repo, commit)?
            }
            ClientFinding::CurrentMissing { repo }
            | ClientFinding::CurrentOdd { repo }
            | ClientFinding::CurrentUnknown { repo, .. } => self.shows_nothing_known(repo)?,
            ClientFinding::PlaceMode { path, wanted, .. } => farm.place_mode(path)?.is_some_and(|mode| mode != *wanted),
            ClientFinding::DataDirMoved { .. } => {
                farm.index().meta("path")?.as_deref() != Some(farm.data().path.as_os_str().as_bytes())
            }
            ClientFinding::IndexTreeDamaged { id } | ClientFinding::IndexTreeMissing { id, .. } => {
                !farm.index().tree_is_sound(id)?
            }
            ClientFinding::IndexTreeTotals { .. } => true,
            ClientFinding::IndexCommitDamaged { id } | ClientFinding::IndexCommitMissing { commit: id, .. } => {
                !farm.index().commit_is_sound(id)?
            }
            ClientFinding::IndexRecordUnreadable { family, key } => self
                .survey()?
                .flaws
                .iter()
                .any(|flaw| matches!(flaw, Flaw::Record { family: f, key: k } if f == family && k == key)),
            ClientFinding::IndexBlocksDamaged { family } => self.survey()?.is_partial(family),
        })
    }

    fn entry_is_wrong(&mut self, holder: &Holder, path: &TreePath) -> Result<bool, FarmError> {
        match held_by(holder) {
            // A piece that is gone for good holds nothing wrong.
            Some(piece) => Ok(self.piece(&piece)?.as_ref().is_some_and(|wrong| wrong.contains(path))),
            None => Ok(false),
        }
    }

    fn piece(&mut self, piece: &Piece) -> Result<&Option<BTreeSet<TreePath>>, FarmError> {
        if !self.pieces.contains_key(piece) {
            let wrong = self.farm.wrong_entries(piece)?;
            self.pieces.insert(piece.clone(), wrong);
        }
        Ok(&self.pieces[piece])
    }

    fn shows_nothing_known(&self, repo: &RepoName) -> Result<bool, FarmError> {
        match self.farm.current(repo)? {
            Some(commit) => Ok(!self.farm.has_generation(repo, &commit)?),
            None => Ok(true),
        }
    }

    fn survey(&mut self) -> Result<&Survey, FarmError> {
        match &mut self.survey {
            Some(survey) => Ok(survey),
            empty => Ok(empty.insert(self.farm.index().survey(&Progress::default())?)),
        }
    }
}

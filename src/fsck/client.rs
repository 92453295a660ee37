//! A client's farm: the index, the blob files, and every hard link and symbolic link below `trees/` and `repos/`.

mod blobs;
mod objects;
mod pieces;
mod places;

use std::path::{Path, PathBuf};

use super::found::{Found, Since};
use super::{Counts, FsckError, Part};
use crate::disk::Dir;
use crate::farm::{BlobKey, Index, SharedName, Survey};
use crate::findings::{BlobFile, ClientFinding, Holder};
use crate::progress::{Phase, Progress};
use crate::values::{Name, TreePath};

/// Permission bits that files have at most, where the index does not say.
const FILE_MODE: u32 = 0o555;

pub(super) fn check(
    dir: &Dir,
    path: &Path,
    index: &Index,
    part: Part,
    since: Since,
    found: &Found,
    progress: &Progress,
) -> Result<Counts, FsckError> {
    let survey = index.survey(progress)?;
    let bytes = survey.blobs.values().map(|record| record.size).sum();
    let entries: u64 =
        survey.built.keys().filter_map(|name| Some(survey.trees.get(&name.tree())?.totals().files)).sum();
    progress.begin(Phase::Checking, survey.blobs.len() as u64 + entries, bytes);
    let recorded = recorded_path(&survey, path);
    let mut check = Check { dir, recorded, path, survey: &survey, part, index_lost: false, since, found, progress };
    check.index_lost = check.repos()?;
    let needs = check.objects();
    let present = check.look_at_blob_files(&needs)?;
    let pieces = check.pieces(&present)?;
    check.places(&pieces)?;
    let files = check.hash_blob_files(&present)?;
    check.hash_retired(pieces.retired)?;
    Ok(Counts { objects: survey.records + files, entries: pieces.entries, bytes: progress.snapshot().bytes })
}

/// Where the farm's absolute links should lead: where it was when they were made.
fn recorded_path(survey: &Survey, path: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    survey.path.clone().map_or_else(|| path.to_owned(), |bytes| std::ffi::OsString::from_vec(bytes).into())
}

/// One check of one farm.
struct Check<'a> {
    dir: &'a Dir,
    /// Where it is.
    path: &'a Path,
    /// Where the index says it is.
    recorded: PathBuf,
    survey: &'a Survey,
    /// Which blob files, shared trees and generations are looked at.
    part: Part,
    /// Something is live that the index does not know: what looks foreign may be what is served.
    index_lost: bool,
    since: Since,
    found: &'a Found,
    progress: &'a Progress,
}

impl Check<'_> {
    fn find(&self, finding: ClientFinding) {
        self.found.add(finding);
    }

    fn file_mode(&self) -> u32 {
        self.survey.file_mode.unwrap_or(FILE_MODE)
    }

    fn go_on(&self) -> Result<(), FsckError> {
        if self.progress.is_cancelled() { Err(FsckError::Cancelled) } else { Ok(()) }
    }

    /// Something that does not belong where it is, unless it is newer than what the check knows.
    fn foreign(&self, dir: &Dir, name: &Name, path: TreePath) -> Result<(), FsckError> {
        // Gone by now is fine, too.
        let there = dir.stat_if_there(name)?;
        if !self.index_lost && there.is_some_and(|stat| !self.since.explains(&stat)) {
            self.find(ClientFinding::ForeignFile { path });
        }
        Ok(())
    }

    /// The mode of a place outside trees.
    fn place_mode(&self, found: u32, wanted: u32, path: TreePath) {
        if found != wanted {
            self.find(ClientFinding::PlaceMode { path, found, wanted });
        }
    }
}

fn file(key: BlobKey) -> BlobFile {
    BlobFile { id: key.id, executable: key.executable }
}

fn tree(name: &SharedName) -> Holder {
    Holder::Tree(name.to_string())
}

/// A path in the data directory, of names that this code gives.
fn place(names: &[&str]) -> TreePath {
    TreePath::new(names.join("/").as_bytes()).expect("names without slashes make a path")
}

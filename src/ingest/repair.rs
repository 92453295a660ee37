//! Damaged blobs, written anew from what staging still has.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::Scope;

use super::leave_out::LeaveOut;
use super::look::names;
use super::trouble::{Trouble, Troubles, lock};
use super::work::{last_totals, open_staging, pool};
use super::{IngestError, Repo};
use crate::disk::{Dir, Kind, stat_of};
use crate::progress::{Phase, Progress};
use crate::store::{CommitGuard, ReadStore, Store, StoreError, StoredBlob};
use crate::values::{BlobId, Hasher, MAX_DEPTH, MAX_WHOLE_BLOB, Totals, TreePath};

/// Reads all of staging and stores those of its files that are `wanted`, or have a wanted chunk, in place of what the store has; answers
/// which ids those were. What cannot be read, or changes meanwhile, repairs nothing and is passed over: another file may have the same
/// content.
pub fn repair(
    store: &Store,
    repo: &Repo,
    wanted: &BTreeSet<BlobId>,
    progress: &Progress,
) -> Result<BTreeSet<BlobId>, IngestError> {
    let Totals { files, bytes, .. } = last_totals(store, repo);
    progress.begin(Phase::Checking, files, bytes);
    let leave_out = LeaveOut::new(&repo.name, &repo.ignore)?;
    let staging = open_staging(repo)?;
    let guard = store.begin_commit(&repo.name);
    let (troubles, repaired) = (Troubles::default(), Mutex::default());
    let repairer = Repairer { store, guard: &guard, leave_out, wanted, progress, troubles, repaired };
    pool()?.scope(|scope| repairer.enter(scope, staging, &TreePath::root()));
    match repairer.troubles.outcome() {
        Err(Trouble::Failed(error)) => Err(error),
        _ => Ok(repairer.repaired.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

struct Repairer<'a> {
    store: &'a Store,
    guard: &'a CommitGuard<'a>,
    leave_out: LeaveOut,
    wanted: &'a BTreeSet<BlobId>,
    progress: &'a Progress,
    troubles: Troubles,
    repaired: Mutex<BTreeSet<BlobId>>,
}

impl<'s> Repairer<'s> {
    fn enter(&'s self, scope: &Scope<'s>, mut dir: Dir, path: &TreePath) {
        if self.troubles.stopped() || path.depth() >= MAX_DEPTH {
            return;
        }
        let entries = names(&self.leave_out, &mut dir, path).unwrap_or_default();
        let dir = Arc::new(dir);
        for entry in entries {
            let (dir, path) = (Arc::clone(&dir), path.join(&entry.name));
            match entry.kind {
                Some(Kind::Dir) => scope.spawn(move |scope| {
                    if let Ok(below) = dir.open_dir(&entry.name) {
                        self.enter(scope, below, &path);
                    }
                }),
                Some(Kind::File) => {
                    let opened = dir.open_file(&entry.name).ok();
                    if let Err(error) = opened.map_or(Ok(()), |file| self.file(file)) {
                        self.troubles.note(error.into());
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    fn file(&self, mut file: File) -> Result<(), IngestError> {
        if self.progress.is_cancelled() {
            return Err(IngestError::Cancelled);
        }
        let Some(stat) = stat_of(&file).ok().filter(|stat| stat.kind == Kind::File) else { return Ok(()) };
        let done = if stat.size <= MAX_WHOLE_BLOB as u64 { self.small(&mut file) } else { self.large(&mut file) };
        self.progress.advance(1, stat.size);
        match done {
            Err(StoreError::Content(_)) => Ok(()),
            done => Ok(done?),
        }
    }

    fn small(&self, file: &mut File) -> Result<(), StoreError> {
        let mut content = Vec::new();
        file.take(MAX_WHOLE_BLOB as u64).read_to_end(&mut content).map_err(StoreError::Content)?;
        if self.wanted.contains(&BlobId::of(&content)) {
            let written = self.guard.replace_blob(&mut content.as_slice())?;
            lock(&self.repaired).insert(written.id);
        }
        Ok(())
    }

    fn large(&self, file: &mut File) -> Result<(), StoreError> {
        let id = hash(file).map_err(StoreError::Content)?;
        if !self.wanted.contains(&id) && self.wanted_chunks(&id)?.is_empty() {
            return Ok(());
        }
        file.rewind().map_err(StoreError::Content)?;
        let written = self.guard.replace_blob(file)?;
        // What was written is what counts, should the file have changed since it was hashed.
        let chunks = self.wanted_chunks(&written.id)?;
        let whole = self.wanted.get(&written.id).copied();
        lock(&self.repaired).extend(chunks.into_iter().chain(whole));
        Ok(())
    }

    /// Those of a stored blob's chunks that are wanted.
    fn wanted_chunks(&self, id: &BlobId) -> Result<Vec<BlobId>, StoreError> {
        match self.store.blob(id) {
            Ok(Some(StoredBlob::Chunked(list))) => {
                let ids = list.chunks().iter().map(|chunk| chunk.id);
                Ok(ids.filter(|id| self.wanted.contains(id)).collect())
            }
            Ok(_) | Err(StoreError::Damaged { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn hash(file: &mut File) -> io::Result<BlobId> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.id()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

//! A primary's store: every record is read and hashed, every stored commit must be whole.
//!
//! A part of it is checked with all commits and trees, which are small and say what must be there, and of contents with those in the part.

mod blobs;
mod trees;

use super::found::Found;
use super::{Counts, FsckError, Part};
use crate::findings::PrimaryFinding;
use crate::progress::{Phase, Progress};
use crate::store::{Family, Key, ReadStore, Store, StoreError};

pub(super) fn check(store: &Store, found: &Found, progress: &Progress) -> Result<Counts, FsckError> {
    let total = [Family::Blobs, Family::Trees, Family::Commits].into_iter().map(|family| store.estimate(family)).sum();
    progress.begin(Phase::Checking, total, 0);
    run(store, Part::All, found, progress)
}

/// Checks this part of the store, or all of it.
pub(super) fn run<S: ReadStore + Sync>(
    store: &S,
    part: Part,
    found: &Found,
    progress: &Progress,
) -> Result<Counts, FsckError> {
    let check = Check { store, part, found, progress };
    let blobs = check.blobs()?;
    let commits = check.commits()?;
    let needed = check.trees(&commits)?;
    check.needed_blobs(&needed, &blobs)?;
    if part.is_first() {
        check.stat_cache(&needed, &blobs)?;
    }
    check.blocks(Family::Clients)?;
    check.blocks(Family::Meta)?;
    let objects = blobs.len() + commits.len() + needed.trees();
    Ok(Counts { objects: objects as u64, entries: 0, bytes: progress.snapshot().bytes })
}

/// One check of one store.
struct Check<'a, S> {
    store: &'a S,
    part: Part,
    found: &'a Found,
    progress: &'a Progress,
}

impl<S: ReadStore + Sync> Check<'_, S> {
    fn find(&self, finding: PrimaryFinding) {
        self.found.add(finding);
    }

    /// Counts one record, and ends the walk where the caller wishes.
    fn step(&self, bytes: usize) -> Result<(), StoreError> {
        self.progress.advance(1, bytes as u64);
        if self.progress.is_cancelled() { Err(StoreError::Cancelled) } else { Ok(()) }
    }

    /// A walk that ended at blocks which the database finds damaged: what they held is found by looking for it.
    fn survive(&self, family: Family, walked: Result<(), StoreError>) -> Result<(), StoreError> {
        match walked {
            Err(StoreError::DamagedBlocks { .. }) => {
                self.find(PrimaryFinding::BlocksDamaged { family: family.to_string() });
                Ok(())
            }
            other => other,
        }
    }

    /// A record whose key is none.
    fn foreign(&self, family: Family, key: &[u8]) {
        let key = Key::new(family, key).to_string();
        self.find(PrimaryFinding::ForeignRecord { family: family.to_string(), key });
    }

    /// Reads a family only so that the database verifies its blocks.
    fn blocks(&self, family: Family) -> Result<(), StoreError> {
        self.survive(family, self.store.each_record(family, &mut |_, _| Ok(())))
    }
}

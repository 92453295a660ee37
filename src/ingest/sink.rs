//! Trees and stat records on their way into the store: gathered into batches, in the order of `storage-format.md` §9.
//!
//! Stat records are written as they gather, before the commit that they come from, and also where no commit comes of it: each says
//! something true by itself (this file has that content, which is stored), and it spares the next try the reading. Only the last batch goes
//! with the commit. So memory does not grow with the size of staging.
//!
//! A stat record vouches for a tree. So where trees could not be written, no record is written any more: the next commit would believe it, and
//! name what is not there.

use std::sync::Mutex;

use super::trouble::lock;
use crate::store::{CommitGuard, StatRecord, StoreError};
use crate::values::{TreeId, TreePath};

/// How many bytes of trees are written at once.
const TREE_BYTES: usize = 1 << 20;

/// How many directories and files stat records are written for at once.
const RECORDED: usize = 1 << 14;

/// What was learnt of one directory.
pub(super) type Record = (TreePath, Option<StatRecord>);

/// Gathers what is to be written. One lock covers it all, held while a batch is written, so that no stat record can overtake a tree.
pub(super) struct Sink<'a> {
    guard: &'a CommitGuard<'a>,
    gathered: Mutex<Gathered>,
}

#[derive(Default)]
struct Gathered {
    trees: Vec<(TreeId, Vec<u8>)>,
    tree_bytes: usize,
    records: Vec<Record>,
    recorded: usize,
    /// Trees were lost on their way.
    lost_trees: bool,
}

impl<'a> Sink<'a> {
    pub(super) fn new(guard: &'a CommitGuard<'a>) -> Self {
        Self { guard, gathered: Mutex::default() }
    }

    /// Takes a tree, given by its canonical bytes. The trees and blobs that it names were given to the sink or the store before.
    pub(super) fn tree(&self, id: TreeId, canonical: Vec<u8>) -> Result<(), StoreError> {
        let mut gathered = lock(&self.gathered);
        gathered.tree_bytes += canonical.len();
        gathered.trees.push((id, canonical));
        if gathered.tree_bytes >= TREE_BYTES { gathered.write_trees(self.guard) } else { Ok(()) }
    }

    /// Takes what was learnt of a directory, whose tree was given before; `None` forgets it.
    pub(super) fn record(&self, path: TreePath, record: Option<StatRecord>) -> Result<(), StoreError> {
        let mut gathered = lock(&self.gathered);
        gathered.recorded += 1 + record.as_ref().map_or(0, |record| record.files().len());
        gathered.records.push((path, record));
        if gathered.recorded < RECORDED {
            return Ok(());
        }
        gathered.write_trees(self.guard)?;
        self.guard.write_stat_cache(gathered.take_records())
    }

    /// Writes the trees gathered, so that the store can be asked for them.
    pub(super) fn write_trees(&self) -> Result<(), StoreError> {
        lock(&self.gathered).write_trees(self.guard)
    }

    /// Writes everything gathered.
    pub(super) fn write_all(&self) -> Result<(), StoreError> {
        let records = self.rest()?;
        self.guard.write_stat_cache(records)
    }

    /// Writes the trees gathered and hands over the records, for the commit's own batch.
    pub(super) fn rest(&self) -> Result<Vec<Record>, StoreError> {
        let mut gathered = lock(&self.gathered);
        gathered.write_trees(self.guard)?;
        Ok(gathered.take_records())
    }
}

impl Gathered {
    fn write_trees(&mut self, guard: &CommitGuard<'_>) -> Result<(), StoreError> {
        self.tree_bytes = 0;
        guard.write_trees(std::mem::take(&mut self.trees)).inspect_err(|_| self.lost_trees = true)
    }

    fn take_records(&mut self) -> Vec<Record> {
        self.recorded = 0;
        let records = std::mem::take(&mut self.records);
        if self.lost_trees { Vec::new() } else { records }
    }
}

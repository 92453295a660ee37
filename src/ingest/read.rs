//! The second step of a try: reads the files that nothing vouches for, stores their content, and finishes the trees that waited for them.
//!
//! Each file is looked at before and after it is read, through its own handle, and must be what the walk saw. A few files of one directory
//! are one step; the last step of a directory finishes it, and so on upwards.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rayon::Scope;

use super::IngestError;
use super::clock::Moment;
use super::look::target;
use super::node::{Fingerprint, Item, ItemKind, Node, Outcome};
use super::scan::{Scan, executable, vouched};
use super::seal::Complete;
use super::trouble::{Trouble, Troubles, lock};
use super::work::{Start, Work};
use crate::disk::{self, Dir, DiskError, Stat};
use crate::progress::Phase;
use crate::store::{CachedFile, StatRecord, StoreError};
use crate::values::{Entry, MAX_WHOLE_BLOB, Name, TreePath};

/// How many files of one directory are read in one step.
const FILES_AT_ONCE: usize = 8;

/// Reads what `scan` says must be read; answers what is known then of the directory where it started.
pub(super) fn read(work: &Work<'_>, start: &Start, scan: &Scan) -> Result<Outcome, Trouble> {
    work.progress.begin(Phase::Hashing, scan.unread_files, scan.unread_bytes);
    let dir = start.open(work.open_staging()?)?;
    let reader = Reader { work, start, moment: scan.moment, troubles: Troubles::default(), outcome: Mutex::default() };
    work.in_parallel(|scope| reader.enter(scope, &dir, &scan.root, start.path.clone(), None));
    reader.troubles.outcome()?;
    let outcome = reader.outcome.into_inner().unwrap_or_default();
    Ok(outcome.expect("without trouble every directory is finished, the first one last"))
}

struct Reader<'a> {
    work: &'a Work<'a>,
    start: &'a Start,
    moment: Moment,
    troubles: Troubles,
    outcome: Mutex<Option<Outcome>>,
}

/// A directory that waits for files to be read, in it or below.
struct Open<'n> {
    node: &'n Node,
    path: TreePath,
    device: u64,
    /// The one that holds it, and which of its directories this is.
    above: Option<(Arc<Open<'n>>, usize)>,
    record: Option<StatRecord>,
    /// The entries, in the order of the node's items; a directory's stays `None`.
    slots: Mutex<Vec<Slot>>,
    /// Steps that are not done.
    left: AtomicUsize,
}

/// A file or link, and what to cache of it.
type Slot = Option<(Entry, Option<CachedFile>)>;

/// A file to be read: its place among the items, its name, what the walk saw.
type Unread = (usize, Name, Fingerprint);

impl<'s> Reader<'s> {
    fn enter(
        &'s self,
        scope: &Scope<'s>,
        dir: &Arc<Dir>,
        node: &'s Node,
        path: TreePath,
        above: Option<(Arc<Open<'s>>, usize)>,
    ) {
        self.work.step(&self.troubles, || {
            let (open, unread) = self.open(dir, node, path, above)?;
            let waiting = node.items().filter_map(|(item, at)| Some((item.name, at?)));
            let waiting: Vec<_> = waiting.filter(|(_, at)| node.subtree(*at).is_none()).collect();
            let groups: Vec<Vec<Unread>> = unread.chunks(FILES_AT_ONCE).map(<[_]>::to_vec).collect();
            // One more for this step itself, so that nothing is finished while steps are still handed out.
            open.left.store(waiting.len() + groups.len() + 1, Ordering::Release);
            for (name, at) in waiting {
                let (open, dir) = (Arc::clone(&open), Arc::clone(dir));
                scope.spawn(move |scope| self.descend(scope, &dir, &name, (open, at)));
            }
            for group in groups {
                let (open, dir) = (Arc::clone(&open), Arc::clone(dir));
                scope.spawn(move |_| self.read_group(&dir, group, &open));
            }
            self.done(open)
        });
    }

    fn descend(&'s self, scope: &Scope<'s>, dir: &Dir, name: &Name, above: (Arc<Open<'s>>, usize)) {
        self.work.step(&self.troubles, || {
            let path = above.0.path.join(name);
            let below = dir.open_dir(name).map_err(|error| Trouble::at(&path, error))?;
            self.enter(scope, &Arc::new(below), above.0.node.child(above.1), path, Some(above));
            Ok(())
        });
    }

    /// Looks at a directory again, and at those of its entries that need no reading.
    fn open(
        &self,
        dir: &Dir,
        node: &'s Node,
        path: TreePath,
        above: Option<(Arc<Open<'s>>, usize)>,
    ) -> Result<(Arc<Open<'s>>, Vec<Unread>), Trouble> {
        let own = self.work.clock.seen(dir.stat_self()?);
        let part = above.is_none() && self.start.only.is_some();
        if !part && self.work.prints.of(&own) != node.own {
            return Err(Trouble::changed(&path));
        }
        let record = if part { None } else { self.work.store.stat_record(&self.work.repo.name, &path)? };
        let mut slots = Vec::new();
        let mut unread = Vec::new();
        for (at, (Item { name, fingerprint, kind }, _)) in node.items().enumerate() {
            let slot = match kind {
                ItemKind::Dir | ItemKind::Unread => None,
                ItemKind::Link => Some((Entry::Symlink(target(dir, &path, &name)?), None)),
                ItemKind::Vouched => self.still_vouched(dir, &path, &name, fingerprint, record.as_ref())?,
            };
            if slot.is_none() && kind != ItemKind::Dir {
                unread.push((at, name, fingerprint));
            }
            slots.push(slot);
        }
        let (slots, left) = (Mutex::new(slots), AtomicUsize::new(0));
        Ok((Arc::new(Open { node, path, device: own.device, above, record, slots, left }), unread))
    }

    /// A file that the stat cache vouched for during the walk: beside one that must be read, it needs a second look.
    fn still_vouched(
        &self,
        dir: &Dir,
        path: &TreePath,
        name: &Name,
        expected: Fingerprint,
        record: Option<&StatRecord>,
    ) -> Result<Slot, Trouble> {
        let place = || path.join(name);
        let stat = self.work.clock.seen(dir.stat(name).map_err(|error| Trouble::at(&place(), error))?);
        if self.work.prints.of(&stat) != expected {
            return Err(Trouble::changed(&place()));
        }
        let entry = vouched(record, name, &stat);
        Ok(entry.map(|entry| {
            let cached = record.and_then(|record| record.file(name)).cloned();
            (entry, cached)
        }))
    }

    fn read_group(&self, dir: &Dir, group: Vec<Unread>, open: &Arc<Open<'s>>) {
        self.work.step(&self.troubles, || {
            let mut buffer = Vec::new();
            for (at, name, expected) in group {
                self.work.check_cancelled()?;
                let read = self.read_file(dir, open, &name, expected, &mut buffer)?;
                lock(&open.slots)[at] = Some(read);
            }
            self.done(Arc::clone(open))
        });
    }

    /// Reads one file into the store.
    fn read_file(
        &self,
        dir: &Dir,
        open: &Open<'_>,
        name: &Name,
        expected: Fingerprint,
        buffer: &mut Vec<u8>,
    ) -> Result<(Entry, Option<CachedFile>), Trouble> {
        let path = open.path.join(name);
        let mut file = dir.open_file(name).map_err(|error| Trouble::at(&path, error))?;
        let look = |file: &std::fs::File| -> Result<Stat, Trouble> {
            let stat = disk::stat_of(file).map_err(DiskError::at("look at", &dir.path_of(name)))?;
            let stat = self.work.clock.seen(stat);
            if self.work.prints.of(&stat) == expected { Ok(stat) } else { Err(Trouble::changed(&path)) }
        };
        let before = self.moment.before();
        let stat = look(&file)?;
        let id = self.store(&mut file, &stat, &path, buffer)?;
        look(&file)?;
        self.work.progress.advance(1, stat.size);
        let entry = Entry::File { id, executable: executable(&stat), size: stat.size };
        let Stat { inode, size, mtime, ctime, mode, .. } = stat;
        let may_be_cached = before.vouches_for(&stat) && stat.device == open.device;
        let cached = may_be_cached.then(|| CachedFile { name: name.clone(), inode, size, mtime, ctime, mode, id });
        Ok((entry, cached))
    }

    /// Stores the content of a file, which must be as long as its stat says.
    fn store(
        &self,
        file: &mut std::fs::File,
        stat: &Stat,
        path: &TreePath,
        buffer: &mut Vec<u8>,
    ) -> Result<crate::values::BlobId, Trouble> {
        let failed = |source| IngestError::Read { path: path.clone(), source };
        // One byte more than there should be, so that a file that grows is noticed and never read for ever.
        let mut limited = file.take(stat.size.saturating_add(1));
        let written = if stat.size <= MAX_WHOLE_BLOB as u64 {
            buffer.clear();
            limited.read_to_end(buffer).map_err(failed)?;
            self.work.warnings.content(path, buffer);
            self.work.guard.write_blob(&mut buffer.as_slice())?
        } else {
            self.work.guard.write_blob(&mut limited).map_err(|error| match error {
                StoreError::Content(source) => failed(source),
                other => other.into(),
            })?
        };
        if written.size == stat.size { Ok(written.id) } else { Err(Trouble::changed(path)) }
    }

    /// Counts a step of a directory; its last one finishes it, and so on upwards.
    fn done(&self, mut open: Arc<Open<'s>>) -> Result<(), Trouble> {
        // Whoever brings this to zero has seen what all the others did.
        while open.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let outcome = self.close(&open)?;
            let (Some((above, at)), Outcome::Tree(subtree)) = (&open.above, &outcome) else {
                *lock(&self.outcome) = Some(outcome);
                break;
            };
            above.node.set_subtree(*at, *subtree);
            open = Arc::clone(above);
        }
        Ok(())
    }

    fn close(&self, open: &Open<'_>) -> Result<Outcome, IngestError> {
        let slots = std::mem::take(&mut *lock(&open.slots));
        let mut entries = Vec::with_capacity(slots.len());
        let mut files = Vec::new();
        for ((item, at), slot) in open.node.items().zip(slots) {
            let subtree = at.and_then(|at| open.node.subtree(at)).map(|subtree| (Entry::Tree(subtree), None));
            let (entry, cached) = subtree.or(slot).expect("every step of this directory is done");
            entries.push((item.name, entry));
            files.extend(cached);
        }
        if open.above.is_none() && self.start.only.is_some() {
            return Ok(Outcome::Part(entries));
        }
        let record = open.record.clone();
        let complete = Complete { path: &open.path, device: open.device, entries, record, files: Some(files) };
        Ok(Outcome::Tree(complete.seal(self.work)?))
    }
}

//! The first walk of a try: what is in staging, which files must be read, and the tree of every directory where none must.
//!
//! Each directory is one step, done by whichever thread is free. The last of its directories to be done finishes the one above, so no thread
//! waits and no stack grows with the depth of staging.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use rayon::Scope;

use super::IngestError;
use super::clock::{Moment, wait_until};
use super::look::{Seen, look};
use super::node::{Fingerprint, ItemKind, Items, Node, Outcome};
use super::seal::Complete;
use super::trouble::{Trouble, Troubles, lock};
use super::work::{Start, Work, last_totals};
use crate::disk::{Dir, Stat};
use crate::progress::Phase;
use crate::store::StatRecord;
use crate::values::{Entry, MAX_DEPTH, Name, Subtree, Totals, TreePath};

/// What a walk found.
pub(super) struct Scan {
    /// The directory where it started.
    pub(super) root: Node,
    /// What is known of it.
    pub(super) outcome: Outcome,
    /// When it began.
    pub(super) moment: Moment,
    /// Files that must be read.
    pub(super) unread_files: u64,
    /// Their bytes.
    pub(super) unread_bytes: u64,
    /// All files and links.
    pub(super) seen: u64,
}

/// Walks staging from `start`.
pub(super) fn scan(work: &Work<'_>, start: &Start) -> Result<Scan, Trouble> {
    let Totals { files, links, .. } =
        if start.only.is_none() { last_totals(work.store, work.repo) } else { Totals::default() };
    work.progress.begin(Phase::Scanning, files + links, 0);
    let staging = work.open_staging()?;
    let moment = Moment::now(work.clock, &staging);
    let dir = start.open(staging)?;
    let scanner = Scanner {
        work,
        start,
        moment,
        troubles: Troubles::default(),
        unread_files: AtomicU64::new(0),
        unread_bytes: AtomicU64::new(0),
        root: Mutex::default(),
    };
    work.in_parallel(|scope| scanner.enter(scope, &dir, start.path.clone(), None));
    scanner.troubles.outcome()?;
    let root = scanner.root.into_inner().unwrap_or_default();
    let (root, outcome) = root.expect("without trouble every directory is finished, the first one last");
    Ok(Scan {
        root,
        outcome,
        moment,
        unread_files: scanner.unread_files.into_inner(),
        unread_bytes: scanner.unread_bytes.into_inner(),
        seen: work.progress.snapshot().files,
    })
}

struct Scanner<'a> {
    work: &'a Work<'a>,
    start: &'a Start,
    moment: Moment,
    troubles: Troubles,
    unread_files: AtomicU64,
    unread_bytes: AtomicU64,
    root: Mutex<Option<(Node, Outcome)>>,
}

/// A directory itself, and its entries.
type Look = (Stat, Vec<(Name, Seen)>);

/// A directory that waits for those in it.
struct Open {
    path: TreePath,
    own: Stat,
    /// The one that holds it, and which of its directories this is.
    above: Option<(Arc<Open>, usize)>,
    held: Mutex<Held>,
    /// Directories in it that are not finished.
    left: AtomicUsize,
}

/// What a directory holds, until it becomes a node.
#[derive(Default)]
struct Held {
    items: Items,
    /// The entries, a directory's being `None`; absent where a file must be read.
    entries: Option<Vec<(Name, Option<Entry>)>>,
    record: Option<StatRecord>,
    children: Vec<Option<Node>>,
    subtrees: Vec<Option<Subtree>>,
}

impl<'s> Scanner<'s> {
    fn enter(&'s self, scope: &Scope<'s>, dir: &Arc<Dir>, path: TreePath, above: Option<(Arc<Open>, usize)>) {
        self.work.step(&self.troubles, || {
            let (open, dirs) = self.open(dir, path, above)?;
            if dirs.is_empty() {
                return self.finish(open);
            }
            for (at, name) in dirs.into_iter().enumerate() {
                let (open, dir) = (Arc::clone(&open), Arc::clone(dir));
                scope.spawn(move |scope| self.descend(scope, &dir, &name, (open, at)));
            }
            Ok(())
        });
    }

    fn descend(&'s self, scope: &Scope<'s>, dir: &Dir, name: &Name, above: (Arc<Open>, usize)) {
        self.work.step(&self.troubles, || {
            let path = above.0.path.join(name);
            let below = dir.open_dir(name).map_err(|error| Trouble::at(&path, error))?;
            self.enter(scope, &Arc::new(below), path, Some(above));
            Ok(())
        });
    }

    /// Looks at one directory; answers what is known of it, and the directories in it.
    fn open(
        &self,
        dir: &Dir,
        path: TreePath,
        above: Option<(Arc<Open>, usize)>,
    ) -> Result<(Arc<Open>, Vec<Name>), Trouble> {
        if path.depth() >= MAX_DEPTH {
            return Err(IngestError::TooDeep { path }.into());
        }
        let only = if above.is_none() { self.start.only.as_ref() } else { None };
        let (own, seen) = self.settled_look(dir, &path, only)?;
        let leaves = seen.iter().filter(|(_, seen)| !matches!(seen, Seen::Dir)).count();
        self.work.progress.advance(leaves as u64, 0);
        let record = match only {
            Some(_) => None,
            None => self.work.store.stat_record(&self.work.repo.name, &path)?,
        };
        let (held, dirs) = self.hold(&path, seen, record);
        let left = AtomicUsize::new(dirs.len());
        Ok((Arc::new(Open { path, own, above, held: Mutex::new(held), left }), dirs))
    }

    /// Looks at a directory and its entries. Where anything changed so lately that it could change again without a sign, waits just as long
    /// as that is so and looks again; by then all that was deployed together is old.
    fn settled_look(&self, dir: &Dir, path: &TreePath, only: Option<&BTreeSet<Name>>) -> Result<Look, Trouble> {
        let (look, unsettled) = self.look(&self.moment, dir, path, only)?;
        let Some((until, _)) = unsettled else { return Ok(look) };
        if self.troubles.changed() {
            return Err(Trouble::changed(path));
        }
        wait_until(self.work.clock, dir, until);
        let (look, unsettled) = self.look(&Moment::now(self.work.clock, dir), dir, path, only)?;
        match unsettled {
            Some((_, changing)) => Err(Trouble::changed(&changing)),
            None => Ok(look),
        }
    }

    /// Looks at a directory and its entries; answers also what is too young, and until when.
    fn look(
        &self,
        moment: &Moment,
        dir: &Dir,
        path: &TreePath,
        only: Option<&BTreeSet<Name>>,
    ) -> Result<(Look, Option<(i64, TreePath)>), Trouble> {
        let before = moment.before();
        // Before the listing: what changes after this shows at the next look.
        let own = self.work.clock.seen(dir.stat_self()?);
        let seen = look(self.work, dir, path, only)?;
        // The start of a walk of some entries may change: its other entries are not looked at.
        let own_until = if only.is_none() { before.unsettled_until(&own) } else { None };
        let mut unsettled = own_until.map(|until| (until, path.clone()));
        for (name, seen) in &seen {
            let (Seen::File(stat) | Seen::Link(stat, _)) = seen else { continue };
            let until = before.unsettled_until(stat);
            if until > unsettled.as_ref().map(|(latest, _)| *latest) {
                unsettled = until.map(|until| (until, path.join(name)));
            }
        }
        Ok(((own, seen), unsettled))
    }

    fn hold(&self, path: &TreePath, seen: Vec<(Name, Seen)>, record: Option<StatRecord>) -> (Held, Vec<Name>) {
        let mut items = Items::default();
        let mut dirs = Vec::new();
        let mut entries = Some(Vec::with_capacity(seen.len()));
        let prints = &self.work.prints;
        for (name, seen) in seen {
            let (kind, fingerprint, entry) = match seen {
                Seen::Dir => {
                    dirs.push(name.clone());
                    (ItemKind::Dir, Fingerprint::NONE, None)
                }
                Seen::Link(stat, target) => {
                    self.work.warnings.link(path, &name, &target);
                    (ItemKind::Link, prints.of(&stat), Some(Entry::Symlink(target)))
                }
                Seen::File(stat) => {
                    let entry = vouched(record.as_ref(), &name, &stat);
                    let kind = if entry.is_some() { ItemKind::Vouched } else { ItemKind::Unread };
                    if entry.is_none() {
                        self.unread_files.fetch_add(1, Relaxed);
                        self.unread_bytes.fetch_add(stat.size, Relaxed);
                    }
                    (kind, prints.of(&stat), entry)
                }
            };
            items.push(&name, kind, fingerprint);
            if kind == ItemKind::Unread {
                entries = None;
            } else if let Some(entries) = &mut entries {
                entries.push((name, entry));
            }
        }
        let children = dirs.iter().map(|_| None).collect();
        let subtrees = vec![None; dirs.len()];
        (Held { items, entries, record, children, subtrees }, dirs)
    }

    /// Makes the node of a directory whose directories are all finished; then that of the one above, where this was its last.
    fn finish(&self, mut open: Arc<Open>) -> Result<(), Trouble> {
        loop {
            let (node, outcome) = self.close(&open)?;
            let Some((above, at)) = &open.above else {
                *lock(&self.root) = Some((node, outcome));
                return Ok(());
            };
            let mut held = lock(&above.held);
            held.children[*at] = Some(node);
            if let Outcome::Tree(subtree) = outcome {
                held.subtrees[*at] = Some(subtree);
            }
            drop(held);
            // Whoever brings this to zero has seen all the others' nodes.
            if above.left.fetch_sub(1, std::sync::atomic::Ordering::AcqRel) > 1 {
                return Ok(());
            }
            open = Arc::clone(above);
        }
    }

    fn close(&self, open: &Open) -> Result<(Node, Outcome), IngestError> {
        let Held { items, entries, record, children, subtrees } = std::mem::take(&mut *lock(&open.held));
        let children: Vec<Node> = children.into_iter().flatten().collect();
        let own = self.work.prints.of(&open.own);
        let known = subtrees.iter().all(Option::is_some);
        let Some(entries) = entries.filter(|_| known) else {
            return Ok((Node::new(own, items, children, Some(subtrees)), Outcome::Waiting));
        };
        let mut dirs = subtrees.into_iter().flatten().map(Entry::Tree);
        let filled = entries.into_iter().filter_map(|(name, entry)| Some((name, entry.or_else(|| dirs.next())?)));
        let entries: Vec<_> = filled.collect();
        let outcome = if open.above.is_none() && self.start.only.is_some() {
            Outcome::Part(entries)
        } else {
            let complete = Complete { path: &open.path, device: open.own.device, entries, record, files: None };
            Outcome::Tree(complete.seal(self.work)?)
        };
        Ok((Node::new(own, items, children, None), outcome))
    }
}

/// The entry of a file that looks as it did when it was last read.
pub(super) fn vouched(record: Option<&StatRecord>, name: &Name, stat: &Stat) -> Option<Entry> {
    let record = record?;
    let file = record.file(name)?;
    let known = (record.device(), file.inode, file.size, file.mtime, file.ctime, file.mode);
    let same = known == (stat.device, stat.inode, stat.size, stat.mtime, stat.ctime, stat.mode);
    same.then(|| Entry::File { id: file.id, executable: executable(stat), size: stat.size })
}

/// Whether the owner may execute it.
pub(super) fn executable(stat: &Stat) -> bool {
    stat.mode & 0o100 != 0
}

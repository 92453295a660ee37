//! The walk of a try: what is in staging, what its files hold, and the tree of every directory.
//!
//! Each directory is one step, done by whichever thread is free: a look at its entries, then the reading of those files that the stat cache
//! does not vouch for. Where these are many, some of them are a step of their own. The last step of a directory finishes it, and so on
//! upwards, so no thread waits and no stack grows with the depth of staging.
//!
//! Files are read beside the look at others, and the commit is one instant of staging all the same: each entry stays as it was from its look
//! here to its look in `verify.rs`, and there is an instant between the last look here and the first look there.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel};
use std::sync::{Arc, Mutex};

use rayon::Scope;

use super::IngestError;
use super::clock::{Moment, wait_until};
use super::look::{Seen, look};
use super::node::{Fingerprint, Items, Node, Outcome};
use super::read::{Reader, executable};
use super::seal::Complete;
use super::trouble::{Trouble, Troubles, lock};
use super::work::{Start, Work};
use crate::disk::{Dir, Stat};
use crate::progress::Phase;
use crate::store::{CachedFile, StatRecord};
use crate::values::{Entry, MAX_DEPTH, Name, TreePath};

/// How many files of one directory are read in one step.
const FILES_AT_ONCE: usize = 16;

/// What a walk found.
pub(super) struct Scan {
    /// The directory where it started.
    pub(super) root: Node,
    /// What that holds.
    pub(super) outcome: Outcome,
}

/// Walks staging from `start`.
pub(super) fn scan(work: &Work<'_>, start: &Start) -> Result<Scan, Trouble> {
    work.progress.begin(Phase::Scanning, work.expected_files, 0);
    let staging = work.open_staging()?;
    let moment = Moment::now(work.clock, &staging);
    let dir = start.open(staging)?;
    let scanner = Scanner { work, start, moment, troubles: Troubles::default(), root: Mutex::default() };
    work.in_parallel(|scope| scanner.enter(scope, dir, start.path.clone(), None));
    scanner.troubles.outcome()?;
    let root = scanner.root.into_inner().unwrap_or_default();
    let (root, outcome) = root.expect("without trouble every directory is finished, the first one last");
    Ok(Scan { root, outcome })
}

struct Scanner<'a> {
    work: &'a Work<'a>,
    start: &'a Start,
    moment: Moment,
    troubles: Troubles,
    root: Mutex<Option<(Node, Outcome)>>,
}

/// A directory itself, and its entries.
type Look = (Stat, Vec<(Name, Seen)>);

/// A directory that waits for steps: those in it, and its files.
struct Open {
    path: TreePath,
    own: Stat,
    above: Option<Above>,
    held: Mutex<Held>,
    /// Steps that are not done.
    left: AtomicUsize,
}

/// The directory that holds another one, and where in it that stands.
struct Above {
    open: Arc<Open>,
    /// Among its directories.
    child: usize,
    /// Among its entries.
    entry: usize,
}

/// What a directory holds, until it becomes a node and a tree.
#[derive(Default)]
struct Held {
    items: Items,
    /// What is not known yet is `None`.
    entries: Vec<(Name, Option<Entry>)>,
    children: Vec<Option<Node>>,
    record: Option<StatRecord>,
    /// What to cache of its files; absent where none had to be read.
    files: Option<Vec<CachedFile>>,
}

/// An entry that is another step's: where it stands among the entries, and its name.
type Place = (usize, Name);

/// What is to be done for a directory before it is known.
#[derive(Default)]
struct Todo {
    dirs: Vec<Place>,
    unread: Vec<(Place, Fingerprint)>,
}

impl<'s> Scanner<'s> {
    fn enter(&'s self, scope: &Scope<'s>, mut dir: Dir, path: TreePath, above: Option<Above>) {
        self.work.step(&self.troubles, || {
            let (open, Todo { dirs, mut unread }) = self.open(&mut dir, path, above)?;
            let dir = Arc::new(dir);
            for (child, (entry, name)) in dirs.into_iter().enumerate() {
                let (dir, above) = (Arc::clone(&dir), Above { open: Arc::clone(&open), child, entry });
                scope.spawn(move |scope| self.descend(scope, &dir, &name, above));
            }
            while unread.len() > FILES_AT_ONCE {
                let (some, dir, open) =
                    (unread.split_off(unread.len() - FILES_AT_ONCE), Arc::clone(&dir), Arc::clone(&open));
                open.left.fetch_add(1, AcqRel);
                scope.spawn(move |_| self.work.step(&self.troubles, || self.read(&dir, some, open)));
            }
            self.read(&dir, unread, open)
        });
    }

    fn descend(&'s self, scope: &Scope<'s>, dir: &Dir, name: &Name, above: Above) {
        self.work.step(&self.troubles, || {
            let path = above.open.path.join(name);
            let below = dir.open_dir(name).map_err(|error| Trouble::at(&path, error))?;
            self.enter(scope, below, path, Some(above));
            Ok(())
        });
    }

    /// Looks at one directory; answers what is known of it, and what is to be done.
    fn open(&self, dir: &mut Dir, path: TreePath, above: Option<Above>) -> Result<(Arc<Open>, Todo), Trouble> {
        if path.depth() >= MAX_DEPTH {
            return Err(IngestError::TooDeep { path }.into());
        }
        let only = if above.is_none() { self.start.only.as_ref() } else { None };
        let (own, seen) = self.settled_look(dir, &path, only)?;
        let record = match only {
            Some(_) => None,
            None => self.work.store.stat_record(&self.work.repo.name, &path)?,
        };
        let (held, todo) = self.hold(&path, seen, record);
        self.work.progress.advance((held.entries.len() - todo.dirs.len() - todo.unread.len()) as u64, 0);
        // One more for this step itself, which is done when its own files are read.
        let left = AtomicUsize::new(todo.dirs.len() + 1);
        Ok((Arc::new(Open { path, own, above, held: Mutex::new(held), left }), todo))
    }

    /// Looks at a directory and its entries. Where anything changed so lately that it could change again without a sign, waits just as long
    /// as that is so and looks again; by then all that was deployed together is old.
    fn settled_look(&self, dir: &mut Dir, path: &TreePath, only: Option<&BTreeSet<Name>>) -> Result<Look, Trouble> {
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
        dir: &mut Dir,
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

    fn hold(&self, path: &TreePath, seen: Vec<(Name, Seen)>, record: Option<StatRecord>) -> (Held, Todo) {
        let prints = &self.work.prints;
        let mut held = Held { entries: Vec::with_capacity(seen.len()), ..Held::default() };
        let (mut todo, mut vouched) = (Todo::default(), Vec::new());
        for (at, (name, seen)) in seen.into_iter().enumerate() {
            let entry = match seen {
                Seen::Dir => {
                    held.items.push_dir(&name);
                    todo.dirs.push((at, name.clone()));
                    None
                }
                Seen::Link(stat, target) => {
                    self.work.warnings.link(path, &name, &target);
                    held.items.push(&name, prints.of(&stat));
                    Some(Entry::Symlink(target))
                }
                Seen::File(stat) => {
                    let fingerprint = prints.of(&stat);
                    held.items.push(&name, fingerprint);
                    let file = record.as_ref().and_then(|record| vouches_for(record, &name, &stat));
                    match file {
                        Some(_) => vouched.extend(file),
                        None => todo.unread.push(((at, name.clone()), fingerprint)),
                    }
                    file.map(|file| Entry::File { id: file.id, executable: executable(&stat), size: stat.size })
                }
            };
            held.entries.push((name, entry));
        }
        held.children.resize_with(todo.dirs.len(), || None);
        if !todo.unread.is_empty() {
            held.files = Some(vouched.into_iter().cloned().collect());
        }
        held.record = record;
        (held, todo)
    }

    /// Reads some files of a directory, and counts the step that did it.
    fn read(&self, dir: &Dir, files: Vec<(Place, Fingerprint)>, open: Arc<Open>) -> Result<(), Trouble> {
        let (work, moment, device) = (self.work, &self.moment, open.own.device);
        let reader = Reader { work, moment, dir, path: &open.path, device };
        for ((at, name), expected) in files {
            work.check_cancelled()?;
            let (entry, cached) = reader.read(&name, expected)?;
            work.progress.advance(1, entry.totals().bytes);
            let mut held = lock(&open.held);
            held.entries[at].1 = Some(entry);
            held.files.get_or_insert_default().extend(cached);
        }
        self.done(open)
    }

    /// Counts a step of a directory. The last one makes its node and its tree, and is a step of the directory above.
    fn done(&self, mut open: Arc<Open>) -> Result<(), Trouble> {
        // Whoever brings this to zero has seen what all the others did.
        while open.left.fetch_sub(1, AcqRel) == 1 {
            let (node, outcome) = self.close(&open)?;
            let Some(above) = &open.above else {
                *lock(&self.root) = Some((node, outcome));
                break;
            };
            let mut held = lock(&above.open.held);
            held.children[above.child] = Some(node);
            held.entries[above.entry].1 = outcome.into_entry();
            drop(held);
            open = Arc::clone(&above.open);
        }
        Ok(())
    }

    fn close(&self, open: &Open) -> Result<(Node, Outcome), IngestError> {
        let Held { items, entries, children, record, files } = std::mem::take(&mut *lock(&open.held));
        let node = Node::new(self.work.prints.of(&open.own), items, children.into_iter().flatten().collect());
        let entries =
            entries.into_iter().map(|(name, entry)| (name, entry.expect("every step of this directory is done")));
        let entries: Vec<_> = entries.collect();
        let outcome = if open.above.is_none() && self.start.only.is_some() {
            Outcome::Part(entries)
        } else {
            let complete = Complete { path: &open.path, device: open.own.device, entries, record, files };
            Outcome::Tree(complete.seal(self.work)?)
        };
        Ok((node, outcome))
    }
}

/// What is known of a file that looks as it did when it was last read.
fn vouches_for<'r>(record: &'r StatRecord, name: &Name, stat: &Stat) -> Option<&'r CachedFile> {
    let file = record.file(name)?;
    let known = (record.device(), file.inode, file.size, file.mtime, file.ctime, file.mode);
    let same = known == (stat.device, stat.inode, stat.size, stat.mtime, stat.ctime, stat.mode);
    same.then_some(file)
}

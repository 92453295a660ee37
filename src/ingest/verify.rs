//! The last step of a try: another look at every entry that the walk saw, after the last read.
//!
//! Where nothing differs, nothing changed from the end of the walk to the beginning of this step, so what was read is what staging held at
//! one instant. A directory's own stat shows whether entries came or went, so it need not be listed again.

use std::sync::Arc;

use rayon::Scope;

use super::node::{Item, Node};
use super::scan::Scan;
use super::trouble::{Trouble, Troubles};
use super::work::{Start, Work};
use crate::disk::Dir;
use crate::progress::Phase;
use crate::values::{Name, TreePath};

/// Compares staging with what `scan` saw.
pub(super) fn verify(work: &Work<'_>, start: &Start, scan: &Scan) -> Result<(), Trouble> {
    work.progress.begin(Phase::Comparing, scan.seen, 0);
    let dir = start.open(work.open_staging()?)?;
    let verifier = Verifier { work, troubles: Troubles::default() };
    let whole = start.only.is_none();
    work.in_parallel(|scope| verifier.enter(scope, &dir, &scan.root, &start.path, whole));
    verifier.troubles.outcome()
}

struct Verifier<'a> {
    work: &'a Work<'a>,
    troubles: Troubles,
}

impl<'s> Verifier<'s> {
    fn enter(&'s self, scope: &Scope<'s>, dir: &Arc<Dir>, node: &'s Node, path: &TreePath, whole: bool) {
        self.work.step(&self.troubles, || {
            let print = |stat| self.work.prints.of(&self.work.clock.seen(stat));
            if whole && print(dir.stat_self()?) != node.own {
                self.troubles.note(Trouble::changed(path));
            }
            let mut leaves = 0;
            for (Item { name, fingerprint, .. }, child) in node.items() {
                if let Some(child) = child.map(|at| node.child(at)) {
                    let (dir, path) = (Arc::clone(dir), path.join(&name));
                    scope.spawn(move |scope| self.descend(scope, &dir, &name, child, &path));
                    continue;
                }
                leaves += 1;
                match dir.stat(&name) {
                    Ok(stat) if print(stat) == fingerprint => {}
                    Ok(_) => self.troubles.note(Trouble::changed(&path.join(&name))),
                    Err(error) => self.troubles.note(Trouble::at(&path.join(&name), error)),
                }
            }
            self.work.progress.advance(leaves, 0);
            Ok(())
        });
    }

    fn descend(&'s self, scope: &Scope<'s>, dir: &Dir, name: &Name, node: &'s Node, path: &TreePath) {
        self.work.step(&self.troubles, || {
            let below = dir.open_dir(name).map_err(|error| Trouble::at(path, error))?;
            self.enter(scope, &Arc::new(below), node, path, true);
            Ok(())
        });
    }
}

//! From staging to a root tree, in at most three tries: walk and read, look again.

use super::IngestError;
use super::node::Outcome;
use super::scan::{Scan, scan};
use super::scope::{Environments, Scope};
use super::trouble::Trouble;
use super::verify::verify;
use super::work::{Start, Work};
use crate::values::{Subtree, TreePath};

/// How often a commit is tried while staging changes.
const TRIES: usize = 3;

/// What staging held at one instant.
#[derive(Debug)]
pub(super) struct Found {
    /// The root of the commit.
    pub(super) root: Subtree,
    /// Whether staging was looked at as a whole and holds nothing.
    pub(super) staging_is_empty: bool,
}

/// Tries until staging stands still for as long as it takes to read it. A root for which `is_known` holds makes no commit, so it does not
/// matter whether all of it stood there at one instant. What a try learnt helps the next.
pub(super) fn find(work: &Work<'_>, scope: &Scope, is_known: &dyn Fn(&Subtree) -> bool) -> Result<Found, IngestError> {
    let mut changing = Vec::new();
    for _ in 0..TRIES {
        let tried = match scope {
            Scope::Whole => whole(work, is_known),
            Scope::Environments(environments) => some(work, environments, is_known),
        };
        match tried {
            Ok(found) => return Ok(found),
            Err(Trouble::Failed(error)) => return Err(error),
            Err(Trouble::Changed(paths)) => changing = paths,
        }
        work.sink.write_all()?;
    }
    Err(IngestError::Changing { paths: changing })
}

fn whole(work: &Work<'_>, is_known: &dyn Fn(&Subtree) -> bool) -> Result<Found, Trouble> {
    let start = Start { path: TreePath::root(), only: None };
    let scan = scan(work, &start)?;
    let Outcome::Tree(root) = scan.outcome else { unreachable!("a walk of everything gives its tree") };
    if !is_known(&root) {
        verify(work, &start, &scan)?;
    }
    Ok(Found { root, staging_is_empty: scan.root.is_empty() })
}

fn some(work: &Work<'_>, environments: &Environments, is_known: &dyn Fn(&Subtree) -> bool) -> Result<Found, Trouble> {
    let presence = environments.look(work)?;
    let start = environments.start(&presence);
    // Where all that was asked for is gone, the directory itself may be gone too.
    let scan = if presence.present.is_empty() { None } else { Some(scan(work, &start)?) };
    let found = match &scan {
        Some(Scan { outcome: Outcome::Part(found), .. }) => found.as_slice(),
        _ => &[],
    };
    let root = environments.graft(work, &presence, found)?;
    if !is_known(&root) {
        if let Some(scan) = &scan {
            verify(work, &start, scan)?;
        }
        if environments.look(work)? != presence {
            return Err(Trouble::changed(&start.path));
        }
    }
    Ok(Found { root, staging_is_empty: false })
}

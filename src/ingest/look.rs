//! A look at one directory of staging: its entries, one `lstat` each, without those that are left out. No link is followed.

use std::collections::BTreeSet;

use super::trouble::Trouble;
use super::work::Work;
use super::{IngestError, leave_out::LeaveOut};
use crate::disk::{Dir, Kind, Listed, Stat};
use crate::values::{Name, Target, TreePath};

/// What an entry turned out to be.
#[derive(Debug)]
pub(super) enum Seen {
    File(Stat),
    Link(Stat, Target),
    /// Looked at when it is opened.
    Dir,
}

/// The names in a directory that are not left out, ascending.
pub(super) fn names(leave_out: &LeaveOut, dir: &mut Dir, path: &TreePath) -> Result<Vec<Listed>, Trouble> {
    let mut listed = dir.list_here().map_err(|error| Trouble::at(path, error))?;
    for entry in &mut listed {
        if entry.kind.is_none() {
            let stat = dir.stat(&entry.name).map_err(|error| Trouble::at(&path.join(&entry.name), error))?;
            entry.kind = Some(stat.kind);
        }
    }
    listed.retain(|entry| !leave_out.leaves_out(path, &entry.name, entry.kind == Some(Kind::Dir)));
    listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}

/// The entries of a directory, ascending by name; only those in `only`, where it is given.
pub(super) fn look(
    work: &Work<'_>,
    dir: &mut Dir,
    path: &TreePath,
    only: Option<&BTreeSet<Name>>,
) -> Result<Vec<(Name, Seen)>, Trouble> {
    let mut entries = Vec::new();
    for Listed { name, kind } in names(&work.leave_out, dir, path)? {
        if only.is_some_and(|only| !only.contains(&name)) {
            continue;
        }
        let seen = if kind == Some(Kind::Dir) { Some(Seen::Dir) } else { look_at(work, dir, path, &name)? };
        entries.extend(seen.map(|seen| (name, seen)));
    }
    Ok(entries)
}

/// What an entry is that the listing does not call a directory; `None` where it is passed over.
fn look_at(work: &Work<'_>, dir: &Dir, path: &TreePath, name: &Name) -> Result<Option<Seen>, Trouble> {
    let refused = |error| Trouble::at(&path.join(name), error);
    let stat = work.clock.seen(dir.stat(name).map_err(refused)?);
    Ok(match stat.kind {
        Kind::File => Some(Seen::File(stat)),
        Kind::Dir => Some(Seen::Dir),
        Kind::Special if work.repo.skip_special => None,
        Kind::Special => return Err(IngestError::Special { path: path.join(name) }.into()),
        Kind::Symlink => Some(Seen::Link(stat, target(dir, path, name)?)),
    })
}

/// Where the link `name` points.
pub(super) fn target(dir: &Dir, path: &TreePath, name: &Name) -> Result<Target, Trouble> {
    let bytes = dir.read_link(name).map_err(|error| Trouble::at(&path.join(name), error))?;
    let target = Target::new(&bytes).map_err(|source| IngestError::LinkTarget { path: path.join(name), source });
    Ok(target?)
}

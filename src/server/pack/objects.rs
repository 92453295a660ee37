//! Single objects, each only where it stands at the path that is asked: what resumes and repairs need.

use std::collections::HashSet;
use std::io::Write;
use std::rc::Rc;

use super::{PackError, Sent, send_blob};
use crate::store::{ReadStore, Snapshot};
use crate::values::{Commit, Entry, Name, Tree, TreeId, TreePath};
use crate::wire::api::ObjectId;
use crate::wire::{Frame, StreamWriter};

/// Which of the objects do not stand at their path in this commit, by position.
pub(in crate::server) fn misplaced(
    source: &Snapshot<'_>,
    commit: &Commit,
    objects: &[(TreePath, ObjectId)],
) -> Result<Vec<usize>, PackError> {
    let mut walk = Walk { source, root: commit.root.id, open: Vec::new(), root_tree: None };
    let mut wrong = Vec::new();
    for (at, (path, id)) in objects.iter().enumerate() {
        let found = walk.find(path)?;
        if found != Some(*id) {
            wrong.push(at);
        }
    }
    Ok(wrong)
}

/// Sends the objects in the order given, one that is asked twice once. Trees are sent whole and without what is below them, large
/// blobs with all their pieces. Does not end the stream.
pub(in crate::server) fn send_objects<W: Write>(
    source: &Snapshot<'_>,
    objects: &[(TreePath, ObjectId)],
    stream: &mut StreamWriter<W>,
) -> Result<Sent, PackError> {
    let mut sent = Sent::default();
    let mut done = HashSet::new();
    for (_, object) in objects {
        if !done.insert(*object) {
            continue;
        }
        match object {
            ObjectId::Blob(id) => {
                send_blob(source, *id, || Ok(Rc::default()), stream)?;
                sent.blobs += 1;
            }
            ObjectId::Tree(id) => {
                let tree = source.tree(id)?.ok_or(PackError::NoTree(*id))?;
                stream.write(&Frame::Tree(tree))?;
                sent.trees += 1;
            }
        }
    }
    Ok(sent)
}

/// Looks up one path after the other. Requests come mostly in order, so the directories of the last path stay open.
struct Walk<'s> {
    source: &'s Snapshot<'s>,
    root: TreeId,
    root_tree: Option<Tree>,
    open: Vec<(Name, Tree)>,
}

impl Walk<'_> {
    fn find(&mut self, path: &TreePath) -> Result<Option<ObjectId>, PackError> {
        let names: Vec<Name> = path.names().collect();
        let Some((last, directories)) = names.split_last() else {
            return Ok(Some(ObjectId::Tree(self.root)));
        };
        let shared = self.open.iter().zip(directories).take_while(|((open, _), name)| open == *name).count();
        self.open.truncate(shared);
        for name in &directories[shared..] {
            let Some(Entry::Tree(subtree)) = self.here()?.get(name.as_bytes()) else {
                return Ok(None);
            };
            let id = subtree.id;
            self.open.push((name.clone(), self.read(id)?));
        }
        Ok(match self.here()?.get(last.as_bytes()) {
            Some(Entry::File { id, .. }) => Some(ObjectId::Blob(*id)),
            Some(Entry::Tree(subtree)) => Some(ObjectId::Tree(subtree.id)),
            Some(Entry::Symlink(_)) | None => None,
        })
    }

    fn here(&mut self) -> Result<&Tree, PackError> {
        if self.root_tree.is_none() {
            self.root_tree = Some(self.read(self.root)?);
        }
        let deepest = self.open.last().map(|(_, tree)| tree);
        Ok(deepest.or(self.root_tree.as_ref()).expect("the root was read just now"))
    }

    fn read(&self, id: TreeId) -> Result<Tree, PackError> {
        self.source.tree(&id)?.ok_or(PackError::NoTree(id))
    }
}

//! From a plan to directories of hard links.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rayon::prelude::*;

use super::layout::ENVIRONMENTS_LINK;
use super::{BlobKey, Farm, FarmError, GenerationRecord, Plan, SharedName, SharedTree, blob_mtime, shape::Shape};
use crate::disk::{Dir, DiskError, NewFile};
use crate::progress::{Phase, Progress};
use crate::values::{CommitId, Entry, MAX_DEPTH, Name, RepoName, Tree, TreeId, TreePath};

/// Directories with more files than this below them are built by several threads.
const WORTH_SHARING: u64 = 512;

/// What a build did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Built {
    /// Hard links made.
    pub linked: u64,
    /// Shared trees made.
    pub trees: u64,
}

/// A piece that is being built.
struct Piece<'a> {
    shape: Shape<'a>,
    linked: &'a AtomicU64,
    progress: &'a Progress,
}

/// The directories of a generation that may hold the same links as one that is built.
struct Model {
    root: Dir,
    ids: Dir,
}

/// Makes the symbolic link `name`, which is what `model` has where that leads to the same place: another name for it costs half of a new link,
/// whose target mostly takes a block of its own.
fn symlink_like(dir: &Dir, target: &[u8], name: &Name, model: Option<&Dir>) -> Result<(), DiskError> {
    let model = model.filter(|model| model.read_link(name).is_ok_and(|found| found == target));
    match model.map(|model| model.link(name, dir, name)) {
        Some(Ok(())) => Ok(()),
        // It may have as many names as it can have, or be another user's.
        Some(Err(_)) | None => dir.symlink(target, name),
    }
}

impl Farm {
    /// Builds what `plan` misses, and its generation, durably; `current` is not touched. All blobs must be here.
    pub fn build(&self, plan: &Plan, progress: &Progress) -> Result<Built, FarmError> {
        self.build_all(plan, progress).inspect_err(|_| self.note_litter())
    }

    fn build_all(&self, plan: &Plan, progress: &Progress) -> Result<Built, FarmError> {
        let mut files = 0u64;
        for shared in plan.missing.values() {
            files += self.tree(&shared.tree)?.totals().files;
            // What lies in shared trees of its own is linked there.
            for (_, inner) in &shared.links {
                files = files.saturating_sub(self.tree(&inner.tree())?.totals().files);
            }
        }
        progress.begin(Phase::Building, files, 0);
        let linked = AtomicU64::new(0);
        let model = self.model(plan);
        plan.missing.par_iter().try_for_each(|(name, shared)| {
            let model = model.as_ref().and_then(|model| self.shared_model(&model.root, &shared.at));
            self.build_like(name, shared, model.as_ref(), &linked, progress)
        })?;
        if self.index.generation(&plan.repo, &plan.commit)?.is_none() {
            self.build_generation(plan, &linked, progress)?;
        }
        Ok(Built { linked: linked.into_inner(), trees: plan.missing.len() as u64 })
    }

    /// What is known of a shared tree, durable or not yet.
    pub(super) fn built(&self, name: &SharedName) -> Result<Option<Vec<(TreePath, SharedName)>>, FarmError> {
        let pending = self.pending.lock().expect("no holder of this lock panics").built.get(name).cloned();
        match pending {
            Some(links) => Ok(Some(links)),
            None => self.index.built(name),
        }
    }

    /// Builds one shared tree; where something stands in its place, it is replaced in one step.
    pub(super) fn build_shared(
        &self,
        name: &SharedName,
        shared: &SharedTree,
        linked: &AtomicU64,
        progress: &Progress,
    ) -> Result<(), FarmError> {
        self.build_like(name, shared, None, linked, progress)
    }

    fn build_like(
        &self,
        name: &SharedName,
        shared: &SharedTree,
        model: Option<&Dir>,
        linked: &AtomicU64,
        progress: &Progress,
    ) -> Result<(), FarmError> {
        let piece = Piece { shape: Shape::shared(&shared.links), linked, progress };
        let temporary = self.temporary();
        self.data.tmp.make_dir(temporary.as_str(), 0o755)?;
        let dir = self.data.tmp.open_dir(temporary.as_str())?;
        self.fill(&dir, shared.tree, &TreePath::root(), model, &piece)?;
        self.put_in_place(&temporary, &self.trees, name.as_str())?;
        let mut pending = self.pending.lock().expect("no holder of this lock panics");
        pending.built.insert(name.clone(), shared.links.clone());
        Ok(())
    }

    /// Builds a generation's root, ids and link to its environments, and vouches for it and all that it needs.
    pub(super) fn build_generation(
        &self,
        plan: &Plan,
        linked: &AtomicU64,
        progress: &Progress,
    ) -> Result<(), FarmError> {
        let piece = Piece { shape: Shape::root(plan, &self.data.path), linked, progress };
        let temporary = self.temporary();
        self.data.tmp.make_dir(temporary.as_str(), 0o755)?;
        let dir = self.data.tmp.open_dir(temporary.as_str())?;
        dir.set_own_mode(0o755)?;
        let model = self.model(plan);
        dir.make_dir("root", 0o755)?;
        let root = dir.open_dir("root")?;
        let model_root = model.as_ref().map(|model| &model.root);
        let (filled, told) = rayon::join(
            || self.fill(&root, plan.root, &TreePath::root(), model_root, &piece),
            || self.tell_ids(&dir, plan, model.as_ref().map(|model| &model.ids)),
        );
        filled.and(told)?;
        if let Some(text) = &plan.environments_link {
            dir.symlink(text, ENVIRONMENTS_LINK)?;
        }
        let generations = self.generations_dir(&plan.repo)?;
        self.put_in_place(&temporary, &generations, plan.commit.to_string().as_str())?;
        let record = GenerationRecord {
            built: super::generation::now(),
            deployed: 0,
            shared_dirs: plan.shared_dirs.clone(),
            rules: plan.rules,
            shared: plan.links.clone(),
        };
        self.vouch_for_generation(&plan.repo, plan.commit, &record)
    }

    /// Makes the directory that says which tree each environment has.
    fn tell_ids(&self, dir: &Dir, plan: &Plan, model: Option<&Dir>) -> Result<(), FarmError> {
        let ids = dir.open_or_make_dir("ids", 0o755)?;
        ids.set_own_mode(0o755)?;
        for (environment, tree) in &plan.environments {
            symlink_like(&ids, tree.to_string().as_bytes(), environment, model)?;
        }
        Ok(())
    }

    /// What is live, where there is anything: most of its links are those of the next generation too.
    fn model(&self, plan: &Plan) -> Option<Model> {
        let current = self.current(&plan.repo).ok()??;
        let generation = self.generations_dir(&plan.repo).ok()?.open_dir(current.to_string().as_str()).ok()?;
        Some(Model { root: generation.open_dir("root").ok()?, ids: generation.open_dir("ids").ok()? })
    }

    /// The shared tree that a generation's root links to at `at`.
    fn shared_model(&self, root: &Dir, at: &TreePath) -> Option<Dir> {
        let parent = at.parent()?.names().try_fold(root.duplicate().ok()?, |dir, name| dir.open_dir(&name).ok())?;
        let target = parent.read_link(&at.name()?).ok()?;
        let name = SharedName::parse(target.rsplit(|byte| *byte == b'/').next()?)?;
        self.trees.open_dir(name.as_str()).ok()
    }

    fn vouch_for_generation(
        &self,
        repo: &RepoName,
        commit: CommitId,
        record: &GenerationRecord,
    ) -> Result<(), FarmError> {
        self.settle_with(Some((repo, commit, record)))
    }

    /// Renames a finished directory from `tmp/` to its place. What stands there already, unvouched for or damaged, makes room in one step.
    fn put_in_place(&self, temporary: &str, place: &Dir, name: &str) -> Result<(), FarmError> {
        let tmp = &self.data.tmp;
        if place.stat_if_there(name)?.is_some() {
            // It may be live: what takes its place is durable first, and it is taken apart only when it cannot come back.
            self.data.dir.sync_file_system()?;
            tmp.exchange(temporary, place, name)?;
            place.sync()?;
            tmp.remove_all(temporary)?;
        } else {
            tmp.rename(temporary, place, name)?;
        }
        Ok(())
    }

    /// Makes the entries of the tree `id` in `dir`, which lies at `here` inside the piece. `model` is a directory whose links may be the same.
    fn fill(
        &self,
        dir: &Dir,
        id: TreeId,
        here: &TreePath,
        model: Option<&Dir>,
        piece: &Piece<'_>,
    ) -> Result<(), FarmError> {
        if here.depth() > MAX_DEPTH {
            return Err(FarmError::TooDeep(id));
        }
        if piece.progress.is_cancelled() {
            return Err(FarmError::Cancelled);
        }
        dir.set_own_mode(0o755)?;
        let tree = self.tree(&id)?;
        self.link_files(dir, &tree, piece)?;
        let directories: Vec<(&Name, TreeId)> = tree
            .entries()
            .iter()
            .filter_map(|(name, entry)| match entry {
                Entry::Tree(subtree) => Some((name, subtree.id)),
                _ => None,
            })
            .collect();
        let descend = |(name, subtree): &(&Name, TreeId)| {
            let path = here.join(name);
            if let Some(text) = piece.shape.shared_link(&path) {
                return Ok(symlink_like(dir, &text, name, model)?);
            }
            dir.make_dir(*name, 0o755)?;
            let model = model.and_then(|model| model.open_dir(*name).ok());
            self.fill(&dir.open_dir(*name)?, *subtree, &path, model.as_ref(), piece)
        };
        if tree.totals().files > WORTH_SHARING {
            directories.par_iter().try_for_each(descend)?;
        } else {
            directories.iter().try_for_each(descend)?;
        }
        for (name, entry) in tree.entries() {
            if let Entry::Symlink(target) = entry {
                symlink_like(dir, piece.shape.link_text(here, name, target), name, model)?;
            }
        }
        Ok(())
    }

    fn link_files(&self, dir: &Dir, tree: &Tree, piece: &Piece<'_>) -> Result<(), FarmError> {
        let mut linked = 0;
        for (name, entry) in tree.entries() {
            let Entry::File { id, executable, size } = entry else { continue };
            let key = BlobKey { id: *id, executable: *executable };
            if *size == 0 {
                self.create_empty(dir, name, key)?;
            } else {
                self.link_blob(key, dir, name)?;
                linked += 1;
            }
        }
        piece.linked.fetch_add(linked, Relaxed);
        piece.progress.advance(linked, 0);
        Ok(())
    }

    /// An empty file is never linked: all empty files of an estate would share one inode and soon its limit of links.
    fn create_empty(&self, dir: &Dir, name: &Name, key: BlobKey) -> Result<(), DiskError> {
        let mode = key.mode(self.settings.file_mode);
        let file = NewFile::create(dir, name, mode)?;
        file.set_mode(mode)?;
        file.set_mtime(blob_mtime(&key.id))
    }
}

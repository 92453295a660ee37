//! Shared trees and generations: every entry is what its tree says, and every file a link to its blob file.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::blobs::Present;
use super::{Check, FsckError, file, place, tree};
use crate::disk::{Dir, Kind, Stat};
use crate::farm::{
    BlobKey, Deviation, ENVIRONMENTS_LINK, FarmError, GenerationRecord, Ground, Inode, Inspection, Plan, Shape,
    SharedName,
};
use crate::findings::{ClientFinding, Holder};
use crate::values::{Commit, CommitId, Name, RepoName, TreeId, TreePath};

/// An inode that only trees have.
pub(super) struct Retired {
    /// Every entry that is a link to it.
    pub(super) places: Vec<(Holder, TreePath)>,
    pub(super) key: BlobKey,
    pub(super) stat: Stat,
}

/// What the look at all pieces gave.
pub(super) struct Pieces {
    /// Inodes that are still to be hashed, each once.
    pub(super) retired: Vec<Retired>,
    /// Shared trees that somebody links to.
    pub(super) linked: HashSet<SharedName>,
    /// How many entries were looked at.
    pub(super) entries: u64,
}

/// How a piece differs, entry by entry.
type Deviations = Mutex<Vec<(TreePath, Deviation)>>;

impl Check<'_> {
    pub(super) fn pieces(&self, present: &Present) -> Result<Pieces, FsckError> {
        let linked = self.linked();
        let retired = Mutex::default();
        let trees = self.dir.open_dir("trees")?;
        let built: Vec<_> =
            self.survey.built.iter().filter(|(name, _)| self.part.holds(name.tree().as_bytes())).collect();
        let look = |(name, links): &(&SharedName, &Vec<_>)| self.shared_tree(&trees, name, links, present, &retired);
        let entries: u64 = built.par_iter().map(look).try_reduce(|| 0, |a, b| Ok(a + b))?;
        let look = |(repo, commit, record): &(RepoName, CommitId, GenerationRecord)| {
            self.generation(repo, *commit, record, present, &retired)
        };
        let generations = self.survey.generations.iter().filter(|(_, commit, _)| self.part.holds(commit.as_bytes()));
        let roots: u64 = generations.map(look).sum::<Result<_, _>>()?;
        let retired = retired.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Pieces { retired: retired.into_values().collect(), linked, entries: entries + roots })
    }

    /// The shared trees that generations and other shared trees link to. What is linked to must be vouched for.
    fn linked(&self) -> HashSet<SharedName> {
        let mut linked = HashSet::new();
        let mut note = |holder: &dyn Fn() -> Holder, links: &[(TreePath, SharedName)]| {
            for (_, name) in links {
                let unvouched = linked.insert(name.clone()) && !self.survey.built.contains_key(name);
                if unvouched && !self.survey.is_partial("built") && !self.has_flawed_built_record(name) {
                    self.find(ClientFinding::SharedTreeUnvouched { tree: name.to_string(), holder: holder() });
                }
            }
        };
        for (repo, commit, record) in &self.survey.generations {
            note(&|| Holder::Generation { repo: repo.clone(), commit: *commit }, &record.shared);
        }
        for (name, links) in &self.survey.built {
            note(&|| tree(name), links);
        }
        linked
    }

    fn has_flawed_built_record(&self, name: &SharedName) -> bool {
        let wanted = name.index_key();
        let flaws = self.survey.flaws.iter();
        flaws
            .into_iter()
            .any(|flaw| matches!(flaw, crate::farm::Flaw::Record { family: "built", key } if *key == wanted))
    }

    fn shared_tree(
        &self,
        trees: &Dir,
        name: &SharedName,
        links: &[(TreePath, SharedName)],
        present: &Present,
        retired: &Mutex<HashMap<u64, Retired>>,
    ) -> Result<u64, FsckError> {
        self.go_on()?;
        if SharedName::new(&name.tree(), links) != *name {
            self.find(ClientFinding::IndexTreeLinks { tree: name.to_string() });
            return Ok(0);
        }
        if trees.stat_if_there(name.as_str())?.is_none_or(|stat| stat.kind != Kind::Dir) {
            self.find(ClientFinding::SharedTreeMissing { tree: name.to_string() });
            return Ok(0);
        }
        let piece = Piece { place: trees, name: name.as_str(), below: None, tree: name.tree() };
        self.piece(&piece, &Shape::shared(links), &tree(name), present, retired)
    }

    fn generation(
        &self,
        repo: &RepoName,
        id: CommitId,
        record: &GenerationRecord,
        present: &Present,
        retired: &Mutex<HashMap<u64, Retired>>,
    ) -> Result<u64, FsckError> {
        self.go_on()?;
        let gone = || ClientFinding::GenerationMissing { repo: repo.clone(), commit: id };
        let text = id.to_string();
        let generations =
            match self.dir.open_dir("repos")?.open_dir(repo.as_str()).and_then(|dir| dir.open_dir("generations")) {
                Ok(dir) => dir,
                Err(error) if error.is_not_found() => {
                    self.find(gone());
                    return Ok(0);
                }
                Err(error) => return Err(error.into()),
            };
        let Some(stat) = generations.stat_if_there(text.as_str())?.filter(|stat| stat.kind == Kind::Dir) else {
            self.find(gone());
            return Ok(0);
        };
        self.place_mode(stat.mode, 0o755, place(&["repos", repo.as_str(), "generations", &text]));
        let Some(commit) = self.survey.commits.get(&id) else { return Ok(0) };
        let Some(plan) = self.plan(id, commit, record)? else { return Ok(0) };
        if plan.links != record.shared || plan.rules != record.rules {
            self.find(ClientFinding::IndexGenerationLinks { repo: repo.clone(), commit: id });
        }
        let dir = generations.open_dir(text.as_str())?;
        self.ids(&dir, repo, id, &plan)?;
        if dir.read_link(ENVIRONMENTS_LINK).ok() != plan.environments_link {
            self.find(ClientFinding::EnvironmentsLinkWrong { repo: repo.clone(), commit: id });
        }
        if dir.stat_if_there("root")?.is_none_or(|stat| stat.kind != Kind::Dir) {
            self.find(gone());
            return Ok(0);
        }
        let piece = Piece { place: &generations, name: &text, below: Some("root"), tree: plan.root };
        let holder = Holder::Generation { repo: repo.clone(), commit: id };
        self.piece(&piece, &Shape::root(&plan, &self.recorded), &holder, present, retired)
    }

    /// How a generation should be laid out; `None` where its trees are not all known.
    fn plan(&self, id: CommitId, commit: &Commit, record: &GenerationRecord) -> Result<Option<Plan>, FsckError> {
        let read = |id: &TreeId| match self.survey.trees.get(id) {
            Some(tree) => Ok((**tree).clone()),
            None => Err(FarmError::TreeMissing(*id)),
        };
        let ground = Ground { tree: &read, is_built: &|_| Ok(true), path: &self.recorded };
        match Plan::new(&ground, id, commit, &record.shared_dirs, None) {
            Ok(plan) => Ok(Some(plan)),
            Err(FarmError::TreeMissing(_) | FarmError::TooDeep(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether `ids/` names each environment's tree, and nothing else.
    fn ids(&self, generation: &Dir, repo: &RepoName, commit: CommitId, plan: &Plan) -> Result<(), FsckError> {
        let wrong = |name: &Name| {
            let environment = TreePath::root().join(name);
            self.find(ClientFinding::IdsWrong { repo: repo.clone(), commit, environment });
        };
        let dir = match generation.open_dir("ids") {
            Ok(dir) => dir,
            Err(error) if error.is_not_found() => {
                plan.environments.iter().for_each(|(name, _)| wrong(name));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let path = place(&["repos", repo.as_str(), "generations", &commit.to_string(), "ids"]);
        self.place_mode(dir.stat_self()?.mode, 0o755, path);
        for (name, tree) in &plan.environments {
            match dir.read_link(name) {
                Ok(text) if text == tree.to_string().as_bytes() => {}
                _ => wrong(name),
            }
        }
        let known: HashSet<&Name> = plan.environments.iter().map(|(name, _)| name).collect();
        dir.list()?.iter().filter(|listed| !known.contains(&listed.name)).for_each(|listed| wrong(&listed.name));
        Ok(())
    }

    fn piece(
        &self,
        piece: &Piece<'_>,
        shape: &Shape<'_>,
        holder: &Holder,
        present: &Present,
        retired: &Mutex<HashMap<u64, Retired>>,
    ) -> Result<u64, FsckError> {
        let deviations = Deviations::default();
        let inspection = Inspection {
            tree: &|id| self.survey.trees.get(id).cloned(),
            inode: &|key, inode| self.inode(key, inode, present),
            file_mode: self.file_mode(),
            tell: &|path, deviation| {
                deviations.lock().unwrap_or_else(PoisonError::into_inner).push((path, deviation));
            },
            progress: self.progress,
        };
        let before = piece.place.stat(piece.name)?;
        let inspected = piece.open().and_then(|dir| inspection.piece(&dir, piece.tree, shape));
        let mut deviations = deviations.into_inner().unwrap_or_else(PoisonError::into_inner);
        if self.since.is_live() && (inspected.is_err() || !deviations.is_empty()) {
            // A daemon that has built it anew since has swapped another directory in.
            let now = piece.place.stat_if_there(piece.name)?;
            if now.is_none_or(|now| now.inode != before.inode || self.since.explains(&now)) {
                return Ok(0);
            }
        }
        let entries = inspected?;
        self.progress.advance(entries, 0);
        for (path, deviation) in deviations.drain(..) {
            if let Some((holder, path, key, stat)) = self.deviation(holder, path, deviation) {
                let mut retired = retired.lock().unwrap_or_else(PoisonError::into_inner);
                let retired = retired.entry(stat.inode).or_insert_with(|| Retired { places: Vec::new(), key, stat });
                retired.places.push((holder, path));
            }
        }
        Ok(entries)
    }

    fn inode(&self, key: BlobKey, inode: u64, present: &Present) -> Inode {
        let Some(record) = self.survey.blobs.get(&key) else { return Inode::Unknown };
        // Of a file in another part nobody has looked what stands in its place: that is found there.
        let own = match self.part.holds(key.id.as_bytes()) {
            true => present.get(&key).map(|stat| stat.inode),
            false => record.inodes.last().copied(),
        };
        if own == Some(inode) {
            Inode::Own
        } else if record.inodes.contains(&inode) {
            Inode::Retired
        } else {
            Inode::Foreign
        }
    }

    /// Tells of one entry; gives it back where it must be hashed first.
    fn deviation(
        &self,
        holder: &Holder,
        path: TreePath,
        deviation: Deviation,
    ) -> Option<(Holder, TreePath, BlobKey, Stat)> {
        let holder = holder.clone();
        self.find(match deviation {
            Deviation::Missing => ClientFinding::EntryMissing { holder, path },
            Deviation::Foreign => ClientFinding::EntryForeign { holder, path },
            Deviation::Kind => ClientFinding::EntryKind { holder, path },
            Deviation::NotTheBlob(key) => ClientFinding::EntryNotTheBlob { holder, path, file: file(key) },
            Deviation::Retired(key, stat) => return Some((holder, path, key, stat)),
            Deviation::NotEmpty(key) => ClientFinding::EntryDamaged { holder, path, file: file(key) },
            Deviation::Mode { found, wanted } => ClientFinding::EntryMode { holder, path, found, wanted },
            Deviation::Time => ClientFinding::EntryTime { holder, path },
            Deviation::Retargeted { found, wanted } => {
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                ClientFinding::LinkRetargeted { holder, path, found: text(found), wanted: text(wanted) }
            }
        });
        None
    }
}

/// A directory that was built in one piece, and where it stands.
struct Piece<'a> {
    place: &'a Dir,
    name: &'a str,
    /// A directory in it that is the piece.
    below: Option<&'a str>,
    tree: TreeId,
}

impl Piece<'_> {
    fn open(&self) -> Result<Dir, crate::disk::DiskError> {
        let dir = self.place.open_dir(self.name)?;
        self.below.map_or(Ok(dir), |below| self.place.open_dir(self.name)?.open_dir(below))
    }
}

//! What Puppet sees: generations and `current`; the swap, and what is noted around it (`storage-format.md` §8, §9).

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

use super::{Farm, FarmError, GenerationRecord, SharedName};
use crate::disk::{self, Dir, DiskError};
use crate::pause::{Paused, Scope};
use crate::values::{CommitId, RepoName};

const FLUSH_PENDING: &str = "flush-pending";
const CURRENT: &str = "current";

/// The link that is about to become current, or that was current until just now.
const SPARE: &str = ".current.new";

/// One generation of a repo.
#[derive(Debug, Clone)]
pub struct Generation {
    /// Its commit.
    pub commit: CommitId,
    /// When it was built, in milliseconds since 1970.
    pub built: i64,
    /// When it last became current, in milliseconds since 1970; 0 for never.
    pub deployed: i64,
}

/// What a client remembers of a repo, besides its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct RepoState {
    /// The newest head that it has heard of.
    pub head: Option<CommitId>,
    /// The commit that it stays at.
    pub pinned: Option<CommitId>,
    /// The highest sequence of a signed head that was accepted; or that of the commit that it was told to roll back to since.
    pub accepted: Option<u64>,
    /// A flush that failed, and is still owed.
    pub unflushed: bool,
    /// What went wrong last, and has not gone well since.
    pub error: Option<String>,
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A swap of `current` that is ready to be made, in one step, while requests are held.
///
/// The new link is made beforehand, and the old one removed when this value goes: ext4 keeps a target this long in a block of its own, and
/// freeing that inside the window took milliseconds where an exchange takes microseconds (`make bench`, "swap").
#[derive(Debug)]
pub struct Swap {
    dir: Dir,
    before: Option<CommitId>,
    /// Whether nothing at all stands in the place of `current`.
    is_first: bool,
}

impl Swap {
    fn prepare(dir: Dir, before: Option<CommitId>, after: &CommitId) -> Result<Self, FarmError> {
        dir.remove_all(SPARE)?;
        dir.symlink(format!("generations/{after}/root").as_bytes(), SPARE)?;
        let is_first = dir.stat_if_there(CURRENT)?.is_none();
        Ok(Self { dir, before, is_first })
    }

    /// What is current before the swap.
    pub fn before(&self) -> Option<CommitId> {
        self.before
    }

    /// Makes the new generation current. Not durable before [`Farm::confirm`].
    pub fn make(&self, _: &Paused) -> Result<(), FarmError> {
        match self.is_first {
            true => self.dir.rename(SPARE, &self.dir, CURRENT)?,
            false => self.dir.exchange(SPARE, &self.dir, CURRENT)?,
        }
        Ok(())
    }

    /// Takes it back: what was current before is current again, or nothing is. Durable when it returns.
    pub fn take_back(&self, _: &Paused) -> Result<(), FarmError> {
        match self.is_first {
            true => self.dir.rename(CURRENT, &self.dir, SPARE)?,
            false => self.dir.exchange(SPARE, &self.dir, CURRENT)?,
        }
        Ok(self.dir.sync()?)
    }
}

impl Drop for Swap {
    /// What is left is the link that is not current. Should it stay, the next swap removes it.
    fn drop(&mut self) {
        let _ = self.dir.remove_all(SPARE);
    }
}

impl Farm {
    pub(super) fn repo_dir(&self, repo: &RepoName) -> Result<Dir, FarmError> {
        let dir = self.repos.open_or_make_dir(repo.as_str(), 0o755)?;
        Ok(dir)
    }

    pub(super) fn generations_dir(&self, repo: &RepoName) -> Result<Dir, FarmError> {
        let dir = self.repo_dir(repo)?;
        dir.set_own_mode(0o755)?;
        let generations = dir.open_or_make_dir("generations", 0o755)?;
        generations.set_own_mode(0o755)?;
        Ok(generations)
    }

    /// Where the generation of `commit` shows its root.
    pub fn root_path(&self, repo: &RepoName, commit: &CommitId) -> PathBuf {
        super::layout::root_path(&self.data.path, repo, commit)
    }

    /// Where a shared tree lies.
    pub fn shared_path(&self, name: &SharedName) -> PathBuf {
        super::layout::shared_path(&self.data.path, name)
    }

    /// What `current` names; `None` before the first deploy.
    pub fn current(&self, repo: &RepoName) -> Result<Option<CommitId>, FarmError> {
        match self.repo_dir(repo)?.read_link(CURRENT) {
            Ok(target) => Ok(parse_current(&target)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The generations of a repo, the one that was current last first, those never deployed at the end.
    pub fn generations(&self, repo: &RepoName) -> Result<Vec<Generation>, FarmError> {
        let mut mine = self.index.generations_of(repo)?;
        mine.sort_by_key(|generation| std::cmp::Reverse((generation.deployed, generation.built)));
        Ok(mine)
    }

    /// Whether a whole generation of `commit` is here.
    pub fn has_generation(&self, repo: &RepoName, commit: &CommitId) -> Result<bool, FarmError> {
        Ok(self.index.generation(repo, commit)?.is_some())
    }

    /// Gets everything ready to make the generation of `commit` current, so that little is left to do while requests are held.
    pub fn prepare_swap(&self, repo: &RepoName, commit: &CommitId) -> Result<Swap, FarmError> {
        if !self.has_generation(repo, commit)? {
            return Err(FarmError::GenerationMissing(*commit));
        }
        Swap::prepare(self.repo_dir(repo)?, self.current(repo)?, commit)
    }

    /// Makes the swap durable and notes it. Requests may flow already.
    pub fn confirm(&self, repo: &RepoName, commit: CommitId) -> Result<(), FarmError> {
        self.repo_dir(repo)?.sync()?;
        let record = self.index.generation(repo, &commit)?.ok_or(FarmError::GenerationMissing(commit))?;
        // Later than all before, also where the clock was set back: their order says what was live before.
        let newest = self.generations(repo)?.first().map_or(0, |generation| generation.deployed);
        let deployed = now().max(newest.saturating_add(1));
        self.index.put_generation(repo, commit, &GenerationRecord { deployed, ..record })
    }

    /// The environments of a generation and the ids of their trees, from `ids/`. Names that are not UTF-8 are shown with replacements.
    pub fn environment_ids(&self, repo: &RepoName, commit: &CommitId) -> Result<BTreeMap<String, String>, FarmError> {
        let ids = self.generations_dir(repo)?.open_dir(commit.to_string().as_str())?.open_dir("ids")?;
        let mut all = BTreeMap::new();
        for entry in ids.list()? {
            let id = String::from_utf8_lossy(&ids.read_link(&entry.name)?).into_owned();
            all.insert(entry.name.to_string(), id);
        }
        Ok(all)
    }

    // ---- the flush that is owed ----

    /// Notes, durably, that the caches of `scope` must be flushed before new code counts as live. What was owed before stays owed; gives
    /// what is owed now.
    pub fn owe_flush(&self, repo: &RepoName, scope: Scope) -> Result<Scope, FarmError> {
        let scope = match self.owed_flush(repo)? {
            Some(owed) => owed.union(scope),
            None => scope,
        };
        let text = serde_json::to_vec(&scope).expect("plain data is plain JSON");
        disk::replace_file(&self.repo_dir(repo)?, FLUSH_PENDING, &text, 0o644)?;
        Ok(scope)
    }

    /// The scope of a flush that is owed. A note that cannot be read counts as everything.
    pub fn owed_flush(&self, repo: &RepoName) -> Result<Option<Scope>, FarmError> {
        let dir = self.repo_dir(repo)?;
        let mut file = match dir.open_file(FLUSH_PENDING) {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(DiskError::at("read", &dir.path_of(FLUSH_PENDING)))?;
        Ok(Some(serde_json::from_slice(&text).unwrap_or(Scope::Everything)))
    }

    /// Notes that nothing is owed any more.
    pub fn flushed(&self, repo: &RepoName) -> Result<(), FarmError> {
        match self.repo_dir(repo)?.remove_file(FLUSH_PENDING) {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    // ---- what is remembered ----

    /// What is remembered of a repo.
    pub fn state(&self, repo: &RepoName) -> Result<RepoState, FarmError> {
        self.index.state(repo)
    }

    /// Changes what is remembered of a repo. Synced.
    pub fn update_state(&self, repo: &RepoName, change: impl FnOnce(&mut RepoState)) -> Result<RepoState, FarmError> {
        let before = self.state(repo)?;
        let mut state = before.clone();
        change(&mut state);
        if state != before {
            self.index.put_state(repo, &state)?;
        }
        Ok(state)
    }
}

/// The commit that a `current` with this target names.
pub fn parse_current(target: &[u8]) -> Option<CommitId> {
    let text = std::str::from_utf8(target).ok()?;
    text.strip_prefix("generations/")?.strip_suffix("/root")?.parse().ok()
}

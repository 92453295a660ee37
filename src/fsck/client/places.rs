//! What belongs where, with which mode; and what `current` shows.

use std::os::unix::ffi::OsStrExt;

use super::pieces::Pieces;
use super::{Check, FsckError, place};
use crate::disk::{Dir, Kind};
use crate::farm::{IN_REPO, SharedName, parse_current};
use crate::findings::ClientFinding;
use crate::values::{CommitId, Name, RepoName, TreePath};

impl Check<'_> {
    pub(super) fn places(&self, pieces: &Pieces) -> Result<(), FsckError> {
        if self.recorded != *self.path && !self.since.is_live() {
            let before = String::from_utf8_lossy(self.recorded.as_os_str().as_bytes()).into_owned();
            self.find(ClientFinding::DataDirMoved { before });
        }
        self.modes()?;
        self.foreign_trees(pieces)
    }

    fn modes(&self) -> Result<(), FsckError> {
        self.place_mode(self.dir.stat_self()?.mode, 0o750, TreePath::root());
        for (name, mode) in [
            ("trees", 0o750),
            ("repos", 0o750),
            ("index", 0o700),
            ("tmp", 0o700),
            ("control.sock", 0o600),
            ("content.sock", 0o660),
        ] {
            if let Some(stat) = self.dir.stat_if_there(name)? {
                self.place_mode(stat.mode, mode, place(&[name]));
            }
        }
        Ok(())
    }

    /// Looks at every repo's directory. Gives whether one shows a generation that the index does not know.
    pub(super) fn repos(&self) -> Result<bool, FsckError> {
        let repos = self.dir.open_dir("repos")?;
        let mut unknown = false;
        for listed in repos.list()? {
            let path = place(&["repos"]).join(&listed.name);
            let repo = std::str::from_utf8(listed.name.as_bytes()).ok().and_then(|text| text.parse::<RepoName>().ok());
            match repo {
                Some(repo) if repos.stat(&listed.name)?.kind == Kind::Dir => {
                    unknown |= self.repo(&repos.open_dir(&listed.name)?, &repo, &path)?;
                }
                _ => self.foreign(&repos, &listed.name, path)?,
            }
        }
        for (repo, _, record) in &self.survey.generations {
            if record.deployed > 0 && repos.stat_if_there(repo.as_str())?.is_none() {
                self.find(ClientFinding::CurrentMissing { repo: repo.clone() });
            }
        }
        Ok(unknown)
    }

    fn repo(&self, dir: &Dir, repo: &RepoName, path: &TreePath) -> Result<bool, FsckError> {
        self.place_mode(dir.stat_self()?.mode, 0o755, path.clone());
        for listed in dir.list()? {
            if !IN_REPO.contains(&listed.name.as_bytes()) {
                self.foreign(dir, &listed.name, path.join(&listed.name))?;
            }
        }
        let unknown = self.current(dir, repo)?;
        let generations = match dir.open_dir("generations") {
            Ok(generations) => generations,
            Err(error) if error.is_not_found() => return Ok(unknown),
            Err(error) => return Err(error.into()),
        };
        let path = place(&["repos", repo.as_str(), "generations"]);
        self.place_mode(generations.stat_self()?.mode, 0o755, path.clone());
        for listed in generations.list()? {
            if !unknown && !self.is_generation(repo, &listed.name) {
                self.foreign(&generations, &listed.name, path.join(&listed.name))?;
            }
        }
        Ok(unknown)
    }

    fn is_generation(&self, repo: &RepoName, name: &Name) -> bool {
        let commit = std::str::from_utf8(name.as_bytes()).ok().and_then(|text| text.parse::<CommitId>().ok());
        commit.is_some_and(|commit| self.knows(repo, &commit)) || self.survey.is_partial("generations")
    }

    fn knows(&self, repo: &RepoName, commit: &CommitId) -> bool {
        self.survey.generations.iter().any(|(other, known, _)| other == repo && known == commit)
    }

    /// Looks at `current`. Gives whether it shows a generation that the index does not know.
    fn current(&self, dir: &Dir, repo: &RepoName) -> Result<bool, FsckError> {
        let Some(stat) = dir.stat_if_there("current")? else {
            let deployed =
                self.survey.generations.iter().any(|(other, _, record)| other == repo && record.deployed > 0);
            if deployed {
                self.find(ClientFinding::CurrentMissing { repo: repo.clone() });
            }
            return Ok(false);
        };
        let commit = match stat.kind {
            Kind::Symlink => parse_current(&dir.read_link("current")?),
            _ => None,
        };
        match commit {
            None => self.find(ClientFinding::CurrentOdd { repo: repo.clone() }),
            Some(commit) if !self.knows(repo, &commit) && !self.survey.is_partial("generations") => {
                // A daemon that runs may have deployed meanwhile.
                if !self.since.explains(&stat) {
                    self.find(ClientFinding::CurrentUnknown { repo: repo.clone(), commit });
                }
                return Ok(true);
            }
            Some(_) => {}
        }
        Ok(false)
    }

    fn foreign_trees(&self, pieces: &Pieces) -> Result<(), FsckError> {
        let trees = self.dir.open_dir("trees")?;
        for listed in trees.list()? {
            let name = SharedName::parse(listed.name.as_bytes());
            // One that is linked to lacks a record, which is told apart from this.
            let known = name.is_some_and(|name| self.survey.built.contains_key(&name) || pieces.linked.contains(&name));
            if !known && !self.survey.is_partial("built") {
                self.foreign(&trees, &listed.name, place(&["trees"]).join(&listed.name))?;
            }
        }
        Ok(())
    }
}

//! A staging tree as sites have it: environments that hold the same modules, and a primary's store to commit it to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sceneshift::datadir::{DataDir, Kind};
use sceneshift::ingest::{self, Repo};
use sceneshift::progress::Progress;
use sceneshift::store::Store;
use sceneshift::values::{BlobId, CommitId, RepoName, TreePath};
use sceneshift::wire::api::CommitRequest;
use tempfile::TempDir;

const ENVIRONMENTS: usize = 4;
const MODULES: usize = 20;
const FILES: usize = 25;

/// The file that is edited.
const EDITED: &str = "environments/env0/modules/module0/manifests/file0.pp";

/// What is younger is looked at again by a commit (`storage-format.md` §6), which waits for it.
const OLD_ENOUGH: Duration = Duration::from_millis(25);

/// What a manifest looks like: 1,100 bytes, much of them the same in all, some in none.
pub(crate) fn manifest(module: usize, file: usize) -> String {
    let resource = |at| {
        let checksum = BlobId::of(format!("{module}/{file}/{at}").as_bytes());
        let path = format!("/etc/module{module}/{file}-{at}.conf");
        format!(
            "  file {{ '{path}':\n    ensure => file,\n    mode   => '0644',\n    checksum_value => '{checksum}',\n  }}\n"
        )
    };
    format!(
        "# Made for benches.\nclass module{module}::file{file} {{\n{}}}\n",
        (0..7).map(resource).collect::<String>()
    )
}

pub(crate) fn repo_name() -> RepoName {
    "puppet-code".parse().unwrap()
}

/// A staging tree in a folder of its own, with room beside it.
pub(crate) struct Estate {
    folder: TempDir,
    edits: u64,
}

impl Estate {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for environment in 0..ENVIRONMENTS {
            for module in 0..MODULES {
                let path = format!("staging/environments/env{environment}/modules/module{module}/manifests");
                fs::create_dir_all(folder.path().join(&path)).unwrap();
                for file in 0..FILES {
                    let path = folder.path().join(format!("{path}/file{file}.pp"));
                    fs::write(path, manifest(module, file)).unwrap();
                }
            }
        }
        std::thread::sleep(OLD_ENOUGH);
        Self { folder, edits: 0 }
    }

    /// A path beside the staging tree.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.beside("staging")
    }

    /// Changes one file, and lets it grow old enough for a commit to believe its times at once.
    pub(crate) fn edit(&mut self) {
        self.edits += 1;
        fs::write(self.staging().join(EDITED), format!("# edit {}\n{}", self.edits, manifest(0, 0))).unwrap();
        std::thread::sleep(OLD_ENOUGH);
    }
}

/// A primary's store, and the repo that an estate is committed to.
pub(crate) struct Primary {
    pub(crate) store: Store,
    repo: Repo,
    _data: DataDir,
}

impl Primary {
    pub(crate) fn new(estate: &Estate) -> Self {
        Self::at(estate, "primary")
    }

    /// One whose data directory has this name.
    pub(crate) fn at(estate: &Estate, name: &str) -> Self {
        let data = DataDir::open(&estate.beside(name), Kind::Primary).unwrap();
        let repo = Repo {
            name: repo_name(),
            staging_dir: estate.staging(),
            environments_dir: TreePath::new(b"environments").unwrap(),
            ignore: Vec::new(),
            skip_special: false,
        };
        Self { store: Store::open(&data).unwrap(), repo, _data: data }
    }

    /// Commits; panics where that creates a commit and should not, or the other way round.
    pub(crate) fn commit(&self, creates: bool) -> CommitId {
        let answer = ingest::commit(&self.store, &self.repo, &CommitRequest::default(), &Progress::default()).unwrap();
        assert_eq!(answer.created, creates);
        answer.commit
    }
}

/// A primary's settings for this estate.
pub(crate) fn primary_settings(data: &Path, staging: &Path) -> String {
    format!("data-dir = {data:?}\n[repos.puppet-code]\nstaging-dir = {staging:?}\n")
}

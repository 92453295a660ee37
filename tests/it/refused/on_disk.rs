//! Real daemons whose data directories lie on a file system of their own, which can be filled up and broken.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use sceneshift::remote::{HeadAnswer, Remote, RemoteError};
use sceneshift::values::CommitId;
use sceneshift::wire::api::{ClientReport, CommitAnswer, CommitRequest, SyncRequest};
use tokio::runtime::Runtime;

use crate::support::image::Image;
use crate::support::process::{Site, assert_clean};
use crate::support::random::Random;
use crate::support::shows::assert_shows;

/// The client's name.
pub(super) const CLIENT: &str = "c";

/// See the module. Staging, settings and logs lie elsewhere.
pub(super) struct OnDisk {
    // Goes before the disk that it lies on.
    pub(super) site: Site,
    pub(super) disk: Image,
    runtime: Runtime,
}

impl OnDisk {
    /// One of which nothing runs yet.
    pub(super) fn new(disk: Image) -> Self {
        let site = Site::new();
        for (name, data) in [("primary", site.primary_data()), ("client", site.client_data(CLIENT))] {
            fs::create_dir(disk.path().join(name)).unwrap();
            symlink(disk.path().join(name), data).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { site, disk, runtime }
    }

    /// Stages `files` files of `length` bytes, a few in each directory, that no other version has.
    pub(super) fn stage(&self, version: u64, files: u64, length: usize) {
        let modules = self.site.staging().join("environments/production/modules");
        let _ = fs::remove_dir_all(&modules);
        self.site.stage("environments/production/version", version.to_string());
        let mut random = Random::new(version);
        for file in 0..files {
            let path = format!("environments/production/modules/m{}/files/f{file}", file / 8);
            self.site.stage(&path, random.bytes(length));
        }
    }

    pub(super) fn commit(&self) -> Result<CommitAnswer, RemoteError> {
        let repo = "puppet-code".parse().unwrap();
        self.runtime.block_on(self.site.remote().commit(&repo, &CommitRequest::default()))
    }

    pub(super) fn head(&self) -> Result<Option<CommitId>, RemoteError> {
        let (repo, none) = ("puppet-code".parse().unwrap(), std::time::Duration::ZERO);
        Ok(match self.runtime.block_on(self.site.remote().head(&repo, None, none))? {
            HeadAnswer::Head(info) => Some(info.commit),
            HeadAnswer::NoCommitYet | HeadAnswer::Same => None,
        })
    }

    /// Collects the primary's garbage.
    pub(super) fn collect_garbage(&self) -> Result<(), RemoteError> {
        self.runtime.block_on(self.site.remote().gc(&"puppet-code".parse().unwrap())).map(drop)
    }

    /// The client syncs and deploys now.
    pub(super) fn sync(&self) -> Result<ClientReport, RemoteError> {
        let socket = Remote::unix(&self.site.client_data(CLIENT).join("control.sock"))?;
        self.runtime.block_on(socket.sync(&SyncRequest::default()))
    }

    pub(super) fn current(&self) -> PathBuf {
        self.site.current(CLIENT)
    }

    /// The name that `current` has for what it shows.
    pub(super) fn live(&self) -> PathBuf {
        fs::read_link(self.current()).unwrap()
    }

    #[track_caller]
    pub(super) fn assert_shows_staging(&self) {
        assert_shows(&self.site.staging(), &self.current());
    }

    /// Fails the test unless fsck finds nothing on either side.
    #[track_caller]
    pub(super) fn assert_clean(&self) {
        [self.site.primary_data(), self.site.client_data(CLIENT)].iter().for_each(|data| assert_clean(data));
    }
}

/// An error that tells of a full disk, by its status and its words.
#[track_caller]
pub(super) fn assert_says_full(error: &RemoteError) {
    assert_eq!(error.status(), Some(507), "{error}");
    let text = error.to_string();
    assert!(text.contains("is full") || text.contains("No space left"), "{text}");
}

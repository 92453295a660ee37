//! A primary and a client on this machine, as processes.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::process::{self, Process, sceneshift};
use crate::support::wait::until;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Daemon {
    Primary,
    Client,
}

/// A site with its own ports and directories.
pub(super) struct Site {
    site: process::Site,
    primary: Option<Process>,
    client: Option<Process>,
}

impl Site {
    /// Both daemons run, and a commit is deployed.
    pub(super) fn deployed() -> Self {
        let site = process::Site::new();
        for (path, content) in [
            ("environments/production/manifests/site.pp", &b"node default {}"[..]),
            ("environments/production/modules/a/init.pp", b"class a {}"),
            ("environments/production/modules/a/empty", b""),
            ("large", &noise(3 << 20)),
        ] {
            site.stage(path, content);
        }
        let this = Self { site, primary: None, client: None }.with(Daemon::Primary);
        this.site.commit();
        let this = this.with(Daemon::Client);
        let large = this.current().join("large");
        until("the commit is live", Duration::from_secs(60), || large.exists().then_some(()));
        this
    }

    /// Starts a daemon, and waits until it listens.
    pub(super) fn with(mut self, daemon: Daemon) -> Self {
        match daemon {
            Daemon::Primary => self.primary = Some(self.site.start_primary()),
            Daemon::Client => self.client = Some(self.site.start_client("client")),
        }
        self
    }

    /// Stops a daemon as systemd does.
    pub(super) fn without(mut self, daemon: Daemon) -> Self {
        let running = match daemon {
            Daemon::Primary => self.primary.take(),
            Daemon::Client => self.client.take(),
        };
        assert!(running.unwrap().stop().success());
        self
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.site.staging()
    }

    pub(super) fn client_data(&self) -> PathBuf {
        self.site.client_data("client")
    }

    pub(super) fn current(&self) -> PathBuf {
        self.site.current("client")
    }

    /// The exit status of `fsck`, and its report.
    pub(super) fn fsck(&self, side: &str, args: &[&str]) -> (i32, serde_json::Value) {
        let data = self.site.folder().join(side);
        let output = sceneshift(&["fsck", "--json"]).arg(data).args(args).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout);
        (output.status.code().unwrap(), report.unwrap_or_else(|error| panic!("{error}: {errors}")))
    }

    /// Removes all records of these families of the index. No daemon may run.
    pub(super) fn empty_index_families(&self, families: &[&str]) {
        let database = open(&self.client_data().join("index"));
        for family in families {
            let handle = database.cf_handle(family).unwrap();
            let all = database.iterator_cf(handle, rocksdb::IteratorMode::Start);
            for key in all.map(|item| item.unwrap().0).collect::<Vec<_>>() {
                database.delete_cf(handle, key).unwrap();
            }
        }
    }

    /// Damages a blob of the primary's store and removes a tree. No daemon may run.
    pub(super) fn damage_store(&self) {
        let database = open(&self.site.primary_data().join("store"));
        let blobs = database.cf_handle("blobs").unwrap();
        database.put_cf(blobs, blake3::hash(b"class a {}").as_bytes(), b"\0class A {}").unwrap();
        let trees = database.cf_handle("trees").unwrap();
        let mut all = database.iterator_cf(trees, rocksdb::IteratorMode::Start).map(|item| item.unwrap());
        // The module's own tree: it holds the file's id, and no other tree does.
        let (key, _) = all
            .find(|(_, value)| value.windows(32).any(|part| part == blake3::hash(b"class a {}").as_bytes()))
            .unwrap();
        database.delete_cf(trees, key).unwrap();
    }
}

fn open(path: &std::path::Path) -> rocksdb::DB {
    let options = rocksdb::Options::default();
    rocksdb::DB::open_cf(&options, path, rocksdb::DB::list_cf(&options, path).unwrap()).unwrap()
}

/// Bytes that look like nothing.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

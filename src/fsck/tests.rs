//! One good data directory of each side, damaged in one way at a time: exactly that is found.

mod blob_files;
mod crash;
mod faults;
mod good;
mod index;
mod links;
mod places;
mod primary;
mod repaired;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::farm::BlobKey;
use crate::farm::testing::TestFarm;
use crate::findings::{BlobFile, ClientFinding, Holder};
use crate::values::{BlobId, CommitId, TreePath};

/// A file that several directories hold.
const SHARED: &str = "class apache {}";

/// A closed farm with one deployed generation, in which there is something of every kind.
struct Client {
    farm: TestFarm,
    commit: CommitId,
}

impl Client {
    fn new() -> Self {
        let mut farm = TestFarm::new();
        fill(&farm);
        let commit = farm.deploy();
        farm.close();
        Self { farm, commit }
    }

    fn check(&self) -> Report {
        check(&self.farm.data_dir(), &Access::Locked, &Progress::default()).unwrap()
    }

    fn found(&self) -> Vec<ClientFinding> {
        let findings = self.check().findings;
        assert_eq!(self.scrubbed(), findings, "a scrub finds the same, part by part");
        let findings = findings.into_iter();
        let client = findings.map(|finding| match finding {
            Finding::Client(finding) => finding,
            Finding::Primary(finding) => panic!("{finding:?} on a client"),
        });
        client.collect()
    }

    /// What the parts together give.
    fn scrubbed(&self) -> Vec<Finding> {
        let (found, progress) = (Found::default(), Progress::default());
        let (dir, index) = (self.farm.data_dir(), Index::open_read_only(&self.data("index")).unwrap());
        let (opened, path) = (Dir::open(&dir).unwrap(), dir.canonicalize().unwrap());
        for byte in 0..=u8::MAX {
            client::check(&opened, &path, &index, Part::Byte(byte), Since::Ever, &found, &progress).unwrap();
        }
        found.into_sorted()
    }

    fn data(&self, path: &str) -> PathBuf {
        self.farm.data_dir().join(path)
    }

    /// What Puppet calls this.
    fn shown(&self, path: &str) -> PathBuf {
        self.farm.current().join(path)
    }

    fn blob_path(&self, key: BlobKey) -> PathBuf {
        self.data("blobs").join(key.dir_name()).join(key.file_name())
    }

    /// The name of the shared tree that a directory is.
    fn tree_name(&self, path: &str) -> String {
        let real = fs::canonicalize(self.shown(path)).unwrap();
        assert_eq!(real.parent().unwrap(), fs::canonicalize(self.data("trees")).unwrap(), "{path} is shared");
        real.file_name().unwrap().to_str().unwrap().to_owned()
    }

    fn tree(&self, path: &str) -> Holder {
        Holder::Tree(self.tree_name(path))
    }

    fn root(&self) -> Holder {
        Holder::Generation { repo: TestFarm::repo(), commit: self.commit }
    }

    fn generation(&self) -> PathBuf {
        self.data(&format!("repos/puppet-code/generations/{}", self.commit))
    }
}

fn fill(farm: &TestFarm) {
    for environment in ["production", "dev"] {
        let module = format!("environments/{environment}/modules/apache");
        farm.write(&format!("{module}/manifests/init.pp"), SHARED);
        farm.write(&format!("{module}/files/empty"), "");
        farm.write_executable(&format!("{module}/tasks/run.sh"), "#!/bin/sh");
        farm.symlink(&format!("{module}/files/link"), "empty");
        farm.write(&format!("environments/{environment}/manifests/site.pp"), environment);
    }
    farm.symlink("environments/linked", "production");
    farm.symlink("environments/dev/hiera", "../../hiera.yaml");
    farm.write("hiera.yaml", "---");
    farm.mkdir("empty");
}

fn plain(content: &str) -> BlobKey {
    BlobKey { id: BlobId::of(content.as_bytes()), executable: false }
}

fn file(key: BlobKey) -> BlobFile {
    BlobFile { id: key.id, executable: key.executable }
}

fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn touch(path: &Path) {
    let mode = fs::metadata(path).unwrap().permissions().mode();
    chmod(path, 0o644);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::now()).unwrap();
    chmod(path, mode);
}

/// Writes into a file where it stands, with or without a trace in its times.
fn overwrite(path: &Path, content: &str, time: Time) {
    let before = fs::metadata(path).unwrap();
    chmod(path, 0o644);
    fs::write(path, content).unwrap();
    if time == Time::Kept {
        fs::File::options().write(true).open(path).unwrap().set_modified(before.modified().unwrap()).unwrap();
    }
    fs::set_permissions(path, before.permissions()).unwrap();
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    Kept,
    Changed,
}

/// What fsck finds in a data directory that nobody uses.
fn findings(data: &Path) -> Vec<Finding> {
    check(data, &Access::Locked, &Progress::default()).unwrap().findings
}

/// Whether a sweep tries everything, and not a sample.
fn is_full() -> bool {
    std::env::var_os("SCENESHIFT_SWEEP").is_some_and(|sweep| sweep == "full")
}

//! A primary and a client on this machine, as processes.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Daemon {
    Primary,
    Client,
}

/// A site with its own ports and directories.
pub(super) struct Site {
    folder: tempfile::TempDir,
    server: String,
    primary: Option<Child>,
    client: Option<Child>,
}

impl Site {
    /// Both daemons run, and a commit is deployed.
    pub(super) fn deployed() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path();
        let (listen, client_listen) = (free_address(), free_address());
        for (path, content) in [
            ("environments/production/manifests/site.pp", &b"node default {}"[..]),
            ("environments/production/modules/a/init.pp", b"class a {}"),
            ("environments/production/modules/a/empty", b""),
            ("large", &noise(3 << 20)),
        ] {
            let path = site.join("staging").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let site = site.to_str().unwrap();
        fs::write(
            folder.path().join("primary.toml"),
            format!(
                "data-dir = \"{site}/primary\"\nlisten = \"{listen}\"\n[repos.puppet-code]\nstaging-dir = \"{site}/staging\"\n"
            ),
        )
        .unwrap();
        fs::write(
            folder.path().join("client.toml"),
            format!(
                "data-dir = \"{site}/client\"\nserver = \"http://{listen}\"\nname = \"c1\"\nlisten = \"{client_listen}\"\n[repos.puppet-code]\n"
            ),
        )
        .unwrap();
        let this = Self { folder, server: format!("http://{listen}"), primary: None, client: None };
        let this = this.with(Daemon::Primary);
        let commit = this.run(&["commit", "--server", &this.server]);
        assert!(commit.status.success(), "{}", String::from_utf8_lossy(&commit.stderr));
        let this = this.with(Daemon::Client);
        wait_until("the commit is live", || this.current().join("large").exists());
        this
    }

    /// Starts a daemon, and waits until it answers on its control socket.
    pub(super) fn with(mut self, daemon: Daemon) -> Self {
        let (name, args) = match daemon {
            Daemon::Primary => ("primary", "serve"),
            Daemon::Client => ("client", "client"),
        };
        let config = self.folder.path().join(format!("{name}.toml"));
        let log = fs::File::create(self.folder.path().join(format!("{name}.log"))).unwrap();
        let mut command = sceneshift(&[args, "--config", config.to_str().unwrap()]);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        match daemon {
            Daemon::Primary => self.primary = Some(child),
            Daemon::Client => self.client = Some(child),
        }
        let socket = self.folder.path().join(name).join("control.sock");
        wait_until("the daemon answers", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        self
    }

    /// Stops a daemon as systemd does.
    pub(super) fn without(mut self, daemon: Daemon) -> Self {
        let child = match daemon {
            Daemon::Primary => self.primary.take(),
            Daemon::Client => self.client.take(),
        };
        stop(child.unwrap());
        self
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.folder.path().join("staging")
    }

    pub(super) fn client_data(&self) -> PathBuf {
        self.folder.path().join("client")
    }

    pub(super) fn current(&self) -> PathBuf {
        self.client_data().join("repos/puppet-code/current")
    }

    /// The exit status of `fsck`, and its report.
    pub(super) fn fsck(&self, side: &str, args: &[&str]) -> (i32, serde_json::Value) {
        let data = self.folder.path().join(side);
        let output = self.run(&[&["fsck", data.to_str().unwrap(), "--json"], args].concat());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout);
        (output.status.code().unwrap(), report.unwrap_or_else(|error| panic!("{error}: {errors}")))
    }

    fn run(&self, args: &[&str]) -> Output {
        sceneshift(args).output().unwrap()
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
        let database = open(&self.folder.path().join("primary/store"));
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

impl Drop for Site {
    fn drop(&mut self) {
        for mut child in self.primary.take().into_iter().chain(self.client.take()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn stop(mut child: Child) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
}

fn open(path: &Path) -> rocksdb::DB {
    let options = rocksdb::Options::default();
    rocksdb::DB::open_cf(&options, path, rocksdb::DB::list_cf(&options, path).unwrap()).unwrap()
}

fn sceneshift(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sceneshift"));
    command.args(args).env_remove("SCENESHIFT_SERVER").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Bytes that look like nothing.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

//! The primary, its staging, and commits.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sceneshift::remote::Remote;
use sceneshift::values::{CommitId, RepoName};
use sceneshift::wire::api::CommitRequest;

/// How many files stand in staging.
pub(crate) const FILES: usize = 1000;

/// The size of the large file, in bytes: more than a connection buffers.
const LARGE: usize = 64 << 20;

/// How long a primary may take to start.
const START: Duration = Duration::from_secs(30);

/// A primary that runs, until this goes.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    child: Child,
    pub(crate) address: String,
    version: usize,
}

/// A commit as it was answered.
#[derive(Clone, Copy)]
pub(crate) struct Committed {
    pub(crate) id: CommitId,
    pub(crate) sequence: u64,
    /// When it was asked for.
    pub(crate) asked: Instant,
}

pub(crate) fn repo() -> RepoName {
    "puppet-code".parse().expect("a good name")
}

/// Thousands of connections are thousands of open files.
pub(crate) fn raise_open_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("it may be raised so far");
}

impl Site {
    /// Starts it, with a first commit.
    pub(crate) async fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|error| error.to_string())?;
        let settings = folder.path().join("primary.toml");
        let text = format!(
            "data-dir = {:?}\nlisten = \"127.0.0.1:0\"\n[repos.puppet-code]\nstaging-dir = {:?}\n[repos.large]\nstaging-dir = {:?}\n",
            folder.path().join("data"),
            folder.path().join("staging"),
            folder.path().join("large")
        );
        std::fs::write(&settings, text).expect("a folder of our own");
        let log = folder.path().join("log");
        let errors = std::fs::File::create(&log).expect("a folder of our own");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sceneshift"));
        command.args(["serve", "--config"]).arg(&settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let child = command.spawn().expect("the program can be started");
        let mut site = Self { folder, child, address: String::new(), version: 0 };
        site.address = format!("http://{}", site.listening(&log).await?);
        for at in 0..FILES {
            let text = format!("# {at}\n").repeat(40);
            site.write(&format!("modules/m{}/manifests/c{}.pp", at / 20, at % 20), &text);
        }
        site.commit().await?;
        Ok(site)
    }

    async fn listening(&mut self, log: &std::path::Path) -> Result<String, String> {
        let begun = Instant::now();
        loop {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let said = text.rsplit_once('\n').and_then(|(whole, _)| whole.rsplit_once("listening on "));
            if let Some(address) = said.and_then(|(_, rest)| rest.split_whitespace().next()) {
                return Ok(address.to_owned());
            }
            if begun.elapsed() > START || self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(format!("the primary does not start:\n{text}"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn write(&self, path: &str, text: &str) {
        let path: PathBuf = self.folder.path().join("staging/environments/production").join(path);
        std::fs::create_dir_all(path.parent().expect("it lies in staging")).expect("a folder of our own");
        std::fs::write(path, text).expect("a folder of our own");
    }

    /// Changes one file and commits.
    pub(crate) async fn commit(&mut self) -> Result<Committed, String> {
        self.version += 1;
        self.write("modules/m0/manifests/init.pp", &format!("class m0 {{ notice('{}') }}", self.version));
        let asked = Instant::now();
        let answer = Remote::new(&self.address)
            .map_err(|error| error.to_string())?
            .commit(&repo(), &CommitRequest::default())
            .await
            .map_err(|error| format!("a commit: {error}"))?;
        Ok(Committed { id: answer.commit, sequence: answer.sequence, asked })
    }

    /// Commits one large file that cannot be compressed, to a repo of its own.
    pub(crate) async fn commit_large(&self) -> Result<CommitId, String> {
        let folder = self.folder.path().join("large");
        std::fs::create_dir_all(&folder).expect("a folder of our own");
        let mut state = 1u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let content: Vec<u8> = (0..LARGE / 8).flat_map(|_| next()).collect();
        std::fs::write(folder.join("large"), content).expect("a folder of our own");
        let remote = Remote::new(&self.address).map_err(|error| error.to_string())?;
        let repo = "large".parse().expect("a good name");
        let answer = remote.commit(&repo, &CommitRequest::default()).await;
        answer.map(|answer| answer.commit).map_err(|error| format!("a large commit: {error}"))
    }

    /// Host and port, for who speaks by himself.
    pub(crate) fn host(&self) -> &str {
        self.address.trim_start_matches("http://")
    }

    /// Resident memory, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that it ever was.
    pub(crate) fn most_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the primary runs");
        let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("the kernel says it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Real processes of the program: for signals, memory, and the command line.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sceneshift::remote::Remote;
use sceneshift::wire::api::{ClientReport, Fleet, RepoStatus};

use super::folder;
use super::wait::until;

/// How long a daemon may take to say where it listens, and to stop when told.
const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(40);

/// A process that was started and is killed when this goes; a failing test shows its log.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(name: &str, mut command: Command, log: PathBuf) -> Self {
        let errors = File::options().create(true).append(true).open(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn().unwrap();
        Self { name: name.to_owned(), child, log }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the program itself says what a signal does.
    pub fn catches(&mut self, signal: Signal) {
        until("the program minds the signal", START, || {
            assert!(self.is_running(), "{} has ended already:\n{}", self.name, self.log());
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            let caught = u64::from_str_radix(line.trim(), 16).ok()?;
            (caught >> (signal as u32 - 1) & 1 == 1).then_some(())
        });
    }

    pub fn signal(&mut self, signal: Signal) {
        // The number of one that has ended may be another's by now.
        assert!(self.is_running(), "{} has ended already:\n{}", self.name, self.log());
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same, of one that may have ended by itself.
    pub fn kill_if_running(mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self) -> ExitStatus {
        until("the process ends", STOP, || self.child.try_wait().unwrap())
    }

    /// Tells it to stop, and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The most memory that it ever held, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    /// Where it says that it listens. Its log must be its own.
    pub fn listening(&mut self) -> SocketAddr {
        until("the daemon listens", START, || {
            assert!(self.is_running(), "{} ended at once:\n{}", self.name, self.log());
            let log = self.log();
            let (line, _) = log.rsplit_once('\n')?;
            let (_, rest) = line.rsplit_once("listening on ")?;
            rest.split_whitespace().next()?.parse().ok()
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            // Where a JVM fails, most lines only say where in its code.
            let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with("\tat ")).collect();
            eprintln!(
                "--- the end of the log of {}\n{}",
                self.name,
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
    }
}

/// One primary's and its clients' directories and settings.
pub struct Site {
    folder: PathBuf,
    /// Removes the folder, where it is this site's own.
    _folder: Option<tempfile::TempDir>,
    /// Where the primary listens: a port that the system chose, from its first start on.
    listen: OnceLock<String>,
    /// More lines for the primary's `[repos.puppet-code]`.
    pub primary_settings: String,
    /// More lines for each client's `[repos.puppet-code]`.
    pub client_settings: String,
}

impl Site {
    pub fn new() -> Self {
        Self::in_folder(folder::fast())
    }

    pub fn in_folder(folder: tempfile::TempDir) -> Self {
        let site = Self::at(folder.path());
        Self { _folder: Some(folder), ..site }
    }

    /// One in a folder that stays when this goes, with whatever an earlier one left there. Nothing of it may run.
    pub fn at(folder: &Path) -> Self {
        std::fs::create_dir_all(folder.join("staging-area")).unwrap();
        let (primary_settings, client_settings) = (String::new(), String::new());
        Self { folder: folder.to_owned(), _folder: None, listen: OnceLock::new(), primary_settings, client_settings }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn staging(&self) -> PathBuf {
        self.folder().join("staging-area")
    }

    /// Writes a file into staging.
    pub fn stage(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.staging().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn primary_data(&self) -> PathBuf {
        self.folder().join("primary")
    }

    pub fn client_data(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub fn current(&self, name: &str) -> PathBuf {
        self.client_data(name).join("repos/puppet-code/current")
    }

    /// The primary's address. It must have been started once.
    pub fn address(&self) -> String {
        format!("http://{}", self.listen())
    }

    /// Where the primary listens.
    pub fn listen(&self) -> &str {
        self.listen.get().expect("the primary was started once")
    }

    pub fn primary_settings_file(&self) -> PathBuf {
        let listen = self.listen.get().map_or("127.0.0.1:0", String::as_str);
        let mut text = format!("data-dir = {:?}\nlisten = {listen:?}\n", self.primary_data());
        writeln!(text, "[repos.puppet-code]\nstaging-dir = {:?}\n{}", self.staging(), self.primary_settings).unwrap();
        self.write("primary.toml", &text)
    }

    pub fn client_settings_file(&self, name: &str, server: &str) -> PathBuf {
        let mut text = format!("data-dir = {:?}\nserver = {server:?}\nname = {name:?}\n", self.client_data(name));
        writeln!(text, "listen = \"127.0.0.1:0\"\n[repos.puppet-code]\n{}", self.client_settings).unwrap();
        self.write(&format!("{name}.toml"), &text)
    }

    /// Starts the primary, after the first time at the same port, and waits until it listens.
    pub fn start_primary(&self) -> Process {
        self.start_primary_by(|command| command)
    }

    /// The same, by a command that is made of the usual one.
    pub fn start_primary_by(&self, by: impl FnOnce(Command) -> Command) -> Process {
        let config = self.primary_settings_file();
        let mut command = sceneshift(&["serve", "--config"]);
        command.arg(config);
        let log = self.folder().join("primary.log");
        let _ = std::fs::remove_file(&log);
        let mut process = Process::start("the primary", by(command), log);
        let listening = process.listening().to_string();
        assert_eq!(self.listen.get_or_init(|| listening.clone()), &listening);
        process
    }

    /// Starts a client of the primary and waits until it listens.
    pub fn start_client(&self, name: &str) -> Process {
        self.start_client_of(name, &self.address())
    }

    /// The same, with another address of the primary.
    pub fn start_client_of(&self, name: &str, server: &str) -> Process {
        self.start_client_by(name, server, |command| command)
    }

    /// The same, by a command that is made of the usual one.
    pub fn start_client_by(&self, name: &str, server: &str, by: impl FnOnce(Command) -> Command) -> Process {
        let mut command = sceneshift(&["client", "--config"]);
        command.arg(self.client_settings_file(name, server));
        let log = self.folder().join(format!("{name}.log"));
        let _ = std::fs::remove_file(&log);
        let mut process = Process::start(name, by(command), log);
        process.listening();
        process
    }

    /// Calls the command line, which asks this primary.
    pub fn run(&self, args: &[&str]) -> Output {
        let mut command = sceneshift(args);
        command.env("SCENESHIFT_SERVER", self.address()).output().unwrap()
    }

    /// Commits by the command line.
    #[track_caller]
    pub fn commit(&self) -> sceneshift::wire::api::CommitAnswer {
        let output = self.run(&["commit", "--json", "-r", "puppet-code"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The fleet, by the command line.
    pub fn fleet(&self) -> Fleet {
        serde_json::from_slice(&self.run(&["clients", "--json"]).stdout).unwrap()
    }

    /// What the primary tells Prometheus.
    pub fn metrics(&self) -> String {
        get(self.listen(), "/metrics")
    }

    pub fn remote(&self) -> Remote {
        Remote::new(&self.address()).unwrap()
    }

    /// How a client does, by its socket; `None` while it does not answer.
    pub fn status(&self, name: &str) -> Option<RepoStatus> {
        let data = self.client_data(name);
        let output = sceneshift(&["status", "--json", "--data-dir"]).arg(data).output().unwrap();
        let report: ClientReport = output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())?;
        report.repos.into_values().next()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// What a daemon answers over plain HTTP, head and all.
pub fn get(address: impl std::net::ToSocketAddrs, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Fails the test unless fsck finds nothing in a data directory.
#[track_caller]
pub fn assert_clean(data: &Path) {
    let output = sceneshift(&["fsck", "--json"]).arg(data).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {said} {errors}", data.display());
}

/// The program, untouched by the settings of whoever runs the tests.
pub fn sceneshift(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sceneshift"));
    command.args(args).env_remove("SCENESHIFT_SERVER").env_remove("SCENESHIFT_AUTHOR").env_remove("RUST_LOG");
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

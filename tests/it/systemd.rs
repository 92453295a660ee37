//! As a service of systemd: what the manager is told, and the units in the examples.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::folder;
use crate::support::process::{Process, Site, sceneshift};
use crate::support::rig::http_client;

const SOON: Duration = Duration::from_secs(30);

/// The manager's end of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(folder: &Path) -> Self {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self { socket, path }
    }

    /// Starts a daemon as systemd does, with a watchdog of so many milliseconds.
    fn start(&self, name: &str, mut command: Command, log: PathBuf, watchdog: u32) -> Process {
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", (watchdog * 1000).to_string());
        Process::start(name, command, log)
    }

    /// The lines of the next message; `None` where none comes for a moment.
    fn heard(&self) -> Option<Vec<String>> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned).collect())
    }

    /// Listens until this is said; gives all that was said before it.
    #[track_caller]
    fn wait(&self, line: &str) -> Vec<String> {
        let begun = Instant::now();
        let mut before = Vec::new();
        loop {
            match self.heard() {
                Some(lines) if lines.iter().any(|heard| heard == line) => return before,
                lines => before.extend(lines.into_iter().flatten()),
            }
            assert!(begun.elapsed() < SOON, "waited in vain for {line}; heard {before:?}");
        }
    }
}

fn status(url: &str) -> Option<u16> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Some(http_client().get(url).send().await.ok()?.status().as_u16()) })
}

#[test]
fn a_primary_is_ready_when_it_answers_says_that_it_lives_and_that_it_stops() {
    let site = Site::new();
    let manager = Manager::new(site.folder());
    let mut command = sceneshift(&["serve", "--config"]);
    command.arg(site.primary_settings_file());
    let mut primary = manager.start("the primary", command, site.folder().join("primary.log"), 200);
    let before = manager.wait("READY=1");
    assert!(before.is_empty(), "it says nothing before: {before:?}");
    let address = primary.listening();
    assert_eq!(status(&format!("http://{address}/readyz")), Some(200), "who was told that it is ready finds it so");
    for _ in 0..3 {
        manager.wait("WATCHDOG=1");
    }
    primary.signal(nix::sys::signal::Signal::SIGTERM);
    manager.wait("STOPPING=1");
    assert!(primary.ended().success());
}

#[test]
fn a_client_is_ready_when_what_was_left_behind_is_put_right() {
    let mut site = Site::new();
    site.stage("environments/production/site.pp", "one");
    let primary = site.start_primary();
    site.commit();
    // Nobody listens there: a flush is owed from the first start on.
    site.client_settings = "[puppetserver]\nflush-url = \"http://127.0.0.1:1\"\nflush-timeout = \"1s\"".to_owned();
    let first = site.start_client("client");
    crate::support::wait::until("it is deployed", SOON, || site.status("client")?.deployed);
    first.kill();

    let manager = Manager::new(site.folder());
    let mut command = sceneshift(&["client", "--config"]);
    command.arg(site.client_settings_file("client", &site.address()));
    let log = site.folder().join("second.log");
    let mut client = manager.start("the client", command, log, 200);
    let before = manager.wait("READY=1");
    assert!(before.is_empty(), "it says nothing before: {before:?}");
    assert!(client.log().contains("a flush is owed and could not be made"), "it tried before: {}", client.log());
    assert!(site.status("client").is_some(), "and it answers");
    for _ in 0..3 {
        manager.wait("WATCHDOG=1");
    }
    client.signal(nix::sys::signal::Signal::SIGTERM);
    manager.wait("STOPPING=1");
    assert!(client.ended().success());
    assert!(primary.stop().success());
}

/// The units, as they would be installed, but for where the program is. `None`, with the reason printed, without systemd's own checker.
fn installed_units(folder: &Path) -> Option<Vec<PathBuf>> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("skipped: there is no systemd-analyze");
        return None;
    }
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd");
    let names = ["sceneshift-primary.service", "sceneshift-client.service", "sceneshift-client.socket"];
    let copied = names.map(|name| {
        let text = std::fs::read_to_string(units.join(name)).unwrap();
        let text = text.replace("/usr/bin/sceneshift", env!("CARGO_BIN_EXE_sceneshift"));
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    });
    Some(copied.to_vec())
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let folder = folder::fast();
    let Some(units) = installed_units(folder.path()) else { return };
    let output =
        Command::new("systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no"]).args(&units).output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.is_empty(), "{text}");
}

#[test]
fn the_units_leave_a_service_little_to_do_harm_with() {
    let folder = folder::fast();
    let Some(units) = installed_units(folder.path()) else { return };
    for unit in units.iter().filter(|unit| unit.extension().is_some_and(|end| end == "service")) {
        // In tenths: 30 is 3.0, of 10 for a service without any of it.
        let mut analyze = Command::new("systemd-analyze");
        let output =
            analyze.args(["security", "--offline=yes", "--threshold=20", "--no-pager"]).arg(unit).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}\n{text}{}", unit.display(), String::from_utf8_lossy(&output.stderr));
        println!("{}", text.lines().last().unwrap_or_default());
    }
}

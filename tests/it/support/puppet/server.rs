//! A running Puppet Server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::runtime::Runtime;

use super::ca::{Ca, SERVER};
use super::connection::{Target, get_once};
use super::free_port;
use super::settings::{Listener, Settings};
use crate::support::process::Process;
use crate::support::wait::until;

/// What Debian's package installs.
const JAR: &str = "/usr/share/puppetserver/puppetserver.jar";

/// How long it may take until a server answers: 20 to 40 s are usual, and a busy machine takes its time.
const START: Duration = Duration::from_secs(300);

/// One server, with a folder and a port of its own. Ends when this goes.
pub struct PuppetServer {
    folder: PathBuf,
    ca: Ca,
    port: u16,
    settings: Settings,
    process: Option<Process>,
    runtime: Runtime,
}

impl PuppetServer {
    /// One that does not run yet. The folder must not lie below `/dev`, memory's place too: Puppet takes what does for devices, and does
    /// not start.
    pub fn new(folder: &Path, ca: &Ca, settings: Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { folder: folder.join("server"), ca: ca.clone(), port: free_port(), settings, process: None, runtime }
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The way to it as this caller, straight, without a gate.
    pub fn target(&self, certname: &str) -> Target {
        let identity = self.ca.identity(certname);
        match self.settings.listener {
            Listener::Plain => Target::plain(self.address(), &identity),
            Listener::Tls => Target::tls(self.address(), &self.ca, Some(&identity)),
        }
    }

    /// Starts it and waits until it answers; says how long that took.
    pub fn start(&mut self) -> Duration {
        assert!(self.process.is_none(), "it runs already");
        self.settings.write(&self.folder, &self.ca, self.port);
        let begun = Instant::now();
        let log = self.folder.join("log/server.log");
        self.process = Some(Process::start("Puppet Server", self.command(), log));
        let target = self.target(SERVER);
        until("Puppet Server answers", START, || {
            assert!(self.process.as_mut().is_some_and(Process::is_running), "Puppet Server ended at once");
            std::thread::sleep(Duration::from_millis(200));
            let asked = get_once(&target, "/status/v1/simple");
            let asked = self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), asked).await });
            matches!(asked, Ok(Ok(answer)) if answer.body == "running").then_some(())
        });
        begun.elapsed()
    }

    /// Tells it to stop, and waits until it has.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal(Signal::SIGTERM);
        process.ended();
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Stops it, and starts it at the same port with other settings.
    pub fn restart_with(&mut self, change: impl FnOnce(&mut Settings)) -> Duration {
        if self.process.is_some() {
            self.stop();
        }
        change(&mut self.settings);
        self.start()
    }

    /// The files that it has open now.
    pub fn open_files(&self) -> Vec<PathBuf> {
        let process = self.process.as_ref().expect("it runs");
        let open = std::fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap();
        open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).collect()
    }

    /// The JVM, with everything that it writes kept to the folder. It dies with this process, however that ends: a JVM of one GiB
    /// must not outlive a run of the tests that was killed.
    fn command(&self) -> Command {
        let place = |name: &str| self.folder.join(name).display().to_string();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "java", "-Xms1g", "-Xmx1g", "-XX:-UsePerfData"]);
        command.arg("-Djruby.logger.class=com.puppetlabs.jruby_utils.jruby.Slf4jLogger");
        command.arg("-Djruby.lib=/usr/share/jruby/lib");
        command.arg(format!("-Djava.io.tmpdir={}", place("tmp")));
        command.arg(format!("-Djava.util.prefs.userRoot={}", place("tmp")));
        command.arg(format!("-XX:ErrorFile={}", place("log/crash-%p.log")));
        command.args(["-jar", JAR, "--config", &place("conf.d"), "--bootstrap-config", &place("services.d")]);
        command.args(["--restart-file", &place("run/restart")]);
        command.current_dir(&self.folder).env("HOME", place("var"));
        command.envs(self.settings.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

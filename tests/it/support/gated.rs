//! A primary and a client with a gate in front of a scripted Puppet Server, within this process.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use sceneshift::config::{ClientConfig, read_client};
use sceneshift::gate::Served;
use sceneshift::remote::RemoteError;
use sceneshift::values::CommitId;
use sceneshift::wire::api::{ClientReport, RepoStatus, SyncRequest};

use super::agent::{Agent, Answer, FORM};
use super::ca::{Ca, Certificate, HOST};
use super::rig::{Rig, Running};
use super::upstream::Upstream;
use super::wait::until;

/// How long anything may take.
pub const SOON: Duration = Duration::from_secs(30);

/// See the module.
pub struct Gated {
    client: Option<Running>,
    pub upstream: Upstream,
    pub ca: Ca,
    pub rig: Rig,
    pub ports: Ports,
    /// More lines for `[gate]`.
    pub gate_settings: String,
    /// More lines for `[repos.puppet-code]`, and sections after it.
    pub repo_settings: String,
    /// Whose headers are believed on the plain port.
    pub trusted: String,
    /// Where requests are logged.
    pub log: PathBuf,
    certificate: Certificate,
}

/// Where a client with a gate answers.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub tls: SocketAddr,
    pub plain: SocketAddr,
    pub metrics: SocketAddr,
}

impl Ports {
    /// Three that are free now. Below those that the system gives to connections: one of these could take them before the client does.
    pub fn choose() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let first = std::process::id().wrapping_mul(101);
        let free = || {
            let port = 10_000 + (first.wrapping_add(NEXT.fetch_add(1, SeqCst))) % 20_000;
            let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
            TcpListener::bind(address).is_ok().then_some(address)
        };
        let [tls, plain, metrics] = [(); 3].map(|()| until("a port is free", SOON, free));
        Self { tls, plain, metrics }
    }
}

/// The settings of a client with a gate, but for its first lines.
pub fn settings(
    ports: &Ports,
    ca: &Ca,
    upstream: &str,
    log: &std::path::Path,
    trusted: &str,
    gate: &str,
    repo: &str,
) -> String {
    let Ports { tls, plain, metrics } = ports;
    format!(
        "listen = \"{metrics}\"\n[puppet]\nssl-dir = {:?}\ncertname = {HOST:?}\n[gate]\nlisten = \"{tls}\"\nplain-listen = \"{plain}\"\n\
         trust-proxies = [{trusted:?}]\nupstream = {upstream:?}\naccess-log = {log:?}\n{gate}\n[repos.puppet-code]\n{repo}\n",
        ca.dir()
    )
}

impl Gated {
    /// One whose client does not run yet. Times are short, but long enough for a slow machine.
    pub fn new(gate_settings: &str, repo_settings: &str) -> Self {
        let rig = Rig::new();
        let ca = Ca::new(&rig.folder().join("ssl"));
        let (upstream, certificate) = (Upstream::start(&rig.current()), ca.agent("agent.example"));
        let log = rig.folder().join("access.log");
        Self {
            client: None,
            upstream,
            ca,
            rig,
            ports: Ports::choose(),
            gate_settings: gate_settings.to_owned(),
            repo_settings: repo_settings.to_owned(),
            trusted: "127.0.0.1/32".to_owned(),
            log,
            certificate,
        }
    }

    /// One that has deployed version 1 of the environments `production` and `development`.
    pub fn deployed(gate_settings: &str, repo_settings: &str) -> Self {
        let mut gated = Self::new(gate_settings, repo_settings);
        gated.stage("production", "1");
        gated.stage("development", "1");
        let commit = gated.commit();
        gated.start();
        gated.wait_deployed(commit);
        gated
    }

    pub fn start(&mut self) {
        let config = self.config();
        self.client = Some(self.rig.start_client_with(config));
        until("the client answers", SOON, || self.status());
    }

    fn config(&self) -> ClientConfig {
        let mut text = format!("data-dir = {:?}\nserver = {:?}\n", self.rig.client_data(), self.rig.address());
        let gate = format!("flush-timeout = \"300ms\"\nstop-timeout = \"20s\"\n{}", self.gate_settings);
        let gate = without_doubles(&gate);
        let repo = without_doubles(&format!("drain-timeout = \"20s\"\n{}", self.repo_settings));
        let url = self.upstream.url();
        text.push_str(&settings(&self.ports, &self.ca, &url, &self.log, &self.trusted, &gate, &repo));
        let path = self.rig.folder().join("client.toml");
        std::fs::write(&path, text).unwrap();
        read_client(&path).unwrap()
    }

    /// Writes what catalogs of this environment show.
    pub fn stage(&self, environment: &str, version: &str) {
        let dir = self.rig.staging().join("environments").join(environment);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("version"), version).unwrap();
    }

    /// Commits; the client deploys it by itself.
    pub fn commit(&self) -> CommitId {
        self.rig.commit().commit
    }

    pub fn commit_version(&self, environment: &str, version: &str) -> CommitId {
        self.stage(environment, version);
        self.commit()
    }

    pub fn status(&self) -> Option<RepoStatus> {
        let report: ClientReport = self.rig.block_on(self.rig.socket().status()).ok()?;
        report.repos.into_values().next()
    }

    #[track_caller]
    pub fn wait_deployed(&self, commit: CommitId) {
        until("it is deployed", SOON, || {
            let status = self.status()?;
            (status.deployed == Some(commit) && status.error.is_none() && !status.unflushed).then_some(())
        });
        // The link is renamed; after the deploy that did it there is nothing left to do, and the gate is open.
        self.sync().unwrap();
    }

    /// Syncs now, and says how that went.
    pub fn sync(&self) -> Result<ClientReport, RemoteError> {
        self.rig.block_on(self.rig.socket().sync(&SyncRequest::default()))
    }

    /// Waits until the status shows an error that says this.
    #[track_caller]
    pub fn wait_error(&self, what: &str) -> String {
        until(&format!("the status says {what:?}"), SOON, || self.status()?.error.filter(|error| error.contains(what)))
    }

    /// A connection with a certificate.
    pub fn agent(&self) -> Agent {
        Agent::tls(self.ports.tls, &self.ca, Some(&self.certificate))
    }

    /// Asks for a catalog on a connection of its own, in the background.
    pub fn ask_catalog(&self, name: &str, environment: &str) -> JoinHandle<std::io::Result<Answer>> {
        self.ask(&format!("/puppet/v3/catalog/{name}"), &format!("environment={environment}"))
    }

    /// Posts a form on a connection of its own, in the background.
    pub fn ask(&self, target: &str, form: &str) -> JoinHandle<std::io::Result<Answer>> {
        let (mut agent, target, form) = (self.agent(), target.to_owned(), form.to_owned());
        std::thread::spawn(move || agent.request("POST", &target, &[FORM], form.as_bytes()))
    }

    /// What a catalog of this environment shows now: as it was when it began, when it ended, and in the cache.
    #[track_caller]
    pub fn catalog(&self, environment: &str) -> String {
        let answer = self.ask_catalog("now", environment).join().unwrap().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// Asks for catalogs of this environment until one is held: a deploy has begun. Answers with that one.
    #[track_caller]
    pub fn wait_paused(&self, environment: &str) -> JoinHandle<std::io::Result<Answer>> {
        until(&format!("requests for {environment} are held"), SOON, || {
            let asked = self.ask_catalog("first_held", environment);
            until("it is held or answered", SOON, || {
                let is_held = self.metric("sceneshift_client_gate_held") == 1.0;
                (is_held || asked.is_finished()).then_some(())
            });
            (!asked.is_finished()).then_some(asked)
        })
    }

    /// A value that Prometheus reads.
    pub fn metric(&self, name: &str) -> f64 {
        metric(&self.ports, name)
    }

    #[track_caller]
    pub fn wait_held(&self, count: u32) {
        self.wait_metric("sceneshift_client_gate_held", f64::from(count));
    }

    #[track_caller]
    pub fn wait_metric(&self, name: &str, value: f64) {
        until(&format!("{name} is {value}"), SOON, || (self.metric(name) == value).then_some(()));
    }

    /// Waits until Puppet Server has begun a request whose target holds this.
    #[track_caller]
    pub fn wait_asked(&self, what: &str) {
        until(&format!("Puppet Server is asked for {what}"), SOON, || self.upstream.asked(what).first().map(drop));
    }

    /// The lines of the access log whose path holds this, once there are so many.
    #[track_caller]
    pub fn wait_logged(&self, what: &str, count: usize) -> Vec<Served> {
        until(&format!("{count} lines of the log are about {what}"), SOON, || {
            let lines = logged(&self.log, what);
            (lines.len() >= count).then_some(lines)
        })
    }
}

/// A value that Prometheus reads of a client; 0 where nothing was counted yet.
pub fn metric(ports: &Ports, name: &str) -> f64 {
    let text = Agent::plain(ports.metrics).get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// The lines of a log whose path holds this.
pub fn logged(log: &std::path::Path, what: &str) -> Vec<Served> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<Served>(line).unwrap());
    lines.filter(|served| served.path.contains(what)).collect()
}

/// TOML takes each key once: the last one stays.
fn without_doubles(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let key = |line: &str| line.split('=').next().unwrap().trim().to_owned();
    let mut kept = String::new();
    for (at, line) in lines.iter().enumerate() {
        if !line.contains('=') || !lines[at + 1..].iter().any(|later| key(later) == key(line)) {
            writeln!(kept, "{line}").unwrap();
        }
    }
    kept
}

impl Drop for Gated {
    fn drop(&mut self) {
        // What waits in the gate for Puppet Server must not keep the client from stopping.
        self.upstream.stop();
        if let Some(client) = self.client.take() {
            if std::thread::panicking() {
                client.cancel();
            } else {
                self.rig.stop_client(client);
            }
        }
    }
}

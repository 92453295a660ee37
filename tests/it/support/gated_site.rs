//! Real processes: a primary, a client with a gate, and a scripted Puppet Server in the test's own.

use std::path::PathBuf;
use std::thread::JoinHandle;

use sceneshift::gate::Served;
use sceneshift::values::CommitId;

use super::agent::{Agent, Answer, FORM};
use super::ca::{Ca, Certificate};
use super::gated::{Ports, SOON, logged, metric, settings};
use super::process::{Process, Site, sceneshift};
use super::upstream::Upstream;
use super::wait::until;

/// The client's name.
pub const NAME: &str = "gated";

/// See the module.
pub struct GatedSite {
    pub upstream: Upstream,
    pub ca: Ca,
    pub ports: Ports,
    pub site: Site,
    gate_settings: String,
    repo_settings: String,
    certificate: Certificate,
}

impl GatedSite {
    /// One of which nothing runs yet but Puppet Server. Settings as in [`super::gated::Gated`].
    pub fn new(gate_settings: &str, repo_settings: &str) -> Self {
        let site = Site::new();
        let ca = Ca::new(&site.folder().join("ssl"));
        std::fs::create_dir(site.folder().join("log")).unwrap();
        let (upstream, certificate) = (Upstream::start(&site.current(NAME)), ca.agent("agent.example"));
        let (gate_settings, repo_settings) = (gate_settings.to_owned(), repo_settings.to_owned());
        Self { upstream, ca, ports: Ports::choose(), site, gate_settings, repo_settings, certificate }
    }

    pub fn log_file(&self) -> PathBuf {
        self.site.folder().join("log/access.log")
    }

    pub fn stage(&self, environment: &str, version: &str) {
        self.site.stage(&format!("environments/{environment}/version"), version);
    }

    /// Starts the client. Its log is appended to what earlier ones wrote.
    pub fn start(&self) -> Process {
        let mut command = sceneshift(&["client", "--config"]);
        command.arg(self.write_settings());
        let client = Process::start(NAME, command, self.site.folder().join(format!("{NAME}.log")));
        // Bound from the beginning; who connects earlier is refused.
        until("the gate's port is bound", SOON, || std::net::TcpStream::connect(self.ports.plain).ok());
        client
    }

    /// Writes the client's settings, for whoever starts it himself.
    pub fn write_settings(&self) -> PathBuf {
        let (data, server) = (self.site.client_data(NAME), self.site.address());
        let head = format!("data-dir = {data:?}\nserver = {server:?}\nname = {NAME:?}\n");
        let (url, log) = (self.upstream.url(), self.log_file());
        let (gate, repo) = (&self.gate_settings, &self.repo_settings);
        let rest = settings(&self.ports, &self.ca, &url, &log, "127.0.0.1/32", gate, repo);
        let path = self.site.folder().join(format!("{NAME}.toml"));
        std::fs::write(&path, head + &rest).unwrap();
        path
    }

    pub fn status(&self) -> Option<sceneshift::wire::api::RepoStatus> {
        self.site.status(NAME)
    }

    /// Waits until a commit is deployed, and requests flow.
    #[track_caller]
    pub fn wait_deployed(&self, commit: CommitId) {
        until("it is deployed", SOON, || {
            let status = self.status()?;
            (status.deployed == Some(commit) && status.error.is_none()).then_some(())
        });
        let output = sceneshift(&["sync", "--data-dir"]).arg(self.site.client_data(NAME)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn agent(&self) -> Agent {
        Agent::tls(self.ports.tls, &self.ca, Some(&self.certificate))
    }

    /// Asks for a catalog on a connection of its own, in the background.
    pub fn ask_catalog(&self, name: &str, environment: &str) -> JoinHandle<std::io::Result<Answer>> {
        let (mut agent, target) = (self.agent(), format!("/puppet/v3/catalog/{name}"));
        let form = format!("environment={environment}");
        std::thread::spawn(move || agent.request("POST", &target, &[FORM], form.as_bytes()))
    }

    #[track_caller]
    pub fn catalog(&self, environment: &str) -> String {
        let answer = self.ask_catalog("now", environment).join().unwrap().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// A value that Prometheus reads.
    pub fn metric(&self, name: &str) -> f64 {
        metric(&self.ports, name)
    }

    /// How many requests are held now.
    pub fn held(&self) -> f64 {
        self.metric("sceneshift_client_gate_held")
    }

    #[track_caller]
    pub fn wait_held(&self, count: u32) {
        until(&format!("{count} are held"), SOON, || (self.held() == f64::from(count)).then_some(()));
    }

    #[track_caller]
    pub fn wait_asked(&self, what: &str) {
        until(&format!("Puppet Server is asked for {what}"), SOON, || self.upstream.asked(what).first().map(drop));
    }

    #[track_caller]
    pub fn wait_logged(&self, what: &str, count: usize) -> Vec<Served> {
        until(&format!("{count} lines of the log are about {what}"), SOON, || {
            let lines = logged(&self.log_file(), what);
            (lines.len() >= count).then_some(lines)
        })
    }
}

//! A compile master behind the gate of its own client, set up as `docs/gate.md` tells operators to.
//!
//! ```text
//! versions.rs    versions of an environment, in the order of their deploys, and what a load saw of them
//! load.rs        under load: no torn catalog, no stale one, and nobody held whom a change does not concern
//! faults.rs      flushes that fail, and a gate that is stopped and killed under load
//! agents.rs      real agents: certificates, plugins, files, static files; and who is turned away
//! runs.rs        whole runs: plugins and catalog of one version
//! ```

mod agents;
mod faults;
mod load;
mod runs;
mod versions;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use sceneshift::gate::Served;
use sceneshift::wire::api::RepoStatus;

use super::master::{CLIENT, Master};
use crate::support::puppet::ca::SERVER;
use crate::support::puppet::connection::Target;
use crate::support::puppet::free_port;
use crate::support::puppet::load::{Style, Worker};
use crate::support::wait::until;

const CODE_ID: &str = env!("CARGO_BIN_EXE_sceneshift-code-id");
const CODE_CONTENT: &str = env!("CARGO_BIN_EXE_sceneshift-code-content");

/// What the control has, too: both are compared.
const SLOW: Duration = Duration::from_millis(100);
const STYLES: [Style; 4] = [
    Style::Get,
    Style::Post { check_environment: true },
    Style::Post { check_environment: false },
    Style::Post { check_environment: true },
];

/// A compile master whose client is its gate.
struct Gated {
    master: Master,
    gate: SocketAddr,
}

/// What a client is told beyond what all are.
#[derive(Default)]
struct Told<'a> {
    /// More lines for its repo.
    repo: &'a str,
    /// More lines for its gate.
    gate: &'a str,
    /// Another way to Puppet Server than the straight one.
    upstream: Option<SocketAddr>,
}

impl Gated {
    /// One that runs, with what `stage` wrote deployed.
    fn start(agents: &[String], told: &Told<'_>, stage: impl FnOnce(&Master)) -> Self {
        let master = Master::new(agents, |site, settings| {
            settings.versioned_environment_dirs = true;
            settings.code_commands = Some((CODE_ID.into(), CODE_CONTENT.into()));
            let client = site.folder().join(format!("{CLIENT}.toml")).display().to_string();
            settings.environment = vec![("SCENESHIFT_CLIENT_CONFIG".into(), client)];
        });
        stage(&master);
        let mut gated = Self { master, gate: (Ipv4Addr::LOCALHOST, free_port()).into() };
        gated.start_client(told);
        println!("Puppet Server answers after {:.0?}", gated.master.first_deploy());
        gated
    }

    /// Starts the client, which is the gate; where one runs, that one is stopped first.
    fn start_client(&mut self, told: &Told<'_>) {
        self.stop_client();
        let (ca, straight) = (&self.master.ca, self.master.puppet.address());
        let settings = format!(
            "{}\n[gate]\nlisten = \"{}\"\nupstream = \"http://{}\"\naccess-log = {:?}\n{}\n\
             [puppet]\nssl-dir = {:?}\ncertname = \"{SERVER}\"\ncrl-file = {:?}",
            told.repo,
            self.gate,
            told.upstream.unwrap_or(straight),
            self.access_log(),
            told.gate,
            ca.ssldir(),
            ca.crl(),
        );
        self.master.start_client(&settings);
    }

    /// Starts the client as it was told last.
    fn start_client_again(&mut self) {
        self.master.client = Some(self.master.site.start_client(CLIENT));
    }

    /// Tells the client to stop, as systemd does, and waits until it has.
    fn stop_client(&mut self) {
        if let Some(mut client) = self.master.client.take() {
            client.signal(Signal::SIGTERM);
            assert!(client.ended().success(), "{}", client.log());
        }
    }

    /// Kills the client as `kill -9` does.
    fn kill_client(&mut self) {
        self.master.client.take().expect("it runs").kill();
    }

    /// The gate, as this caller by a certificate.
    fn target(&self, certname: &str) -> Target {
        Target::tls(self.gate, &self.master.ca, Some(&self.master.ca.identity(certname)))
    }

    /// One worker for each agent, at the gate, with the styles in turn.
    fn workers(&self, agents: &[String], environment: &str) -> Vec<Worker> {
        let worker = |(agent, style): (&String, &Style)| Worker {
            target: self.target(agent),
            environment: environment.to_owned(),
            style: *style,
        };
        agents.iter().zip(STYLES.iter().cycle()).map(worker).collect()
    }

    fn status(&self) -> RepoStatus {
        until("the client answers", Duration::from_secs(30), || self.master.site.status(CLIENT))
    }

    /// The id of the environment's tree as it is live, as Puppet Server's command says it.
    fn code_id(&self, environment: &str) -> String {
        let mut command = Command::new(CODE_ID);
        command.arg(environment).env("SCENESHIFT_CLIENT_CONFIG", self.settings());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn settings(&self) -> PathBuf {
        self.master.site.folder().join(format!("{CLIENT}.toml"))
    }

    fn access_log(&self) -> PathBuf {
        self.master.site.folder().join("access.log")
    }

    /// Every request that the gate noted, in the order of their ends.
    fn served(&self) -> Vec<Served> {
        let text = std::fs::read_to_string(self.access_log()).unwrap();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What the gate noted after the first `skip` requests, once it has noted so many catalogs.
    fn catalogs_served(&self, skip: usize, count: usize) -> Vec<Served> {
        until("every catalog is in the access log", Duration::from_secs(10), || {
            let catalogs: Vec<Served> = self.served().into_iter().skip(skip).filter(is_catalog).collect();
            (catalogs.len() >= count).then_some(catalogs)
        })
    }
}

fn is_catalog(served: &Served) -> bool {
    served.path.starts_with("/puppet/v3/catalog/")
}

//! A compile master: a primary, a client and a Puppet Server of what the client deploys, all on loopback.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sceneshift::values::CommitId;

use crate::support::folder;
use crate::support::process::{Process, Site};
use crate::support::puppet::ca::Ca;
use crate::support::puppet::code::Code;
use crate::support::puppet::load::{Load, Report, Style, Worker};
use crate::support::puppet::server::PuppetServer;
use crate::support::puppet::settings::Settings;
use crate::support::wait::until;

/// The name of the client, hence of its folder.
pub const CLIENT: &str = "compile1";

/// How long a commit may take to be live: a drain waits for compiles on a busy machine.
const SOON: Duration = Duration::from_secs(150);

/// The daemons end before their directories go.
pub struct Master {
    pub client: Option<Process>,
    _primary: Process,
    pub puppet: PuppetServer,
    pub ca: Ca,
    pub site: Site,
}

impl Master {
    /// A primary that runs and a Puppet Server that does not yet, with a certificate for each of these agents.
    pub fn new(agents: &[String], settings: impl FnOnce(&Site, &mut Settings)) -> Self {
        let site = Site::in_folder(folder::on_disk());
        let ca = Ca::make(site.folder(), agents);
        let mut told = Settings::new(site.current(CLIENT).join("environments"));
        told.basemodulepath = site.current(CLIENT).join("modules").display().to_string();
        settings(&site, &mut told);
        let puppet = PuppetServer::new(site.folder(), &ca, told);
        let primary = site.start_primary();
        Self { client: None, _primary: primary, puppet, ca, site }
    }

    /// The environment of this name in staging.
    pub fn code(&self, environment: &str, slow: Duration) -> Code {
        Code::new(&self.site.staging().join("environments"), environment, slow)
    }

    /// Starts the client with these settings for its repo, and more sections.
    pub fn start_client(&mut self, settings: &str) {
        self.site.client_settings = settings.to_owned();
        self.client = Some(self.site.start_client(CLIENT));
    }

    /// Commits what stands in staging, and waits until it is live and Puppet Server knows; says how long it took from the commit on.
    pub fn deploy(&self) -> (CommitId, Duration) {
        let commit = self.site.commit().commit;
        let begun = Instant::now();
        self.wait_for(commit);
        (commit, begun.elapsed())
    }

    /// Commits what stands in staging, waits until it is live, and starts Puppet Server, which needs its environments to start; says how
    /// long it took until it answered.
    pub fn first_deploy(&mut self) -> Duration {
        let commit = self.site.commit().commit;
        let current = self.repo().join("current");
        until("the first commit is live", SOON, || std::fs::read_link(&current).ok());
        let started = self.puppet.start();
        self.wait_for(commit);
        started
    }

    /// Waits until this commit is live and no flush is owed.
    pub fn wait_for(&self, commit: CommitId) {
        let (repo, target) = (self.repo(), format!("generations/{commit}/root"));
        until("the commit is live", SOON, || {
            let current = std::fs::read_link(repo.join("current")).ok()?;
            (current.to_str() == Some(&target) && !repo.join("flush-pending").exists()).then_some(())
        });
    }

    /// Where the client keeps what it deploys.
    pub fn repo(&self) -> PathBuf {
        self.site.client_data(CLIENT).join("repos/puppet-code")
    }

    /// One worker for each agent, straight to Puppet Server, with the styles in turn.
    pub fn workers(&self, agents: &[String], environment: &str, styles: &[Style]) -> Vec<Worker> {
        let worker = |(agent, style): (&String, &Style)| Worker {
            target: self.puppet.target(agent),
            environment: environment.to_owned(),
            style: *style,
        };
        agents.iter().zip(styles.iter().cycle()).map(worker).collect()
    }
}

/// Certnames for so many agents.
pub fn agents(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("agent{number}")).collect()
}

/// Asks until the JVM has seen the code often enough not to be at its slowest, and every compiler has the environment.
pub fn warm_up(workers: &[Worker]) {
    let load = Load::start(workers.to_vec());
    until("the server is warm", Duration::from_secs(180), || (load.answered() >= 60).then_some(()));
    let report = load.stop();
    let failed: Vec<_> = report.failed().collect();
    assert!(failed.is_empty() && report.lost.is_empty(), "{failed:?} {:?}", report.lost);
}

/// Keeps the load up while `work` is done, and until something has been answered after it.
pub fn under_load<T>(workers: Vec<Worker>, work: impl FnOnce(&Load) -> T) -> (Report, T) {
    let workers_count = workers.len();
    let load = Load::start(workers);
    until("load has begun", Duration::from_secs(60), || (load.answered() >= workers_count).then_some(()));
    let done = work(&load);
    let before = load.answered();
    until("load goes on", Duration::from_secs(60), || (load.answered() >= before + 2 * workers_count).then_some(()));
    (load.stop(), done)
}

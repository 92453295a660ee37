//! A primary and its clients, as real processes on loopback.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use sceneshift::datadir::CONTROL_SOCKET;
use sceneshift::remote::Remote;
use sceneshift::values::{CommitId, RepoName};
use sceneshift::wire::api::{ClientReport, CommitAnswer, CommitRequest, RepoStatus};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::estate::EDITED;
use crate::process::{self, Daemon, Ran, run};

/// The client that stands for all, where one is enough.
pub(crate) const CLIENT: &str = "compile1";

/// How long a deploy may take.
const DEPLOY: Duration = Duration::from_secs(600);

/// How often the live link is looked at.
const LOOK: Duration = Duration::from_micros(50);

/// How long a daemon's memory must stand still to count, and how long that is waited for.
const STILL: Duration = Duration::from_secs(1);
const UNTIL_STILL: Duration = Duration::from_secs(20);

fn repo() -> RepoName {
    "puppet-code".parse().expect("a good name")
}

/// The program, untouched by the user's settings.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sceneshift"));
    command.env_remove("SCENESHIFT_SERVER").env_remove("SCENESHIFT_AUTHOR").env_remove("RUST_LOG");
    command
}

/// A site in a directory of its own.
pub(crate) struct Ours<'a> {
    runtime: &'a Runtime,
    folder: PathBuf,
    staging: PathBuf,
    // Clients go before the primary that they talk to.
    clients: Vec<(String, Daemon)>,
    primary: Option<Daemon>,
    listen: String,
}

/// When the commit was answered and when each client showed it, from asking on.
pub(crate) struct Deployed {
    pub(crate) answered: Duration,
    pub(crate) live: Vec<Duration>,
    /// Bytes that the first client received for it.
    pub(crate) received: u64,
}

impl<'a> Ours<'a> {
    /// A primary with an empty store.
    pub(crate) fn new(runtime: &'a Runtime, folder: PathBuf, staging: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let (staging, listen) = (staging.to_owned(), "127.0.0.1:0".to_owned());
        let mut ours = Self { runtime, folder, staging, clients: Vec::new(), primary: None, listen };
        ours.start_primary()?;
        Ok(ours)
    }

    pub(crate) fn primary_data(&self) -> PathBuf {
        self.folder.join("primary")
    }

    pub(crate) fn client_data(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The link that shows what is live.
    pub(crate) fn current(&self, name: &str) -> PathBuf {
        self.client_data(name).join("repos/puppet-code/current")
    }

    pub(crate) fn primary(&self) -> Result<&Daemon, String> {
        self.primary.as_ref().ok_or_else(|| "the primary does not run".into())
    }

    /// Starts the primary, after the first time at the same port.
    pub(crate) fn start_primary(&mut self) -> Result<(), String> {
        let (data, listen, staging) = (self.primary_data(), &self.listen, &self.staging);
        let text =
            format!("data-dir = {data:?}\nlisten = {listen:?}\n[repos.puppet-code]\nstaging-dir = {staging:?}\n");
        let settings = self.write("primary.toml", &text)?;
        let mut command = program();
        command.args(["serve", "--config"]).arg(settings);
        let (daemon, listen) = Daemon::start(&mut command, &self.folder.join("primary.log"))?;
        (self.primary, self.listen) = (Some(daemon), listen);
        Ok(())
    }

    pub(crate) fn client_settings(&self, name: &str) -> Result<PathBuf, String> {
        let (data, listen) = (self.client_data(name), &self.listen);
        let text = format!(
            "data-dir = {data:?}\nserver = \"http://{listen}\"\nname = {name:?}\nlisten = \"127.0.0.1:0\"\n\
             [repos.puppet-code]\npause = \"none\"\nkeep-generations = 1000\n"
        );
        self.write(&format!("{name}.toml"), &text)
    }

    /// Starts a client's daemon.
    pub(crate) fn start_client(&mut self, name: &str) -> Result<(), String> {
        let settings = self.client_settings(name)?;
        let mut command = program();
        command.args(["client", "--config"]).arg(settings);
        let (daemon, _) = Daemon::start(&mut command, &self.folder.join(format!("{name}.log")))?;
        self.clients.push((name.to_owned(), daemon));
        Ok(())
    }

    pub(crate) fn client(&self, name: &str) -> Result<&Daemon, String> {
        let found = self.clients.iter().find(|(other, _)| other == name);
        found.map(|(_, daemon)| daemon).ok_or_else(|| format!("{name} does not run"))
    }

    pub(crate) fn stop_clients(&mut self) -> Result<(), String> {
        self.clients.drain(..).try_for_each(|(_, daemon)| daemon.stop())
    }

    pub(crate) fn stop(&mut self) -> Result<(), String> {
        self.stop_clients()?;
        self.primary.take().map_or(Ok(()), Daemon::stop)
    }

    /// The command `commit`, of everything or of the environment that is edited.
    pub(crate) fn commit(&self, one: bool) -> Result<(Duration, CommitAnswer), String> {
        let mut command = program();
        command.args(["commit", "--json", "-m", "bench", "--server", &format!("http://{}", self.listen)]);
        if one {
            command.args(["-e", EDITED]);
        }
        json(&run(&mut command)?)
    }

    /// The command `client --once`.
    pub(crate) fn sync_once(&self, name: &str) -> Result<(Duration, RepoStatus), String> {
        let mut command = program();
        command.args(["client", "--once", "--json", "--config"]).arg(self.client_settings(name)?);
        let (time, report): (_, ClientReport) = json(&run(&mut command)?)?;
        let status = report.repos.into_values().next();
        status.map(|status| (time, status)).ok_or_else(|| "a report without a repo".into())
    }

    /// The command `fsck`. Damage is an error.
    pub(crate) fn fsck(&self, data: &Path) -> Result<Duration, String> {
        run(program().args(["fsck", "--json"]).arg(data)).map(|ran| ran.time)
    }

    /// The program `sceneshift-code-id`, whole process.
    pub(crate) fn code_id(&self, name: &str) -> Result<Duration, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sceneshift-code-id"));
        command.arg(EDITED).env("SCENESHIFT_CLIENT_CONFIG", self.folder.join(format!("{name}.toml")));
        let ran = run(&mut command)?;
        if ran.stdout.is_empty() { Err("sceneshift-code-id knows no version".into()) } else { Ok(ran.time) }
    }

    /// Asks for a commit of the edited environment, and watches the link of every client that runs.
    pub(crate) fn deploy(&self) -> Result<Deployed, String> {
        let links: Vec<PathBuf> = self.clients.iter().map(|(name, _)| self.current(name)).collect();
        let before: Vec<_> = links.iter().map(|link| std::fs::read_link(link).ok()).collect();
        let remote = Remote::new(&format!("http://{}", self.listen)).map_err(|error| error.to_string())?;
        let request = CommitRequest { environments: vec![EDITED.into()], ..CommitRequest::default() };
        let given_up = AtomicBool::new(false);
        let (asked, answered, answer, live) = std::thread::scope(|scope| {
            let watching = scope.spawn(|| watch(&links, &before, &given_up));
            let asked = Instant::now();
            let answer = self.runtime.block_on(remote.commit(&repo(), &request));
            let answered = asked.elapsed();
            given_up.store(answer.is_err(), Relaxed);
            (asked, answered, answer, watching.join().unwrap_or_else(|_| Err("watching failed".into())))
        });
        let commit = answer.map_err(|error| format!("a commit: {error}"))?.commit;
        let live = live?.into_iter().map(|at| at.duration_since(asked)).collect();
        let mut received = 0;
        for (name, _) in self.clients.iter().rev() {
            let status = self.settled(name, Some(commit))?;
            received = status.last_deploy.map_or(0, |figures| figures.received_bytes);
        }
        Ok(Deployed { answered, live, received })
    }

    /// Waits until a client says that it has deployed this commit, or that it runs any.
    pub(crate) fn settled(&self, name: &str, commit: Option<CommitId>) -> Result<RepoStatus, String> {
        let socket = self.client_data(name).join(CONTROL_SOCKET);
        let begun = Instant::now();
        loop {
            let remote = Remote::unix(&socket).map_err(|error| error.to_string())?;
            let report = self.runtime.block_on(remote.status()).ok();
            let status = report.and_then(|report| report.repos.into_values().next());
            if let Some(status) = status
                && status.deployed.is_some()
                && commit.is_none_or(|commit| status.deployed == Some(commit) && status.last_deploy.is_some())
            {
                return Ok(status);
            }
            process::check()?;
            if begun.elapsed() > DEPLOY {
                return Err(format!("{name} does not deploy:\n{}", self.client(name)?.log()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }
}

/// Memory of a daemon once it stands still, in bytes.
pub(crate) fn still_memory(daemon: &Daemon) -> Result<u64, String> {
    let begun = Instant::now();
    let (mut last, mut since) = (daemon.memory("VmRSS")?, Instant::now());
    while since.elapsed() < STILL && begun.elapsed() < UNTIL_STILL {
        std::thread::sleep(Duration::from_millis(50));
        process::check()?;
        let now = daemon.memory("VmRSS")?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(last)
}

fn json<T: DeserializeOwned>(ran: &Ran) -> Result<(Duration, T), String> {
    let value = serde_json::from_slice(&ran.stdout).map_err(|error| format!("an answer: {error}"))?;
    Ok((ran.time, value))
}

/// When each link was first seen to be another.
fn watch(links: &[PathBuf], before: &[Option<PathBuf>], given_up: &AtomicBool) -> Result<Vec<Instant>, String> {
    let begun = Instant::now();
    let mut seen: Vec<Option<Instant>> = vec![None; links.len()];
    while seen.iter().any(Option::is_none) {
        for ((link, before), seen) in links.iter().zip(before).zip(&mut seen) {
            if seen.is_none() && std::fs::read_link(link).ok() != *before {
                *seen = Some(Instant::now());
            }
        }
        if given_up.load(Relaxed) || begun.elapsed() > DEPLOY {
            return Err("a change was not deployed".into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(seen.into_iter().flatten().collect())
}

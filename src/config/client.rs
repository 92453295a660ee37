//! The settings of a client, but for the gate's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::gate::default_flush_timeout;
use super::{GateConfig, LogFormat, Puppet, ScrubConfig, duration, is_loopback, octal};
use crate::values::RepoName;

/// The settings of `sceneshift client`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClientConfig {
    /// Where the farm lies.
    pub data_dir: PathBuf,
    /// The primary's address.
    pub server: String,
    /// Under which name to report; the host's name where absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Where to answer `/metrics` and the routes of PE's file sync client.
    #[serde(default = "default_client_listen")]
    pub listen: SocketAddr,
    /// Allow plain HTTP to a primary on another machine, and `listen` on an address that others reach.
    #[serde(default)]
    pub insecure: bool,
    /// How to log.
    #[serde(default)]
    pub log_format: LogFormat,
    /// The group that may read the farm, where it exists.
    #[serde(default = "default_reader_group")]
    pub reader_group: String,
    /// Permission bits that files may have at most, in octal.
    #[serde(default = "default_file_mode", deserialize_with = "octal")]
    pub file_mode: u32,
    /// Where this host's Puppet keeps its certificates.
    #[serde(default)]
    pub puppet: Option<Puppet>,
    /// The reverse proxy in front of Puppet Server.
    #[serde(default)]
    pub gate: Option<GateConfig>,
    /// How to flush Puppet Server's environment cache where there is no gate.
    #[serde(default)]
    pub puppetserver: Option<PuppetServer>,
    /// How much is read again each day.
    #[serde(default)]
    pub scrub: ScrubConfig,
    /// What to deploy.
    #[serde(default)]
    pub repos: BTreeMap<RepoName, ClientRepo>,
}

/// One repo on a client.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClientRepo {
    /// How requests are kept away while new code goes live; see [`ClientConfig::pause_of`] for the default.
    #[serde(default)]
    pub pause: Option<PauseKind>,
    /// What a pause waits for.
    #[serde(default)]
    pub drain: DrainKind,
    /// How long to wait for running requests.
    #[serde(default = "default_drain_timeout", deserialize_with = "duration")]
    pub drain_timeout: Duration,
    /// With `drain = "runs"`: how long of that to wait for runs.
    #[serde(default = "default_run_drain_timeout", deserialize_with = "duration")]
    pub run_drain_timeout: Duration,
    /// The commands of `pause = "hooks"`.
    #[serde(default)]
    pub hooks: Option<HooksConfig>,
    /// Whose heads are believed: public keys, Ed25519 in PEM. With none, those of whoever answers as the primary.
    #[serde(default)]
    pub signed_by: Vec<PathBuf>,
    /// Which directories are built once and linked to from every generation that has them.
    #[serde(default = "default_shared_dirs")]
    pub shared_dirs: Vec<String>,
    /// Keep at least this many generations.
    #[serde(default = "default_keep_generations")]
    pub keep_generations: usize,
    /// Keep generations that were current within this time.
    #[serde(default = "default_keep_generation_age", deserialize_with = "duration")]
    pub keep_age: Duration,
}

/// How requests are kept away while new code goes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PauseKind {
    /// They are not.
    None,
    /// The gate holds them.
    Gate,
    /// Commands of the site do.
    Hooks,
}

/// What a pause waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrainKind {
    /// Requests that run.
    #[default]
    Requests,
    /// Agents' runs between plugin sync and catalog, too.
    Runs,
}

/// Commands that keep requests away, and let them flow again.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HooksConfig {
    /// Called before the swap: a program and its arguments. Returns when no request in scope runs any more.
    pub pause: Vec<String>,
    /// Called after it, whatever happened.
    pub resume: Vec<String>,
    /// How long each of them may take.
    #[serde(default = "default_hook_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
}

/// How to flush Puppet Server's environment cache.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PuppetServer {
    /// Puppet Server's address.
    pub flush_url: String,
    /// How long to try.
    #[serde(default = "default_flush_timeout", deserialize_with = "duration")]
    pub flush_timeout: Duration,
}

impl ClientConfig {
    /// How requests are kept away from a swap of this repo: as its setting says, else by the gate where there is one.
    pub fn pause_of(&self, repo: &ClientRepo) -> PauseKind {
        repo.pause.unwrap_or(if self.gate.is_some() { PauseKind::Gate } else { PauseKind::None })
    }

    /// The longest that the gate holds a request: whatever is under way in a pause is over by then.
    pub fn longest_hold(&self) -> Duration {
        let drain = self.repos.values().map(|repo| repo.drain_timeout).max().unwrap_or_default();
        let flush = self.gate.as_ref().map(|gate| gate.flush_timeout).unwrap_or_default();
        drain + flush + Duration::from_secs(10)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match (is_loopback("http://", &self.server), is_loopback("https://", &self.server)) {
            (None, None) => {
                return Err(format!("server = {:?} must begin with https:// or http://", self.server));
            }
            (Some(false), _) if !self.insecure => {
                return Err(format!(
                    "server = {:?} is plain HTTP to another machine: anybody on the way can change the code; use https:// and [puppet], or write insecure = true if you mean it",
                    self.server
                ));
            }
            (None, Some(_)) if self.puppet.is_none() => {
                return Err(format!(
                    "server = {:?} needs [puppet] with the certname of this host: the primary asks for its certificate",
                    self.server
                ));
            }
            _ => {}
        }
        if !self.insecure && !self.listen.ip().is_loopback() {
            return Err(format!(
                "listen = \"{}\" is an address that other machines reach; listen on 127.0.0.1, or write insecure = true if you mean it",
                self.listen
            ));
        }
        if self.repos.is_empty() {
            return Err("no repo is configured; add [repos.puppet-code]".into());
        }
        if let Some(gate) = &self.gate {
            self.check_gate(gate)?;
        }
        self.check_flush()?;
        self.repos.iter().try_for_each(|(name, repo)| self.check_repo(name, repo))
    }

    fn check_gate(&self, gate: &GateConfig) -> Result<(), String> {
        if self.puppet.is_none() {
            return Err("[gate] needs [puppet] with the certname of this host: its certificate serves agents, and flushes the cache".into());
        }
        if self.puppetserver.is_some() {
            return Err("[puppetserver] is for hosts without a gate; with [gate] the flush goes to its upstream, for as long as [gate] flush-timeout says".into());
        }
        gate.check(self.insecure)
    }

    fn check_flush(&self) -> Result<(), String> {
        let Some(PuppetServer { flush_url, .. }) = &self.puppetserver else { return Ok(()) };
        let plain = is_loopback("http://", flush_url);
        if plain.is_none() && is_loopback("https://", flush_url).is_none() {
            return Err(format!("[puppetserver] flush-url = {flush_url:?} must begin with https:// or http://"));
        }
        if plain.is_none() && self.puppet.is_none() {
            return Err(format!(
                "[puppetserver] flush-url = {flush_url:?} needs [puppet] with the certname of this host: Puppet Server asks for its certificate"
            ));
        }
        Ok(())
    }

    fn check_repo(&self, name: &RepoName, repo: &ClientRepo) -> Result<(), String> {
        let pause = self.pause_of(repo);
        if pause == PauseKind::Gate && self.gate.is_none() {
            return Err(format!("[repos.{name}] pause = \"gate\" needs the section [gate]"));
        }
        if (pause == PauseKind::Hooks) != repo.hooks.is_some() {
            return Err(format!(
                "[repos.{name}] pause = \"hooks\" and the section [repos.{name}.hooks] go together: the commands `pause` and `resume`"
            ));
        }
        let commands = repo.hooks.iter().flat_map(|hooks| [("pause", &hooks.pause), ("resume", &hooks.resume)]);
        for (which, command) in commands {
            if !command.first().is_some_and(|program| program.starts_with('/')) {
                return Err(format!(
                    "[repos.{name}.hooks] {which} must be a list that begins with the full path of a program, like [\"/usr/local/bin/drain\", \"compile1\"]"
                ));
            }
        }
        if repo.drain == DrainKind::Runs && pause != PauseKind::Gate {
            return Err(format!("[repos.{name}] drain = \"runs\" needs pause = \"gate\""));
        }
        if repo.drain == DrainKind::Runs && repo.run_drain_timeout > repo.drain_timeout {
            return Err(format!(
                "[repos.{name}] run-drain-timeout = {:?} is longer than drain-timeout = {:?}, which it is a part of",
                repo.run_drain_timeout, repo.drain_timeout
            ));
        }
        Ok(())
    }
}

fn default_client_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8146))
}
fn default_reader_group() -> String {
    "puppet".into()
}
fn default_file_mode() -> u32 {
    0o555
}
fn default_drain_timeout() -> Duration {
    Duration::from_secs(120)
}
fn default_run_drain_timeout() -> Duration {
    Duration::from_secs(30)
}
fn default_hook_timeout() -> Duration {
    Duration::from_secs(60)
}
fn default_shared_dirs() -> Vec<String> {
    ["environments/*", "environments/*/*modules/*", "modules/*"].map(String::from).to_vec()
}
fn default_keep_generations() -> usize {
    3
}
fn default_keep_generation_age() -> Duration {
    Duration::from_secs(3600)
}

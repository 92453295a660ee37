//! The settings of a primary.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::gate::default_max_connections;
use super::{Access, LocalRule, LogFormat, Puppet, Rule, ScrubConfig, duration};
use crate::values::{RepoName, TreePath};

/// The settings of `sceneshift serve`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PrimaryConfig {
    /// Where the object store lies.
    pub data_dir: PathBuf,
    /// Where to answer HTTP: with TLS where `[puppet]` says which certificate to show.
    #[serde(default = "default_primary_listen")]
    pub listen: SocketAddr,
    /// A socket for the users of this machine, who are known by their accounts. Root and the daemon's own user have `control.sock` in the data
    /// directory besides.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    /// Allow plain HTTP on an address that other machines reach.
    #[serde(default)]
    pub insecure: bool,
    /// Where this host's Puppet keeps its certificates.
    #[serde(default)]
    pub puppet: Option<Puppet>,
    /// Who may do what, where there is TLS.
    #[serde(default)]
    pub access: Option<Access>,
    /// How many connections are open at most; more wait to be accepted.
    #[serde(default = "default_max_connections")]
    pub max_connections: usize,
    /// How to log.
    #[serde(default)]
    pub log_format: LogFormat,
    /// How heads are signed, where they are.
    #[serde(default)]
    pub signing: Option<Signing>,
    /// How much is read again each day.
    #[serde(default)]
    pub scrub: ScrubConfig,
    /// The staging trees.
    #[serde(default)]
    pub repos: BTreeMap<RepoName, PrimaryRepo>,
}

/// How heads are signed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Signing {
    /// The private key: Ed25519, PKCS#8 in PEM.
    pub key: PathBuf,
}

/// One staging tree.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PrimaryRepo {
    /// What is committed.
    pub staging_dir: PathBuf,
    /// Where environments lie in it; "" for a repo that has none.
    #[serde(default = "default_environments_dir")]
    pub environments_dir: String,
    /// What to leave out: gitignore patterns.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// Leave sockets, FIFOs and devices out, where they would refuse the commit.
    #[serde(default)]
    pub skip_special: bool,
    /// GC keeps at least this many commits.
    #[serde(default = "default_keep_commits")]
    pub keep_commits: u64,
    /// GC keeps commits younger than this.
    #[serde(default = "default_keep_age", deserialize_with = "duration")]
    pub keep_age: Duration,
    /// Who may read this repo, in place of [`Access::read`].
    #[serde(default)]
    pub read: Option<Vec<Rule>>,
    /// Who may commit to it, and read it, in place of [`Access::commit`].
    #[serde(default)]
    pub commit: Option<Vec<Rule>>,
    /// In place of [`Access::local_read`].
    #[serde(default)]
    pub local_read: Option<Vec<LocalRule>>,
    /// In place of [`Access::local_commit`].
    #[serde(default)]
    pub local_commit: Option<Vec<LocalRule>>,
}

impl PrimaryConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        match (&self.puppet, &self.access) {
            (None, Some(_)) => {
                return Err(
                    "[access] needs [puppet] with the certname of this host: without TLS nobody is known".into()
                );
            }
            (Some(_), None) => {
                return Err("[puppet] makes listen speak TLS, and needs [access]: who may read, commit and monitor, like read = [\"*.example.com\"]".into());
            }
            (None, None) if !self.insecure && !self.listen.ip().is_loopback() => {
                return Err(format!(
                    "listen = \"{}\" is plain HTTP on an address that other machines reach; add [puppet] and [access] for TLS, listen on 127.0.0.1, or write insecure = true if you mean it",
                    self.listen
                ));
            }
            _ => {}
        }
        if self.socket.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err("socket must be a full path, like \"/run/sceneshift/primary.sock\"".into());
        }
        if self.access.iter().any(|access| names_anybody(&access.read) || names_anybody(&access.commit)) {
            return Err(format!("[access] {ANYBODY}"));
        }
        if self.repos.is_empty() {
            return Err("no repo is configured; add [repos.puppet-code] with a staging-dir".into());
        }
        for (name, repo) in &self.repos {
            TreePath::new(repo.environments_dir.as_bytes())
                .map_err(|error| format!("[repos.{name}] environments-dir: {error}"))?;
            repo.check_access(name, self.access.is_some())?;
        }
        Ok(())
    }
}

/// Said of lists that let everybody in.
const ANYBODY: &str = "\"anybody\" may stand in monitor only: to read and to commit takes a certificate";

fn names_anybody(rules: &[Rule]) -> bool {
    rules.contains(&Rule::Anybody)
}

impl PrimaryRepo {
    fn check_access(&self, name: &RepoName, has_access: bool) -> Result<(), String> {
        let own = self.read.is_some() || self.commit.is_some();
        if (own || self.local_read.is_some() || self.local_commit.is_some()) && !has_access {
            return Err(format!(
                "[repos.{name}] read, commit, local-read and local-commit narrow [access], which is missing: without it nobody is kept out"
            ));
        }
        if self.read.iter().chain(&self.commit).any(|rules| names_anybody(rules)) {
            return Err(format!("[repos.{name}] {ANYBODY}"));
        }
        Ok(())
    }
}

fn default_primary_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8145))
}
fn default_environments_dir() -> String {
    "environments".into()
}
fn default_keep_commits() -> u64 {
    50
}
fn default_keep_age() -> Duration {
    Duration::from_secs(14 * 24 * 3600)
}

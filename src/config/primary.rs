//! The settings of a primary.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{LogFormat, duration};
use crate::values::{RepoName, TreePath};

/// The settings of `sceneshift serve`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PrimaryConfig {
    /// Where the object store lies.
    pub data_dir: PathBuf,
    /// Where to answer HTTP.
    #[serde(default = "default_primary_listen")]
    pub listen: SocketAddr,
    /// Allow plain HTTP on an address that other machines reach.
    #[serde(default)]
    pub insecure: bool,
    /// How to log.
    #[serde(default)]
    pub log_format: LogFormat,
    /// The staging trees.
    #[serde(default)]
    pub repos: BTreeMap<RepoName, PrimaryRepo>,
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
}

impl PrimaryConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.insecure && !self.listen.ip().is_loopback() {
            return Err(format!(
                "listen = \"{}\" is plain HTTP on an address that other machines reach; listen on 127.0.0.1, or write insecure = true if you mean it",
                self.listen
            ));
        }
        if self.repos.is_empty() {
            return Err("no repo is configured; add [repos.puppet-code] with a staging-dir".into());
        }
        for (name, repo) in &self.repos {
            TreePath::new(repo.environments_dir.as_bytes())
                .map_err(|error| format!("[repos.{name}] environments-dir: {error}"))?;
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

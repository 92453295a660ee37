//! The settings of both daemons: TOML, kebab-case, every unknown key an error that names its nearest neighbour.
//!
//! Deliberately absent: defaults that depend on the machine (a client's name), which the daemons look up themselves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::values::{RepoName, TreePath};

/// Where `serve` looks for its settings unless told.
pub const PRIMARY_CONFIG: &str = "/etc/sceneshift/primary.toml";
/// Where `client` and the commands that talk to it look for its settings unless told.
pub const CLIENT_CONFIG: &str = "/etc/sceneshift/client.toml";

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
    /// How to flush Puppet Server's environment cache.
    #[serde(default)]
    pub puppetserver: Option<PuppetServer>,
    /// What to deploy.
    #[serde(default)]
    pub repos: BTreeMap<RepoName, ClientRepo>,
}

/// One repo on a client.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClientRepo {
    /// How requests are kept away while new code goes live.
    #[serde(default)]
    pub pause: PauseKind,
    /// How long to wait for running requests.
    #[serde(default = "default_drain_timeout", deserialize_with = "duration")]
    pub drain_timeout: Duration,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PauseKind {
    /// They are not.
    #[default]
    None,
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

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

fn default_primary_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8145))
}
fn default_client_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8146))
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
fn default_reader_group() -> String {
    "puppet".into()
}
fn default_file_mode() -> u32 {
    0o555
}
fn default_drain_timeout() -> Duration {
    Duration::from_secs(120)
}
fn default_flush_timeout() -> Duration {
    Duration::from_secs(30)
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

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed: Option<Duration> = text.parse::<jiff::SignedDuration>().ok().and_then(|signed| signed.try_into().ok());
    parsed.ok_or_else(|| {
        serde::de::Error::custom(format!("{text:?} is not a length of time; write it like \"90s\", \"2m\", \"1h 30m\""))
    })
}

fn octal<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    match u32::from_str_radix(&text, 8) {
        Ok(mode) if mode & !0o555 == 0 && mode & 0o400 != 0 => Ok(mode),
        _ => Err(serde::de::Error::custom(format!(
            "{text:?} is not a mode for read-only files; write it like \"0555\", \"0550\", \"0500\""
        ))),
    }
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file cannot be understood.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
}

/// Reads and checks the primary's settings.
pub fn read_primary(path: &Path) -> Result<PrimaryConfig, ConfigError> {
    let config: PrimaryConfig = read(path)?;
    config.check().map_err(|message| ConfigError::Invalid { path: path.to_owned(), message })?;
    Ok(config)
}

/// Reads and checks a client's settings.
pub fn read_client(path: &Path) -> Result<ClientConfig, ConfigError> {
    let config: ClientConfig = read(path)?;
    config.check().map_err(|message| ConfigError::Invalid { path: path.to_owned(), message })?;
    Ok(config)
}

impl PrimaryConfig {
    fn check(&self) -> Result<(), String> {
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

impl ClientConfig {
    fn check(&self) -> Result<(), String> {
        let Some(rest) = self.server.strip_prefix("http://") else {
            return Err(format!("server = {:?} must begin with http:// (this version has no TLS yet)", self.server));
        };
        let host = rest.split(['/', '?']).next().unwrap_or("");
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']);
        let loopback =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if !self.insecure && !loopback {
            return Err(format!(
                "server = {:?} is plain HTTP to another machine: anybody on the way can change the code; write insecure = true if you mean it",
                self.server
            ));
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
        Ok(())
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|error| ConfigError::Invalid { path: path.to_owned(), message: explain(&error) })
}

/// serde's message, with the nearest known key where one is unknown.
fn explain(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let message = error.message();
    let mut quoted = message.split('`').skip(1).step_by(2);
    match (message.starts_with("unknown field"), quoted.next()) {
        (true, Some(unknown)) => match nearest(unknown, quoted) {
            Some(near) => format!("{}\ndid you mean `{near}`?", text.trim_end()),
            None => text,
        },
        _ => text,
    }
}

fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|candidate| (strsim::jaro_winkler(unknown, candidate), candidate));
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.7).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(text: &str) -> Result<PrimaryConfig, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_primary(file.path())
    }

    fn client(text: &str) -> Result<ClientConfig, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_client(file.path())
    }

    #[test]
    fn the_shortest_settings_get_the_documented_defaults() {
        let config = primary("data-dir = \"/d\"\n[repos.puppet-code]\nstaging-dir = \"/s\"").unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8145");
        assert_eq!(config.repos.values().next().unwrap().environments_dir, "environments");
        let config = client("data-dir = \"/d\"\nserver = \"http://127.0.0.1:8145\"\n[repos.puppet-code]").unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8146");
        assert_eq!(config.repos.values().next().unwrap().drain_timeout, Duration::from_secs(120));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_neighbour_and_line() {
        let error = primary("data-dir = \"/d\"\n[repos.puppet-code]\nstaging-dri = \"/s\"").unwrap_err().to_string();
        assert!(error.contains("staging-dri") && error.contains("did you mean `staging-dir`?"), "{error}");
        assert!(error.contains("line 3"), "{error}");
    }

    #[test]
    fn plain_http_to_other_machines_must_be_written_out() {
        let text = "data-dir = \"/d\"\nlisten = \"0.0.0.0:8145\"\n[repos.a]\nstaging-dir = \"/s\"";
        assert!(primary(text).unwrap_err().to_string().contains("insecure = true"));
        assert!(primary(&format!("insecure = true\n{text}")).is_ok());
        let text = "data-dir = \"/d\"\nserver = \"http://primary:8145\"\n[repos.a]";
        assert!(client(text).unwrap_err().to_string().contains("insecure = true"));
        assert!(client("data-dir = \"/d\"\nserver = \"http://[::1]:8145\"\n[repos.a]").is_ok());
    }

    #[test]
    fn lengths_of_time_are_written_as_people_do() {
        let text = |drain: &str| {
            format!("data-dir = \"/d\"\nserver = \"http://localhost\"\n[repos.a]\ndrain-timeout = \"{drain}\"")
        };
        let read = |drain| client(&text(drain)).unwrap().repos.values().next().unwrap().drain_timeout.as_secs();
        assert_eq!((read("90s"), read("2m"), read("1h 30m")), (90, 120, 5400));
        assert!(client(&text("soon")).unwrap_err().to_string().contains("\"soon\" is not a length of time"));
    }

    #[test]
    fn files_can_be_made_narrower_but_never_writable() {
        let text =
            |mode: &str| format!("data-dir = \"/d\"\nserver = \"http://localhost\"\nfile-mode = \"{mode}\"\n[repos.a]");
        assert_eq!(client(&text("0550")).unwrap().file_mode, 0o550);
        for wrong in ["0777", "0055", "rw"] {
            assert!(client(&text(wrong)).is_err(), "{wrong}");
        }
    }
}

//! The settings of both daemons: TOML, kebab-case, every unknown key an error that names its nearest neighbour.
//!
//! Deliberately absent: defaults that depend on the machine (a client's name), which the daemons look up themselves.

mod access;
mod client;
mod gate;
mod primary;
mod scrub;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use access::{Access, EXTENSIONS, LocalRule, LocalRuleError, Rule, RuleError};
pub use client::{ClientConfig, ClientRepo, DrainKind, HooksConfig, PauseKind, PuppetServer};
pub use gate::{GateConfig, GateScope, Puppet};
pub use primary::{PrimaryConfig, PrimaryRepo, Signing};
pub use scrub::ScrubConfig;

/// Where `serve` looks for its settings unless told.
pub const PRIMARY_CONFIG: &str = "/etc/sceneshift/primary.toml";
/// Where `client` and the commands that talk to it look for its settings unless told.
pub const CLIENT_CONFIG: &str = "/etc/sceneshift/client.toml";

/// Where the primary's socket is in the examples: the command line looks there when no setting can be read.
pub const PRIMARY_SOCKET: &str = "/run/sceneshift/primary.sock";

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

/// Whether a URL with this scheme leads to this machine; `None` where it has another scheme.
fn is_loopback(scheme: &str, url: &str) -> Option<bool> {
    let host = url.strip_prefix(scheme)?.split(['/', '?']).next().unwrap_or("");
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']);
    Some(host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()))
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
    fn lists_of_one_repo_narrow_those_for_all_and_let_nobody_in_without_a_certificate() {
        let text = |access: &str, repo: &str| {
            format!("data-dir = \"/d\"\n[puppet]\ncertname = \"p\"\n{access}\n[repos.a]\nstaging-dir = \"/s\"\n{repo}")
        };
        let access = "[access]\nread = [\"*\"]\nlocal-commit = [\"r10k\", \"%deploy\"]";
        let config = primary(&text(access, "read = []\nlocal-commit = [\"root\"]")).unwrap();
        let repo = config.repos.values().next().unwrap();
        assert_eq!(repo.read, Some(Vec::new()), "an empty list is a list");
        assert!(repo.commit.is_none() && repo.local_read.is_none());
        assert_eq!(config.access.unwrap().local_commit.len(), 2);
        for (access, repo, said) in [
            (access, "read = [\"anybody\"]", "[repos.a] \"anybody\""),
            (access, "local-read = [\"a b\"]", "is no account"),
            ("[access]\ncommit = [\"anybody\"]", "", "[access] \"anybody\""),
        ] {
            let error = primary(&text(access, repo)).expect_err(repo).to_string();
            assert!(error.contains(said), "{repo}: {error}");
        }
        let plain = |more: &str| primary(&format!("data-dir = \"/d\"\n{more}"));
        let error = plain("[repos.a]\nstaging-dir = \"/s\"\nread = [\"x\"]").unwrap_err().to_string();
        assert!(error.contains("[access], which is missing"), "{error}");
        let error = plain("socket = \"s\"\n[repos.a]\nstaging-dir = \"/s\"").unwrap_err().to_string();
        assert!(error.contains("full path"), "{error}");
    }

    #[test]
    fn what_belongs_together_is_asked_for() {
        let text = |more: &str| format!("data-dir = \"/d\"\nserver = \"http://localhost\"\n{more}");
        let puppet = "[puppet]\ncertname = \"a.example\"\n";
        let gate = "[gate]\nlisten = \"0.0.0.0:8140\"\nupstream = \"http://127.0.0.1:8139\"\n";
        let right = client(&text(&format!("{puppet}{gate}[repos.a]"))).unwrap();
        assert_eq!(right.pause_of(&right.repos.values().next().unwrap().clone()), PauseKind::Gate);
        assert_eq!(right.longest_hold().as_secs(), 120 + 30 + 10);
        for (wrong, said) in [
            (format!("{gate}[repos.a]"), "[gate] needs [puppet]"),
            (format!("{puppet}[gate]\nupstream = \"http://127.0.0.1:1\"\n[repos.a]"), "needs listen"),
            (format!("{puppet}{gate}plain-listen = \"127.0.0.1:1\"\n[repos.a]"), "needs trust-proxies"),
            (format!("{puppet}{gate}trust-proxies = [\"10.0.0.0/8\"]\n[repos.a]"), "without plain-listen"),
            (
                format!("{puppet}[gate]\nlisten = \"127.0.0.1:1\"\nupstream = \"http://other:8139\"\n[repos.a]"),
                "another machine",
            ),
            (
                format!("{puppet}[gate]\nlisten = \"127.0.0.1:1\"\nupstream = \"https://localhost\"\n[repos.a]"),
                "http://",
            ),
            (format!("{puppet}{gate}[puppetserver]\nflush-url = \"http://localhost\"\n[repos.a]"), "without a gate"),
            ("[repos.a]\npause = \"gate\"".into(), "needs the section [gate]"),
            ("[repos.a]\npause = \"hooks\"".into(), "go together"),
            (
                "[repos.a]\npause = \"hooks\"\n[repos.a.hooks]\npause = [\"drain\"]\nresume = [\"/bin/true\"]".into(),
                "full path",
            ),
            (
                format!("{puppet}{gate}[repos.a]\ndrain = \"runs\"\ndrain-timeout = \"10s\""),
                "longer than drain-timeout",
            ),
            ("[repos.a]\ndrain = \"runs\"".into(), "needs pause = \"gate\""),
            ("[puppetserver]\nflush-url = \"https://localhost\"\n[repos.a]".into(), "needs [puppet]"),
            ("[puppetserver]\nflush-url = \"localhost\"\n[repos.a]".into(), "must begin with"),
        ] {
            let error = client(&text(&wrong)).expect_err(&wrong).to_string();
            assert!(error.contains(said), "{wrong}: {error}");
        }
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

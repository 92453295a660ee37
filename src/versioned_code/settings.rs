//! The client's settings, as far as they matter here. Every other key is the daemon's business, which checks them all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{VersionedCodeError, is_name};

/// Where the client's settings are unless told.
const SETTINGS: &str = "/etc/sceneshift/client.toml";

/// Names another file. Puppet Server passes on its own environment, and no arguments.
const VARIABLE: &str = "SCENESHIFT_CLIENT_CONFIG";

/// Where a client's data directory is, and which repos it has.
#[derive(Debug, Clone)]
pub struct Settings {
    data_dir: PathBuf,
    repos: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    data_dir: PathBuf,
    #[serde(default)]
    repos: BTreeMap<String, IgnoredAny>,
}

/// The file that holds the client's settings: what `SCENESHIFT_CLIENT_CONFIG` names, else `/etc/sceneshift/client.toml`.
pub fn settings_file() -> PathBuf {
    std::env::var_os(VARIABLE).filter(|name| !name.is_empty()).map_or_else(|| SETTINGS.into(), PathBuf::from)
}

impl Settings {
    /// Reads them.
    pub fn read(path: &Path) -> Result<Self, VersionedCodeError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| VersionedCodeError::ReadSettings { path: path.to_owned(), source })?;
        let document: Document = toml::from_str(&text)
            .map_err(|source| VersionedCodeError::Settings { path: path.to_owned(), source: Box::new(source) })?;
        let repos = document.repos.into_keys().filter(|name| is_name(name.as_bytes())).collect();
        Ok(Self { data_dir: document.data_dir, repos })
    }

    /// The client's data directory.
    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The names of the repos, in the order of the alphabet.
    pub(super) fn repos(&self) -> impl Iterator<Item = &str> {
        self.repos.iter().map(String::as_str)
    }
}

//! What was measured, as it is kept between measuring and reporting.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::estate::Size;
use crate::machine::Machine;
use crate::place::Medium;

/// Ourselves.
pub(crate) const OURS: &str = "sceneshift";

/// What cannot be less.
pub(crate) const FLOOR: &str = "floor";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// The first commit of everything. Its floor reads and hashes every file.
    ColdCommit,
    /// A commit that finds nothing changed. Its floor looks at every entry.
    CommitSame,
    /// A commit of one environment, of which one file changed.
    CommitOne,
    /// A first sync, until it is live.
    FirstSync,
    /// The commit of one changed file is known: until it is live on a machine whose daemon runs.
    Deploy,
    /// The same by a command that begins then, and ends when it is live.
    DeployCommand,
    /// From asking for the commit of one changed file until the last of three machines shows it.
    Fleet,
    /// Bytes received for one changed file. Its floor is that file, compressed.
    WireOne,
    /// Bytes received by a first sync.
    WireFirst,
    /// Bytes on the disk of a machine after the first sync.
    DiskFirst,
    /// More bytes on the disk for one more generation.
    DiskMore,
    /// Inodes after the first sync. The floor is staging's.
    InodesFirst,
    /// More inodes for one more generation.
    InodesMore,
    /// A check of everything on a client. Its floor reads and hashes the same contents.
    FsckClient,
    /// A check of everything on a primary.
    FsckPrimary,
    /// Removing an old generation; a plain copy of the tree.
    Prune,
    /// The most memory of the primary in a cold commit.
    MemoryPrimary,
    /// The most memory of a client in a first sync.
    MemoryClient,
    /// Memory of a primary that has just been started.
    IdlePrimary,
    /// Memory of a client that has just been started.
    IdleClient,
    /// `sceneshift-code-id`, whole process; the floor is `/bin/true`.
    CodeId,
    /// How long a swap holds requests, without drain and flush: the middle. Its floor is a bare link, made and renamed.
    Window,
    /// The same: the 99th percentile.
    WindowLong,
}

/// One figure: seconds, bytes or a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Sample {
    pub(crate) medium: Medium,
    pub(crate) cold_cache: bool,
    pub(crate) environments: usize,
    pub(crate) what: What,
    pub(crate) who: String,
    pub(crate) value: f64,
}

/// All of them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) date: String,
    pub(crate) version: String,
    /// Where the modules come from, and which file is edited.
    pub(crate) estate: String,
    pub(crate) edited: String,
    /// The number of environments with which everything is measured.
    pub(crate) main: usize,
    pub(crate) rounds: usize,
    /// Each peer's version.
    pub(crate) peers: BTreeMap<String, String>,
    pub(crate) sizes: Vec<Size>,
    pub(crate) samples: Vec<Sample>,
    /// What was left out, and why.
    pub(crate) notes: Vec<String>,
}

/// The middle of several figures, and their borders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Middle {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// Which figures belong together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) medium: Medium,
    pub(crate) cold_cache: bool,
    pub(crate) environments: usize,
}

impl Results {
    pub(crate) fn middle(&self, setting: Setting, what: What, who: &str) -> Option<Middle> {
        let same = |sample: &&Sample| {
            sample.medium == setting.medium
                && sample.cold_cache == setting.cold_cache
                && sample.environments == setting.environments
                && sample.what == what
                && sample.who == who
        };
        let mut values: Vec<f64> = self.samples.iter().filter(same).map(|sample| sample.value).collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let upper = values[values.len() / 2];
        let lower = values[(values.len() - 1) / 2];
        Some(Middle { median: f64::midpoint(lower, upper), least, most })
    }

    pub(crate) fn note(&mut self, note: String) {
        println!("note: {note}");
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Where they lie: below the build, so that the report can be made again.
    pub(crate) fn file() -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-peers.json")
    }

    pub(crate) fn save(&self) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(Self::file(), text).map_err(|error| format!("{}: {error}", Self::file().display()))
    }

    pub(crate) fn load() -> Result<Self, String> {
        let file = Self::file();
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
    }
}

//! What the figures were taken on. Not its name.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory: u64,
    pub(crate) kernel: String,
    /// The file system of the disk.
    pub(crate) disk: String,
}

impl Machine {
    pub(crate) fn here(disk: &Path) -> Self {
        let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into());
        let memory = field("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse().ok());
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            processor,
            memory: memory.unwrap_or(0u64) << 10,
            kernel: format!("Linux {}", kernel.trim()),
            disk: file_system(disk).unwrap_or_else(|| "unknown".into()),
        }
    }
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// The kind of the file system that a path lies on: of the mount point that is nearest above it.
fn file_system(path: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = mounts.filter(|(point, _)| path.starts_with(point));
    above.max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind.to_owned())
}

/// The commit that is built, and whether it was changed since.
pub(crate) fn version() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]).map(|id| format!(", commit {id}")).unwrap_or_default();
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", "src", "Cargo.lock"]);
    let changed = if changed.is_some_and(|text| !text.is_empty()) { " and changes" } else { "" };
    format!("{}{commit}{changed}", env!("CARGO_PKG_VERSION"))
}

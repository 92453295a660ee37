//! Where things are measured: a fresh ext4 in memory, or the disk.
//!
//! On the disk the same command may take five times as long a minute later, and creating files soon after many were deleted is slow. In memory runs repeat
//! well. Nothing is deleted between runs: each place is new, and thrown away whole.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// Where memory can be had as files.
const SHM: &str = "/dev/shm";

/// How large the file system says it is. It takes up what is written.
const IMAGE: u64 = 20 << 30;

/// How long a file system may stay busy after its last user went.
const BUSY: Duration = Duration::from_secs(20);

/// What the files lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Medium {
    /// ext4 in a file in memory.
    Memory,
    /// Whatever the build lies on.
    Disk,
}

/// A new empty directory, with a file system of its own where it is in memory.
pub(crate) struct Place {
    path: PathBuf,
    // In this order: what is mounted goes before what it is mounted on.
    _mount: Option<Mount>,
    _folder: TempDir,
}

impl Place {
    pub(crate) fn new(medium: Medium) -> Result<Self, String> {
        match medium {
            Medium::Memory => Self::in_memory(),
            Medium::Disk => Self::on_disk(),
        }
    }

    fn in_memory() -> Result<Self, String> {
        let folder = new_folder(Path::new(SHM))?;
        let (file, path) = (folder.path().join("image"), folder.path().join("files"));
        let made = File::create(&file).and_then(|made| made.set_len(IMAGE));
        made.and_then(|()| std::fs::create_dir(&path)).map_err(|error| format!("{}: {error}", file.display()))?;
        // An inode for every 4 KiB; what is not used of them takes up nothing.
        tool(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", "-i", "4096"]).arg(&file))?;
        tool(Command::new("mount").args(["-o", "loop,noatime,noinit_itable"]).args([&file, &path]))?;
        Ok(Self { _mount: Some(Mount(path.clone())), path, _folder: folder })
    }

    fn on_disk() -> Result<Self, String> {
        let folder = new_folder(&disk())?;
        Ok(Self { path: folder.path().to_owned(), _mount: None, _folder: folder })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until all is written, so that what one contestant left to do does not slow down the next.
    pub(crate) fn settle(&self) -> Result<(), String> {
        let folder = File::open(&self.path).map_err(|error| error.to_string())?;
        nix::unistd::syncfs(folder).map_err(|error| format!("syncfs: {error}"))
    }
}

/// The folder on the disk below which places are made.
pub(crate) fn disk() -> PathBuf {
    std::env::var_os("TMPDIR").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from)
}

fn new_folder(below: &Path) -> Result<TempDir, String> {
    let made = tempfile::Builder::new().prefix("sceneshift-peers-").tempdir_in(below);
    made.map_err(|error| format!("{}: {error}", below.display()))
}

/// Whether a file system in memory can be had here; else why not.
pub(crate) fn memory_works() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("only root may mount a file system of its own".into());
    }
    Place::in_memory().map(drop)
}

/// How much memory can still be had, in bytes.
pub(crate) fn free_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10
}

/// Empties the kernel's caches of files; an error where that is not allowed.
pub(crate) fn drop_caches() -> Result<(), String> {
    nix::unistd::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3").map_err(|error| format!("the caches cannot be emptied: {error}"))
}

/// Not by `process::run`: a place goes also when the user wants an end.
fn tool(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cannot run {name}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {said}")) }
}

/// Something that is mounted until this goes. The loop device below it goes with it.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let begun = Instant::now();
        while tool(Command::new("umount").arg(&self.0)).is_err() {
            if begun.elapsed() > BUSY {
                if let Err(error) = tool(Command::new("umount").arg("-l").arg(&self.0)) {
                    eprintln!("peers: {error}");
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

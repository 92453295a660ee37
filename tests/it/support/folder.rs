//! Places to work in.

use std::path::{Path, PathBuf};

/// A folder in memory where there is one with room, else on disk: for tests that ask what is written, and not whether it is durable.
pub fn fast() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let place = if room(memory) > 2 << 30 { memory.to_owned() } else { std::env::temp_dir() };
    folder_in(&place)
}

/// A folder on a disk.
pub fn on_disk() -> tempfile::TempDir {
    folder_in(&std::env::temp_dir())
}

fn folder_in(place: &Path) -> tempfile::TempDir {
    tempfile::Builder::new().prefix("sceneshift-test-").tempdir_in(place).unwrap()
}

/// How many bytes may still be written there; 0 where there is no such place.
pub fn room(place: &Path) -> u64 {
    let Ok(found) = nix::sys::statvfs::statvfs(place) else { return 0 };
    found.blocks_available() * found.fragment_size()
}

/// A small file system in memory, mounted for as long as this lives.
pub struct SmallDisk {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl SmallDisk {
    /// One of so many MiB; `None`, with the reason printed, where it may not be mounted.
    pub fn mount(mebibytes: u32) -> Option<Self> {
        let folder = on_disk();
        let path = folder.path().join("small");
        std::fs::create_dir(&path).unwrap();
        let options = format!("size={mebibytes}m,mode=0755");
        let mut mount = std::process::Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &options, "sceneshift-test"]).arg(&path).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self { path, _folder: folder }),
            Ok(output) => {
                println!("skipped: cannot mount a small disk: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                println!("skipped: cannot mount a small disk: {error}");
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes up all the room that is left but so many bytes, with a file of this name.
    pub fn fill_up(&self, name: &str, leave: u64) {
        let length = room(&self.path).saturating_sub(leave);
        let file = std::fs::File::create(self.path.join(name)).unwrap();
        nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), 0, length as i64).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that a failing test left behind must not keep it mounted for ever.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

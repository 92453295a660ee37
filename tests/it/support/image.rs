//! File systems of all kinds, each in a file of its own, mounted for as long as a test needs it.
//!
//! Root may do that, where the kernel knows the kind and its `mkfs` is installed. Elsewhere the reason is printed, and the test is skipped.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::folder;
use super::wait::until;

/// How long a file system may stay busy after its last user was told to go.
const BUSY: Duration = Duration::from_secs(20);

/// A kind of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
        }
    }

    /// Makes a file of so many MiB, which takes up only what is written, with an empty file system in it.
    pub fn make(self, file: &Path, mebibytes: u64, settings: &[&str]) -> Result<(), String> {
        let made = File::create(file).and_then(|made| made.set_len(mebibytes << 20));
        made.map_err(|error| format!("cannot make {}: {error}", file.display()))?;
        run(Command::new(format!("mkfs.{}", self.name())).arg("-q").args(settings).arg(file))
    }

    /// What has to be said to mount a copy of a file system beside the original: xfs takes each identity only once.
    pub fn options_of_a_copy(self) -> &'static str {
        match self {
            Kind::Ext4 | Kind::Btrfs => "loop",
            Kind::Xfs => "loop,nouuid",
        }
    }
}

/// Runs a command to its end; the error is what it said.
pub fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot run {name}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {said}")) }
}

/// Something that is mounted until this goes. The loop device below it goes with it.
pub struct Mount(PathBuf);

impl Mount {
    /// Mounts the file system in this file at this new directory.
    pub fn of(file: &Path, at: &Path, options: &str) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|error| format!("cannot make {}: {error}", at.display()))?;
        run(Command::new("mount").args(["-o", options]).arg(file).arg(at))?;
        Ok(Self(at.to_owned()))
    }

    /// Takes it away, once nobody uses it any more.
    #[track_caller]
    pub fn unmount(self) {
        until("the file system can be unmounted", BUSY, || run(Command::new("umount").arg(&self.0)).ok());
        std::mem::forget(self);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if run(Command::new("umount").arg(&self.0)).is_err() {
            // A process that a failing test left behind must not keep it for ever.
            let _ = run(Command::new("umount").arg("-l").arg(&self.0));
        }
    }
}

/// A file system of its own for a test.
pub struct Image {
    mount: Option<Mount>,
    options: String,
    folder: tempfile::TempDir,
}

impl Image {
    /// A mounted ext4 of so many MiB, all of them root's too; `None`, with the reason printed, where there can be none.
    pub fn ext4(mebibytes: u64, settings: &[&str], options: &str) -> Option<Self> {
        let settings = [&["-m", "0"], settings].concat();
        let image = Self { mount: None, options: format!("loop,{options}"), folder: folder::fast() };
        skip(Kind::Ext4.make(&image.file(), mebibytes, &settings))?;
        let mount = skip(Mount::of(&image.file(), &image.path(), &image.options))?;
        Some(Self { mount: Some(mount), ..image })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Takes up all the room that is left but so many bytes, with a file of this name.
    pub fn fill_up(&self, name: &str, leave: u64) {
        use nix::fcntl::{FallocateFlags, fallocate};
        let file = File::create(self.path().join(name)).unwrap();
        let mut length = 0;
        // What is free is known to the block only by trying: what is not written yet has its blocks promised already.
        for step in [16 << 20, 1 << 20, 64 << 10, 4 << 10] {
            while fallocate(&file, FallocateFlags::empty(), length, step).is_ok() {
                length += step;
            }
        }
        file.set_len((length as u64).saturating_sub(leave)).unwrap();
    }

    /// The loop device's name, `loop0`.
    pub fn device(&self) -> String {
        let device = self.path().metadata().unwrap().dev();
        let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
        let link = std::fs::read_link(format!("/sys/dev/block/{major}:{minor}")).unwrap();
        link.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// Mounts it again after all who used it have gone, as an operator or a restart of the machine does. Its journal is replayed.
    #[track_caller]
    pub fn mount_again(&mut self) {
        self.mount.take().unwrap().unmount();
        self.mount = Some(Mount::of(&self.file(), &self.path(), &self.options).unwrap());
    }
}

/// Prints why a test cannot be made here.
pub fn skip<T>(made: Result<T, String>) -> Option<T> {
    made.map_err(|reason| println!("skipped: no file system of its own: {reason}")).ok()
}

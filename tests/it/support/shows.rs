//! Whether `current` shows what staging shows, judged by the kernel alone.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

/// Fails the test unless `current` shows staging, entry by entry.
#[track_caller]
pub fn assert_shows(staging: &Path, current: &Path) {
    let differences = differences(staging, current);
    assert!(differences.is_empty(), "current is not what staging is:\n{}", differences.join("\n"));
}

/// Where `current` is not what staging is. Links that the farm made to shared trees are looked through; every other link must lead, in
/// `current`, to the same place as in staging, and read the same unless it is an environment.
pub fn differences(staging: &Path, current: &Path) -> Vec<String> {
    let comparison = Comparison { staging: &staging.canonicalize().unwrap(), current };
    let mut found = Vec::new();
    comparison.directory(Path::new(""), &mut found);
    found
}

struct Comparison<'a> {
    staging: &'a Path,
    current: &'a Path,
}

impl Comparison<'_> {
    fn directory(&self, path: &Path, found: &mut Vec<String>) {
        let (here, there) = (self.staging.join(path), self.current.join(path));
        let (expected, shown) = (names(&here), names(&there));
        if expected != shown {
            found.push(format!("{path:?} holds {shown:?}, not {expected:?}"));
            return;
        }
        for name in expected.into_iter().flatten() {
            let path = path.join(name);
            let (here, there) = (self.staging.join(&path), self.current.join(&path));
            let kind = fs::symlink_metadata(&here).unwrap();
            if kind.is_symlink() {
                found.extend(self.link(&path).err());
            } else if kind.is_dir() {
                self.directory(&path, found);
            } else {
                found.extend(file(&here, &there).err());
            }
        }
    }

    fn link(&self, path: &Path) -> Result<(), String> {
        let (here, there) = (self.staging.join(path), self.current.join(path));
        let target = fs::read_link(&here).unwrap();
        let shown = fs::read_link(&there).map_err(|error| format!("{path:?} is no link: {error}"))?;
        let is_environment = path.parent() == Some(Path::new("environments"));
        if shown != target && !is_environment {
            return Err(format!("the link {path:?} reads {shown:?}, not {target:?}"));
        }
        let (expected, shown) = match self.resolve_inside(path) {
            // It leaves staging: it is kept as it is, and an absolute one leads where it led.
            Err(Errno::EXDEV) if target.is_absolute() => (resolve(&here), resolve(&there)),
            Err(Errno::EXDEV) => return Ok(()),
            Ok(inside) => (resolve(&self.current.join(inside)), resolve(&there)),
            Err(other) => (Err(other), resolve(&there)),
        };
        if expected == shown {
            return Ok(());
        }
        Err(format!("the link {path:?} -> {target:?} leads to {shown:?}, not {expected:?}"))
    }

    /// Where a path of staging leads, from its root; `EXDEV` where the way there leaves staging.
    fn resolve_inside(&self, path: &Path) -> Result<PathBuf, Errno> {
        let root = open(self.staging, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_BENEATH);
        let opened = loop {
            match openat2(&root, path, how) {
                // Somebody renamed something anywhere meanwhile, another test perhaps: the kernel asks to be asked again.
                Err(Errno::EAGAIN) => {}
                other => break other?,
            }
        };
        Ok(behind(&opened).strip_prefix(self.staging).unwrap().to_owned())
    }
}

/// Where a path leads, as the kernel follows it.
pub fn resolve(path: &Path) -> Result<PathBuf, Errno> {
    Ok(behind(&open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?))
}

fn behind(file: &OwnedFd) -> PathBuf {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

/// The names in a directory, in order; `None` where there is none.
fn names(directory: &Path) -> Option<Vec<OsString>> {
    let entries = fs::read_dir(directory).ok()?;
    let mut names: Vec<OsString> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    Some(names)
}

fn file(here: &Path, there: &Path) -> Result<(), String> {
    let shown = fs::symlink_metadata(there).map_err(|error| format!("{there:?}: {error}"))?;
    if !shown.is_file() {
        return Err(format!("{there:?} is no file"));
    }
    let executable = fs::metadata(here).unwrap().permissions().mode() & 0o100 != 0;
    let (mode, expected) = (shown.permissions().mode() & 0o7777, if executable { 0o555 } else { 0o444 });
    if mode != expected {
        return Err(format!("{there:?} has the mode {mode:o}, not {expected:o}"));
    }
    if same_content(here, there) { Ok(()) } else { Err(format!("{there:?} has other content")) }
}

/// Whether two files hold the same, without holding them in memory.
fn same_content(one: &Path, other: &Path) -> bool {
    let (mut one, mut other) = (fs::File::open(one).unwrap(), fs::File::open(other).unwrap());
    if one.metadata().unwrap().len() != other.metadata().unwrap().len() {
        return false;
    }
    let (mut here, mut there) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let length = one.read(&mut here).unwrap();
        other.read_exact(&mut there[..length]).unwrap();
        if here[..length] != there[..length] {
            return false;
        }
        if length == 0 {
            return true;
        }
    }
}

//! What cannot be less: looking at every entry of a tree, and reading and hashing every file, by two threads. And what a tree takes up.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use rayon::{Scope, ThreadPool};
use rustix::fs::RawDir;

/// The two threads.
pub(crate) const THREADS: usize = 2;

type Look<'a> = dyn Fn(&OwnedFd, &CString, &FileStat) -> Result<(), String> + Sync + 'a;

/// What was seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Files, directories and links, each inode once.
    pub(crate) inodes: u64,
    /// What they take up, in bytes.
    pub(crate) allocated: u64,
}

/// Looks at every entry.
pub(crate) fn walk(pool: &ThreadPool, root: &Path) -> Result<u64, String> {
    let count = AtomicU64::new(0);
    visit(pool, root, &|_, _, _| {
        count.fetch_add(1, Relaxed);
        Ok(())
    })?;
    Ok(count.into_inner())
}

/// Reads and hashes every file, and gives the number of bytes.
pub(crate) fn hash(pool: &ThreadPool, root: &Path) -> Result<u64, String> {
    let bytes = AtomicU64::new(0);
    visit(pool, root, &|folder, name, stat| {
        if is(stat, SFlag::S_IFREG) {
            bytes.fetch_add(hash_file(folder, name)?, Relaxed);
        }
        Ok(())
    })?;
    Ok(bytes.into_inner())
}

fn hash_file(folder: &OwnedFd, name: &CString) -> Result<u64, String> {
    thread_local!(static BUFFER: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) });
    let opened = openat(folder, name.as_c_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    let mut file = File::from(opened.map_err(|error| format!("{name:?}: {error}"))?);
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        file.read_to_end(buffer).map_err(|error| format!("{name:?}: {error}"))?;
        std::hint::black_box(blake3::hash(buffer));
        Ok(buffer.len() as u64)
    })
}

/// What a tree takes up. Hard links to one inode count once.
pub(crate) fn usage(pool: &ThreadPool, root: &Path) -> Result<Usage, String> {
    let (inodes, allocated, linked) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(HashSet::new()));
    visit(pool, root, &|_, _, stat| {
        let first = || linked.lock().unwrap_or_else(PoisonError::into_inner).insert(stat.st_ino);
        if is(stat, SFlag::S_IFDIR) || stat.st_nlink < 2 || first() {
            inodes.fetch_add(1, Relaxed);
            allocated.fetch_add(stat.st_blocks.cast_unsigned() * 512, Relaxed);
        }
        Ok(())
    })?;
    Ok(Usage { inodes: inodes.into_inner(), allocated: allocated.into_inner() })
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}

/// Shows every entry below `root`, no link followed.
fn visit(pool: &ThreadPool, root: &Path, look: &Look<'_>) -> Result<(), String> {
    let failed = Mutex::new(None);
    let open = File::open(root).map_err(|error| format!("{}: {error}", root.display()))?;
    pool.in_place_scope(|scope| descend(scope, &Arc::new(open.into()), look, &failed));
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

fn descend<'a>(scope: &Scope<'a>, folder: &Arc<OwnedFd>, look: &'a Look<'a>, failed: &'a Mutex<Option<String>>) {
    if let Err(error) = look_at_all(scope, folder, look, failed) {
        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

fn look_at_all<'a>(
    scope: &Scope<'a>,
    folder: &Arc<OwnedFd>,
    look: &'a Look<'a>,
    failed: &'a Mutex<Option<String>>,
) -> Result<(), String> {
    for name in names(folder)? {
        let stat = fstatat(&**folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(|error| format!("{name:?}: {error}"))?;
        look(folder, &name, &stat)?;
        if is(&stat, SFlag::S_IFDIR) {
            let above = Arc::clone(folder);
            scope.spawn(move |scope| {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
                match openat(&*above, name.as_c_str(), flags, Mode::empty()) {
                    Ok(opened) => descend(scope, &Arc::new(opened), look, failed),
                    Err(error) => {
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{name:?}: {error}"));
                    }
                }
            });
        }
    }
    Ok(())
}

fn names(folder: &OwnedFd) -> Result<Vec<CString>, String> {
    let mut buffer = [const { MaybeUninit::uninit() }; 8 << 10];
    let (mut listing, mut names) = (RawDir::new(folder, &mut buffer), Vec::new());
    while let Some(entry) = listing.next() {
        let entry = entry.map_err(|error| error.to_string())?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

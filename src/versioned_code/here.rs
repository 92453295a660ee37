//! What this machine's generations hold (`storage-format.md` §8): read by names on the disk alone.
//!
//! A path is followed step by step, since two kinds of symbolic links lie on its way. Those that the client made for shared trees stand for
//! the directory of the same name. Those of the code lead on from where they stand in the environment, and must stay in it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::{Settings, VersionedCodeError, is_id};

/// The kernel follows this many links in one resolution.
const MAX_LINKS: usize = 40;

/// 2000-01-01T00:00:00Z, in seconds since 1970: where the times of the client's files begin.
const FIRST_TIME: i64 = 946_684_800;

/// The id of an environment's tree in the current generation of a repo.
pub(super) fn live_id(
    settings: &Settings,
    repo: &str,
    environment: &OsStr,
) -> Result<Option<String>, VersionedCodeError> {
    let path = repo_dir(settings, repo).join("current/../ids").join(environment);
    match id_at(&path)? {
        Some(id) if is_id(&id) => Ok(Some(id)),
        Some(_) => Err(VersionedCodeError::Damaged { path }),
        None => Ok(None),
    }
}

/// Opens the file at `path` of a generation in which the environment has this id; `None` where there is none. Gives where it lies, too.
pub(super) fn open(
    settings: &Settings,
    environment: &OsStr,
    id: &str,
    path: &OsStr,
) -> Result<Option<(File, PathBuf)>, VersionedCodeError> {
    for repo in settings.repos() {
        let generations = repo_dir(settings, repo).join("generations");
        let Some(listed) = unless_gone(fs::read_dir(&generations), &generations)? else { continue };
        for generation in listed {
            let generation = generation.map_err(at(&generations))?.path();
            match id_at(&generation.join("ids").join(environment)) {
                Ok(Some(found)) if found == id => {}
                // A generation that is damaged there may still not keep others from being found.
                Ok(_) | Err(VersionedCodeError::Damaged { .. }) => continue,
                Err(error) => return Err(error),
            }
            let found = open_below(settings, id, &generation.join("environments").join(environment), path)?;
            // One that is being pruned loses its names before its end, and a file may be damaged: another generation, or the primary, has it.
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

fn repo_dir(settings: &Settings, repo: &str) -> PathBuf {
    settings.data_dir().join("repos").join(repo)
}

/// The text of a link in `ids/`.
fn id_at(path: &Path) -> Result<Option<String>, VersionedCodeError> {
    match fs::read_link(path) {
        Ok(text) => Ok(Some(text.to_string_lossy().into_owned())),
        // Too long a name is nobody's.
        Err(error) if is_gone(&error) || error.kind() == ErrorKind::InvalidFilename => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            Err(VersionedCodeError::Damaged { path: path.to_owned() })
        }
        Err(error) => Err(at(path)(error)),
    }
}

/// A directory on the way, by where it really lies; the last is where the way has come to.
type Way = Vec<PathBuf>;

fn open_below(
    settings: &Settings,
    id: &str,
    environment: &Path,
    path: &OsStr,
) -> Result<Option<(File, PathBuf)>, VersionedCodeError> {
    let Some(root) = unless_gone(fs::canonicalize(environment), environment)? else { return Ok(None) };
    let trees = settings.data_dir().join("trees");
    let Some(trees) = unless_gone(fs::canonicalize(&trees), &trees)? else { return Ok(None) };
    // A shared tree's name begins with its id: one that a damaged link leads to is another version.
    if root.parent() == Some(trees.as_path())
        && !root.file_name().is_some_and(|name| name.as_bytes().starts_with(id.as_bytes()))
    {
        return Ok(None);
    }
    let leaves = || VersionedCodeError::Leaves { path: path.into() };
    let mut ahead: VecDeque<OsString> = steps(path).collect();
    let (mut way, mut links): (Way, usize) = (vec![root], 0);
    while let Some(step) = ahead.pop_front() {
        if step == "." {
            continue;
        }
        if step == ".." {
            way.pop();
            if way.is_empty() {
                return Err(leaves());
            }
            continue;
        }
        let Some(here) = way.last() else { return Err(leaves()) };
        let next = here.join(&step);
        let Some(metadata) = unless_gone(fs::symlink_metadata(&next), &next)? else { return Ok(None) };
        if metadata.is_dir() {
            way.push(next);
        } else if metadata.is_file() && ahead.is_empty() {
            let opened = unless_gone(File::open(&next), &next)?;
            return Ok(opened.filter(is_untouched).map(|file| (file, next)));
        } else if metadata.is_symlink() {
            let Some(text) = unless_gone(fs::read_link(&next), &next)? else { return Ok(None) };
            if let Some(shared) = shared_tree(&trees, here, &text) {
                way.push(shared);
                continue;
            }
            links += 1;
            if text.is_absolute() {
                return Err(leaves());
            }
            if links > MAX_LINKS {
                return Ok(None);
            }
            steps(text.as_os_str()).rev().for_each(|step| ahead.push_front(step));
        } else {
            return Ok(None);
        }
    }
    Err(VersionedCodeError::NoFile { path: path.into() })
}

/// Whether a file has a time that the client gives to files (`storage-format.md` §8, "Blob files"). One that was edited in place has not:
/// it holds no version's bytes any more.
fn is_untouched(file: &File) -> bool {
    let times = FIRST_TIME..FIRST_TIME + (1 << 28);
    file.metadata().is_ok_and(|metadata| times.contains(&metadata.mtime()) && metadata.mtime_nsec() == 0)
}

/// The steps of a path; a slash at its end is a step that stays, for which there must be a directory.
fn steps(path: &OsStr) -> impl DoubleEndedIterator<Item = OsString> + use<> {
    let bytes = path.as_bytes();
    let last = bytes.ends_with(b"/").then(|| OsString::from("."));
    let steps: Vec<OsString> = bytes
        .split(|byte| *byte == b'/')
        .filter(|step| !step.is_empty())
        .map(|step| OsString::from_vec(step.to_vec()))
        .collect();
    steps.into_iter().chain(last)
}

/// The shared tree that a link of this text in the directory `here` stands for, where it is one that the client made: from a generation's
/// root by its whole path, from another shared tree by its name beside that one.
fn shared_tree(trees: &Path, here: &Path, text: &Path) -> Option<PathBuf> {
    let name = text.file_name().filter(|name| is_shared_name(name))?;
    let shared = trees.join(name);
    let is_own = match here.strip_prefix(trees) {
        Ok(inside) => {
            let up = inside.components().filter(|component| matches!(component, Component::Normal(_))).count();
            text.as_os_str().as_bytes() == [&b"../".repeat(up), name.as_bytes()].concat()
        }
        Err(_) => text == shared,
    };
    is_own.then_some(shared)
}

/// Whether it is `<TreeId>-<layout>`.
fn is_shared_name(name: &OsStr) -> bool {
    let parts = name.to_str().and_then(|text| text.split_once('-'));
    parts.is_some_and(|(id, layout)| {
        is_id(id) && layout.len() == 16 && layout.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn unless_gone<T>(outcome: io::Result<T>, path: &Path) -> Result<Option<T>, VersionedCodeError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> VersionedCodeError {
    let path = path.to_owned();
    move |source| VersionedCodeError::Read { path, source }
}

//! What the commit of a number holds: a tree that follows from the number alone, so that nobody has to remember it.
//!
//! The number itself stands in many places, so that a mix of two commits shows; the rest comes, goes, changes and stays at paces of
//! its own, so that a deploy finds all kinds of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::support::random::Random;
use crate::support::shows::differences;

/// Environments that are always there. Catalogs of them show the number.
pub(super) const ENVIRONMENTS: [&str; 2] = ["production", "development"];

const MODULES: u64 = 6;

/// Places whose content changes at paces of their own.
const SLOTS: u64 = 48;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    File { content: Vec<u8>, executable: bool },
    Link(String),
}

type Tree = BTreeMap<String, Entry>;

fn text(number: u64) -> Entry {
    Entry::File { content: number.to_string().into_bytes(), executable: false }
}

/// The files that hold the number.
fn numbered() -> impl Iterator<Item = String> {
    ENVIRONMENTS.into_iter().flat_map(|environment| {
        let modules =
            (0..MODULES).map(move |module| format!("environments/{environment}/modules/m{module}/manifests/init.pp"));
        std::iter::once(format!("environments/{environment}/version")).chain(modules)
    })
}

fn tree(number: u64) -> Tree {
    let mut tree: Tree = numbered().map(|path| (path, text(number))).collect();
    // Environments come and go.
    tree.insert(format!("environments/feature{}/version", number / 3 % 3), text(number / 3));
    tree.insert("site.yaml".to_owned(), text(number / 11));
    for slot in 0..SLOTS {
        let epoch = number / (1 + slot % 7);
        let mut random = Random::new(slot << 40 | epoch);
        let (environment, module) = (ENVIRONMENTS[(slot % 2) as usize], slot % MODULES);
        let kind = random.below(9);
        let executable = kind == 2;
        let entry = match kind {
            0 => continue,
            1 => Entry::Link("../manifests/init.pp".to_owned()),
            3 => Entry::File { content: Vec::new(), executable },
            4 => Entry::File { content: b"the same everywhere".to_vec(), executable },
            5 => Entry::File { content: random.bytes(40_000), executable },
            _ => {
                let length = random.below(3000);
                Entry::File { content: random.bytes(length), executable }
            }
        };
        tree.insert(format!("environments/{environment}/modules/m{module}/files/s{slot}"), entry);
    }
    tree
}

/// Makes a directory hold what the commit of this number holds, and changes no more than it must.
pub(super) fn write(number: u64, root: &Path) {
    let tree = tree(number);
    fs::create_dir_all(root).unwrap();
    remove_others(&tree, root, "");
    for (path, entry) in &tree {
        let real = root.join(path);
        fs::create_dir_all(real.parent().unwrap()).unwrap();
        if read(&real).as_ref() == Some(entry) {
            continue;
        }
        let _ = fs::remove_file(&real);
        match entry {
            Entry::Link(target) => symlink(target, real).unwrap(),
            Entry::File { content, executable } => {
                fs::write(&real, content).unwrap();
                fs::set_permissions(&real, fs::Permissions::from_mode(if *executable { 0o755 } else { 0o644 }))
                    .unwrap();
            }
        }
    }
}

fn read(path: &Path) -> Option<Entry> {
    let kind = fs::symlink_metadata(path).ok()?;
    if kind.is_symlink() {
        return Some(Entry::Link(fs::read_link(path).unwrap().into_os_string().into_string().unwrap()));
    }
    Some(Entry::File { content: fs::read(path).ok()?, executable: kind.permissions().mode() & 0o100 != 0 })
}

/// Removes what the tree does not have; a directory that holds nothing of it goes whole.
fn remove_others(tree: &Tree, root: &Path, dir: &str) {
    for entry in fs::read_dir(root.join(dir)).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
        if !entry.file_type().unwrap().is_dir() {
            if !tree.contains_key(&path) {
                fs::remove_file(entry.path()).unwrap();
            }
        } else if tree.keys().any(|other| other.strip_prefix(&path).is_some_and(|rest| rest.starts_with('/'))) {
            remove_others(tree, root, &path);
        } else {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

/// A path that holds the number, for whoever asks the primary.
pub(super) fn a_numbered_path() -> String {
    numbered().last().unwrap()
}

/// The number of the commit that `current` shows, and shows whole, entry by entry; `None` where nothing is live yet. `current` must stand
/// still. `scratch` is a directory of the caller's own.
#[track_caller]
pub(super) fn shown_whole(current: &Path, scratch: &Path) -> Option<u64> {
    fs::symlink_metadata(current).ok()?;
    Some(shown(current, scratch).unwrap_or_else(|wrong| panic!("{wrong}")))
}

fn shown(current: &Path, scratch: &Path) -> Result<u64, String> {
    let read = |path: String| fs::read_to_string(current.join(&path)).map_err(|error| format!("{path}: {error}"));
    let numbers = numbered().map(read).collect::<Result<BTreeSet<String>, String>>()?;
    if numbers.len() != 1 {
        return Err(format!("current is a mix of {numbers:?}"));
    }
    let number = numbers.iter().find_map(|number| number.parse().ok());
    let number = number.ok_or_else(|| format!("current shows no number: {numbers:?}"))?;
    write(number, scratch);
    let differences = differences(scratch, current);
    if differences.is_empty() {
        return Ok(number);
    }
    Err(format!("current is not what commit {number} was:\n{}", differences.join("\n")))
}

#[test]
fn two_commits_that_follow_one_another_differ_and_a_mix_of_them_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (staging, scratch) = (folder.path().join("staging"), folder.path().join("scratch"));
    let readable = |dir: &Path| {
        // As a client shows it: nothing may be written.
        for path in tree(7).keys().map(|path| dir.join(path)).filter(|path| !path.is_symlink()) {
            let mode = if fs::metadata(&path).unwrap().permissions().mode() & 0o100 == 0 { 0o444 } else { 0o555 };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    for number in 0..7 {
        assert_ne!(tree(number), tree(number + 1));
        write(number, &staging);
    }
    write(7, &staging);
    readable(&staging);
    assert_eq!(shown(&staging, &scratch), Ok(7));
    for break_it in [
        |staging: &Path| fs::remove_file(staging.join("site.yaml")).unwrap(),
        |staging: &Path| fs::write(staging.join("more"), "").unwrap(),
        |staging: &Path| {
            let path = staging.join(a_numbered_path());
            fs::remove_file(&path).unwrap();
            fs::write(path, "6").unwrap();
        },
    ] {
        write(7, &staging);
        readable(&staging);
        break_it(&staging);
        let found = shown(&staging, &scratch);
        assert!(found.is_err(), "{found:?}");
    }
    assert_eq!(shown_whole(&folder.path().join("nothing"), &scratch), None);
}

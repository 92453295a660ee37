//! A tree in memory: the model that staging and `current` are held against.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::random::Random;

/// The content of a file, small to write down: as many bytes as it says, made from the seed.
#[derive(Debug, Clone, Copy)]
pub struct Content {
    pub seed: u64,
    pub length: usize,
}

impl Content {
    pub fn bytes(self) -> Vec<u8> {
        Random::new(self.seed).bytes(self.length)
    }
}

impl PartialEq for Content {
    /// Two seeds may make the same few bytes.
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && (self.seed == other.seed || self.bytes() == other.bytes())
    }
}

impl Eq for Content {}

/// One entry of a tree.
#[derive(Clone, PartialEq, Eq)]
pub enum Node {
    Dir,
    File { content: Content, executable: bool },
    Link(Vec<u8>),
}

/// Paths from the root, parts joined by `/`, with what stands there. The root itself is not listed; every directory is.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Tree(BTreeMap<Vec<u8>, Node>);

impl Tree {
    pub fn get(&self, path: &[u8]) -> Option<&Node> {
        self.0.get(path)
    }

    pub fn is_dir(&self, path: &[u8]) -> bool {
        path.is_empty() || self.get(path) == Some(&Node::Dir)
    }

    pub fn entries(&self) -> impl Iterator<Item = (&Vec<u8>, &Node)> {
        self.0.iter()
    }

    pub fn paths(&self) -> Vec<Vec<u8>> {
        self.0.keys().cloned().collect()
    }

    /// All directories, the root too.
    pub fn dirs(&self) -> Vec<Vec<u8>> {
        let dirs = self.0.iter().filter(|(_, node)| **node == Node::Dir).map(|(path, _)| path.clone());
        std::iter::once(Vec::new()).chain(dirs).collect()
    }

    /// Puts an entry in place of what stands at `path`, with the directories above it.
    pub fn put(&mut self, path: impl AsRef<[u8]>, node: Node) {
        let path = path.as_ref();
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            if !self.is_dir(&path[..at]) {
                self.0.insert(path[..at].to_vec(), Node::Dir);
            }
        }
        if node == Node::Dir && self.is_dir(path) {
            return;
        }
        self.remove(path);
        self.0.insert(path.to_vec(), node);
    }

    pub fn file(&mut self, path: impl AsRef<[u8]>, seed: u64, length: usize) {
        self.put(path, Node::File { content: Content { seed, length }, executable: false });
    }

    pub fn link(&mut self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) {
        self.put(path, Node::Link(target.as_ref().to_vec()));
    }

    pub fn dir(&mut self, path: impl AsRef<[u8]>) {
        self.put(path, Node::Dir);
    }

    /// Removes what stands at `path`, and everything below it.
    pub fn remove(&mut self, path: &[u8]) {
        self.0.retain(|other, _| other != path && !is_below(other, path));
    }

    /// What stands at `path` and below, by its path from there: the entry itself has the empty path.
    pub fn below(&self, path: &[u8]) -> Vec<(Vec<u8>, Node)> {
        let here = self.0.iter().filter(|(other, _)| other.as_slice() == path || is_below(other, path));
        here.map(|(other, node)| (other[path.len()..].to_vec(), node.clone())).collect()
    }

    /// Puts there what [`Tree::below`] gave, in place of what there was.
    pub fn graft(&mut self, path: &[u8], entries: &[(Vec<u8>, Node)]) {
        self.remove(path);
        for (rest, node) in entries {
            self.put([path, rest].concat(), node.clone());
        }
    }

    /// Makes a directory hold exactly this, changing no more than it must.
    pub fn write_to(&self, root: &Path) {
        fs::create_dir_all(root).unwrap();
        self.remove_others(root, b"");
        for (path, node) in &self.0 {
            let real = real(root, path);
            match node {
                Node::Dir if real.is_dir() => {}
                Node::Dir => fs::create_dir(real).unwrap(),
                Node::Link(target) => {
                    if !real.is_symlink() {
                        symlink(OsStr::from_bytes(target), real).unwrap();
                    }
                }
                Node::File { content, executable } => {
                    let bytes = content.bytes();
                    if !real.is_file() || fs::read(&real).unwrap() != bytes {
                        fs::write(&real, bytes).unwrap();
                    }
                    let mode = if *executable { 0o755 } else { 0o644 };
                    if fs::metadata(&real).unwrap().permissions().mode() & 0o777 != mode {
                        fs::set_permissions(&real, fs::Permissions::from_mode(mode)).unwrap();
                    }
                }
            }
        }
    }

    /// Removes what is not in this tree, or is of another kind there.
    fn remove_others(&self, root: &Path, dir: &[u8]) {
        for entry in fs::read_dir(real(root, dir)).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (join(dir, entry.file_name().as_bytes()), entry.file_type().unwrap());
            let stays = match self.get(&path) {
                Some(Node::Dir) => kind.is_dir(),
                Some(Node::File { .. }) => kind.is_file(),
                Some(Node::Link(target)) => {
                    kind.is_symlink() && fs::read_link(entry.path()).unwrap().into_os_string().into_vec() == *target
                }
                None => false,
            };
            match (stays, kind.is_dir()) {
                (true, true) => self.remove_others(root, &path),
                (true, false) => {}
                (false, true) => fs::remove_dir_all(entry.path()).unwrap(),
                (false, false) => fs::remove_file(entry.path()).unwrap(),
            }
        }
    }
}

/// `name` in the directory `dir`.
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

/// The directory that holds what stands at `path`.
pub fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |at| &path[..at])
}

pub fn depth(path: &[u8]) -> usize {
    if path.is_empty() { 0 } else { 1 + path.iter().filter(|byte| **byte == b'/').count() }
}

pub fn is_below(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() && !path.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with(b"/"))
}

fn real(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path))
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Dir => f.write_str("directory"),
            Node::File { content, executable } => {
                let kind = if *executable { "executable" } else { "file" };
                write!(f, "{kind} of {} bytes (seed {})", content.length, content.seed)
            }
            Node::Link(target) => write!(f, "-> {}", target.escape_ascii()),
        }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\n")?;
        self.0.iter().try_for_each(|(path, node)| writeln!(f, "    {}: {node:?}", path.escape_ascii()))
    }
}

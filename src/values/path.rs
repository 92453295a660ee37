//! A path inside a tree: a list of names, from the root down.

use std::fmt;

use super::name::display_bytes;
use super::{Name, NameError};

/// Zero or more names joined by `/`. Empty means the root. Cannot be absolute, cannot hold `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TreePath(Vec<u8>);

/// Why bytes are not a path inside a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path {path:?} is not one inside a tree")]
pub struct PathError {
    path: String,
    #[source]
    source: NameError,
}

impl TreePath {
    /// The path of the root itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Checks each part of `bytes`, which are joined by single slashes; empty bytes give the root.
    pub fn new(bytes: &[u8]) -> Result<Self, PathError> {
        if bytes.is_empty() {
            return Ok(Self::root());
        }
        for part in bytes.split(|byte| *byte == b'/') {
            if let Err(source) = Name::new(part) {
                return Err(PathError { path: String::from_utf8_lossy(bytes).chars().take(300).collect(), source });
            }
        }
        Ok(Self(bytes.to_vec()))
    }

    /// This path, one level deeper.
    pub fn join(&self, name: &Name) -> Self {
        let mut deeper = self.clone();
        deeper.push(name);
        deeper
    }

    /// Goes one level deeper.
    pub fn push(&mut self, name: &Name) {
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name.as_bytes());
    }

    /// The directory that holds this entry; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// The last part; `None` for the root.
    pub fn name(&self) -> Option<Name> {
        self.names().last()
    }

    /// The parts, from the root down.
    pub fn names(&self) -> impl Iterator<Item = Name> + '_ {
        let parts = self.0.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        parts.map(|part| Name::new(part).expect("parts were checked when the path was made"))
    }

    /// How many parts there are; 0 for the root.
    pub fn depth(&self) -> usize {
        if self.0.is_empty() { 0 } else { 1 + self.0.iter().filter(|byte| **byte == b'/').count() }
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left of this path below `base`: empty when they are equal, `None` when it does not lie there.
    pub fn below(&self, base: &TreePath) -> Option<TreePath> {
        if base.0.is_empty() {
            return Some(self.clone());
        }
        match self.0.strip_prefix(base.0.as_slice())? {
            [] => Some(Self::root()),
            [b'/', rest @ ..] => Some(Self(rest.to_vec())),
            _ => None,
        }
    }

    /// The bytes, parts joined by `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display_bytes(&self.0, f)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_could_leave_the_tree_is_refused() {
        for wrong in ["/", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\0"] {
            assert!(TreePath::new(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn parents_and_names_take_a_path_apart() {
        assert_eq!(path("a/b").parent(), Some(path("a")));
        assert_eq!(path("a").parent(), Some(TreePath::root()));
        assert_eq!(TreePath::root().parent(), None);
        assert_eq!(path("a/b").name(), Some(Name::new(b"b").unwrap()));
        assert_eq!((path("a/b").depth(), TreePath::root().depth()), (2, 0));
    }

    #[test]
    fn below_compares_whole_names() {
        assert_eq!(path("a/b/c").below(&path("a")), Some(path("b/c")));
        assert_eq!(path("ab/c").below(&path("a")), None);
        assert_eq!(path("a").below(&path("a")), Some(TreePath::root()));
        assert_eq!(path("a").below(&TreePath::root()), Some(path("a")));
    }
}

//! Which directories are built once per content: the patterns of `shared-dirs`.

use std::collections::BTreeSet;

use crate::values::TreePath;

/// Patterns over paths from the root. `*` matches within one name; a path matches a pattern of the same depth only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SharedDirs(Vec<TreePath>);

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a pattern for shared-dirs: names joined by '/', in which '*' matches any part of one name")]
pub struct PatternError(String);

impl SharedDirs {
    /// Checks and takes the patterns.
    pub fn new(patterns: &[impl AsRef<str>]) -> Result<Self, PatternError> {
        let parse = |pattern: &str| match TreePath::new(pattern.as_bytes()) {
            Ok(parts) if !parts.is_root() => Ok(parts),
            _ => Err(PatternError(pattern.to_owned())),
        };
        patterns.iter().map(|pattern| parse(pattern.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// The patterns, each written as a path.
    pub(super) fn patterns(&self) -> &[TreePath] {
        &self.0
    }

    /// The inverse of [`SharedDirs::patterns`].
    pub(super) fn from_patterns(patterns: Vec<TreePath>) -> Self {
        Self(patterns)
    }

    /// Whether the directory at `path` matches.
    pub fn matches(&self, path: &TreePath) -> bool {
        self.0.iter().any(|pattern| pattern.depth() == path.depth() && begins(pattern, path))
    }

    /// Whether a directory below `path` can match.
    pub fn may_match_below(&self, path: &TreePath) -> bool {
        self.0.iter().any(|pattern| pattern.depth() > path.depth() && begins(pattern, path))
    }

    /// Stands for the patterns and the directories that are kept in place in spite of them: where both are equal, equal trees
    /// at equal paths are laid out alike.
    pub(super) fn rules(&self, in_place: &BTreeSet<TreePath>) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for path in self.0.iter().chain(in_place) {
            hasher.update(path.as_bytes());
            // No path holds a NUL, and none is empty: the end of the patterns cannot be mistaken.
            hasher.update(&[0]);
        }
        hasher.update(&(self.0.len() as u64).to_le_bytes());
        *hasher.finalize().as_bytes()
    }
}

/// Whether the first parts of `pattern` match those of `path`.
fn begins(pattern: &TreePath, path: &TreePath) -> bool {
    pattern.names().zip(path.names()).all(|(part, name)| wildcard(part.as_bytes(), name.as_bytes()))
}

/// `*` in `pattern` stands for any bytes, none too; everything else for itself.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let mut pieces = pattern.split(|byte| *byte == b'*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&[u8]> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        // The leftmost fit is as good as any other: what follows only needs room.
        let fit = (0..=rest.len().saturating_sub(piece.len())).find(|at| rest[*at..].starts_with(piece));
        match fit {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_star_stands_for_any_part_of_one_name() {
        for (pattern, text, fits) in [
            ("*", "anything", true),
            ("*modules*", "modules", true),
            ("*modules*", "site-modules", true),
            ("*modules*", "modules-site", true),
            ("*modules*", "module", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(wildcard(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn the_defaults_share_environments_and_modules() {
        let shared = SharedDirs::new(&["environments/*", "environments/*/*modules/*", "modules/*"]).unwrap();
        for matching in [
            "environments/production",
            "environments/dev/modules/apache",
            "environments/dev/site-modules/x",
            "modules/x",
        ] {
            assert!(shared.matches(&path(matching)), "{matching}");
        }
        for other in ["", "environments", "modules", "modules/x/manifests", "environments/dev/modules", "data/x"] {
            assert!(!shared.matches(&path(other)), "{other}");
        }
        assert!(shared.may_match_below(&path("environments/dev/modules")));
        assert!(!shared.may_match_below(&path("environments/dev/data")));
        assert!(!shared.may_match_below(&path("modules/x")));
    }

    #[test]
    fn a_pattern_that_could_leave_the_tree_is_refused() {
        for wrong in ["", "/x", "x/", "a//b", "..", "a/../b"] {
            assert!(SharedDirs::new(&[wrong]).is_err(), "{wrong:?}");
        }
    }
}

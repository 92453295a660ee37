//! The patterns of `shared-dirs`: a path matches where a slower and plainer matcher says so.
//!
//! The input: a pattern, a new line, a path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sceneshift::farm::SharedDirs;
use sceneshift::values::TreePath;

fuzz_target!(|input: &[u8]| {
    let Some(at) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (pattern, path) = (&input[..at], &input[at + 1..]);
    let (Ok(pattern), Ok(path)) = (std::str::from_utf8(pattern), TreePath::new(path)) else { return };
    let Ok(shared) = SharedDirs::new(&[pattern]) else { return };
    if path.is_root() {
        return assert!(!shared.matches(&path), "the root can be no shared tree");
    }
    assert_eq!(shared.matches(&path), fits(pattern.as_bytes(), path.as_bytes()));
    let parents = std::iter::successors(path.parent(), TreePath::parent);
    if shared.matches(&path) {
        assert!(!shared.may_match_below(&path));
        parents.for_each(|parent| assert!(shared.may_match_below(&parent), "{parent} would not be searched"));
    }
});

/// `*` stands for any bytes but `/`, everything else for itself. Walks the pattern, keeping all the places in the path where it may stand.
fn fits(pattern: &[u8], path: &[u8]) -> bool {
    let mut stands = vec![false; path.len() + 1];
    stands[0] = true;
    for part in pattern {
        if *part == b'*' {
            for at in 0..path.len() {
                stands[at + 1] |= stands[at] && path[at] != b'/';
            }
        } else {
            for at in (0..path.len()).rev() {
                stands[at + 1] = stands[at] && path[at] == *part;
            }
            stands[0] = false;
        }
    }
    stands[path.len()]
}

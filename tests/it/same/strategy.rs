//! Random estates: what Puppet people stage, and what nobody would.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::tree::{Content, Node, Tree, depth, is_below, join, parent};

/// Where a blob stops being stored whole.
const WHOLE: usize = 1 << 20;

/// The directories that Puppet looks into. Random names among them make the shared ones.
const USUAL: &[&str] = &[
    "environments",
    "environments/a",
    "environments/a/modules",
    "environments/a/modules/m",
    "environments/b",
    "environments/b/modules",
    "environments/b/modules/m",
    "environments/b/site-modules/m",
    "modules",
    "modules/m",
    "modules/n/lib",
];

/// One step of making an estate. Which entry it is about is chosen among those there are by then.
#[derive(Debug, Clone)]
enum Step {
    /// A new directory in one that is there, or a file, in place of what has this name.
    Put { dir: Index, name: Vec<u8>, node: Node },
    /// A symbolic link.
    Link { dir: Index, name: Vec<u8>, to: Target },
    /// The same content once more: what clients share.
    Copy { from: Index, dir: Index, name: Vec<u8> },
    /// Away with it.
    Remove { which: Index },
    /// A file becomes a directory, a directory a file.
    Turn { which: Index },
    /// The executable bit.
    Flip { which: Index },
    /// Directories in each other.
    Nest { dir: Index, levels: usize },
}

/// Where a link points.
#[derive(Debug, Clone)]
enum Target {
    /// These bytes, whatever they mean.
    Bytes(Vec<u8>),
    /// Itself.
    Itself,
    /// An entry, by the shortest way, or by the root.
    Entry { to: Index, by_root: bool },
    /// An entry, by a way that goes into another and out again by `..`.
    Detour { over: Index, to: Index },
    /// Something outside of staging, by `..`.
    Outside,
}

/// Two estates, the second made from the first.
pub(super) fn estates() -> impl Strategy<Value = (Tree, Tree)> {
    (any::<u16>(), vec(step(), 0..40), vec(step(), 0..12)).prop_map(|(usual, steps, more)| {
        let mut before = Tree::default();
        for (at, dir) in USUAL.iter().enumerate() {
            if usual & 1 << at != 0 {
                before.dir(dir);
            }
        }
        steps.iter().for_each(|step| step.take(&mut before));
        let mut after = before.clone();
        more.iter().for_each(|step| step.take(&mut after));
        (before, after)
    })
}

fn step() -> impl Strategy<Value = Step> {
    let put = (any::<Index>(), name(), node()).prop_map(|(dir, name, node)| Step::Put { dir, name, node });
    let link = (any::<Index>(), name(), target()).prop_map(|(dir, name, to)| Step::Link { dir, name, to });
    let copy = (any::<Index>(), any::<Index>(), name()).prop_map(|(from, dir, name)| Step::Copy { from, dir, name });
    prop_oneof![
        8 => put,
        8 => link,
        3 => copy,
        2 => any::<Index>().prop_map(|which| Step::Remove { which }),
        2 => any::<Index>().prop_map(|which| Step::Turn { which }),
        1 => any::<Index>().prop_map(|which| Step::Flip { which }),
        1 => (any::<Index>(), 1..200_usize).prop_map(|(dir, levels)| Step::Nest { dir, levels }),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    let length = prop_oneof![
        30 => 1..200_usize,
        8 => Just(0),
        1 => Just(WHOLE - 1),
        1 => Just(WHOLE),
        1 => Just(WHOLE + 1),
        1 => WHOLE..3 * WHOLE,
    ];
    // Few seeds: the same content at many places.
    let file = (0..6_u64, length, any::<bool>())
        .prop_map(|(seed, length, executable)| Node::File { content: Content { seed, length }, executable });
    prop_oneof![3 => Just(Node::Dir), 5 => file]
}

/// Any name but those that the system and the program keep to themselves.
fn name() -> impl Strategy<Value = Vec<u8>> {
    const PUPPETS: &[&[u8]] =
        &[b"m", b"n", b"modules", b"site-modules", b"environments", b"a", b"b", b"lib", b"manifests"];
    const ODD: &[&[u8]] = &[b"...", b" ", b"\n", b"\xff\xfe", b"-rf", b"a\\b", b"*", b"\x1b[2J", b".hidden", b"~"];
    let any_byte = prop_oneof![1..b'/', b'/' + 1..=255];
    prop_oneof![
        8 => proptest::sample::select(PUPPETS).prop_map(<[u8]>::to_vec),
        2 => proptest::sample::select(ODD).prop_map(<[u8]>::to_vec),
        2 => vec(any_byte.clone(), 1..10),
        1 => vec(any_byte, 255),
    ]
    .prop_filter("names that stand for something else", |name| {
        ![&b"."[..], b"..", b".git", b".r10k-deploy.json"].contains(&name.as_slice())
    })
}

fn target() -> impl Strategy<Value = Target> {
    const ODD: &[&[u8]] =
        &[b"nowhere", b"/etc/hostname", b"/nowhere/at/all", b".", b"..", b"./", b"m/..", b"a//b/", b"\n", b"../m/."];
    prop_oneof![
        3 => proptest::sample::select(ODD).prop_map(|bytes| Target::Bytes(bytes.to_vec())),
        1 => vec(1_u8.., 1..300).prop_map(Target::Bytes),
        1 => Just(Target::Itself),
        6 => (any::<Index>(), any::<bool>()).prop_map(|(to, by_root)| Target::Entry { to, by_root }),
        4 => (any::<Index>(), any::<Index>()).prop_map(|(over, to)| Target::Detour { over, to }),
        1 => Just(Target::Outside),
    ]
}

impl Step {
    fn take(&self, tree: &mut Tree) {
        let (dirs, paths) = (&tree.dirs()[..], &tree.paths()[..]);
        let pick = |index: &Index| (!paths.is_empty()).then(|| index.get(paths).clone());
        match self {
            Step::Put { dir, name, node } => put(tree, &join(dir.get::<Vec<u8>>(dirs), name), node.clone()),
            Step::Link { dir, name, to } => {
                let at = join(dir.get::<Vec<u8>>(dirs), name);
                if let Some(target) = to.text(&at, paths).filter(|text| (1..4096).contains(&text.len())) {
                    put(tree, &at, Node::Link(target));
                }
            }
            Step::Copy { from, dir, name } => {
                let Some(from) = pick(from) else { return };
                let to = join(dir.get::<Vec<u8>>(dirs), name);
                // Not into itself, and not in place of what holds it.
                if to != from && !is_below(&to, &from) && !is_below(&from, &to) && tree.below(&from).len() < 60 {
                    for (rest, node) in tree.below(&from) {
                        put(tree, &[to.as_slice(), &rest].concat(), node);
                    }
                }
            }
            Step::Remove { which } => pick(which).into_iter().for_each(|path| tree.remove(&path)),
            Step::Turn { which } => {
                let Some(path) = pick(which) else { return };
                match tree.get(&path) {
                    Some(Node::Dir) => tree.file(&path, 1, 20),
                    _ => {
                        tree.dir(&path);
                        put(tree, &join(&path, b"m"), Node::Dir);
                    }
                }
            }
            Step::Flip { which } => {
                let Some(path) = pick(which) else { return };
                if let Some(Node::File { content, executable }) = tree.get(&path).cloned() {
                    tree.put(&path, Node::File { content, executable: !executable });
                }
            }
            Step::Nest { dir, levels } => {
                let mut path = dir.get::<Vec<u8>>(dirs).clone();
                for _ in 0..*levels {
                    path = join(&path, b"d");
                }
                put(tree, &path, Node::File { content: Content { seed: 2, length: 9 }, executable: false });
            }
        }
    }
}

/// Puts it there unless that is too deep or too long for the paths that the tests use.
fn put(tree: &mut Tree, path: &[u8], node: Node) {
    if path.len() < 3000 && depth(path) < 200 {
        tree.put(path, node);
    }
}

impl Target {
    fn text(&self, at: &[u8], paths: &[Vec<u8>]) -> Option<Vec<u8>> {
        let dir = parent(at);
        let pick = |index: &Index| (!paths.is_empty()).then(|| index.get(paths));
        Some(match self {
            Target::Bytes(bytes) => bytes.clone(),
            Target::Itself => at.rsplit(|byte| *byte == b'/').next()?.to_vec(),
            Target::Entry { to, by_root } => from_dir(dir, pick(to)?, *by_root),
            Target::Detour { over, to } => {
                let over = pick(over)?;
                let mut text = from_dir(dir, over, false);
                text.extend(b"/..".repeat(depth(over)));
                text.push(b'/');
                text.extend(pick(to)?);
                text
            }
            Target::Outside => [&b"../".repeat(depth(dir) + 1)[..], b"outside"].concat(),
        })
    }
}

/// The way from a directory to an entry.
fn from_dir(dir: &[u8], to: &[u8], by_root: bool) -> Vec<u8> {
    let split = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let (from, to) = (split(dir), split(to));
    let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let common = if by_root { 0 } else { common.min(to.len().saturating_sub(1)) };
    let ups = vec![b"..".to_vec(); from.len() - common];
    [ups, to[common..].to_vec()].concat().join(&b'/')
}

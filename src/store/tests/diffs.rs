//! What differs between two trees.

use std::ops::ControlFlow;

use super::*;
use crate::values::{MAX_DEPTH, Target};

fn listed(store: &Store, from: Option<TreeId>, to: TreeId) -> Vec<(String, Change)> {
    let mut changes = Vec::new();
    let mut list = |path: &TreePath, change| {
        changes.push((path.to_string(), change));
        ControlFlow::Continue(())
    };
    diff(store, from, to, &mut list).unwrap();
    changes
}

fn root_of(store: &Fixture, files: &[(&str, &[u8])]) -> TreeId {
    write_files(&store.begin_commit(&repo_name("code")), files).id
}

#[test]
fn added_modified_and_removed_files_are_told_by_path() {
    let store = Fixture::new();
    let before: &[(&str, &[u8])] =
        &[("a", b"1"), ("gone", b"1"), ("dir/x", b"1"), ("dir/y", b"1"), ("old/deep/z", b"1"), ("same/w", b"1")];
    let after: &[(&str, &[u8])] =
        &[("a", b"2"), ("new", b"1"), ("dir/x", b"1"), ("dir/y", b"2"), ("fresh/deep/z", b"1"), ("same/w", b"1")];
    let (before, after) = (root_of(&store, before), root_of(&store, after));
    let expected = [
        ("a", Change::Modified),
        ("dir/y", Change::Modified),
        ("fresh/deep/z", Change::Added),
        ("gone", Change::Removed),
        ("new", Change::Added),
        ("old/deep/z", Change::Removed),
    ];
    assert_eq!(listed(&store, Some(before), after), expected.map(|(path, change)| (path.to_owned(), change)));
    let counts = count_changes(&**store, Some(before), after).unwrap();
    assert_eq!(counts, ChangeCounts { added: 2, modified: 2, removed: 2 });
    assert_eq!(count_changes(&**store, None, after).unwrap().added, 6);
    assert_eq!(count_changes(&**store, Some(after), after).unwrap(), ChangeCounts::default());
}

#[test]
fn a_file_that_becomes_a_directory_is_gone_and_its_content_new() {
    let store = Fixture::new();
    let file_first = root_of(&store, &[("x", b"1")]);
    let dir_then = root_of(&store, &[("x/a", b"1"), ("x/b", b"1")]);
    let there = [("x", Change::Removed), ("x/a", Change::Added), ("x/b", Change::Added)];
    assert_eq!(listed(&store, Some(file_first), dir_then), there.map(|(path, change)| (path.to_owned(), change)));
    let back = [("x/a", Change::Removed), ("x/b", Change::Removed), ("x", Change::Added)];
    assert_eq!(listed(&store, Some(dir_then), file_first), back.map(|(path, change)| (path.to_owned(), change)));
    let counts = count_changes(&**store, Some(dir_then), file_first).unwrap();
    assert_eq!(counts, ChangeCounts { added: 1, modified: 0, removed: 2 });
}

#[test]
fn a_bit_a_target_and_a_kind_are_changes_too() {
    let store = Fixture::new();
    let guard = store.begin_commit(&repo_name("code"));
    let link = |target: &str| Entry::Symlink(Target::new(target.as_bytes()).unwrap());
    let executable = Entry::File { id: BlobId::of(b"1"), executable: true, size: 1 };
    let before = write_tree(
        &guard,
        vec![
            (name("bit"), file(b"1")),
            (name("kind"), file(b"1")),
            (name("same"), link("here")),
            (name("target"), link("here")),
        ],
    );
    let after = write_tree(
        &guard,
        vec![
            (name("bit"), executable),
            (name("kind"), link("here")),
            (name("same"), link("here")),
            (name("target"), link("there")),
        ],
    );
    let expected = ["bit", "kind", "target"].map(|path| (path.to_owned(), Change::Modified));
    assert_eq!(listed(&store, Some(before.id), after.id), expected);
    assert_eq!(count_changes(&**store, None, after.id).unwrap().added, 4, "links count like files");
}

#[test]
fn equal_subtrees_are_not_read_and_counting_reads_only_what_both_sides_have() {
    let store = Fixture::new();
    let before = root_of(&store, &[("same/a", b"1"), ("b", b"1")]);
    let after = root_of(&store, &[("same/a", b"1"), ("b", b"2"), ("new/c", b"1"), ("new/d", b"1")]);
    for dir in ["same", "new"] {
        let tree = store.tree(&after).unwrap().unwrap();
        let Some(Entry::Tree(subtree)) = tree.get(dir.as_bytes()) else { panic!() };
        store.remove_raw(Family::Trees, subtree.id.as_bytes());
    }
    let counts = count_changes(&**store, Some(before), after).unwrap();
    assert_eq!(counts, ChangeCounts { added: 2, modified: 1, removed: 0 });
    let listed = diff(&**store, Some(before), after, &mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(listed, Err(StoreError::Missing { family: Family::Trees, .. })), "{listed:?}");
}

#[test]
fn a_visitor_that_has_seen_enough_ends_the_walk() {
    let store = Fixture::new();
    let root = root_of(&store, &[("a/1", b"1"), ("a/2", b"1"), ("b/3", b"1")]);
    let mut seen = 0;
    let mut see = |_: &TreePath, _| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    diff(&**store, None, root, &mut see).unwrap();
    assert_eq!(seen, 2);
}

#[test]
fn trees_nested_beyond_the_limit_are_damage_and_no_overflow() {
    let store = Fixture::new();
    let guard = store.begin_commit(&repo_name("code"));
    let mut subtree = write_tree(&guard, vec![(name("leaf"), file(b"1"))]);
    for _ in 1..MAX_DEPTH {
        subtree = write_tree(&guard, vec![(name("d"), Entry::Tree(subtree))]);
    }
    assert_eq!(listed(&store, None, subtree.id).len(), 1, "as deep as the format allows");
    subtree = write_tree(&guard, vec![(name("d"), Entry::Tree(subtree))]);
    let deeper = diff(&**store, None, subtree.id, &mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(deeper, Err(StoreError::Damaged { source: Damage::TooDeep, .. })), "{deeper:?}");
}

//! Staging, committed, fetched and deployed, is what `current` shows: random trees, and each find as a plain test.

mod finds;
mod strategy;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::rig::Rig;
use crate::support::shows::differences;
use crate::support::tree::{Node, Tree};

/// What the client shares: the usual, nothing, whole environments, and what nobody should.
const LAYOUTS: &[&str] = &[
    "",
    "shared-dirs = []",
    "shared-dirs = [\"environments/*\"]",
    "shared-dirs = [\"*\", \"*/*\", \"*/*/*\", \"*/*/*/*\"]",
];

/// How many random estates are tried; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(48)
}

/// Stages, commits and deploys one tree after another, and demands that each is shown, and that a second commit finds nothing new.
fn check(trees: &[&Tree], layout: &str) -> Result<(), TestCaseError> {
    let rig = Rig::with("", layout);
    for (at, tree) in trees.iter().enumerate() {
        rig.stage(tree);
        let first = rig.commit();
        rig.deploy();
        let found = differences(&rig.staging(), &rig.current());
        prop_assert!(found.is_empty(), "tree {at} is not shown:\n{}", found.join("\n"));
        let second = rig.commit();
        prop_assert!(!second.created && second.commit == first.commit, "tree {at} was committed twice");
        let files = tree.entries().filter(|(_, node)| matches!(node, Node::File { .. })).count();
        prop_assert_eq!(second.files, files as u64);
    }
    rig.assert_clean();
    Ok(())
}

/// For plain tests.
#[track_caller]
fn assert_same(trees: &[&Tree]) {
    LAYOUTS.iter().try_for_each(|layout| check(trees, layout)).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn whatever_is_staged_is_shown_and_committed_again_changes_nothing() {
    let config = Config { cases: cases(), failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let outcome = TestRunner::new(config).run(
        &(strategy::estates(), proptest::sample::select(LAYOUTS)),
        |((before, after), layout)| {
            // And back: what was a file, then a directory, is a file again.
            check(&[&before, &after, &before], layout)
        },
    );
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

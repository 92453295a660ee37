//! Random operations against a model that is a few maps: whatever happened before, what must be there is there, whole, and what must
//! be gone is gone.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::progress::Progress;

#[derive(Debug, Clone)]
enum Operation {
    /// Commits these contents, out of few, so that commits share them.
    Commit(BTreeMap<u8, u8>),
    Tag(Index, u8),
    Untag(u8),
    Gc(u64),
    Reopen,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let files = proptest::collection::btree_map(0..4u8, 0..4u8, 0..4);
    let operation = prop_oneof![
        5 => files.prop_map(Operation::Commit),
        2 => (any::<Index>(), 0..2u8).prop_map(|(which, tag)| Operation::Tag(which, tag)),
        1 => (0..2u8).prop_map(Operation::Untag),
        2 => (0..4u64).prop_map(Operation::Gc),
        1 => Just(Operation::Reopen),
    ];
    proptest::collection::vec(operation, 1..20)
}

/// What the store should know.
#[derive(Default)]
struct Model {
    /// Every commit that is kept, oldest first, with its sequence and the contents of its files.
    commits: Vec<(CommitId, u64, BTreeMap<u8, u8>)>,
    published: u64,
    tags: BTreeMap<u8, CommitId>,
}

fn content(which: u8) -> Vec<u8> {
    // One in four is large.
    if which == 3 { noise(3, 2 << 20) } else { vec![which; 3] }
}

fn run(operations: Vec<Operation>) {
    let mut store = Fixture::new();
    let mut model = Model::default();
    let repo = repo_name("code");
    for operation in operations {
        match operation {
            Operation::Commit(files) => {
                let paths: Vec<_> =
                    files.iter().map(|(file, which)| (format!("d{}/f{file}", file % 2), content(*which))).collect();
                let files_of: Vec<_> =
                    paths.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
                model.published += 1;
                let time = model.published as i64;
                let (id, _) = store.commit_files_at("code", time, &files_of);
                model.commits.push((id, model.published, files));
            }
            Operation::Tag(which, tag) if !model.commits.is_empty() => {
                let id = which.get(&model.commits).0;
                store.set_tag(&repo, &format!("t{tag}").parse().unwrap(), &id).unwrap();
                model.tags.insert(tag, id);
            }
            Operation::Tag(..) => {}
            Operation::Untag(tag) => {
                let there = store.remove_tag(&repo, &format!("t{tag}").parse().unwrap()).unwrap();
                assert_eq!(there, model.tags.remove(&tag).is_some());
            }
            Operation::Gc(keep_commits) => {
                let retention = Retention { keep_commits, keep_since: i64::MAX };
                let plan = GcPlan { repos: [(repo.clone(), retention)].into(), pinned: BTreeSet::new() };
                let report = store.gc(&plan, &Progress::default()).unwrap();
                let before = model.commits.len();
                let newest = model.published;
                model.commits.retain(|(id, sequence, _)| {
                    newest - sequence < keep_commits.max(1) || model.tags.values().any(|tagged| tagged == id)
                });
                assert_eq!(report.commits as usize, before - model.commits.len());
                assert_objects_are_those_of(&store, &model);
            }
            Operation::Reopen => store.reopen(),
        }
        assert_eq!(store.head(&repo).unwrap(), model.commits.last().map(|(id, ..)| *id));
        for (id, ..) in &model.commits {
            assert_whole(&**store, id);
        }
    }
}

/// After GC no blob is left that no kept commit has.
fn assert_objects_are_those_of(store: &Store, model: &Model) {
    for which in 0..4 {
        let expected = model.commits.iter().any(|(.., files)| files.values().any(|other| *other == which));
        assert_eq!(store.blob_is_there(&BlobId::of(&content(which))).unwrap(), expected, "content {which}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_kept_commits_are_whole_and_the_rest_is_gone(operations in operations()) {
        run(operations);
    }
}

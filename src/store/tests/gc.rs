//! GC: what it keeps, what it removes, and what may go on meanwhile.

use super::*;
use crate::progress::Progress;
use crate::store::gc::Garbage;
use crate::values::TagName;

/// Keeps the last `keep_commits` of `code`, and nothing for its age.
fn keeping(keep_commits: u64) -> GcPlan {
    let retention = Retention { keep_commits, keep_since: i64::MAX };
    GcPlan { repos: [(repo_name("code"), retention)].into(), ..GcPlan::default() }
}

fn gc(store: &Store, plan: &GcPlan) -> GcReport {
    store.gc(plan, &Progress::default()).unwrap()
}

fn tag(text: &str) -> TagName {
    text.parse().unwrap()
}

/// Commits files that only this commit has, and one that all have.
fn commit_round(store: &Fixture, round: u64) -> CommitId {
    let own = round.to_le_bytes();
    store.commit_files_at("code", round as i64, &[("all", b"shared"), ("own", &own), ("dir/own", &own)]).0
}

#[test]
fn the_last_commits_tags_young_and_pinned_ones_stay_and_the_rest_goes() {
    let store = Fixture::new();
    let ids: Vec<_> = (0..10).map(|round| commit_round(&store, round)).collect();
    let (other, _) = store.commit_files("other", &[("a", b"of a repo without a plan")]);
    store.set_tag(&repo_name("code"), &tag("stable"), &ids[1]).unwrap();
    let mut plan = keeping(2);
    plan.pinned.insert(ids[3]);
    plan.repos.get_mut(&repo_name("code")).unwrap().keep_since = 7;
    let kept = [1, 3, 7, 8, 9];

    let report = gc(&store, &plan);
    for (round, id) in ids.iter().enumerate() {
        if kept.contains(&round) {
            assert_whole(&**store, id);
        } else {
            assert_eq!(store.commit(id).unwrap(), None, "commit {round}");
            assert!(!store.blob_is_there(&BlobId::of(&(round as u64).to_le_bytes())).unwrap(), "blob of {round}");
        }
    }
    assert_whole(&**store, &other);
    assert_eq!(report, GcReport { commits: 5, trees: 10, blobs: 5, bytes: 40, kept_commits: 6 });
    let (history, next) = store.history(ids[9], 10).unwrap();
    assert_eq!((history.len(), next), (3, None), "history ends where GC took the rest");

    // A tag that stands apart from the rest of the history is still found the next time.
    assert_eq!(gc(&store, &plan), GcReport { kept_commits: 6, ..GcReport::default() });
    store.remove_tag(&repo_name("code"), &tag("stable")).unwrap();
    assert_eq!(gc(&store, &plan).commits, 1);
}

#[test]
fn the_head_stays_even_where_nothing_is_to_be_kept() {
    let store = Fixture::new();
    commit_round(&store, 0);
    let head = commit_round(&store, 1);
    assert_eq!(gc(&store, &keeping(0)).commits, 1);
    assert_whole(&**store, &head);
}

#[test]
fn chunks_go_with_the_last_blob_that_has_them() {
    let store = Fixture::new();
    let mut content = noise(1, 8 << 20);
    let (old, _) = store.commit_files("code", &[("big", &content)]);
    let before = BlobId::of(&content);
    content[4 << 20] ^= 1;
    let (new, _) = store.commit_files("code", &[("big", &content)]);
    assert_whole(&**store, &old);
    let report = gc(&store, &keeping(1));
    assert_whole(&**store, &new);
    assert!(!store.blob_is_there(&before).unwrap());
    assert_eq!(report.blobs, 2, "one list and the one chunk that differs");
    assert!((256 << 10..=1 << 20).contains(&report.bytes), "{} bytes", report.bytes);
}

#[test]
fn a_commit_that_finds_its_content_among_the_garbage_keeps_it() {
    let store = Fixture::new();
    commit_round(&store, 0);
    commit_round(&store, 1);
    let (plan, progress) = (keeping(1), Progress::default());
    let turn = store.gate.collect().unwrap();
    let garbage = Garbage::find(&store, &plan, &progress).unwrap();
    // Blobs and trees of the first commit are garbage by now; this one uses them again, beside something new.
    let guard = store.begin_commit(&repo_name("code"));
    assert!(!guard.write_blob(&mut &0u64.to_le_bytes()[..]).unwrap().new);
    let own = 0u64.to_le_bytes();
    let root = write_files(&guard, &[("dir/own", &own), ("new", b"new")]);
    let head = guard.publish(&next_commit(&store, "code", root, 2), []).unwrap();
    drop(guard);
    garbage.sweep(&store, &plan, &progress, &turn.sweep().unwrap()).unwrap();
    assert_whole(&**store, &head);
}

#[test]
fn a_commit_tagged_while_gc_looks_is_not_removed() {
    let store = Fixture::new();
    let old = commit_round(&store, 0);
    commit_round(&store, 1);
    let (plan, progress) = (keeping(1), Progress::default());
    let turn = store.gate.collect().unwrap();
    let garbage = Garbage::find(&store, &plan, &progress).unwrap();
    store.set_tag(&repo_name("code"), &tag("late"), &old).unwrap();
    garbage.sweep(&store, &plan, &progress, &turn.sweep().unwrap()).unwrap();
    assert_whole(&**store, &old);
}

#[test]
fn gc_waits_for_a_commit_under_way_before_it_removes() {
    let store = Fixture::new();
    commit_round(&store, 0);
    commit_round(&store, 1);
    let guard = store.begin_commit(&repo_name("code"));
    std::thread::scope(|scope| {
        let collecting = scope.spawn(|| gc(&store, &keeping(1)));
        // Whatever the collector does by now, what this commit found is still there when it publishes.
        let own = 0u64.to_le_bytes();
        let root = write_files(&guard, &[("own", &own)]);
        assert!(!collecting.is_finished());
        let head = guard.publish(&next_commit(&store, "code", root, 2), []).unwrap();
        drop(guard);
        collecting.join().unwrap();
        assert_whole(&**store, &head);
    });
}

#[test]
fn a_snapshot_reads_everything_that_gc_has_removed() {
    let store = Fixture::new();
    let large = noise(2, 3 << 20);
    let (old, _) = store.commit_files("code", &[("big", &large), ("dir/small", b"small")]);
    let snapshot = store.snapshot();
    let (new, _) = store.commit_files("code", &[("a", b"1")]);
    assert_eq!(gc(&store, &keeping(1)).commits, 1);
    assert_eq!(store.commit(&old).unwrap(), None);
    assert_whole(&snapshot, &old);
    assert_eq!(snapshot.commit(&new).unwrap(), None, "and nothing that came later");
    assert_eq!(snapshot.head(&repo_name("code")).unwrap(), Some(old));
    assert_eq!(snapshot.history(old, 10).unwrap().0.len(), 1);
}

#[test]
fn the_stat_cache_does_not_vouch_for_what_is_gone() {
    let mut store = Fixture::new();
    let repo = repo_name("code");
    let guard = store.begin_commit(&repo);
    let old = write_files(&guard, &[("a", b"old")]);
    let new = write_files(&guard, &[("a", b"new")]);
    let record = |tree: Option<TreeId>, content: &[u8]| {
        let id = BlobId::of(content);
        let file = CachedFile { name: name("a"), inode: 1, size: 3, mtime: 0, ctime: 0, mode: 0o644, id };
        Some(StatRecord::new(1, tree, vec![file]))
    };
    let cache = [
        (path("blob-goes"), record(None, b"old")),
        (path("tree-goes"), record(Some(old.id), b"new")),
        (path("stays"), record(Some(new.id), b"new")),
    ];
    guard.publish(&next_commit(&store, "code", new, 0), cache).unwrap();
    drop(guard);
    store.put_raw(Family::StatCache, b"code\0undecodable", b"?");
    gc(&store, &keeping(1));
    store.reopen();
    assert!(!store.blob_is_there(&BlobId::of(b"old")).unwrap());
    assert_eq!(store.stat_cached_dirs(&repo).unwrap(), [path("stays")]);
}

#[test]
fn nothing_is_removed_while_somebody_holds_gc_off() {
    let store = Fixture::new();
    let old = commit_round(&store, 0);
    commit_round(&store, 1);
    let hold = store.hold_gc();
    let second = store.hold_gc();
    drop(hold);
    let held = store.gc(&keeping(1), &Progress::default());
    assert!(matches!(held, Err(StoreError::Held)), "{held:?}");
    // Commits go on.
    let head = commit_round(&store, 2);
    assert_whole(&**store, &old);
    drop(second);
    assert_eq!(gc(&store, &keeping(1)).commits, 2);
    assert_whole(&**store, &head);
}

#[test]
fn a_hold_that_comes_while_gc_looks_ends_it() {
    let store = Fixture::new();
    let turn = store.gate.collect().unwrap();
    assert!(matches!(store.gc(&keeping(1), &Progress::default()), Err(StoreError::Held)), "one at a time");
    let hold = store.hold_gc();
    assert!(turn.sweep().is_none());
    drop(hold);
    assert!(turn.sweep().is_some());
    drop(turn);
    gc(&store, &keeping(1));
}

#[test]
fn a_store_with_damage_is_left_as_it_is() {
    let store = Fixture::new();
    let old = commit_round(&store, 0);
    let head = commit_round(&store, 1);
    let root = store.commit(&head).unwrap().unwrap().root;
    let canonical = store.tree_bytes(&root.id).unwrap().unwrap();
    store.remove_raw(Family::Trees, root.id.as_bytes());
    let missing = store.gc(&keeping(1), &Progress::default());
    assert!(matches!(missing, Err(StoreError::Missing { family: Family::Trees, .. })), "{missing:?}");
    store.put_raw(Family::Trees, root.id.as_bytes(), b"?");
    let damaged = store.gc(&keeping(1), &Progress::default());
    assert!(matches!(damaged, Err(StoreError::Damaged { family: Family::Trees, .. })), "{damaged:?}");
    assert_whole(&**store, &old);
    store.begin_commit(&repo_name("code")).replace_trees([(root.id, canonical)]).unwrap();
    assert_eq!(gc(&store, &keeping(1)).commits, 1);
    assert_whole(&**store, &head);
}

#[test]
fn a_cancelled_gc_removes_nothing() {
    let store = Fixture::new();
    let old = commit_round(&store, 0);
    commit_round(&store, 1);
    let progress = Progress::default();
    progress.cancel();
    assert!(matches!(store.gc(&keeping(1), &progress), Err(StoreError::Cancelled)));
    assert_whole(&**store, &old);
    gc(&store, &keeping(1));
}

#[test]
fn the_space_of_what_was_removed_returns() {
    let store = Fixture::new();
    for round in 0..4u64 {
        store.commit_files("code", &[("big", &noise(round, 16 << 20))]);
    }
    let tables = |store: &Fixture| -> u64 {
        let files = std::fs::read_dir(store.folder.path().join("data/store")).unwrap().map(Result::unwrap);
        let tables = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "sst"));
        tables.map(|file| file.metadata().unwrap().len()).sum()
    };
    let snapshot = store.snapshot();
    gc(&store, &keeping(3));
    assert!(tables(&store) > 60 << 20, "the snapshot can still read everything");
    drop(snapshot);
    gc(&store, &keeping(1));
    assert!(tables(&store) < 20 << 20, "{} bytes are left", tables(&store));
}

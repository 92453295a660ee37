//! Objects, heads and history.

use super::*;

#[test]
fn what_was_committed_is_there_after_a_reopen_without_a_clean_end() {
    let mut store = Fixture::new();
    let (first, _) = store.commit_files("code", &[("site.pp", b"one"), ("modules/a/init.pp", b"class a {}")]);
    let (second, commit) = store.commit_files("code", &[("site.pp", b"two")]);
    store.reopen();
    assert_eq!(store.head(&repo_name("code")).unwrap(), Some(second));
    assert_eq!(store.commit(&second).unwrap(), Some(commit));
    assert_whole(&**store, &first);
    assert_whole(&**store, &second);
}

#[test]
fn objects_of_a_commit_that_was_never_published_move_no_head() {
    let mut store = Fixture::new();
    let (head, _) = store.commit_files("code", &[("a", b"1")]);
    let guard = store.begin_commit(&repo_name("code"));
    write_files(&guard, &[("a", b"2")]);
    drop(guard);
    store.reopen();
    assert_eq!(store.head(&repo_name("code")).unwrap(), Some(head));
    assert!(store.blob_is_there(&BlobId::of(b"2")).unwrap(), "the next commit finds and uses it");
}

#[test]
fn a_copy_of_the_files_at_any_moment_after_a_commit_holds_its_head_whole() {
    let store = Fixture::new();
    for round in 0..5u64 {
        let content = noise(round, 3 << 20);
        let (head, _) = store.commit_files("code", &[("big", &content), ("small", &round.to_le_bytes())]);
        // What a power cut leaves at best is what is on disk now: no flush, no closing.
        let copy = store.folder.path().join(format!("copy-{round}"));
        copy_dir(&store.folder.path().join("data/store"), &copy);
        let reopened = Store::open_read_only(&copy).unwrap();
        assert_eq!(reopened.head(&repo_name("code")).unwrap(), Some(head));
        assert_whole(&reopened, &head);
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_blob_that_is_there_is_not_written_again() {
    let store = Fixture::new();
    let write = |content: &[u8]| store.begin_commit(&repo_name("code")).write_blob(&mut &*content).unwrap();
    let first = write(b"content");
    assert_eq!(first, WrittenBlob { id: BlobId::of(b"content"), size: 7, new: true });
    assert!(!write(b"content").new);
    assert!(write(b"").new, "the empty blob is a blob");
    assert_eq!(store.blob(&first.id).unwrap(), Some(StoredBlob::Whole(b"content".to_vec())));
    assert_eq!(store.blob(&BlobId::of(b"other")).unwrap(), None);
}

#[test]
fn a_commit_that_does_not_follow_the_head_is_refused() {
    let store = Fixture::new();
    let (head, commit) = store.commit_files("code", &[("a", b"1")]);
    let guard = store.begin_commit(&repo_name("code"));
    let again = guard.publish(&commit, []);
    assert!(matches!(again, Err(StoreError::HeadMoved { head: Some(found), .. }) if found == head));
    let unwritten = Subtree { id: TreeId::of(b"nowhere"), totals: Totals::default() };
    let not_whole = guard.publish(&next_commit(&store, "code", unwritten, 0), []);
    assert!(matches!(not_whole, Err(StoreError::NotWhole(id)) if id == unwritten.id));
    let other = guard.publish(&next_commit(&store, "other", commit.root, 0), []);
    assert!(matches!(other, Err(StoreError::OtherRepo { .. })));
    let unfit = Commit { sequence: 7, ..commit };
    assert!(matches!(guard.publish(&unfit, []), Err(StoreError::Unfit(_))));
    assert_eq!(store.heads().unwrap(), [(repo_name("code"), head)]);
}

#[test]
fn history_goes_from_the_newest_to_the_oldest_in_parts() {
    let store = Fixture::new();
    let ids: Vec<_> = (0..5u8).map(|round| store.commit_files("code", &[("a", &[round])]).0).collect();
    let listed = |from, limit| {
        let (commits, next) = store.history(from, limit).unwrap();
        (commits.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), next)
    };
    assert_eq!(listed(ids[4], 3), (vec![ids[4], ids[3], ids[2]], Some(ids[1])));
    assert_eq!(listed(ids[1], 3), (vec![ids[1], ids[0]], None));
    assert_eq!(listed(ids[1], 2), (vec![ids[1], ids[0]], None));
    assert_eq!(listed(CommitId::of(b"none"), 3), (vec![], None));
}

#[test]
fn a_record_that_does_not_decode_is_damage_that_names_it() {
    let store = Fixture::new();
    let id = TreeId::of(b"x");
    store.put_raw(Family::Trees, id.as_bytes(), b"\x02rubbish");
    let error = store.tree(&id).unwrap_err();
    assert!(
        matches!(&error, StoreError::Damaged { family: Family::Trees, source: Damage::Decode(_), .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains(&id.to_string()), "{error}");
    assert!(error.to_string().contains("trees"), "{error}");

    store.put_raw(Family::Heads, b"code", b"short");
    let error = store.head(&repo_name("code")).unwrap_err();
    assert!(error.to_string().contains("code"), "{error}");
    assert!(matches!(store.heads(), Err(StoreError::Damaged { family: Family::Heads, .. })));
}

#[test]
fn a_bit_that_flips_on_the_disk_is_damage_of_what_lay_there_and_of_nothing_else() {
    let mut store = Fixture::new();
    let (hit, whole) = (noise(1, 100_000), noise(2, 100_000));
    store.commit_files("code", &[("hit", &hit), ("whole", &whole)]);
    store.db.flush_cf(Family::Blobs.handle(&store.db)).unwrap();
    store.opened = None;
    let flipped = std::fs::read_dir(store.folder.path().join("data/store")).unwrap().any(|file| {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let place = bytes.windows(64).position(|window| window == &hit[50_000..50_064]);
        let is_table = path.extension().is_some_and(|kind| kind == "sst");
        place.filter(|_| is_table).is_some_and(|place| {
            bytes[place] ^= 1;
            std::fs::write(&path, bytes).is_ok()
        })
    });
    assert!(flipped);
    let closed = Store::open_read_only(&store.folder.path().join("data/store")).unwrap();
    let error = closed.blob(&BlobId::of(&hit)).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { source: Damage::Block(_), .. }), "{error:?}");
    assert!(error.to_string().contains(&BlobId::of(&hit).to_string()), "{error}");
    assert_eq!(read_blob(&closed, &BlobId::of(&whole)), Some(whole));
    let walked = closed.each_record(Family::Blobs, &mut |_, _| Ok(()));
    assert!(matches!(walked, Err(StoreError::DamagedBlocks { family: Family::Blobs, .. })), "{walked:?}");
}

#[test]
fn a_damaged_blob_is_replaced_by_a_good_one_when_it_is_asked_for() {
    let store = Fixture::new();
    let id = BlobId::of(b"good");
    store.put_raw(Family::Blobs, id.as_bytes(), b"\0bad!");
    let guard = store.begin_commit(&repo_name("code"));
    assert!(!guard.write_blob(&mut &b"good"[..]).unwrap().new, "a commit cannot see it without hashing");
    guard.replace_blob(&mut &b"good"[..]).unwrap();
    assert_eq!(read_blob(&**store, &id), Some(b"good".to_vec()));
}

#[test]
fn commits_of_one_repo_wait_for_each_other_and_those_of_others_do_not() {
    let store = Fixture::new();
    let guard = store.begin_commit(&repo_name("one"));
    drop(store.begin_commit(&repo_name("two")));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| drop(store.begin_commit(&repo_name("one"))));
        let head = store.commit_files("two", &[("a", b"1")]).0;
        assert_eq!(store.head(&repo_name("two")).unwrap(), Some(head));
        assert!(!waiting.is_finished());
        drop(guard);
        waiting.join().unwrap();
    });
}

#[test]
fn a_closed_store_can_be_read_and_not_written() {
    let mut store = Fixture::new();
    let (head, commit) = store.commit_files("code", &[("a", b"1")]);
    let path = store.folder.path().join("data/store");
    store.opened = None;
    let closed = Store::open_read_only(&path).unwrap();
    assert_whole(&closed, &head);
    let written = closed.begin_commit(&commit.repo).write_blob(&mut &b"new"[..]);
    assert!(matches!(written, Err(StoreError::Write { .. })), "{written:?}");
    assert!(matches!(Store::open_read_only(&path.join("none")), Err(StoreError::Open { .. })));
}

#[test]
fn a_checkpoint_is_a_store_of_its_own() {
    let store = Fixture::new();
    let (head, _) = store.commit_files("code", &[("a", b"1")]);
    let at = store.folder.path().join("data/tmp/checkpoint");
    store.checkpoint(&at).unwrap();
    let (later, _) = store.commit_files("code", &[("a", b"2")]);
    let checkpoint = Store::open_read_only(&at).unwrap();
    assert_eq!(checkpoint.head(&repo_name("code")).unwrap(), Some(head));
    assert_eq!(checkpoint.commit(&later).unwrap(), None);
    assert_whole(&checkpoint, &head);
    assert!(matches!(store.checkpoint(&at), Err(StoreError::Checkpoint { .. })), "never written over another");
}

#[test]
fn every_record_of_a_family_is_shown_with_its_key() {
    let store = Fixture::new();
    let (first, _) = store.commit_files("code", &[("a", b"1"), ("b", b"2")]);
    let mut ids = Vec::new();
    store
        .each_record(Family::Blobs, &mut |key, value| {
            assert!(
                matches!(codec::decode_blob_record(value), Ok(codec::BlobRecord::Whole(content)) if content.len() == 1)
            );
            ids.push(BlobId::from_bytes(key.try_into().unwrap()));
            Ok(())
        })
        .unwrap();
    let mut expected = [BlobId::of(b"1"), BlobId::of(b"2")];
    expected.sort();
    assert_eq!(ids, expected);
    let stop = store.each_record(Family::Commits, &mut |_, _| Err(StoreError::NoSuchCommit(first)));
    assert!(matches!(stop, Err(StoreError::NoSuchCommit(id)) if id == first), "the visitor can end the walk");
}

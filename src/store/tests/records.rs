//! The stat cache and the small records: tags, clients, staging directories.

use super::*;
use crate::store::stat_cache;

fn cached(text: &str) -> CachedFile {
    CachedFile { name: name(text), inode: 1, size: 2, mtime: -3, ctime: 4, mode: 0o644, id: BlobId::of(b"content") }
}

#[test]
fn a_stat_record_reads_back_whatever_the_order_it_was_made_in() {
    let store = Fixture::new();
    let repo = repo_name("code");
    let record = StatRecord::new(9, Some(TreeId::of(b"t")), vec![cached("b"), cached("a"), cached("b")]);
    let guard = store.begin_commit(&repo);
    guard.write_stat_cache([(path("modules/x"), Some(record.clone())), (TreePath::root(), None)]).unwrap();
    let read = store.stat_record(&repo, &path("modules/x")).unwrap().unwrap();
    assert_eq!(read, record);
    assert_eq!(read.file(&name("b")), Some(&cached("b")));
    assert_eq!(read.files().len(), 2);
    assert_eq!(read.file(&name("c")), None);
    assert_eq!(store.stat_record(&repo, &path("modules")).unwrap(), None);
    assert_eq!(store.stat_record(&repo_name("cod"), &path("modules/x")).unwrap(), None);
    assert_eq!(store.stat_cached_dirs(&repo).unwrap(), [path("modules/x")]);
    guard.write_stat_cache([(path("modules/x"), None)]).unwrap();
    assert_eq!(store.stat_record(&repo, &path("modules/x")).unwrap(), None);
}

#[test]
fn the_stat_cache_and_the_head_change_together() {
    let mut store = Fixture::new();
    let repo = repo_name("code");
    let guard = store.begin_commit(&repo);
    let root = write_files(&guard, &[("a", b"content")]);
    let record = StatRecord::new(1, Some(root.id), vec![cached("a")]);
    let commit = next_commit(&store, "code", root, 0);
    guard.publish(&commit, [(TreePath::root(), Some(record.clone()))]).unwrap();
    drop(guard);
    store.reopen();
    assert_eq!(store.stat_record(&repo, &TreePath::root()).unwrap(), Some(record));
}

#[test]
fn a_stat_record_that_does_not_decode_is_no_record() {
    let store = Fixture::new();
    let repo = repo_name("code");
    let good = stat_cache::encode(&StatRecord::new(1, None, vec![cached("a"), cached("b")]));
    let key = b"code\0dir";
    store.put_raw(Family::StatCache, key, &good);
    assert!(store.stat_record(&repo, &path("dir")).unwrap().is_some());
    let mut unsorted = good.clone();
    let b = unsorted.iter().rposition(|byte| *byte == b'b').unwrap();
    unsorted[b] = b'a';
    for bad in [&good[..good.len() - 1], &[&good[..], b"x"].concat(), b"", &unsorted] {
        store.put_raw(Family::StatCache, key, bad);
        assert_eq!(store.stat_record(&repo, &path("dir")).unwrap(), None, "{bad:?}");
    }
}

#[test]
fn tags_are_given_moved_and_taken_away() {
    let store = Fixture::new();
    let (first, _) = store.commit_files("code", &[("a", b"1")]);
    let (second, _) = store.commit_files("code", &[("a", b"2")]);
    let (other, _) = store.commit_files("code2", &[("a", b"2")]);
    let repo = repo_name("code");
    let tag = |text: &str| text.parse::<crate::values::TagName>().unwrap();
    store.set_tag(&repo, &tag("stable"), &first).unwrap();
    store.set_tag(&repo, &tag("before"), &first).unwrap();
    store.set_tag(&repo, &tag("stable"), &second).unwrap();
    store.set_tag(&repo_name("code2"), &tag("stable"), &other).unwrap();
    assert_eq!(store.tags(&repo).unwrap(), [(tag("before"), first), (tag("stable"), second)]);
    let foreign = store.set_tag(&repo, &tag("x"), &other);
    assert!(matches!(foreign, Err(StoreError::NoSuchCommit(id)) if id == other), "a commit of another repo");
    assert!(store.remove_tag(&repo, &tag("before")).unwrap());
    assert!(!store.remove_tag(&repo, &tag("before")).unwrap());
    assert_eq!(store.tags(&repo).unwrap(), [(tag("stable"), second)]);
}

#[test]
fn clients_and_staging_directories_are_remembered() {
    let mut store = Fixture::new();
    store.put_client("b.example.com", b"{}").unwrap();
    store.put_client("a.example.com", b"{\"old\":1}").unwrap();
    store.put_client("a.example.com", b"{\"new\":1}").unwrap();
    store.set_staging(&repo_name("code"), Path::new("/etc/code")).unwrap();
    store.reopen();
    let clients = store.clients().unwrap();
    assert_eq!(clients, [("a.example.com".into(), b"{\"new\":1}".to_vec()), ("b.example.com".into(), b"{}".to_vec())]);
    assert_eq!(store.staging_dirs().unwrap(), [(repo_name("code"), "/etc/code".into())]);
}

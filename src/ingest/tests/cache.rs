//! What is read again, and what is not.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::SystemTime;

use super::*;

#[test]
fn a_commit_that_changes_nothing_creates_and_reads_nothing() {
    let site = site();
    site.write("a/b", "1");
    site.write("c", "2");
    let first = site.commit_by(&LaterClock).unwrap();
    let clock = Watched::new(|_, _| ());
    let second = site.commit_by(&clock).unwrap();
    assert_eq!((second.commit, second.created, second.changes), (first.commit, false, Changes::default()));
    assert_eq!(clock.looks(), 4, "two directories and two files, once each, no file opened");
}

#[test]
fn one_changed_file_is_the_only_one_read() {
    let site = site();
    for file in ["a/1", "a/2", "b/1", "b/2"] {
        site.write(file, file);
    }
    site.commit_by(&LaterClock).unwrap();
    site.write("a/1", "new");
    let before = site.record("b").unwrap();
    let answer = site.commit_by(&LaterClock).unwrap();
    assert_eq!(answer.changes, Changes { added: 0, modified: 1, removed: 0 });
    assert_eq!(site.record("b").unwrap(), before);
    let looks = Watched::new(|_, _| ());
    assert!(!site.commit_by(&looks).unwrap().created);
    assert_eq!(looks.looks(), 7, "afterwards the cache vouches for every file");
}

#[test]
fn a_change_of_the_same_size_with_the_old_mtime_is_seen() {
    let site = site();
    site.write("x", "old");
    site.commit_by(&LaterClock).unwrap();
    let mtime = fs::metadata(site.at("x")).unwrap().modified().unwrap();
    site.write("x", "new");
    fs::File::options().write(true).open(site.at("x")).unwrap().set_modified(mtime).unwrap();
    assert!(site.commit_by(&LaterClock).unwrap().created);
    assert_eq!(site.content("x").as_deref(), Some("new"));
}

#[test]
fn a_file_renamed_over_another_with_its_mtime_is_seen() {
    let site = site();
    site.write("x", "old");
    site.commit_by(&LaterClock).unwrap();
    let mtime = fs::metadata(site.at("x")).unwrap().modified().unwrap();
    let other = site.folder.path().join("other");
    fs::write(&other, "new").unwrap();
    fs::File::options().write(true).open(&other).unwrap().set_modified(mtime).unwrap();
    fs::rename(other, site.at("x")).unwrap();
    assert!(site.commit_by(&LaterClock).unwrap().created);
    assert_eq!(site.content("x").as_deref(), Some("new"));
}

#[test]
fn the_executable_bit_alone_is_a_change() {
    let site = site();
    site.write("x", "1");
    site.commit_by(&LaterClock).unwrap();
    fs::set_permissions(site.at("x"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(site.commit_by(&LaterClock).unwrap().changes.modified, 1);
    assert_eq!(site.content("x").as_deref(), Some("*1"));
    fs::set_permissions(site.at("x"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(!site.commit_by(&LaterClock).unwrap().created, "only the owner's bit counts");
}

#[test]
fn a_file_dated_in_the_future_is_never_cached() {
    let site = site();
    site.write("x", "1");
    let future = SystemTime::now() + Duration::from_secs(86_400);
    fs::File::options().write(true).open(site.at("x")).unwrap().set_modified(future).unwrap();
    site.commit();
    assert_eq!(site.record("").unwrap().files(), []);
    assert!(!site.commit().created);
}

/// A file system that counts only every second second: all that is done in this test happens within one tick.
struct SlowClock<'a> {
    now: AtomicI64,
    while_waiting: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
}

const TICK: i64 = 1_800_000_000_000_000_000;

impl Clock for SlowClock<'_> {
    fn now(&self, _: &Dir) -> i64 {
        self.now.load(Relaxed)
    }
    fn seen(&self, stat: Stat) -> Stat {
        Stat { mtime: TICK, ctime: TICK, ..stat }
    }
    fn wait(&self, _: Duration) {
        if let Some(act) = self.while_waiting.lock().unwrap().take() {
            act();
        }
        self.now.fetch_add(100_000_000, Relaxed);
    }
}

#[test]
fn a_second_write_within_one_tick_of_two_seconds_is_not_lost() {
    let site = site();
    site.write("x", "old");
    let again = || fs::write(site.at("x"), "new").unwrap();
    let clock = SlowClock { now: TICK.into(), while_waiting: Mutex::new(Some(Box::new(again))) };
    site.commit_by(&clock).unwrap();
    assert_eq!(site.content("x").as_deref(), Some("new"), "same size, same stamps: only waiting finds it");
    assert!(clock.now.into_inner() >= TICK + 2_000_000_000);
}

#[test]
fn what_was_read_for_a_refused_commit_is_not_read_again() {
    let site = site();
    site.write("a/x", "1");
    site.write("b/y", "2");
    let file = inode(&site.at("b/y"));
    // Staging changes under every try: beside b/y there is always another new file.
    let clock = Watched::new(|count, stat| {
        if stat.inode == file {
            fs::write(site.at(&format!("b/{count}")), "").unwrap();
        }
    });
    assert!(matches!(site.commit_by(&clock), Err(IngestError::Changing { .. })));
    assert_eq!(site.record("a").unwrap().files().len(), 1);
}

#[test]
fn directories_that_are_gone_are_forgotten() {
    let site = site();
    site.write("a/b/c/x", "1");
    site.write("d", "1");
    site.commit();
    assert!(site.record("a/b/c").is_some());
    site.remove("a/b");
    site.commit();
    let dirs = site.store.stat_cached_dirs(&site.repo.name).unwrap();
    assert_eq!(dirs, [path(""), path("a")]);
}

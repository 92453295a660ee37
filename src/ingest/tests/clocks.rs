//! Clocks that jump, and two commits within one tick: no change is missed.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::*;

/// Any time; whole seconds, as of a file system that counts no finer.
const NOW: i64 = 1_800_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

/// A file system whose every stamp is `stamp`, at the time `now`; waiting lets time pass.
struct FakeClock {
    now: AtomicI64,
    stamp: AtomicI64,
    waited: AtomicI64,
}

impl FakeClock {
    fn new(now: i64, stamp: i64) -> Self {
        Self { now: now.into(), stamp: stamp.into(), waited: 0.into() }
    }
}

impl Clock for FakeClock {
    fn now(&self, _: &Dir) -> i64 {
        self.now.load(Relaxed)
    }
    fn seen(&self, stat: Stat) -> Stat {
        let stamp = self.stamp.load(Relaxed);
        Stat { mtime: stamp, ctime: stamp, ..stat }
    }
    fn wait(&self, time: Duration) {
        let time = time.as_nanos() as i64;
        self.now.fetch_add(time, Relaxed);
        self.waited.fetch_add(time, Relaxed);
    }
}

#[test]
fn a_change_in_the_tick_of_a_commit_that_changed_nothing_is_seen() {
    let site = site();
    site.write("x", "old");
    let first = site.commit_by(&FakeClock::new(NOW, NOW - HOUR)).unwrap();
    // Written again with the same content: read, found to be the head's, and nothing is waited for.
    let tick = FakeClock::new(NOW + HOUR, NOW + HOUR);
    site.write("x", "old");
    assert_eq!(site.commit_by(&tick).unwrap().commit, first.commit);
    site.write("x", "new");
    assert!(site.commit_by(&tick).unwrap().created, "same size, same stamps, the same tick");
    assert_eq!(site.content("x").as_deref(), Some("new"));
}

#[test]
fn two_commits_within_one_tick_are_both_right() {
    let site = site();
    let tick = FakeClock::new(NOW, NOW);
    for content in ["one", "two", "six"] {
        site.write("x", content);
        // Each waits until the tick is over, but the stamps stay what they were: as of a file system that stands still.
        tick.now.store(NOW, Relaxed);
        assert!(site.commit_by(&tick).unwrap().created, "{content}");
        assert_eq!(site.content("x").as_deref(), Some(content));
    }
}

#[test]
fn a_change_after_the_clock_was_set_back_is_seen() {
    let site = site();
    site.write("x", "old");
    site.commit_by(&FakeClock::new(NOW, NOW - HOUR)).unwrap();
    assert_eq!(site.record("").unwrap().files().len(), 1, "it is cached");
    site.write("x", "new");
    let back = FakeClock::new(NOW - 24 * HOUR, NOW - 25 * HOUR);
    assert!(site.commit_by(&back).unwrap().created);
    assert_eq!(site.content("x").as_deref(), Some("new"));
}

#[test]
fn files_from_a_future_that_was_taken_back_are_committed_without_waiting_and_not_cached() {
    let site = site();
    site.write("x", "old");
    let back = FakeClock::new(NOW, NOW + HOUR);
    assert!(site.commit_by(&back).unwrap().created);
    assert_eq!(back.waited.load(Relaxed), 0, "nobody waits for an hour");
    assert_eq!(site.record("").map_or(0, |record| record.files().len()), 0);
    // The clock comes to the very stamp that the file has, and it is written once more.
    site.write("x", "new");
    let again = FakeClock::new(NOW + HOUR, NOW + HOUR);
    assert!(site.commit_by(&again).unwrap().created);
    assert_eq!(site.content("x").as_deref(), Some("new"));
}

/// A clock that is set back by a second whenever somebody waits.
struct Backwards(FakeClock);

impl Clock for Backwards {
    fn now(&self, dir: &Dir) -> i64 {
        self.0.now(dir)
    }
    fn seen(&self, stat: Stat) -> Stat {
        self.0.seen(stat)
    }
    fn wait(&self, time: Duration) {
        self.0.wait(time);
        self.0.now.fetch_sub(SECOND, Relaxed);
    }
}

#[test]
fn a_clock_that_goes_backwards_while_a_commit_waits_ends_the_wait_all_the_same() {
    let site = site();
    site.write("x", "1");
    let clock = Backwards(FakeClock::new(NOW, NOW));
    // Committed or refused, but not for ever, and nothing is believed of what cannot be told apart.
    if site.commit_by(&clock).is_ok() {
        assert_eq!(site.content("x").as_deref(), Some("1"));
    }
    assert!(clock.0.waited.load(Relaxed) < 30 * SECOND);
    assert_eq!(site.record("").map_or(0, |record| record.files().len()), 0);
}

#[test]
fn a_file_replaced_by_one_with_the_same_size_and_stamps_is_seen_by_its_inode() {
    let site = site();
    site.write("x", "old");
    site.commit_by(&FakeClock::new(NOW, NOW - HOUR)).unwrap();
    let other = site.folder.path().join("other");
    fs::write(&other, "new").unwrap();
    fs::rename(other, site.at("x")).unwrap();
    assert!(site.commit_by(&FakeClock::new(NOW, NOW - HOUR)).unwrap().created);
    assert_eq!(site.content("x").as_deref(), Some("new"));
}

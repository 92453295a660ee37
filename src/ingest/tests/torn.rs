//! Staging that changes while it is read.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use super::*;

/// Two files that belong together, and something else that is looked at when one of them was read already.
fn pair() -> Site {
    let site = site();
    site.write("environments/p/a", "1");
    site.write("environments/p/b", "1");
    site
}

#[test]
fn a_change_between_the_reading_of_two_files_leads_to_another_try() {
    let site = pair();
    let second = inode(&site.at("environments/p/b"));
    let mut looks = 0;
    let clock = Watched::new(|_, stat| {
        if stat.inode == second {
            looks += 1;
            // The walk looked at it once; now it is opened, and its neighbour was read before.
            if looks == 2 {
                site.write("environments/p/a", "2");
                site.write("environments/p/c", "2");
            }
        }
    });
    site.commit_by(&clock).unwrap();
    let shown = site.shown();
    assert_eq!(shown.values().collect::<Vec<_>>(), ["2", "1", "2"], "{shown:?}");
}

#[test]
fn staging_that_never_stands_still_is_refused_with_the_paths() {
    let site = pair();
    let head = site.commit_by(&LaterClock).unwrap().commit;
    site.write("environments/p/a", "2");
    let second = inode(&site.at("environments/p/b"));
    let clock = Watched::new(|count, stat| {
        if stat.inode == second {
            site.write("environments/p/a", format!("{count}"));
        }
    });
    let error = site.commit_by(&clock).unwrap_err();
    assert!(matches!(&error, IngestError::Changing { paths } if *paths == [path("environments/p/a")]), "{error:?}");
    assert!(error.to_string().contains("environments/p/a"), "{error}");
    assert_eq!(site.head(), Some(head));
}

#[test]
fn a_file_that_grows_or_shrinks_while_it_is_read_is_a_change_and_no_damage() {
    for size in [10, 3 << 20] {
        let site = site();
        site.write("x", vec![b'x'; size]);
        let file = inode(&site.at("x"));
        let mut looks = 0;
        let clock = Watched::new(|_, stat| {
            if stat.inode == file {
                looks += 1;
                if looks == 2 {
                    // Opened and looked at; not read yet.
                    let open = fs::File::options().write(true).open(site.at("x")).unwrap();
                    open.set_len(size as u64 * 2).unwrap();
                }
                if looks == 4 {
                    let open = fs::File::options().write(true).open(site.at("x")).unwrap();
                    open.set_len(size as u64 / 2).unwrap();
                }
            }
        });
        let answer = site.commit_by(&clock).unwrap();
        assert_eq!(answer.bytes, size as u64 / 2);
    }
}

#[test]
fn a_directory_that_is_replaced_by_a_link_is_not_followed() {
    let site = pair();
    let outside = site.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a"), "secret").unwrap();
    let root = inode(&site.repo.staging_dir);
    let mut looks = 0;
    let clock = Watched::new(|_, stat| {
        if stat.inode == root {
            looks += 1;
            if looks == 2 {
                fs::rename(site.at("environments/p"), site.at("environments/q")).unwrap();
                symlink(&outside, site.at("environments/p")).unwrap();
            }
        }
    });
    site.commit_by(&clock).unwrap();
    let shown = site.shown();
    assert!(!shown.values().any(|content| content == "secret"), "{shown:?}");
    assert!(shown["environments/p"].starts_with("-> "), "{shown:?}");
}

/// Stamps as on a kernel that counts every 4 ms.
struct Ticking;

impl Clock for Ticking {
    fn now(&self, staging: &Dir) -> i64 {
        FileSystemClock.now(staging) / 4_000_000 * 4_000_000
    }
    fn seen(&self, stat: Stat) -> Stat {
        let tick = |time: i64| time / 4_000_000 * 4_000_000;
        Stat { mtime: tick(stat.mtime), ctime: tick(stat.ctime), ..stat }
    }
    fn wait(&self, time: Duration) {
        FileSystemClock.wait(time);
    }
}

#[test]
fn files_that_are_always_rewritten_together_are_never_committed_apart() {
    let site = pair();
    let stop = AtomicBool::new(false);
    let stalled = Mutex::new(Vec::new());
    let (mut made, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1000.. {
                if stop.load(Relaxed) {
                    return;
                }
                let begun = Instant::now();
                site.write("environments/p/a", format!("{number}"));
                site.write("environments/p/b", format!("{number}"));
                // Who stands still half-way cannot be told from who is done; on a busy machine that happens to this thread too.
                if begun.elapsed() > Duration::from_millis(10) {
                    stalled.lock().unwrap().push(number);
                }
                std::thread::sleep(Duration::from_millis([0, 1, 7, 60][number % 4]));
            }
        });
        for _ in 0..25 {
            match site.commit_by(&Ticking) {
                Ok(_) => {
                    made += 1;
                    let shown = site.shown();
                    let number = |file: &str| shown[file].parse::<usize>().unwrap_or(1000);
                    let (a, b) = (number("environments/p/a"), number("environments/p/b"));
                    let excused = stalled.lock().unwrap().contains(&a.max(b));
                    assert!(a == b || excused, "a is of pair {a}, b of pair {b}");
                }
                Err(IngestError::Changing { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        stop.store(true, Relaxed);
    });
    println!("{made} commits made, {refused} refused");
}

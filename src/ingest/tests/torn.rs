//! Staging that changes while it is read.

use std::io::Write;
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

/// Commits the pair; does something when its second file is opened: the first was read already.
fn commit_with_a_change_in_between(site: &Site, change: impl Fn() + Send + Sync) {
    let second = inode(&site.at("environments/p/b"));
    let mut looks = 0;
    let clock = Watched::new(|_, stat| {
        if stat.inode == second {
            looks += 1;
            // The first look was the walk's.
            if looks == 2 {
                change();
            }
        }
    });
    site.commit_by(&clock).unwrap();
}

#[test]
fn a_file_that_changes_after_it_was_read_leads_to_another_try() {
    let site = pair();
    commit_with_a_change_in_between(&site, || site.write("environments/p/a", "2"));
    assert_eq!(site.content("environments/p/a").as_deref(), Some("2"));
}

#[test]
fn a_file_that_comes_after_its_directory_was_read_leads_to_another_try() {
    let site = pair();
    commit_with_a_change_in_between(&site, || site.write("environments/p/c", "2"));
    assert_eq!(site.content("environments/p/c").as_deref(), Some("2"));
}

#[test]
fn a_link_that_changes_after_it_was_read_leads_to_another_try() {
    let site = pair();
    site.link("environments/p/a-link", "old");
    let change = || {
        // In one step, as deployments do it.
        symlink("new", site.at("environments/p/.new")).unwrap();
        fs::rename(site.at("environments/p/.new"), site.at("environments/p/a-link")).unwrap();
    };
    commit_with_a_change_in_between(&site, change);
    assert_eq!(site.content("environments/p/a-link").as_deref(), Some("-> new"));
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

/// Stops a thread also when an assertion fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn files_that_are_always_rewritten_together_are_never_committed_apart() {
    let site = site();
    site.write("environments/a/x", "1000");
    site.write("environments/z/x", "1000");
    // Some distance between the two.
    for number in 0..2000 {
        site.write(&format!("environments/m/{}/{number}", number % 20), "");
    }
    // In place and of the same size, so that nothing but time stamps tells.
    let write = |file: &str, number: usize| {
        let mut open = fs::File::options().write(true).open(site.at(file)).unwrap();
        open.write_all(number.to_string().as_bytes()).unwrap();
    };
    let stop = AtomicBool::new(false);
    // How long each pair took. Who stands still half-way cannot be told from who is done, and on a busy machine that happens here too.
    let took = Mutex::new(vec![Duration::ZERO; 1001]);
    let stood_still = |number: usize| {
        loop {
            match took.lock().unwrap().get(number) {
                Some(time) => return *time > Duration::from_millis(10),
                None => std::thread::yield_now(),
            }
        }
    };
    let (mut made, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1001..10_000 {
                if stop.load(Relaxed) {
                    return;
                }
                let begun = Instant::now();
                write("environments/a/x", number);
                write("environments/z/x", number);
                took.lock().unwrap().push(begun.elapsed());
                std::thread::sleep(Duration::from_millis([0, 20, 50, 150][number % 4]));
            }
        });
        let _stop = StopAtEnd(&stop);
        for _ in 0..25 {
            match site.commit_by(&Ticking) {
                Ok(_) => made += 1,
                Err(IngestError::Changing { .. }) => {
                    refused += 1;
                    continue;
                }
                Err(error) => panic!("{error}"),
            }
            let shown = site.shown();
            let number = |file: &str| shown[file].parse::<usize>().unwrap();
            let (a, z) = (number("environments/a/x"), number("environments/z/x"));
            assert!(a == z || stood_still(a.max(z)), "one is of pair {a}, the other of {z}");
        }
    });
    println!("{made} commits made, {refused} refused");
}

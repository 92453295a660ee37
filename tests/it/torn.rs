//! Staging that another thread writes to all the while: a commit is refused, or it is what staging was at one instant.
//!
//! The writer counts. In each round it writes its number to one file after another, in a fixed order, moves a module away in between, and
//! puts it back. So at every instant the numbers fall from each file to the next, by one at most in all: an old one before a new one was
//! never there.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use sceneshift::remote::FileAnswer;
use sceneshift::values::{CommitId, TreePath};
use sceneshift::wire::api::CommitRequest;

use crate::support::random::Random;
use crate::support::rig::Rig;
use crate::support::shows::assert_shows;

/// In the order in which they are written. The names make the walk meet them in another.
const IN_PLACE: [&str; 2] = ["environments/z/modules/m/first", "environments/a/modules/m/second"];
const REPLACED: [&str; 2] = ["environments/y/modules/m/third", "environments/b/modules/m/fourth"];
/// In the module that is moved away and back.
const MOVED: &str = "environments/c/modules/moved";
const INSIDE: &str = "environments/c/modules/moved/manifests/fifth";

/// How many files lie beside them that nobody touches.
const BESIDE: u64 = 6_000;

/// As many digits as a file holds: what is written in place is as long as before.
const DIGITS: usize = 12;

struct Writer {
    staging: PathBuf,
    away: PathBuf,
    in_place: [File; 2],
}

impl Writer {
    fn new(rig: &Rig) -> Self {
        let staging = rig.staging();
        for path in IN_PLACE.iter().chain(&REPLACED).chain([&INSIDE]) {
            fs::create_dir_all(staging.join(path).parent().unwrap()).unwrap();
            fs::write(staging.join(path), text(0)).unwrap();
        }
        // Much more, so that the walk takes a while, and comes to one file well before it comes to another.
        for at in 0..BESIDE {
            let dir = staging.join(format!("environments/m{}/modules/m{}", at % 7, at / 40));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join(format!("f{at}")), at.to_string()).unwrap();
        }
        let in_place = IN_PLACE.map(|path| File::options().write(true).open(staging.join(path)).unwrap());
        Self { staging, away: rig.folder().join("away"), in_place }
    }

    /// One round: `pause` is called between any two changes.
    fn round(&self, number: u64, pause: &mut dyn FnMut()) {
        for file in &self.in_place {
            file.write_all_at(text(number).as_bytes(), 0).unwrap();
            pause();
        }
        for path in REPLACED {
            let new = self.away.with_extension("new");
            fs::write(&new, text(number)).unwrap();
            fs::rename(new, self.staging.join(path)).unwrap();
            pause();
        }
        let moved = self.staging.join(MOVED);
        fs::rename(&moved, &self.away).unwrap();
        pause();
        fs::write(self.away.join("manifests/fifth"), text(number)).unwrap();
        fs::rename(&self.away, &moved).unwrap();
        pause();
    }
}

fn text(number: u64) -> String {
    format!("{number:0DIGITS$}")
}

/// The numbers in a commit, in the order in which they were written; the last is missing where the module was away.
fn numbers(rig: &Rig, commit: CommitId) -> Vec<u64> {
    let mut numbers = Vec::new();
    for path in IN_PLACE.iter().chain(&REPLACED).chain([&INSIDE]) {
        let (remote, path) = (rig.remote(), TreePath::new(path.as_bytes()).unwrap());
        let answer = rig.block_on(remote.listing_or_file(&rig.repo(), commit, &path));
        let mut content = match answer {
            Ok(FileAnswer::File(content)) => content,
            Err(error) if error.status() == Some(404) && numbers.len() == 4 => break,
            other => panic!("{other:?}"),
        };
        let mut text = String::new();
        std::io::Read::read_to_string(&mut content, &mut text).unwrap();
        numbers.push(text.parse().unwrap());
    }
    numbers
}

/// Commits while a writer writes, with pauses as `pause` makes them, until so much time is over. Answers how many commits were made and how
/// many were refused.
fn commit_while_writing(rig: &Rig, time: Duration, pause: impl Fn(&mut Random) -> Duration + Sync) -> (u32, u32) {
    let writer = Writer::new(rig);
    rig.commit();
    let done = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(7);
            let mut number = 1;
            while !done.load(SeqCst) {
                writer.round(number, &mut || {
                    let noise = format!("environments/m{}/noise", random.below(7));
                    fs::write(writer.staging.join(noise), number.to_string()).unwrap();
                    let pause = pause(&mut random);
                    if !pause.is_zero() {
                        std::thread::sleep(pause);
                    }
                });
                number += 1;
            }
        });
        // Also when an assertion fails the writer must end.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| commit_until(rig, time)));
        done.store(true, SeqCst);
        outcome
    });
    let (made, refused) = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    println!("{made} commits created, {refused} refused");

    // The writer stands still: now a commit is what is there.
    assert!((0..3).any(|_| rig.try_commit(&CommitRequest::default()).is_ok()));
    rig.deploy();
    assert_shows(&rig.staging(), &rig.current());
    (made, refused)
}

fn commit_until(rig: &Rig, time: Duration) -> (u32, u32) {
    let (begun, mut made, mut refused) = (Instant::now(), 0, 0);
    while begun.elapsed() < time {
        // Now and then only the environments of the first two files: all else is then as old as the head.
        let some = (made + refused) % 3 == 2;
        let environments = if some { vec!["z".into(), "a".into()] } else { Vec::new() };
        match rig.try_commit(&CommitRequest { environments, ..CommitRequest::default() }) {
            Ok(answer) => {
                let mut found = numbers(rig, answer.commit);
                found.truncate(if some { 2 } else { 5 });
                let falling = found.windows(2).all(|pair| pair[0] >= pair[1]);
                assert!(falling && found[0] - found[found.len() - 1] <= 1, "never in staging together: {found:?}");
                made += u32::from(answer.created);
            }
            Err(error) => {
                assert_eq!(error.status(), Some(409), "{error}");
                assert!(!error.paths().is_empty(), "it says what changed: {error}");
                refused += 1;
            }
        }
    }
    (made, refused)
}

#[test]
fn a_writer_without_a_pause_gets_no_commit_that_never_was() {
    let rig = Rig::new();
    let (_, refused) = commit_while_writing(&rig, Duration::from_secs(3), |_| Duration::ZERO);
    assert!(refused > 0, "staging changed all the while");
}

#[test]
fn a_writer_with_pauses_gets_commits_that_were_each_one_instant() {
    let rig = Rig::new();
    // Changes that come together, with pauses between that let a commit through: it meets them at every point of its way.
    let pause =
        |random: &mut Random| Duration::from_micros(random.next() % if random.once_in(4) { 80_000 } else { 4_000 });
    let (made, _) = commit_while_writing(&rig, Duration::from_secs(6), pause);
    assert!(made > 0, "there was time for a commit");
}

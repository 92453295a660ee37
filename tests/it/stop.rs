//! Being told to stop, and being killed, at a bad time: nothing acknowledged is lost, nothing half done is shown.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sceneshift::progress::Phase;
use sceneshift::remote::{HeadAnswer, Remote, RemoteError};
use sceneshift::values::CommitId;
use sceneshift::wire::api::{CommitAnswer, CommitRequest};
use tokio::runtime::Runtime;

use crate::support::process::{Process, Site, assert_clean, sceneshift};
use crate::support::random::Random;
use crate::support::shows::assert_shows;
use crate::support::wait::until;

/// How long anything may take.
const SOON: Duration = Duration::from_secs(30);

/// What takes a while: so many files of so many bytes.
const LARGE_FILES: usize = 40;
const LARGE: usize = 5 << 20;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

impl Site {
    /// Stages what takes a while to commit and to fetch.
    fn stage_much(&self) {
        let mut random = Random::new(9);
        for at in 0..LARGE_FILES {
            self.stage(&format!("environments/production/modules/much/files/{at}"), random.bytes(LARGE));
        }
    }

    /// Starts a commit by the command line, and waits until the primary is in the middle of it.
    fn start_commit(&self, runtime: &Runtime) -> std::process::Child {
        let mut command = sceneshift(&["commit", "--json", "-r", "puppet-code"]);
        command.env("SCENESHIFT_SERVER", self.address()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let (remote, repo) = (self.remote(), "puppet-code".parse().unwrap());
        until("the commit is under way", SOON, || {
            let progress = runtime.block_on(remote.progress(&repo)).unwrap();
            (progress.phase == Phase::Scanning && progress.bytes > 0).then_some(())
        });
        child
    }

    fn head(&self, runtime: &Runtime) -> Option<CommitId> {
        let repo = "puppet-code".parse().unwrap();
        match runtime.block_on(self.remote().head(&repo, None, Duration::ZERO)).unwrap() {
            HeadAnswer::Head(info) => Some(info.commit),
            HeadAnswer::NoCommitYet => None,
            HeadAnswer::Same => unreachable!("nothing was said to be known"),
        }
    }
}

#[test]
fn a_primary_that_is_told_to_stop_finishes_a_commit_answers_polls_and_can_start_again_at_once() {
    let runtime = runtime();
    let site = Site::new();
    site.stage("environments/production/manifests/site.pp", "x");
    let mut primary = site.start_primary();
    let first = site.commit().commit;
    let (remote, repo) = (site.remote(), "puppet-code".parse().unwrap());
    let poll = runtime.spawn(async move { remote.head(&repo, Some(first), Duration::from_secs(50)).await });

    site.stage_much();
    let commit = site.start_commit(&runtime);
    primary.signal(Signal::SIGTERM);
    let told = Instant::now();
    let polled = runtime.block_on(poll).unwrap().unwrap();
    assert!(told.elapsed() < Duration::from_secs(10), "a poll does not hold the stop up");
    let output = commit.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: CommitAnswer = serde_json::from_slice(&output.stdout).unwrap();
    assert!(primary.ended().success());
    println!("it stopped {:?} after it was told", told.elapsed());
    match polled {
        HeadAnswer::Same => {}
        HeadAnswer::Head(info) => assert_eq!(info.commit, answer.commit),
        HeadAnswer::NoCommitYet => panic!("it had one"),
    }

    // The same port, and no waiting.
    let primary = site.start_primary();
    assert_eq!(site.head(&runtime), Some(answer.commit));
    assert!(primary.stop().success());
    assert_clean(&site.primary_data());
}

#[test]
fn who_asked_for_a_commit_may_go_away_in_the_middle_of_it() {
    let runtime = runtime();
    let site = Site::new();
    site.stage_much();
    let primary = site.start_primary();
    let mut commit = site.start_commit(&runtime);
    let pid = nix::unistd::Pid::from_raw(commit.id().cast_signed());
    nix::sys::signal::kill(pid, Signal::SIGINT).unwrap();
    if commit.wait().unwrap().success() {
        println!("the commit was done before the signal came: nothing was interrupted this time");
    }
    until("the commit is made all the same", SOON, || site.head(&runtime));
    // What the primary went on with is what staging is: nothing is left to commit.
    assert!(!site.commit().created);
    assert!(primary.stop().success());
}

#[test]
fn a_client_that_is_interrupted_in_a_fetch_shows_what_it_showed_and_goes_on_later() {
    let site = Site::new();
    site.stage("environments/production/manifests/site.pp", "old");
    let _primary = site.start_primary();
    let client = site.start_client("c");
    let old = site.commit().commit;
    let is_live = |commit: CommitId| {
        let target = fs::read_link(site.current("c")).ok()?;
        target.to_str()?.contains(&commit.to_string()).then_some(())
    };
    until("it is live", SOON, || is_live(old));
    assert!(client.stop().success());

    site.stage_much();
    let new = site.commit().commit;
    let blobs = || walk(&site.client_data("c").join("blobs"));
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        // Once as a single command, which says that it was interrupted, then as a daemon, which ends well.
        let before = blobs();
        let mut process = if signal == Signal::SIGTERM {
            let mut command = sceneshift(&["client", "--once", "--config"]);
            command.arg(site.client_settings_file("c", &site.address()));
            Process::start("once", command, site.folder().join("once.log"))
        } else {
            site.start_client("c")
        };
        until("it fetches", SOON, || (blobs() > before + 5).then_some(()));
        process.signal(signal);
        let status = process.ended();
        assert!(status.success() || signal == Signal::SIGTERM && status.code() == Some(130), "{status}");
        assert!(is_live(old).is_some(), "the fetch was not done");
    }
    let arrived = blobs();
    let client = site.start_client("c");
    until("it is live", SOON, || is_live(new));
    // One of them is the first commit's.
    let left = (LARGE_FILES + 1 - arrived) * LARGE;
    let received = until("it says so", SOON, || site.status("c")?.last_deploy).received_bytes;
    println!("{arrived} files had arrived, {received} bytes were sent for the rest");
    assert!(received < left as u64 + (1 << 20), "what had arrived when it was told to stop is not sent again: {left}");
    assert_shows(&site.staging(), &site.current("c"));
    assert!(client.stop().success());
    [site.primary_data(), site.client_data("c")].iter().for_each(|data| assert_clean(data));
}

/// How many files lie below a directory.
pub fn walk(dir: &std::path::Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { 1 }).sum()
}

/// Files that are all written with the same number, in several modules.
const NUMBERED: usize = 40;

/// How often something is killed.
const KILLS: u32 = 12;

fn numbered(at: usize) -> String {
    format!("environments/production/modules/m{}/manifests/n{at}.pp", at % 8)
}

/// Stages a number in all files, and commits, over and over; notes what was acknowledged.
fn keep_committing(site: &Site, acknowledged: &Mutex<Vec<(u64, CommitId)>>, done: &AtomicBool) {
    let (runtime, remote, repo) = (runtime(), Remote::new(&site.address()).unwrap(), "puppet-code".parse().unwrap());
    let mut number = 0;
    while !done.load(SeqCst) {
        number += 1;
        (0..NUMBERED).for_each(|at| site.stage(&numbered(at), number.to_string()));
        match runtime.block_on(remote.commit(&repo, &CommitRequest::default())) {
            Ok(answer) => acknowledged.lock().unwrap().push((number, answer.commit)),
            Err(RemoteError::Unreachable { .. } | RemoteError::Broken { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// The number that `current` shows in all its files; `None` where there is none.
#[track_caller]
fn shown(site: &Site) -> Option<u64> {
    // As Puppet Server does: what `current` names is looked up once.
    let root = site.current("c").canonicalize().ok()?;
    let read = |at: usize| fs::read_to_string(root.join(numbered(at))).ok();
    // It may have been pruned meanwhile, where `current` moved on.
    let numbers: BTreeSet<Option<String>> = (0..NUMBERED).map(read).collect();
    if site.current("c").canonicalize().ok()? != root {
        return None;
    }
    assert_eq!(numbers.len(), 1, "current is whole: {numbers:?}");
    numbers.into_iter().next()?.map(|text| text.parse().unwrap())
}

#[test]
fn after_kills_no_acknowledged_commit_is_lost_and_current_is_whole() {
    let site = Site::new();
    (0..NUMBERED).for_each(|at| site.stage(&numbered(at), "0"));
    let (mut primary, mut client) = (Some(site.start_primary()), None);
    let (acknowledged, done, mut random) = (Mutex::new(Vec::new()), AtomicBool::new(false), Random::new(5));
    std::thread::scope(|scope| {
        scope.spawn(|| keep_committing(&site, &acknowledged, &done));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..KILLS {
                primary.get_or_insert_with(|| site.start_primary());
                client.get_or_insert_with(|| site.start_client("c"));
                let before = acknowledged.lock().unwrap().len();
                until("commits are made", SOON, || (acknowledged.lock().unwrap().len() > before).then_some(()));
                std::thread::sleep(Duration::from_micros(random.next() % 150_000));
                let victim = if round % 2 == 0 { &mut primary } else { &mut client };
                victim.take().into_iter().for_each(Process::kill);
                shown(&site);
            }
        }));
        done.store(true, SeqCst);
        primary.get_or_insert_with(|| site.start_primary());
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });

    client.get_or_insert_with(|| site.start_client("c"));
    let acknowledged = acknowledged.into_inner().unwrap();
    println!("{} commits were acknowledged over {KILLS} kills", acknowledged.len());
    let runtime = runtime();
    let repo = "puppet-code".parse().unwrap();
    let mut last = 0;
    for (number, commit) in &acknowledged {
        let info = runtime.block_on(site.remote().commit_info(&repo, commit)).expect("it was acknowledged");
        assert!(info.sequence >= last, "commits follow one another");
        last = info.sequence;
        let path = sceneshift::values::TreePath::new(numbered(0).as_bytes()).unwrap();
        let file = runtime.block_on(site.remote().listing_or_file(&repo, commit, &path)).unwrap();
        let sceneshift::remote::FileAnswer::File(mut content) = file else { panic!("{file:?}") };
        let mut text = String::new();
        std::io::Read::read_to_string(&mut content, &mut text).unwrap();
        assert_eq!(text, number.to_string());
    }
    let head = runtime.block_on(site.remote().commit_info(&repo, "head")).unwrap();
    assert!(head.sequence >= last, "the head is not behind what was acknowledged");
    let newest = site.commit();
    until("the client has followed", SOON, || {
        let target = fs::read_link(site.current("c")).ok()?;
        target.to_str()?.contains(&newest.commit.to_string()).then_some(())
    });
    assert_shows(&site.staging(), &site.current("c"));
    for process in [primary, client].into_iter().flatten() {
        assert!(process.stop().success());
    }
    [site.primary_data(), site.client_data("c")].iter().for_each(|data| assert_clean(data));
}

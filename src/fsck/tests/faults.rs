//! Calls fail, one after the other, as on a disk that breaks: nothing that was acknowledged is lost, `current` stays whole, the error says so,
//! and when calls succeed again everything goes on, without a start.
//!
//! The daemons are real, in this process. `cargo test` lets a part of the calls fail; `SCENESHIFT_SWEEP=full` each of them, and says how many.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{findings, is_full};
use crate::client::{ClientError, once, run_until};
use crate::config::{ClientConfig, read_client, read_primary};
use crate::disk::faults::{Fault, Faults};
use crate::farm::testing::{Seen, seen};
use crate::remote::{HeadAnswer, Remote, RemoteError};
use crate::server::{ServeError, serve_on};
use crate::values::RepoName;
use crate::wire::api::{ClientReport, CommitAnswer, CommitRequest};

/// How many calls of each kind of run fail in `cargo test`.
const SAMPLED: u64 = 12;

/// How long anything may take.
const SOON: Duration = Duration::from_secs(60);

/// Which of so many calls fail.
fn numbers(calls: u64) -> impl Iterator<Item = u64> {
    let step = if is_full() { 1 } else { (calls / SAMPLED).max(1) | 1 };
    (0..calls).step_by(step as usize)
}

fn repo() -> RepoName {
    "puppet-code".parse().unwrap()
}

/// A primary and a client, with staging.
struct Site {
    folder: tempfile::TempDir,
    runtime: Runtime,
    address: String,
    primary: Option<(CancellationToken, JoinHandle<Result<(), ServeError>>)>,
    version: u64,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut site = Self { folder, runtime, address: String::new(), primary: None, version: 0 };
        for module in ["apache", "ntp"] {
            site.write(&format!("environments/production/modules/{module}/manifests/init.pp"), module);
            site.write(&format!("environments/production/modules/{module}/files/run"), "#!/bin/sh");
        }
        std::os::unix::fs::symlink("production", site.staging().join("environments/linked")).unwrap();
        site.start_primary();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn staging(&self) -> PathBuf {
        self.path("staging")
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.staging().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn start_primary(&mut self) {
        let settings = self.path("primary.toml");
        let text = format!(
            "data-dir = {:?}\n[repos.puppet-code]\nstaging-dir = {:?}\nkeep-commits = 2\nkeep-age = \"0s\"\n",
            self.path("primary"),
            self.staging()
        );
        fs::write(&settings, text).unwrap();
        let listener = self.runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        self.address = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let config = read_primary(&settings).unwrap();
        let task = self.runtime.spawn(serve_on(config, listener, stop.clone().cancelled_owned()));
        self.primary = Some((stop, task));
    }

    fn stop_primary(&mut self) {
        let (stop, task) = self.primary.take().unwrap();
        stop.cancel();
        self.runtime.block_on(task).unwrap().unwrap();
    }

    fn client(&self) -> ClientConfig {
        let settings = self.path("client.toml");
        let text = format!(
            "data-dir = {:?}\nserver = {:?}\nlisten = \"127.0.0.1:0\"\nname = \"c\"\n[repos.puppet-code]\nkeep-generations = 1\nkeep-age = \"0s\"\n",
            self.path("client"),
            self.address
        );
        fs::write(&settings, text).unwrap();
        read_client(&settings).unwrap()
    }

    fn once(&self) -> Result<ClientReport, ClientError> {
        self.runtime.block_on(once(self.client(), &Arc::default(), Default::default()))
    }

    /// Stages another version: changed files, one that comes, one that goes.
    fn stage(&mut self) {
        self.version += 1;
        let version = self.version;
        for module in ["apache", "ntp", "ssh", "sudo"] {
            let path = format!("environments/production/modules/{module}/manifests/init.pp");
            self.write(&path, &format!("class {module} {{ notice('{version}') }}"));
        }
        self.write(&format!("environments/production/manifests/{version}.pp"), "");
        let _ = fs::remove_file(self.staging().join(format!("environments/production/manifests/{}.pp", version - 1)));
    }

    fn try_commit(&self) -> Result<CommitAnswer, RemoteError> {
        let remote = Remote::new(&self.address).unwrap();
        self.runtime.block_on(remote.commit(&repo(), &CommitRequest::default()))
    }

    fn commit(&mut self) -> CommitAnswer {
        self.stage();
        self.try_commit().unwrap()
    }

    fn head(&self) -> crate::values::CommitId {
        let remote = Remote::new(&self.address).unwrap();
        match self.runtime.block_on(remote.head(&repo(), None, Duration::ZERO)).unwrap() {
            HeadAnswer::Head(head) => head.commit,
            other => panic!("no head: {other:?}"),
        }
    }

    fn staged(&self) -> BTreeMap<PathBuf, Seen> {
        seen(&self.staging())
    }

    /// What Puppet sees; `None` before the first deploy.
    fn live(&self) -> Option<BTreeMap<PathBuf, Seen>> {
        let current = self.path("client/repos/puppet-code/current");
        current.exists().then(|| seen(&current))
    }

    #[track_caller]
    fn assert_clean(&self, data: &str) {
        assert_eq!(findings(&self.path(data)), [], "{data}");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some((stop, _)) = &self.primary {
            stop.cancel();
        }
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < SOON, "{what} does not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The calls that `run` makes below `root`.
fn count(root: &Path, run: impl FnOnce()) -> u64 {
    let faults = Faults::at(root, Fault::None, Errno::EIO);
    run();
    faults.calls()
}

#[test]
fn a_client_whose_calls_fail_keeps_what_is_live_and_succeeds_when_they_do_not() {
    let mut site = Site::new();
    let data = site.path("client");
    site.commit();
    site.once().unwrap();
    site.commit();
    let calls = count(&data, || drop(site.once().unwrap()));
    let (mut tried, mut refused) = (0, 0);
    for errno in [Errno::EIO, Errno::ENOSPC] {
        for number in numbers(calls) {
            for fault in [Fault::Once(number), Fault::From(number)] {
                let before = site.live();
                site.commit();
                let faults = Faults::at(&data, fault, errno);
                let outcome = site.once();
                let failed = faults.failed();
                drop(faults);
                let live = site.live();
                assert!(live == before || live.as_ref() == Some(&site.staged()), "{fault:?}: current is not whole");
                if let Err(error) = &outcome {
                    let text = crate::http::chain(error);
                    assert!(failed > 0 && text.contains("as a test wants it"), "{fault:?} does not say why: {text}");
                    refused += 1;
                }
                site.once()
                    .unwrap_or_else(|error| panic!("after {fault:?} of {errno}: {}", crate::http::chain(&error)));
                assert_eq!(site.live(), Some(site.staged()), "{fault:?}: the next run brings the head live");
                site.assert_clean("client");
                tried += 1;
            }
        }
    }
    println!("a deploy of {calls} calls: {tried} faults, {refused} of them failed it");
    assert!(refused > 0);
}

#[test]
fn a_first_deploy_whose_calls_fail_leaves_nothing_half_and_succeeds_later() {
    let mut site = Site::new();
    let data = site.path("client");
    site.commit();
    let calls = count(&data, || drop(site.once().unwrap()));
    for number in numbers(calls) {
        fs::remove_dir_all(&data).unwrap();
        let faults = Faults::at(&data, Fault::From(number), Errno::EIO);
        let _refused = site.once();
        drop(faults);
        assert!(site.live().is_none_or(|live| live == site.staged()), "call {number}: half a tree is live");
        site.once().unwrap_or_else(|error| panic!("after call {number}: {}", crate::http::chain(&error)));
        assert_eq!(site.live(), Some(site.staged()), "call {number}");
        site.assert_clean("client");
    }
    println!("a first deploy of {calls} calls");
}

#[test]
fn a_client_daemon_whose_calls_fail_goes_on_without_a_start() {
    let mut site = Site::new();
    let data = site.path("client");
    site.commit();
    let stop = CancellationToken::new();
    let daemon = site.runtime.spawn(run_until(site.client(), stop.clone()));
    until("the first deploy", || site.live() == Some(site.staged()));
    let mut first = 0;
    for round in 0..if is_full() { 40 } else { 4 } {
        let before = site.live();
        let faults = Faults::at(&data, Fault::From(first), Errno::ENOSPC);
        site.commit();
        until("a call fails", || faults.failed() > 0);
        let live = site.live();
        assert!(live == before || live == Some(site.staged()), "round {round}: current is not whole");
        drop(faults);
        until("the head is live after the fault is over", || site.live() == Some(site.staged()));
        first = (first + 7) % 40;
    }
    stop.cancel();
    site.runtime.block_on(daemon).unwrap().unwrap();
    site.assert_clean("client");
}

#[test]
fn a_primary_whose_calls_fail_moves_no_head_by_a_half_and_goes_on_without_a_start() {
    let mut site = Site::new();
    let data = site.path("primary");
    site.commit();
    site.stage();
    let calls = count(&data, || drop(site.try_commit().unwrap()));
    let mut refused = 0;
    for fault in numbers(calls).flat_map(|number| [Fault::Once(number), Fault::From(number)]) {
        let before = site.head();
        site.stage();
        let faults = Faults::at(&data, fault, Errno::EIO);
        let outcome = site.try_commit();
        drop(faults);
        let head = site.head();
        match &outcome {
            Ok(answer) => assert_eq!(head, answer.commit, "{fault:?}: an acknowledged commit is the head"),
            Err(error) => {
                assert_eq!(error.status(), Some(500), "{fault:?}: {error}");
                refused += 1;
            }
        }
        let answer = site.try_commit().unwrap_or_else(|error| panic!("after {fault:?}: {error}"));
        assert!(answer.created || (answer.commit == head && head != before), "{fault:?}: what is staged is committed");
        site.once().unwrap();
        assert_eq!(site.live(), Some(site.staged()), "{fault:?}: what is committed can be fetched, whole");
    }
    println!("a commit of {calls} calls: {refused} failed");
    assert!(refused > 0);
    site.stop_primary();
    site.assert_clean("primary");
}

#[test]
fn a_gc_whose_calls_fail_loses_nothing_and_ends_well_later() {
    let mut site = Site::new();
    let data = site.path("primary");
    let gc = |site: &Site| {
        let remote = Remote::new(&site.address).unwrap();
        site.runtime.block_on(remote.gc(&repo()))
    };
    for _ in 0..4 {
        site.commit();
    }
    let calls = count(&data, || {
        gc(&site).unwrap();
    });
    for number in numbers(calls) {
        (0..3).for_each(|_| drop(site.commit()));
        let faults = Faults::at(&data, Fault::From(number), Errno::EIO);
        let _refused = gc(&site);
        drop(faults);
        gc(&site).unwrap_or_else(|error| panic!("after call {number}: {error}"));
        site.once().unwrap();
        assert_eq!(site.live(), Some(site.staged()), "call {number}");
    }
    println!("a GC of {calls} calls");
    site.stop_primary();
    site.assert_clean("primary");
}

//! Long work is seen while it goes on, and can be stopped: the next try goes on from what was done, and nothing is left broken.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use sceneshift::progress::{Phase, Snapshot};
use sceneshift::remote::Remote;
use sceneshift::wire::api::{ClientReport, RepoStatus};

use crate::support::process::{Process, Site, assert_clean, sceneshift};
use crate::support::random::Random;
use crate::support::wait::until;

/// How long anything may take.
const SOON: Duration = Duration::from_secs(30);

/// The status of a program that Ctrl-C ended before its work was done.
const INTERRUPTED: Option<i32> = Some(130);

impl Site {
    fn stage_one(&self) {
        self.stage("environments/production/manifests/site.pp", "x");
    }

    /// Stages 200 MB.
    fn stage_much_for_long(&self) {
        let mut random = Random::new(11);
        for at in 0..40 {
            self.stage(&format!("environments/production/modules/much/files/{at}"), random.bytes(5 << 20));
        }
    }

    fn start(&self, name: &str, mut command: Command) -> Process {
        command.env("SCENESHIFT_SERVER", self.address());
        Process::start(name, command, self.folder().join(format!("{name}.log")))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn fsck(data: &Path, args: &[&str]) -> Command {
    let mut command = sceneshift(&["fsck"]);
    command.arg(data).args(args);
    command
}

#[test]
fn a_commit_that_waits_for_its_clients_says_for_how_many_and_is_made_also_where_nobody_waits() {
    let (site, runtime) = (Site::new(), runtime());
    site.stage_one();
    let _primary = site.start_primary();
    let first = site.commit();
    // Two clients that have said something lately, of which one runs whatever is committed.
    let say = |name: &str, sequence| {
        let status = RepoStatus { deployed: Some(first.commit), sequence: Some(sequence), ..RepoStatus::default() };
        let repos = [("puppet-code".parse().unwrap(), status)].into();
        let report = ClientReport { version: "1".into(), repos, ..ClientReport::default() };
        runtime.block_on(site.remote().report(name, &report)).unwrap();
    };
    say("there", 99);
    say("late", 1);
    site.stage("environments/production/manifests/site.pp", "y");
    let mut commit = site.start("commit", sceneshift(&["commit", "--wait", "-r", "puppet-code"]));
    until("it says so", SOON, || commit.log().contains("waiting for clients: 1 of 2 run it").then_some(()));
    commit.signal(Signal::SIGINT);
    assert_eq!(commit.ended().code(), INTERRUPTED);
    assert!(commit.log().contains("interrupted: the commit is made"), "{}", commit.log());
    assert_eq!(site.commit().sequence, 2, "it is");
}

/// Whether a commit reads files just now.
fn is_reading(progress: &Snapshot) -> bool {
    progress.phase == Phase::Scanning && progress.bytes > 0
}

#[test]
fn who_interrupts_a_commit_is_told_that_it_is_made() {
    let (site, runtime) = (Site::new(), runtime());
    site.stage_much_for_long();
    let _primary = site.start_primary();
    let mut commit = site.start("commit", sceneshift(&["commit", "-r", "puppet-code"]));
    let (remote, repo) = (site.remote(), "puppet-code".parse().unwrap());
    until("it is under way", SOON, || is_reading(&runtime.block_on(remote.progress(&repo)).unwrap()).then_some(()));
    assert!(site.metrics().contains("sceneshift_committing{repo=\"puppet-code\"}"));
    commit.signal(Signal::SIGINT);
    assert_eq!(commit.ended().code(), INTERRUPTED, "{}", commit.log());
    assert!(commit.log().contains("interrupted: a commit that the primary has begun is made"), "{}", commit.log());
}

#[test]
fn gc_stops_with_who_asked_for_it() {
    let (mut site, runtime) = (Site::new(), runtime());
    site.primary_settings = "keep-commits = 1\nkeep-age = \"0s\"".into();
    site.stage_one();
    let _primary = site.start_primary();
    let first = site.commit().commit;
    site.stage("environments/production/manifests/site.pp", "y");
    site.commit();
    // A commit under way is what GC waits for before it removes anything.
    site.stage_much_for_long();
    let mut commit = site.start("commit", sceneshift(&["commit", "-r", "puppet-code"]));
    let (remote, repo) = (site.remote(), "puppet-code".parse().unwrap());
    let reading = || is_reading(&runtime.block_on(remote.progress(&repo)).unwrap());
    until("it is under way", SOON, || reading().then_some(()));
    let mut gc = site.start("gc", sceneshift(&["gc", "-r", "puppet-code"]));
    let is_collecting =
        |value: u8| site.metrics().contains(&format!("\nsceneshift_collecting {value}\n")).then_some(());
    until("it is under way, too", SOON, || is_collecting(1));
    gc.signal(Signal::SIGINT);
    assert_eq!(gc.ended().code(), INTERRUPTED, "{}", gc.log());
    assert!(gc.log().contains("interrupted: GC stops too"), "{}", gc.log());
    assert!(reading(), "the commit was not done before that");
    until("it has stopped", SOON, || is_collecting(0));
    assert!(commit.ended().success(), "{}", commit.log());
    assert!(runtime.block_on(remote.commit_info(&repo, first)).is_ok(), "nothing was removed");
    let answer = runtime.block_on(remote.gc(&repo)).unwrap();
    assert_eq!(answer.commits, 2, "the next one does it all");
}

#[test]
fn a_first_sync_is_seen_by_status_by_metrics_and_by_who_asks_for_one_more() {
    let (site, runtime) = (Site::new(), runtime());
    site.stage_much_for_long();
    let _primary = site.start_primary();
    site.commit();
    let mut client = site.start_client("c");
    let listen = client.listening();
    let socket = Remote::unix(&site.client_data("c").join("control.sock")).unwrap();
    let mut seen = (false, false);
    until("both have told of it", SOON, || {
        let report = runtime.block_on(socket.status()).ok()?;
        let progress = report.repos.into_values().next()?.progress;
        seen.0 |= progress.phase == Phase::Fetching && progress.total_files == 40 && progress.total_bytes == 200 << 20;
        let metrics = crate::support::process::get(listen, "/metrics");
        let is_told = |name: &str, value: u64| {
            metrics.contains(&format!("sceneshift_client_{name}{{repo=\"puppet-code\"}} {value}\n"))
        };
        seen.1 |= is_told("working", 1) && is_told("work_total", 40);
        (seen == (true, true)).then_some(())
    });
    assert!(client.stop().success());
}

#[test]
fn a_single_sync_that_is_interrupted_keeps_what_has_arrived() {
    let site = Site::new();
    site.stage_much_for_long();
    let _primary = site.start_primary();
    site.commit();
    let mut command = sceneshift(&["client", "--once", "--config"]);
    command.arg(site.client_settings_file("c", &site.address()));
    let mut once = Process::start("once", command, site.folder().join("once.log"));
    let blobs = || crate::stop::walk(&site.client_data("c").join("blobs"));
    until("it fetches", SOON, || (blobs() > 5).then_some(()));
    once.signal(Signal::SIGINT);
    assert_eq!(once.ended().code(), INTERRUPTED, "{}", once.log());
    assert!(once.log().contains("interrupted: what has arrived is kept"), "{}", once.log());
    // All that is there is vouched for, else fsck would call it foreign.
    assert!(blobs() > 5);
    assert_clean(&site.client_data("c"));
}

#[test]
fn a_client_that_is_told_to_stop_while_it_starts_stops_and_starts_well_later() {
    let site = Site::new();
    site.stage_one();
    let _primary = site.start_primary();
    let commit = site.commit().commit;
    let is_live = || (site.status("c")?.deployed == Some(commit)).then_some(());
    let client = site.start_client("c");
    until("it is live", SOON, is_live);
    assert!(client.stop().success());
    // What a start has to remove: files that nothing vouches for.
    let shard = site.client_data("c").join("blobs/00");
    fs::create_dir_all(&shard).unwrap();
    fs::set_permissions(&shard, fs::Permissions::from_mode(0o700)).unwrap();
    (0..20_000).for_each(|at| drop(fs::File::create(shard.join(format!("{at}"))).unwrap()));
    let mut command = sceneshift(&["client", "--config"]);
    command.arg(site.client_settings_file("c", &site.address()));
    let mut starting = Process::start("c", command, site.folder().join("starting.log"));
    starting.catches(Signal::SIGTERM);
    starting.signal(Signal::SIGTERM);
    assert!(starting.ended().success(), "{}", starting.log());
    assert!(starting.log().contains("stopped while it was starting"), "{}", starting.log());
    let client = site.start_client("c");
    until("it is live", SOON, is_live);
    assert!(fs::read_dir(&shard).map_or(0, Iterator::count) < 10, "what is nobody's is gone");
    assert!(client.stop().success());
    assert_clean(&site.client_data("c"));
}

#[test]
fn a_check_that_is_interrupted_says_that_it_could_not_check_with_and_without_a_daemon() {
    let site = Site::new();
    site.stage_much_for_long();
    let primary = site.start_primary();
    site.commit();
    let interrupt = |name: &str| {
        let mut check =
            Process::start(name, fsck(&site.primary_data(), &[]), site.folder().join(format!("{name}.log")));
        check.catches(Signal::SIGINT);
        check.signal(Signal::SIGINT);
        let status = check.ended();
        assert_eq!(status.code(), Some(2), "{}", check.log());
        assert!(check.log().contains("stopped before everything was checked"), "{}", check.log());
    };
    interrupt("beside the daemon");
    // The daemon's hold has ended with it: GC is not held off.
    until("GC may run", SOON, || site.run(&["gc", "-r", "puppet-code"]).status.success().then_some(()));
    assert!(primary.stop().success());
    interrupt("alone");
    assert_clean(&site.primary_data());
}

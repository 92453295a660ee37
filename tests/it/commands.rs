//! Every command against a real primary and a real client: statuses, JSON that reads back, and errors that say what to do.

use std::time::Duration;

use sceneshift::values::CommitId;
use sceneshift::wire::api::{ClientReport, CommitAnswer, Diff, Fleet, GcAnswer, History, Listing, RepoStatus, Tags};
use serde::de::DeserializeOwned;

use crate::support::process::{Process, Site, sceneshift};
use crate::support::wait::until;

/// A primary with two commits, and a client that runs the second.
struct Estate {
    // They end before their directories go.
    _daemons: [Process; 2],
    site: Site,
    first: CommitId,
    second: CommitId,
}

impl Estate {
    fn new() -> Self {
        let site = Site::new();
        site.stage("environments/production/manifests/site.pp", "one\n");
        site.stage("environments/dev/manifests/site.pp", "one\n");
        let primary = site.start_primary();
        let first = site.commit().commit;
        site.stage("environments/production/manifests/site.pp", "two\n");
        let second = site.commit().commit;
        let client = site.start_client("compile1");
        let estate = Self { _daemons: [primary, client], site, first, second };
        until("the client has deployed", Duration::from_secs(20), || {
            let status = estate.site.status("compile1")?;
            (status.deployed == Some(second)).then_some(())
        });
        estate
    }

    /// Calls the program; answers its status, what it printed, and what it complained of.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let data = self.site.client_data("compile1");
        let data = data.to_str().unwrap();
        let args: Vec<&str> = args.iter().map(|arg| if *arg == "DATA" { data } else { *arg }).collect();
        let output = self.site.run(&args);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// The same for a command that goes well and prints one JSON document and nothing else.
    #[track_caller]
    fn json<T: DeserializeOwned>(&self, args: &[&str]) -> T {
        let (status, out, errors) = self.run(&[args, &["--json"]].concat());
        assert_eq!((status, errors.as_str()), (0, ""), "{args:?}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}\n{out}"))
    }

    fn repo_status(&self, report: ClientReport) -> RepoStatus {
        report.repos.into_values().next().unwrap()
    }
}

#[test]
fn what_reads_prints_json_that_reads_back() {
    let estate = Estate::new();
    let (first, second) = (estate.first, estate.second);
    let log: History = estate.json(&["log"]);
    assert_eq!(log.commits.iter().map(|commit| commit.commit).collect::<Vec<_>>(), [second, first]);
    let listing: Listing = estate.json(&["ls", "environments/production/manifests"]);
    assert_eq!(listing.entries[0].id.as_ref().unwrap(), &blake3::hash(b"two\n").to_string());
    let diff: Diff = estate.json(&["diff", &first.to_string()]);
    assert_eq!(diff.changes[0].path, "environments/production/manifests/site.pp");
    let fleet: Fleet = estate.json(&["clients"]);
    assert_eq!(fleet.clients[0].name, "compile1");
    let status = estate.repo_status(estate.json(&["status", "--data-dir", "DATA"]));
    assert_eq!((status.deployed, status.sequence), (Some(second), Some(2)));
    let _shown: serde_json::Value = estate.json(&["show", &second.to_string()[..8]]);

    let (status, out, errors) = estate.run(&["cat", "environments/production/manifests/site.pp"]);
    assert_eq!((status, out.as_str(), errors.as_str()), (0, "two\n", ""));
    let (status, out, _) = estate.run(&["cat", "-c", &first.to_string(), "environments/production/manifests/site.pp"]);
    assert_eq!((status, out.as_str()), (0, "one\n"));
}

#[test]
fn what_changes_something_says_what_it_did() {
    let estate = Estate::new();
    let (first, second) = (estate.first, estate.second);
    let again: CommitAnswer = estate.json(&["commit"]);
    assert_eq!((again.created, again.commit), (false, second));
    let tagged: serde_json::Value = estate.json(&["tag", "good", &first.to_string()]);
    assert_eq!(tagged, serde_json::json!({"tag": "good", "commit": first}));
    let tags: Tags = estate.json(&["tag"]);
    assert_eq!(tags.tags["good"], first);

    let back = estate.repo_status(estate.json(&["rollback", "--data-dir", "DATA", "good"]));
    assert_eq!((back.deployed, back.pinned), (Some(first), Some(first)));
    let released = estate.repo_status(estate.json(&["rollback", "--data-dir", "DATA", "--release"]));
    assert_eq!((released.deployed, released.pinned), (Some(second), None));
    let fleet: CommitAnswer = estate.json(&["rollback", "--fleet", "good", "-m", "it was better"]);
    assert_eq!((fleet.sequence, fleet.created), (3, true));
    let synced = estate.repo_status(estate.json(&["sync", "--data-dir", "DATA"]));
    assert_eq!(synced.deployed, Some(fleet.commit));

    estate.site.stage("environments/dev/manifests/site.pp", "three\n");
    let (status, out, errors) = estate.run(&["commit", "-e", "dev", "-m", "why", "--wait", "20s"]);
    assert_eq!(status, 0, "{errors}");
    assert!(out.contains("1 modified") && errors.contains("1 client runs it"), "{out}{errors}");
    let gc: GcAnswer = estate.json(&["gc"]);
    assert_eq!((gc.commits, gc.kept_commits), (0, 4));
}

#[test]
fn what_goes_wrong_ends_with_1_and_says_what_to_do() {
    let estate = Estate::new();
    for (args, words) in [
        (&["show", "0123456789"][..], "0123456789"),
        (&["cat", "environments/nope"], "environments/nope"),
        (&["cat", "../secret"], "../secret"),
        (&["ls", "-r", "nope"], "nope"),
        (&["commit", "-e", "nope"], "nope"),
        (&["commit", "--expect-head", "good"], "good"),
        (&["rollback", "--data-dir", "DATA", "deadbeefdeadbeef"], "deadbeef"),
        (&["tag", "-d", "nope"], "nope"),
        (&["status", "--data-dir", "/nowhere"], "hint: name the client's data directory with --data-dir"),
    ] {
        let (status, out, errors) = estate.run(args);
        assert_eq!((status, out.as_str()), (1, ""), "{args:?} {errors}");
        assert!(errors.starts_with("sceneshift: error: ") && errors.contains(words), "{args:?}: {errors}");
    }
    let settings = estate.site.client_settings_file("other", &estate.site.address());
    let output = sceneshift(&["client", "--once", "--config"]).arg(settings).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let settings = estate.site.client_settings_file("lost", "http://127.0.0.1:1");
    let output = sceneshift(&["client", "--once", "--config"]).arg(settings).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("cannot connect to the primary at http://127.0.0.1:1"), "{errors}");
}

#[test]
fn a_commit_waits_for_a_primary_that_is_being_restarted_if_told_to() {
    let site = Site::new();
    site.stage("environments/production/manifests/site.pp", "one\n");
    assert!(site.start_primary().stop().success());
    let begun = std::time::Instant::now();
    assert!(!site.run(&["commit"]).status.success(), "nobody told it to wait");
    assert!(!site.run(&["commit", "--retry", "300ms"]).status.success());
    assert!(begun.elapsed() >= Duration::from_millis(300));

    let log = site.folder().join("commit.log");
    let mut command = sceneshift(&["commit", "--retry", "60s"]);
    command.env("SCENESHIFT_SERVER", site.address());
    let mut commit = Process::start("the commit", command, log);
    until("it has found nobody", Duration::from_secs(20), || commit.log().contains("trying again").then_some(()));
    let _primary = site.start_primary();
    assert!(commit.ended().success(), "{}", commit.log());
    assert_eq!(site.commit().sequence, 1, "it was made");
}

//! The access log, and the stamps of answers.

use nix::sys::signal::Signal;
use sceneshift::remote::FileAnswer;
use sceneshift::values::{CommitId, TreePath};

use crate::support::gated::{Gated, SOON, logged};
use crate::support::gated_site::GatedSite;
use crate::support::upstream::Odd;
use crate::support::wait::until;

/// What the primary says is the tree of an environment.
fn code_id(gated: &Gated, commit: CommitId, environment: &str) -> String {
    let (remote, path) = (gated.rig.remote(), TreePath::new(b"environments").unwrap());
    let answer = gated.rig.block_on(remote.listing_or_file(&gated.rig.repo(), commit, &path)).unwrap();
    let FileAnswer::Listing(listing) = answer else { panic!("a directory") };
    listing.entries.into_iter().find(|entry| entry.name == environment).unwrap().id.unwrap()
}

#[test]
fn each_request_is_one_line_with_everything_about_it() {
    let gated = Gated::deployed("", "");
    let commit = gated.status().unwrap().deployed.unwrap();
    let mut agent = gated.agent();
    let code = agent.get("/puppet/v3/node/code%20x?environment=production&secret=1");
    assert_eq!(code.status, 200);
    assert_eq!(agent.request("PUT", "/puppet/v3/report/x", &[], b"report").unwrap().status, 200);
    assert_eq!(agent.get("/puppet/v3/node/several?environment=production&environment=development").status, 200);

    let line = &gated.wait_logged("/node/code", 1)[0];
    assert_eq!((line.method.as_str(), line.path.as_str()), ("GET", "/puppet/v3/node/code%20x"), "without its query");
    assert_eq!((line.certname.as_deref(), line.environment.as_deref()), (Some("agent.example"), Some("production")));
    assert_eq!((line.status, line.bytes, line.held_ms), (200, code.body.len() as u64, 0.0));
    assert!(line.upstream_ms > 0.0 && line.total_ms >= line.upstream_ms, "{line:?}");
    assert!(line.time.ends_with('Z') && line.time.contains('T'), "{line:?}");
    assert_eq!(line.commit, Some(commit.to_string()));
    assert_eq!(line.code_id, Some(code_id(&gated, commit, "production")));

    let line = &gated.wait_logged("/report/x", 1)[0];
    assert_eq!((line.method.as_str(), &line.environment, &line.commit, &line.code_id), ("PUT", &None, &None, &None));
    let line = &gated.wait_logged("/node/several", 1)[0];
    assert_eq!((line.environment.as_deref(), &line.code_id), (Some("*"), &None), "no single one answered");
    // The keys that others read.
    let text = std::fs::read_to_string(&gated.log).unwrap();
    let first: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let mut keys: Vec<&str> = first.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let all = ["bytes", "certname", "code-id", "commit", "environment", "held-ms", "method", "path", "status", "time"];
    assert_eq!(keys, [&all[..], &["total-ms", "upstream-ms"]].concat());
}

#[test]
fn answers_are_stamped_with_what_the_primary_calls_the_version() {
    let gated = Gated::deployed("", "");
    let mut agent = gated.agent();
    let mut seen = Vec::new();
    for version in 2..5 {
        let commit = gated.commit_version("production", &version.to_string());
        gated.wait_deployed(commit);
        let answer = agent.get("/puppet/v3/catalog/x?environment=production");
        assert_eq!(answer.text(), format!("{version} {version} {version}"));
        let id = code_id(&gated, commit, "production");
        assert_eq!(answer.all("x-sceneshift-commit"), [commit.to_string().as_str()]);
        assert_eq!(answer.all("x-sceneshift-code-id"), [id.as_str()]);
        let other = agent.get("/puppet/v3/catalog/x?environment=development");
        let other_id = code_id(&gated, commit, "development");
        assert_eq!(other.all("x-sceneshift-code-id"), [other_id.as_str()]);
        seen.push((id, other_id));
    }
    assert!(seen[0].0 != seen[1].0 && seen[1].0 != seen[2].0, "a changed environment has another id: {seen:?}");
    assert!(seen[0].1 == seen[1].1 && seen[1].1 == seen[2].1, "and an unchanged one the same: {seen:?}");
    let report = agent.request("PUT", "/puppet/v3/report/x", &[], b"x").unwrap();
    assert!(report.header("x-sceneshift-commit").is_none(), "it read no code");
}

#[test]
fn stamps_of_puppet_servers_own_are_replaced_and_its_connections_are_its_own() {
    let gated = Gated::deployed("", "");
    let commit = gated.status().unwrap().deployed.unwrap();
    gated.upstream.answers_oddly("forged", Odd::Forged);
    let mut agent = gated.agent();
    let answer = agent.get("/puppet/v3/node/forged?environment=production");
    assert_eq!(answer.all("x-sceneshift-commit"), [commit.to_string().as_str()]);
    assert_eq!(answer.all("x-sceneshift-code-id"), [code_id(&gated, commit, "production").as_str()]);
    assert_eq!((answer.header("x-secret"), answer.header("x-puppet-version")), (None, Some("7.23.0")));
    let unknown = agent.get("/puppet/v3/node/forged?environment=unknown");
    assert!(unknown.header("x-sceneshift-code-id").is_none(), "{unknown:?}");
    let report = agent.get("/puppet/v3/report/forged");
    assert!(report.header("x-sceneshift-commit").is_none(), "{report:?}");
}

#[test]
fn a_rotated_log_loses_no_line_and_a_log_that_cannot_be_written_stops_nobody() {
    let site = GatedSite::new("", "");
    site.stage("production", "1");
    let primary = site.site.start_primary();
    let mut client = site.start();
    site.wait_deployed(site.site.commit().commit);
    let (log, rotated) = (site.log_file(), site.log_file().with_extension("log.1"));
    let mut agent = site.agent();
    let mut asked = 0;
    let mut ask = |count: usize| {
        for _ in 0..count {
            assert_eq!(agent.get(&format!("/puppet/v3/node/n{asked}?environment=production")).status, 200);
            asked += 1;
        }
        asked
    };
    ask(50);
    std::fs::rename(&log, &rotated).unwrap();
    // Between the two the lines go where the file went.
    ask(50);
    client.signal(Signal::SIGHUP);
    until("a new log is begun", SOON, || {
        ask(5);
        log.exists().then_some(())
    });
    let all = ask(50);
    let mut paths = Vec::new();
    until("every line is written", SOON, || {
        paths = [&rotated, &log].iter().flat_map(|file| logged(file, "/node/n")).map(|line| line.path).collect();
        (paths.len() >= all).then_some(())
    });
    let wanted: Vec<String> = (0..all).map(|at| format!("/puppet/v3/node/n{at}")).collect();
    assert_eq!(paths, wanted, "each once, in order");

    // The directory goes: requests are answered, and the loss is counted.
    std::fs::rename(log.parent().unwrap(), site.site.folder().join("elsewhere")).unwrap();
    client.signal(Signal::SIGHUP);
    let lost = |site: &GatedSite| site.metric("sceneshift_client_gate_log_lost_total");
    until("lines are lost", SOON, || {
        ask(5);
        (lost(&site) > 0.0).then_some(())
    });
    // It is back: so is the log, without anybody's help.
    std::fs::create_dir(log.parent().unwrap()).unwrap();
    ask(5);
    site.wait_logged("/node/n", 5);
    assert!(client.stop().success());
    primary.kill();
}

#[test]
fn a_full_disk_under_the_log_stops_nobody() {
    let Some(disk) = crate::support::folder::SmallDisk::mount(1) else { return };
    let mut gated = Gated::new("", "");
    gated.log = disk.path().join("access.log");
    gated.stage("production", "1");
    let commit = gated.commit();
    gated.start();
    gated.wait_deployed(commit);
    disk.fill_up("full", 0);
    until("lines are lost", SOON, || {
        assert_eq!(gated.agent().get("/puppet/v3/node/x?environment=production").status, 200);
        (gated.metric("sceneshift_client_gate_log_lost_total") > 0.0).then_some(())
    });
    std::fs::remove_file(disk.path().join("full")).unwrap();
    assert_eq!(gated.agent().get("/puppet/v3/node/after?environment=production").status, 200);
    until("the log goes on", SOON, || {
        let text = std::fs::read_to_string(disk.path().join("access.log")).unwrap();
        text.lines().last().is_some_and(|line| line.contains("/node/after")).then_some(())
    });
}

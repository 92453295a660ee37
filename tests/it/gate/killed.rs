//! The daemon is stopped or killed in the middle of a deploy: nobody who waits is lost, and no old cache is served.

use std::io::Read;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::gated::SOON;
use crate::support::gated_site::GatedSite;
use crate::support::process::Process;
use crate::support::wait::until;

const FLUSH: &str = "/puppet-admin-api/v1/environment-cache";

/// A site with version 1 of two environments live, and its primary.
fn deployed(gate_settings: &str, repo_settings: &str) -> (GatedSite, Process, Process) {
    let site = GatedSite::new(gate_settings, repo_settings);
    site.stage("production", "1");
    site.stage("development", "1");
    let primary = site.site.start_primary();
    let client = site.start();
    site.wait_deployed(site.site.commit().commit);
    assert_eq!(site.catalog("production"), "1 1 1");
    assert_eq!(site.catalog("development"), "1 1 1");
    (site, primary, client)
}

/// Kills the daemon while Puppet Server sits on the flush of version 2 of `production`, and then the primary.
fn killed_before_the_flush(gate_settings: &str) -> GatedSite {
    let (site, primary, client) = deployed(gate_settings, "");
    site.upstream.flushes_with(None);
    site.stage("production", "2");
    site.site.commit();
    until("the flush is on its way", SOON, || site.upstream.flushes().get(1).map(drop));
    client.kill();
    primary.kill();
    let live = std::fs::read_to_string(site.site.current("gated").join("environments/production/version")).unwrap();
    assert_eq!(live, "2", "the link is renamed, and the cache holds version 1");
    site
}

#[test]
fn a_daemon_that_was_killed_between_rename_and_flush_flushes_before_it_lets_anybody_through() {
    let site = killed_before_the_flush("flush-timeout = \"20s\"");
    let client = site.start();
    // It flushes again, and gets no answer; agents come meanwhile.
    until("it flushes at its start", SOON, || site.upstream.flushes().get(2).map(drop));
    let waiting = site.ask_catalog("waiting", "production");
    let other = site.ask_catalog("other", "development");
    assert!(site.upstream.asked("/catalog/waiting").is_empty() && site.upstream.asked("/catalog/other").is_empty());
    site.upstream.flushes_with(Some(204));
    assert_eq!(waiting.join().unwrap().unwrap().text(), "2 2 2", "and not what was cached");
    assert_eq!(other.join().unwrap().unwrap().text(), "1 1 1");
    let order = site.upstream.asked("/");
    let position = |what: &str| order.iter().position(|asked| asked.target.contains(what)).unwrap();
    let flushes: Vec<usize> = (0..order.len()).filter(|at| order[*at].target.contains(FLUSH)).collect();
    assert!(position("/catalog/waiting") > flushes[2], "{order:?}");
    assert_eq!(order[flushes[2]].target, format!("{FLUSH}?environment=production"), "no more than is owed");
    assert!(client.stop().success());
}

#[test]
fn while_the_owed_flush_fails_only_its_environments_are_held() {
    let site = killed_before_the_flush("flush-timeout = \"200ms\"");
    site.upstream.flushes_with(Some(403));
    let client = site.start();
    let waiting = site.ask_catalog("waiting", "production");
    assert_eq!(site.catalog("development"), "1 1 1", "nothing is owed for this one");
    site.wait_held(1);
    let status = until("the status shows it", SOON, || site.status().filter(|status| status.unflushed));
    assert!(status.error.as_deref().unwrap_or_default().contains("403"), "{status:?}");
    assert!(site.upstream.asked("/catalog/waiting").is_empty(), "old code is not served under a new link");
    site.upstream.flushes_with(Some(204));
    assert_eq!(waiting.join().unwrap().unwrap().text(), "2 2 2");
    until("nothing is owed", SOON, || site.status().filter(|status| !status.unflushed && status.error.is_none()));
    assert!(client.stop().success());
}

#[test]
fn a_stop_during_a_drain_gives_the_deploy_up_and_answers_whoever_is_held() {
    let (site, primary, mut client) = deployed("", "drain-timeout = \"60s\"");
    let before = site.status().unwrap().deployed;
    site.upstream.hold("/catalog/running");
    let running = site.ask_catalog("running", "production");
    site.wait_asked("/catalog/running");
    site.stage("production", "2");
    let commit = site.site.commit().commit;
    let held = until("requests are held", SOON, || {
        let asked = site.ask_catalog("held", "production");
        until("it is held or answered", SOON, || (site.held() == 1.0 || asked.is_finished()).then_some(()));
        (!asked.is_finished()).then_some(asked)
    });
    client.signal(Signal::SIGTERM);
    assert_eq!(held.join().unwrap().unwrap().text(), "1 1 1", "forwarded, to the old code");
    assert!(client.is_running(), "it waits for what runs");
    site.upstream.release("/catalog/running");
    assert_eq!(running.join().unwrap().unwrap().text(), "1 1 1");
    assert!(client.ended().success());
    let live = std::fs::read_to_string(site.site.current("gated").join("environments/production/version")).unwrap();
    assert_eq!((live.as_str(), before == Some(commit)), ("1", false));
    // And at the next start it is deployed.
    let client = site.start();
    site.wait_deployed(commit);
    assert_eq!(site.catalog("production"), "2 2 2");
    assert!(client.stop().success());
    primary.kill();
}

#[test]
fn a_stop_during_the_flush_brings_the_deploy_to_its_end_first() {
    let (site, primary, mut client) = deployed("flush-timeout = \"20s\"", "");
    site.upstream.flushes_with(None);
    site.stage("production", "2");
    site.site.commit();
    until("the flush is on its way", SOON, || site.upstream.flushes().get(1).map(drop));
    let held = site.ask_catalog("held", "production");
    site.wait_held(1);
    client.signal(Signal::SIGTERM);
    until("the port is closed", SOON, || std::net::TcpStream::connect(site.ports.plain).is_err().then_some(()));
    assert!(site.upstream.asked("/catalog/held").is_empty(), "the cache holds version 1 still");
    site.upstream.flushes_with(Some(204));
    assert_eq!(held.join().unwrap().unwrap().text(), "2 2 2");
    assert!(client.ended().success());
    assert!(!site.site.current("gated").with_file_name("flush-pending").exists(), "nothing is owed");
    primary.kill();
}

#[test]
fn a_stop_finishes_what_runs_and_takes_nothing_new() {
    let (site, primary, mut client) = deployed("", "");
    // A connection that says nothing, as a health check's does.
    let mut silent = std::net::TcpStream::connect(site.ports.tls).unwrap();
    // Shorter than what TLS may take to begin.
    silent.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // And an agent's, between two requests.
    let mut idle = site.agent();
    assert_eq!(idle.get("/puppet/v3/node/idle").status, 200);
    site.upstream.hold("/catalog/running");
    let running = site.ask_catalog("running", "production");
    site.wait_asked("/catalog/running");
    client.signal(Signal::SIGTERM);
    until("the port is closed", SOON, || std::net::TcpStream::connect(site.ports.plain).is_err().then_some(()));
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "nobody waits for it");
    assert!(idle.is_closed());
    assert!(client.is_running());
    site.upstream.release("/catalog/running");
    assert_eq!(running.join().unwrap().unwrap().text(), "1 1 1");
    assert!(client.ended().success());
    assert_eq!(site.wait_logged("/catalog/running", 1)[0].status, 200, "its line is not lost");
    primary.kill();
}

#[test]
fn a_stop_while_nothing_is_deployed_refuses_whoever_is_held() {
    let site = GatedSite::new("", "");
    let primary = site.site.start_primary();
    let client = site.start();
    let held = site.ask_catalog("early", "production");
    site.wait_held(1);
    assert!(client.stop().success());
    let answer = held.join().unwrap().unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("stopping"), "{}", answer.text());
    assert!(site.upstream.asked("/catalog/early").is_empty());
    primary.kill();
}

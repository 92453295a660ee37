//! The flush: who makes it, and what is served when it fails.

use crate::support::agent::Agent;
use crate::support::ca::HOST;
use crate::support::gated::{Gated, SOON};
use crate::support::wait::until;

const ALL: &str = "/puppet-admin-api/v1/environment-cache";

/// Makes the flush fail in one way, and asserts what must be true in each.
fn fails(status: Option<u16>, said: &str) {
    let gated = Gated::deployed("flush-timeout = \"300ms\"", "");
    assert_eq!(gated.catalog("production"), "1 1 1");
    let before = gated.status().unwrap().deployed;
    gated.upstream.flushes_with(status);
    let commit = gated.commit_version("production", "2");
    gated.wait_error(said);
    assert_eq!(gated.catalog("production"), "1 1 1", "requests flow, on the old code");
    assert_eq!(gated.catalog("development"), "1 1 1");
    let report = gated.status().unwrap();
    assert_eq!((report.deployed, report.unflushed), (before, false));
    assert_eq!(gated.metric("sceneshift_client_failing{repo=\"puppet-code\"}"), 1.0);
    assert!(gated.metric("sceneshift_client_deploys_total{repo=\"puppet-code\",result=\"failed\"}") >= 1.0);
    let stamp = gated.ask_catalog("stamped", "production").join().unwrap().unwrap();
    assert_eq!(stamp.header("x-sceneshift-commit"), before.map(|id| id.to_string()).as_deref());

    gated.upstream.flushes_with(Some(204));
    gated.wait_deployed(commit);
    assert_eq!(gated.catalog("production"), "2 2 2", "the next deploy heals");
    assert_eq!(gated.metric("sceneshift_client_failing{repo=\"puppet-code\"}"), 0.0);
}

#[test]
fn a_flush_that_is_forbidden_leaves_the_old_code_live() {
    fails(Some(403), "403");
}

#[test]
fn a_flush_that_fails_leaves_the_old_code_live() {
    fails(Some(500), "500");
}

#[test]
fn a_flush_without_an_answer_leaves_the_old_code_live() {
    fails(None, "no answer to the flush");
}

#[test]
fn a_first_deploy_whose_flush_fails_is_no_deploy() {
    let mut gated = Gated::new("", "");
    gated.upstream.flushes_with(Some(403));
    gated.start();
    let waiting = gated.ask_catalog("early", "production");
    gated.wait_held(1);
    gated.stage("production", "1");
    let commit = gated.commit();
    gated.wait_error("403");
    assert_eq!(Agent::plain(gated.ports.metrics).get("/readyz").status, 503);
    assert!(gated.upstream.asked("/catalog/").is_empty(), "nothing is live, so nobody is served");
    gated.upstream.flushes_with(Some(204));
    assert_eq!(waiting.join().unwrap().unwrap().text(), "1 1 1");
    gated.wait_deployed(commit);
}

#[test]
fn the_flush_is_made_before_requests_flow_in_the_name_of_the_host() {
    let gated = Gated::deployed("flush-timeout = \"20s\"", "");
    assert_eq!(gated.catalog("production"), "1 1 1");
    gated.upstream.flushes_with(None);
    let commit = gated.commit_version("production", "2");
    until("the flush is on its way", SOON, || gated.upstream.flushes().get(1).map(drop));
    let held = gated.ask_catalog("held", "production");
    gated.wait_held(1);
    assert_eq!(gated.catalog("development"), "1 1 1", "others do not wait for it");
    gated.upstream.flushes_with(Some(204));
    assert_eq!(held.join().unwrap().unwrap().text(), "2 2 2", "not what the cache held");
    gated.wait_deployed(commit);

    assert_eq!(gated.upstream.flushes(), [ALL.to_owned(), format!("{ALL}?environment=production")]);
    let flush = gated.upstream.asked(ALL).pop().unwrap();
    assert_eq!(flush.all("x-client-verify"), ["SUCCESS"]);
    assert_eq!(flush.all("x-client-dn"), [format!("CN={HOST}")]);
    let told = flush.all("x-client-cert");
    let told = percent_encoding::percent_decode_str(told[0]).decode_utf8().unwrap();
    assert_eq!(told.replace("\r\n", "\n"), gated.ca.host_pem().replace("\r\n", "\n"));
}

#[test]
fn more_than_twenty_environments_are_flushed_as_one() {
    let gated = Gated::deployed("", "");
    for at in 0..21 {
        gated.stage(&format!("many{at}"), "1");
    }
    let commit = gated.commit();
    gated.wait_deployed(commit);
    assert_eq!(gated.upstream.flushes(), [ALL, ALL]);
    for at in 0..20 {
        gated.stage(&format!("many{at}"), "2");
    }
    let commit = gated.commit();
    gated.wait_deployed(commit);
    assert_eq!(gated.upstream.flushes().len(), 2 + 20, "twenty are not yet too many");
}

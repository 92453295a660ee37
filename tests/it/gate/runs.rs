//! `drain = "runs"`: an agent's run from its plugins to its catalog sees one version.

use crate::support::agent::{Agent, FORM};
use crate::support::gated::{Gated, SOON};
use crate::support::wait::until;

const RUNS: &str = "drain = \"runs\"\nrun-drain-timeout = \"15s\"";
const PLUGINS: &str = "/puppet/v3/file_metadatas/plugins?environment=production";

/// An agent that has begun a run.
fn runner(gated: &Gated) -> Agent {
    let mut agent = again(gated);
    assert_eq!(agent.get(PLUGINS).status, 200);
    agent
}

/// The same agent on a new connection. Others are [`Gated::agent`].
fn again(gated: &Gated) -> Agent {
    thread_local!(static CERTIFICATE: std::cell::OnceCell<crate::support::ca::Certificate> = const { std::cell::OnceCell::new() });
    CERTIFICATE.with(|certificate| {
        let certificate = certificate.get_or_init(|| gated.ca.agent("runner.example"));
        Agent::tls(gated.ports.tls, &gated.ca, Some(certificate))
    })
}

fn catalog(agent: &mut Agent) -> String {
    agent.request("POST", "/puppet/v3/catalog/runner", &[FORM], b"environment=production").unwrap().text()
}

#[test]
fn a_run_gets_the_manifests_of_its_plugins_version_and_new_runs_wait() {
    let gated = Gated::deployed("", RUNS);
    let mut agent = runner(&gated);
    let commit = gated.commit_version("production", "2");
    let other = gated.wait_paused("production");
    let new_run = gated.ask(PLUGINS, "");
    gated.wait_held(2);
    for target in
        ["/puppet/v3/file_content/plugins/x", "/puppet/v3/file_metadatas/pluginfacts", "/puppet/v3/node/runner"]
    {
        assert_eq!(agent.get(&format!("{target}?environment=production")).status, 200, "{target} is part of the run");
    }
    assert_ne!(gated.status().unwrap().deployed, Some(commit));
    assert_eq!(catalog(&mut agent), "1 1 1");
    assert_eq!(other.join().unwrap().unwrap().text(), "2 2 2");
    assert_eq!(new_run.join().unwrap().unwrap().status, 200);
    gated.wait_deployed(commit);
    let own = gated.wait_logged("/catalog/runner", 1);
    assert!(own.iter().all(|line| line.held_ms == 0.0), "{own:?}");
    assert_eq!(catalog(&mut agent), "2 2 2");
}

#[test]
fn without_it_a_deploy_comes_between_plugins_and_catalog() {
    let gated = Gated::deployed("", "");
    let mut agent = runner(&gated);
    let commit = gated.commit_version("production", "2");
    gated.wait_deployed(commit);
    assert_eq!(catalog(&mut agent), "2 2 2", "or the test above proves nothing");
}

#[test]
fn a_run_whose_connection_has_ended_is_not_waited_for_beyond_a_short_grace() {
    let gated = Gated::deployed("", "drain = \"runs\"\ndrain-timeout = \"100s\"\nrun-drain-timeout = \"100s\"");
    let agent = runner(&gated);
    let commit = gated.commit_version("production", "2");
    let other = gated.wait_paused("production");
    agent.hang_up();
    assert_eq!(other.join().unwrap().unwrap().text(), "2 2 2");
    gated.wait_deployed(commit);
}

#[test]
fn an_agent_that_connects_anew_in_the_middle_of_its_run_goes_on_with_it() {
    let gated = Gated::deployed("", RUNS);
    let agent = runner(&gated);
    let commit = gated.commit_version("production", "2");
    let other = gated.wait_paused("production");
    agent.hang_up();
    assert_eq!(catalog(&mut again(&gated)), "1 1 1", "its run is the one from before");
    assert_eq!(other.join().unwrap().unwrap().text(), "2 2 2");
    gated.wait_deployed(commit);
}

#[test]
fn runs_of_other_environments_are_not_waited_for() {
    let gated = Gated::deployed("", RUNS);
    let mut agent = again(&gated);
    assert_eq!(agent.get("/puppet/v3/file_metadatas/plugins?environment=development").status, 200);
    let commit = gated.commit_version("production", "2");
    gated.wait_deployed(commit);
    assert_eq!(gated.metric("sceneshift_client_gate_held_seconds_count"), 0.0, "nobody was held for it");
}

#[test]
fn a_run_that_takes_too_long_is_given_up_and_running_requests_are_waited_for_all_the_same() {
    let gated = Gated::deployed("", "drain = \"runs\"\nrun-drain-timeout = \"400ms\"");
    gated.upstream.hold("/catalog/running");
    let running = gated.ask_catalog("running", "production");
    gated.wait_asked("/catalog/running");
    let mut agent = runner(&gated);
    let commit = gated.commit_version("production", "2");
    let other = gated.wait_paused("production");
    // The run's own requests pass until it is given up; then they are held like all.
    let is_held = || gated.metric("sceneshift_client_gate_held") == 2.0;
    until("the run is given up", SOON, || {
        let passed = gated.upstream.asked("/node/runner").len() + 1;
        agent.ask("GET", "/puppet/v3/node/runner?environment=production", &[], b"").unwrap();
        until("it is held or passes", SOON, || {
            (is_held() || gated.upstream.asked("/node/runner").len() == passed).then_some(())
        });
        if is_held() {
            return Some(());
        }
        assert_eq!(agent.answer().unwrap().status, 200);
        None
    });
    assert_ne!(gated.status().unwrap().deployed, Some(commit), "a request runs still");
    gated.upstream.release("/catalog/running");
    assert_eq!(running.join().unwrap().unwrap().text(), "1 1 1");
    assert_eq!(agent.answer().unwrap().status, 200);
    assert_eq!(other.join().unwrap().unwrap().text(), "2 2 2");
    gated.wait_deployed(commit);
}

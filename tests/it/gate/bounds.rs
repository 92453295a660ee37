//! Nobody is held for ever, and no deploy waits for ever.

use crate::support::agent::Agent;
use crate::support::gated::Gated;

#[test]
fn a_drain_past_its_limit_is_given_up_and_requests_flow_for_five_times_as_long_before_the_next() {
    let gated = Gated::deployed("", "drain-timeout = \"400ms\"");
    gated.upstream.hold("/catalog/stuck");
    let stuck = gated.ask_catalog("stuck", "production");
    gated.wait_asked("/catalog/stuck");
    let commit = gated.commit_version("production", "2");
    let error = gated.wait_error("drain-timeout");
    assert!(error.contains("POST /puppet/v3/catalog/stuck"), "it names what it waited for: {error}");
    assert_eq!(gated.catalog("production"), "1 1 1", "requests flow again, on the old code");
    assert_eq!(gated.metric("sceneshift_client_gate_drains_total{result=\"given-up\"}"), 1.0);

    // Nothing runs any more, and still the next try is refused: whoever was held has a right to flow.
    gated.upstream.release("/catalog/stuck");
    assert_eq!(stuck.join().unwrap().unwrap().text(), "1 1 1");
    let early = gated.sync().unwrap_err().to_string();
    assert!(early.contains("given up a short while ago"), "{early}");
    assert_eq!(gated.catalog("production"), "1 1 1");
    // By itself it comes later.
    gated.wait_deployed(commit);
    assert_eq!(gated.catalog("production"), "2 2 2");
    assert_eq!(
        gated.metric("sceneshift_client_gate_drains_total{result=\"given-up\"}"),
        1.0,
        "there was no second one"
    );
}

#[test]
fn a_request_that_puppet_server_never_answers_is_ended_and_lets_the_deploy_through() {
    let gated = Gated::deployed("request-timeout = \"700ms\"", "");
    gated.upstream.hold("/catalog/stuck");
    let stuck = gated.ask_catalog("stuck", "production");
    gated.wait_asked("/catalog/stuck");
    let commit = gated.commit_version("production", "2");
    let answer = stuck.join().unwrap().unwrap();
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("request-timeout"), "{}", answer.text());
    gated.wait_deployed(commit);
    assert_eq!(gated.catalog("production"), "2 2 2");
    assert_eq!(gated.wait_logged("/catalog/stuck", 1)[0].status, 504);
}

#[test]
fn nobody_is_held_longer_than_a_deploy_can_take() {
    // Nothing is ever deployed: the longest hold is 10 s and these two.
    let mut gated = Gated::new("flush-timeout = \"100ms\"", "drain-timeout = \"100ms\"");
    gated.start();
    let answer = gated.ask_catalog("early", "production").join().unwrap().unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("held too long"), "{}", answer.text());
    gated.wait_held(0);
    let line = &gated.wait_logged("/catalog/early", 1)[0];
    assert!(line.status == 503 && line.held_ms >= 10_000.0, "{line:?}");
}

#[test]
fn more_than_may_be_held_are_refused_and_none_of_the_others_is() {
    let mut gated = Gated::new("max-held = 3", "");
    gated.start();
    let held: Vec<_> = (0..3).map(|at| gated.ask_catalog(&format!("held{at}"), "production")).collect();
    gated.wait_held(3);
    let refused = gated.ask_catalog("refused", "production").join().unwrap().unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("too many"), "{}", refused.text());
    assert_eq!(gated.wait_logged("/catalog/refused", 1)[0].held_ms, 0.0, "who is refused was not held");
    gated.stage("production", "1");
    gated.commit();
    for held in held {
        assert_eq!(held.join().unwrap().unwrap().text(), "1 1 1");
    }
    gated.wait_held(0);
}

#[test]
fn whoever_has_no_certificate_cannot_take_the_room_of_agents() {
    let mut gated = Gated::new("", "");
    gated.start();
    let stranger = || {
        let mut stranger = Agent::tls(gated.ports.tls, &gated.ca, None);
        stranger.ask("GET", "/puppet/v3/catalog/stranger", &[], b"").unwrap();
        stranger
    };
    let _held: Vec<Agent> = (0..256).map(|_| stranger()).collect();
    gated.wait_held(256);
    assert_eq!(stranger().answer().unwrap().status, 503);
    let agent = gated.ask_catalog("agent", "production");
    gated.wait_held(257);
    assert!(!agent.is_finished());
}

#[test]
fn puppet_server_that_restarts_during_a_deploy_owes_no_flush() {
    let mut gated = Gated::deployed("", "");
    gated.upstream.hold("/catalog/running");
    let running = gated.ask_catalog("running", "production");
    gated.wait_asked("/catalog/running");
    let commit = gated.commit_version("production", "2");
    let held = gated.wait_paused("production");
    gated.upstream.stop();
    let broken = running.join().unwrap().unwrap();
    assert_eq!(broken.status, 502);
    assert!(broken.text().contains(&gated.upstream.url()), "{}", broken.text());
    gated.wait_deployed(commit);
    // Let go while nobody listens: refused at once, in words.
    let refused = held.join().unwrap().unwrap();
    assert_eq!(refused.status, 502);
    assert!(refused.text().contains(&gated.upstream.url()), "{}", refused.text());
    let status = gated.status().unwrap();
    assert!(!status.unflushed && status.error.is_none(), "{status:?}");
    gated.upstream.release("/catalog/running");
    gated.upstream.start_again();
    assert_eq!(gated.catalog("production"), "2 2 2");
}

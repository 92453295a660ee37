//! A deploy waits for what runs and holds what comes, in its scope; all else flows.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use sceneshift::values::CommitId;

use crate::support::agent::{Agent, Answer, FORM};
use crate::support::gated::{Gated, SOON};
use crate::support::wait::until;

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A catalog of `production` that Puppet Server works on until `/catalog/running` is released, and a deploy of version 2 that waits for it.
fn draining(gated: &Gated) -> (JoinHandle<io::Result<Answer>>, CommitId) {
    gated.upstream.hold("/catalog/running");
    let running = gated.ask_catalog("running", "production");
    gated.wait_asked("/catalog/running");
    let commit = gated.commit_version("production", "2");
    drop(gated.wait_paused("production"));
    (running, commit)
}

#[test]
fn a_deploy_waits_for_a_running_catalog_and_holds_new_ones_in_its_scope_only() {
    let gated = Gated::deployed("", "");
    let (running, commit) = draining(&gated);
    let held = gated.ask_catalog("held_second", "production");
    gated.wait_held(2);
    assert!(gated.upstream.asked("/catalog/held").is_empty(), "it does not reach Puppet Server");

    for at in 0..20 {
        let other = gated.ask_catalog(&format!("other{at}"), "development").join().unwrap().unwrap();
        assert_eq!((other.status, other.text().as_str()), (200, "1 1 1"));
    }
    assert_ne!(gated.status().unwrap().deployed, Some(commit), "the deploy waits for what runs");

    gated.upstream.release("/catalog/running");
    assert_eq!(running.join().unwrap().unwrap().text(), "1 1 1", "it is wholly the old version");
    assert_eq!(held.join().unwrap().unwrap().text(), "2 2 2", "and this one wholly the new one");
    gated.wait_deployed(commit);
    let others = gated.wait_logged("/catalog/other", 20);
    assert!(others.iter().all(|served| served.held_ms == 0.0), "{others:?}");
    let held = gated.wait_logged("/catalog/held_second", 1);
    assert!(held[0].held_ms > 0.0, "{held:?}");
}

#[test]
fn what_names_no_single_environment_is_held_like_all() {
    let gated = Gated::deployed("", "");
    let (running, commit) = draining(&gated);
    let catalog = "/puppet/v3/catalog/";
    let ask = |name: &str, query: &str, headers: &[(&str, &str)], body: &str| {
        let mut agent = gated.agent();
        agent.ask("POST", &format!("{catalog}{name}{query}"), headers, body.as_bytes()).unwrap();
        agent
    };
    let mut all = vec![
        ask("none", "", &[], ""),
        ask("twice", "?environment=development&environment=production", &[], ""),
        ask("twice_the_same", "", &[FORM], "environment=development&environment=development"),
        ask("json", "", &[JSON], r#"{"environment": "production"}"#),
        ask("json_query", "?environment=development", &[JSON], r#"{"environment": "production"}"#),
        ask("untyped", "?environment=development", &[], "environment=production"),
        ask("both", "?environment=development", &[FORM], "environment=production"),
        ask("encoded", "", &[FORM], "%65nvironment=%70roduction"),
        ask("odd", "?environment=prod%75ction%00", &[], ""),
    ];
    // Other paths that read code, or hide that they do.
    for (name, target) in [
        ("node", "/puppet/v3/node/x?environment=production"),
        ("metadata", "/puppet/v3/file_metadata/modules/m/f?environment=production"),
        ("content", "/puppet/v3/file_content/modules/m/f?environment=production"),
        ("classes", "/puppet/v3/environment_classes?environment=production"),
        ("unknown", "/puppet/v9/thing"),
        ("hidden", "/puppet/v3/report/..%2fcatalog%2fhidden?environment=production"),
        ("dots", "/puppet/v3/report/%2e%2e/catalog/dots?environment=production"),
        ("slashes", "/puppet/v3//report/x?environment=production"),
        ("parameter", "/puppet/v3/report;x/y?environment=production"),
    ] {
        let mut agent = gated.agent();
        agent.ask("GET", target, &[], b"").unwrap_or_else(|error| panic!("{name}: {error}"));
        all.push(agent);
    }
    gated.wait_held(1 + all.len() as u32);
    assert!(gated.upstream.asked("hidden").is_empty());

    gated.upstream.release("/catalog/running");
    for agent in &mut all {
        assert_eq!(agent.answer().unwrap().status, 200);
    }
    drop(running.join());
    gated.wait_deployed(commit);
}

#[test]
fn reports_certificates_and_static_files_are_never_held() {
    let gated = Gated::deployed("", "");
    let (_running, commit) = draining(&gated);
    let mut agent = gated.agent();
    for (method, target) in [
        ("PUT", "/puppet/v3/report/x?environment=production"),
        ("GET", "/puppet-ca/v1/certificate/ca"),
        ("GET", "/puppet-ca/v1/certificate_revocation_list/ca"),
        ("GET", "/puppet/v3/static_file_content/modules/m/files/f?code_id=1&environment=production"),
        ("GET", "/status/v1/simple"),
    ] {
        let body: &[u8] = if method == "PUT" { b"{\"report\": 1}" } else { b"" };
        let answer = agent.request(method, target, &[], body).unwrap();
        assert_eq!((answer.status, answer.text()), (200, format!("{method} {target}")));
    }
    assert_ne!(gated.status().unwrap().deployed, Some(commit), "the pause went on meanwhile");
    let reports = gated.wait_logged("/report/", 1);
    assert_eq!((reports[0].held_ms, reports[0].environment.clone()), (0.0, None));
    gated.upstream.release("/catalog/running");
    gated.wait_deployed(commit);
}

#[test]
fn an_agent_that_hangs_up_while_it_is_held_is_gone() {
    let gated = Gated::deployed("", "");
    let (_running, commit) = draining(&gated);
    let mut agents: Vec<Agent> = (0..4).map(|_| gated.agent()).collect();
    for (at, agent) in agents.iter_mut().enumerate() {
        let target = format!("/puppet/v3/catalog/gone{at}");
        agent.ask("POST", &target, &[FORM], b"environment=production").unwrap();
    }
    gated.wait_held(5);
    agents.into_iter().for_each(Agent::hang_up);
    gated.wait_held(1);
    gated.upstream.release("/catalog/running");
    gated.wait_deployed(commit);
    assert!(gated.upstream.asked("/catalog/gone").is_empty(), "Puppet Server never hears of them");
    let lines = gated.wait_logged("/catalog/gone", 4);
    assert!(lines.iter().all(|line| line.status == 499 && line.held_ms > 0.0 && line.bytes == 0), "{lines:?}");
}

#[test]
fn an_agent_that_hangs_up_while_its_catalog_is_compiled_is_waited_for_all_the_same() {
    let gated = Gated::deployed("", "");
    gated.upstream.hold("/catalog/left");
    let mut agent = gated.agent();
    agent.ask("POST", "/puppet/v3/catalog/left", &[FORM], b"environment=production").unwrap();
    gated.wait_asked("/catalog/left");
    agent.hang_up();
    // Its connection is gone, and so is the line in the log; what Puppet Server does is not.
    assert_eq!(gated.wait_logged("/catalog/left", 1)[0].status, 499);
    let commit = gated.commit_version("production", "2");
    let held = gated.wait_paused("production");
    assert_eq!(gated.metric("sceneshift_client_gate_running"), 1.0);
    assert_ne!(gated.status().unwrap().deployed, Some(commit), "the deploy waits for the compile that nobody wants");
    gated.upstream.release("/catalog/left");
    assert_eq!(held.join().unwrap().unwrap().text(), "2 2 2");
    gated.wait_deployed(commit);
}

#[test]
fn before_the_first_deploy_requests_are_held_and_then_served() {
    let mut gated = Gated::new("", "");
    gated.start();
    let ready = |gated: &Gated| Agent::plain(gated.ports.metrics).get("/readyz").status;
    assert_eq!(ready(&gated), 503);
    let waiting = gated.ask_catalog("early", "production");
    gated.wait_held(1);
    assert_eq!(gated.agent().get("/puppet-ca/v1/certificate/ca").status, 200, "certificates are not code");
    gated.stage("production", "1");
    let commit = gated.commit();
    assert_eq!(waiting.join().unwrap().unwrap().text(), "1 1 1");
    gated.wait_deployed(commit);
    assert_eq!(ready(&gated), 200);
}

#[test]
fn with_the_scope_all_a_deploy_of_one_environment_holds_every_request_for_code() {
    let gated = Gated::deployed("scope = \"all\"", "");
    let (_running, commit) = draining(&gated);
    let other = gated.ask_catalog("other", "development");
    gated.wait_held(2);
    gated.upstream.release("/catalog/running");
    assert_eq!(other.join().unwrap().unwrap().text(), "1 1 1");
    gated.wait_deployed(commit);
}

#[test]
fn a_change_beside_the_environments_holds_all_of_them() {
    let gated = Gated::deployed("", "");
    gated.upstream.hold("/catalog/running");
    let running = gated.ask_catalog("running", "development");
    gated.wait_asked("/catalog/running");
    std::fs::create_dir(gated.rig.staging().join("modules")).unwrap();
    std::fs::write(gated.rig.staging().join("modules/shared.pp"), "x").unwrap();
    let commit = gated.commit();
    let held = gated.wait_paused("production");
    assert_ne!(gated.status().unwrap().deployed, Some(commit));
    gated.upstream.release("/catalog/running");
    assert_eq!(running.join().unwrap().unwrap().text(), "1 1 1");
    assert_eq!(held.join().unwrap().unwrap().status, 200);
    gated.wait_deployed(commit);
}

#[test]
fn a_pause_that_nothing_runs_in_is_over_at_once() {
    let gated = Gated::deployed("", "");
    let commit = gated.commit_version("production", "2");
    gated.wait_deployed(commit);
    let deploy = until("it has figures", SOON, || gated.status()?.last_deploy);
    println!("paused for {:.6} s, {:.6} s of it for the flush", deploy.paused_seconds, deploy.flush_seconds);
    assert!(deploy.paused_seconds < Duration::from_secs(20).as_secs_f64(), "no limit was waited for: {deploy:?}");
}

//! Who asks, by a load balancer's word.

use crate::support::agent::Agent;
use crate::support::gated::Gated;

const TOLD: [(&str, &str); 3] =
    [("X-Client-Verify", "SUCCESS"), ("X-Client-DN", "/O=x/CN=agent.example"), ("X-Client-Cert", "abc%20d")];

#[test]
fn a_trusted_load_balancer_is_believed() {
    let gated = Gated::deployed("", "");
    let answer = Agent::plain(gated.ports.plain).request("GET", "/puppet/v3/node/told", &TOLD, b"").unwrap();
    assert_eq!(answer.status, 200);
    let asked = &gated.upstream.asked("/node/told")[0];
    assert_eq!(asked.all("x-client-verify"), ["SUCCESS"]);
    assert_eq!(asked.all("x-client-dn"), ["CN=agent.example"], "in one form, whatever it came in");
    assert_eq!(asked.all("x-client-cert"), ["abc%20d"]);
    assert_eq!(gated.wait_logged("/node/told", 1)[0].certname.as_deref(), Some("agent.example"));
}

#[test]
fn whoever_else_reaches_the_plain_port_is_nobody() {
    let mut gated = Gated::new("", "");
    gated.trusted = "10.0.0.5/32".into();
    gated.stage("production", "1");
    let commit = gated.commit();
    gated.start();
    gated.wait_deployed(commit);
    let answer = Agent::plain(gated.ports.plain).request("GET", "/puppet/v3/node/told", &TOLD, b"").unwrap();
    assert_eq!(answer.status, 200);
    let asked = &gated.upstream.asked("/node/told")[0];
    let all = ["x-client-verify", "x-client-dn", "x-client-cert"];
    assert!(all.iter().all(|name| asked.all(name).is_empty()), "{asked:?}");
    assert_eq!(gated.wait_logged("/node/told", 1)[0].certname, None);
}

#[test]
fn a_header_that_stands_there_twice_is_refused() {
    let gated = Gated::deployed("", "");
    for (name, value) in [("x-client-dn", "CN=admin"), ("X-CLIENT-VERIFY", "SUCCESS"), ("X-Client-Cert", "x")] {
        let headers = [&TOLD[..], &[(name, value)]].concat();
        let answer = Agent::plain(gated.ports.plain).request("GET", "/puppet/v3/node/twice", &headers, b"").unwrap();
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
    }
    assert!(gated.upstream.asked("/node/twice").is_empty());
}

#[test]
fn a_load_balancer_that_verified_nobody_names_nobody() {
    let gated = Gated::deployed("", "");
    for (at, verify) in ["NONE", "FAILED:expired", "success", ""].into_iter().enumerate() {
        let headers = [("X-Client-Verify", verify), TOLD[1], TOLD[2]];
        let target = format!("/puppet/v3/node/unverified{at}");
        let answer = Agent::plain(gated.ports.plain).request("GET", &target, &headers, b"").unwrap();
        assert_eq!(answer.status, 200);
        let asked = &gated.upstream.asked(&target)[0];
        assert!(asked.all("x-client-dn").is_empty() && asked.all("x-client-cert").is_empty(), "{asked:?}");
    }
}

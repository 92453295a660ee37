//! Who asks, by certificate.

use base64::Engine;

use crate::support::agent::{Agent, FORM, tls};
use crate::support::ca::{Ca, Certificate};
use crate::support::gated::{Gated, SOON};
use crate::support::upstream::Asked;
use crate::support::wait::until;

const HEADERS: [&str; 3] = ["x-client-verify", "x-client-dn", "x-client-cert"];

/// All headers of a request that tell Puppet Server who asks, in any spelling.
fn told(asked: &Asked) -> Vec<(String, String)> {
    let is_one = |name: &str| name.to_ascii_lowercase().replace('_', "-").starts_with("x-client-");
    asked.headers.iter().filter(|(name, _)| is_one(name)).cloned().collect()
}

/// The only request whose target holds this.
fn only(gated: &Gated, what: &str) -> Asked {
    let mut asked = gated.upstream.asked(what);
    assert_eq!(asked.len(), 1, "{what}");
    asked.remove(0)
}

fn connect(gated: &Gated, certificate: &Certificate) -> Agent {
    Agent::tls(gated.ports.tls, &gated.ca, Some(certificate))
}

/// Whether a certificate gets nothing, not even an error page.
fn is_refused(gated: &Gated, certificate: &Certificate) -> bool {
    connect(gated, certificate).request("GET", "/puppet/v3/node/refused", &[], b"").is_err()
}

#[test]
fn a_certificate_reaches_puppet_server_as_it_is() {
    let gated = Gated::deployed("", "");
    let certificate = gated.ca.agent("agent 7.example");
    let mut agent = connect(&gated, &certificate);
    for (what, method) in [("/catalog/one", "POST"), ("/report/two", "PUT")] {
        let target = format!("/puppet/v3{what}");
        assert_eq!(agent.request(method, &target, &[FORM], b"environment=production").unwrap().status, 200);
        let asked = only(&gated, what);
        assert_eq!(told(&asked).len(), 3, "{asked:?}");
        assert_eq!(asked.all("x-client-verify"), ["SUCCESS"]);
        assert_eq!(asked.all("x-client-dn"), ["CN=agent 7.example"]);
        let encoded = asked.all("x-client-cert")[0];
        assert!(encoded.contains("BEGIN%20CERTIFICATE") && !encoded.contains([' ', '+', '\n']), "{encoded}");
        let pem = percent_encoding::percent_decode_str(encoded).decode_utf8().unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = base64::prelude::BASE64_STANDARD.decode(body).unwrap();
        assert_eq!(der, certificate.der.as_ref());
        assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 1, "one certificate, not its chain");
    }
    assert_eq!(gated.wait_logged("/catalog/one", 1)[0].certname.as_deref(), Some("agent 7.example"));
}

#[test]
fn nobody_outside_says_who_he_is_in_any_spelling() {
    let gated = Gated::deployed("", "");
    let forged = [
        ("X-Client-Verify", "SUCCESS"),
        ("X-CLIENT-DN", "CN=admin"),
        ("x-client-dn", "CN=admin"),
        ("X-Client-Dn", "CN=other"),
        ("X_Client_DN", "CN=admin"),
        ("X_Client-Verify", "SUCCESS"),
        ("x-client_cert", "admin"),
        ("X-Client-Cert", "admin"),
        ("X-Client-Other", "admin"),
        // Which would take away what the gate itself adds.
        ("Connection", "keep-alive, X-Client-DN, X-Client-Verify"),
    ];
    let mut stranger = Agent::tls(gated.ports.tls, &gated.ca, None);
    let mut agent = gated.agent();
    for (who, agent, dn) in [("stranger", &mut stranger, None), ("agent", &mut agent, Some("CN=agent.example"))] {
        for target in ["/puppet/v3/catalog/", "/puppet/v3/report/", "/puppet-ca/v1/certificate_status/"] {
            let target = format!("{target}{who}?environment=production");
            assert_eq!(agent.request("GET", &target, &forged, b"").unwrap().status, 200);
            let asked = only(&gated, &target);
            let told = told(&asked);
            assert!(!format!("{:?}", asked.headers).contains("admin"), "{asked:?}");
            match dn {
                None => assert!(told.is_empty(), "{told:?}"),
                Some(dn) => {
                    assert_eq!(told.len(), HEADERS.len(), "{told:?}");
                    assert_eq!(asked.all("x-client-dn"), [dn]);
                }
            }
        }
    }
    assert_eq!(gated.wait_logged("/catalog/stranger", 1)[0].certname, None);
}

#[test]
fn certificates_of_others_expired_and_revoked_ones_get_nothing() {
    let gated = Gated::deployed("", "");
    let folder = tempfile::tempdir().unwrap();
    let foreign = Ca::new(folder.path());
    assert!(is_refused(&gated, &foreign.agent("agent.example")), "another CA's");
    assert!(is_refused(&gated, &gated.ca.expired("expired.example")));
    let revoked = gated.ca.agent("revoked.example");
    assert!(!is_refused(&gated, &revoked), "it is not revoked yet");
    gated.ca.revoke(&revoked);
    until("the revocation counts", SOON, || is_refused(&gated, &revoked).then_some(()));
    assert!(!is_refused(&gated, &gated.ca.agent("another.example")));
    assert_eq!(gated.upstream.asked("/node/refused").iter().filter(|asked| told(asked).is_empty()).count(), 0);
}

#[test]
fn a_revocation_counts_on_an_open_connection_and_for_a_resumed_session_and_others_stay_connected() {
    let gated = Gated::deployed("", "");
    let (bad, good) = (gated.ca.agent("bad.example"), gated.ca.agent("good.example"));
    let settings = tls(&gated.ca, Some(&bad));
    let (mut open, mut other) = (Agent::with(gated.ports.tls, &settings), connect(&gated, &good));
    for agent in [&mut open, &mut other] {
        assert_eq!(agent.get("/puppet/v3/node/x").status, 200);
    }
    gated.ca.revoke(&bad);
    let refused = until("the revocation counts", SOON, || {
        let answer = open.get("/puppet/v3/report/revoked");
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("revoked"), "{}", refused.text());
    assert!(open.is_closed());
    // With the same settings: it could bring back the session from before.
    assert!(Agent::with(gated.ports.tls, &settings).request("GET", "/puppet/v3/node/x", &[], b"").is_err());
    assert_eq!(other.get("/puppet/v3/node/x").status, 200, "on the connection from before");
}

#[test]
fn a_half_written_revocation_list_locks_nobody_out_and_lets_nobody_in() {
    let gated = Gated::deployed("", "");
    let (revoked, good) = (gated.ca.agent("revoked.example"), gated.ca.agent("good.example"));
    gated.ca.revoke(&revoked);
    until("the revocation counts", SOON, || is_refused(&gated, &revoked).then_some(()));
    let whole = gated.ca.crl();
    let second = whole.rfind("-----BEGIN").unwrap();
    // Nothing yet; half of the first list; exactly the first list; half of the second.
    for length in [0, second / 2, second, second + (whole.len() - second) / 2] {
        gated.ca.write_crl(&whole[..length]);
        gated.wait_metric("sceneshift_client_gate_certificates_failing", 1.0);
        assert!(!is_refused(&gated, &good), "cut after {length} bytes of {}", whole.len());
        assert!(is_refused(&gated, &revoked), "cut after {length} bytes of {}", whole.len());
        gated.ca.write_crl(&whole);
        gated.wait_metric("sceneshift_client_gate_certificates_failing", 0.0);
    }
}

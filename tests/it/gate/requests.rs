//! Requests that no agent would send: they do no harm, and never reach Puppet Server as something else than what the gate took them for.

use crate::support::agent::Agent;
use crate::support::ca::HOST;
use crate::support::gated::Gated;

/// What a smuggler would like Puppet Server to take for a request of its own.
const SMUGGLED: &str =
    "GET /puppet/v3/node/smuggled HTTP/1.1\r\nHost: x\r\nX-Client-Verify: SUCCESS\r\nX-Client-DN: CN=admin\r\n\r\n";

/// Sends bytes on a connection of their own; the status of the first answer, `None` where there is none.
fn status(gated: &Gated, raw: &str) -> Option<u16> {
    let mut agent = gated.agent();
    agent.send(raw).ok()?;
    agent.answer().ok().map(|answer| answer.status)
}

/// Every request that Puppet Server has seen is one that the gate has looked at: it says who asks, and that is never another.
#[track_caller]
fn assert_nothing_smuggled(gated: &Gated) {
    for asked in gated.upstream.asked("/puppet/") {
        assert_eq!(asked.all("x-client-dn"), ["CN=agent.example"], "{asked:?}");
        assert!(asked.all("transfer-encoding").is_empty() || asked.all("content-length").is_empty(), "{asked:?}");
    }
}

#[test]
fn what_is_no_request_for_puppet_server_is_refused() {
    let gated = Gated::deployed("", "");
    for raw in [
        "GET  HTTP/1.1\r\nHost: x\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT gate.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET puppet/v3/node/x HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /puppet/v3/node/x HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET /puppet/v3/no de/x HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /puppet/v3/node/x HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET /puppet/v3/node/x HTTP/1.1\r\nX: a\0b\r\n\r\n",
        "\u{16}\u{3}\u{1} this is no HTTP\r\n\r\n",
        "\r\n\r\n\r\nxx\r\n\r\n",
    ] {
        let status = status(&gated, raw);
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{raw:?}: {status:?}");
    }
    assert!(gated.upstream.asked("/node").is_empty() && gated.upstream.asked("*").is_empty());
    let head = format!("GET /puppet/v3/node/long HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = status(&gated, &head);
    assert!(answer.is_none_or(|status| status == 431), "{answer:?}");
    assert_eq!(gated.catalog("production"), "1 1 1", "and the gate is well");
}

#[test]
fn a_request_that_names_the_server_in_its_target_is_taken_by_its_path() {
    let gated = Gated::deployed("", "");
    let raw = format!(
        "GET http://elsewhere.example/puppet/v3/node/absolute?environment=production HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
    );
    assert_eq!(status(&gated, &raw), Some(200));
    assert_eq!(gated.upstream.asked("absolute")[0].target, "/puppet/v3/node/absolute?environment=production");
    assert_eq!(gated.wait_logged("/node/absolute", 1)[0].environment.as_deref(), Some("production"));
}

#[test]
fn http_1_0_without_a_host_is_answered_and_closed() {
    let gated = Gated::deployed("", "");
    let mut agent = gated.agent();
    agent.send("GET /puppet/v3/node/old HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(agent.answer().unwrap().status, 200);
    assert!(agent.is_closed());
    let asked = &gated.upstream.asked("/node/old")[0];
    assert_eq!(asked.all("host").len(), 1, "HTTP/1.1 needs one: {asked:?}");
}

#[test]
fn lengths_that_can_be_read_in_two_ways_smuggle_nothing() {
    let gated = Gated::deployed("", "");
    let length = SMUGGLED.len();
    let refused = [
        "Content-Length: 5\r\nContent-Length: 6\r\n".to_owned(),
        "Content-Length: 5, 6\r\n".to_owned(),
        "Content-Length: +5\r\n".to_owned(),
        "Content-Length: -5\r\n".to_owned(),
        "Content-Length: 0x5\r\n".to_owned(),
        "Transfer-Encoding: identity\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
    ];
    for target in ["/puppet/v3/catalog/first", "/puppet/v3/report/first"] {
        for headers in &refused {
            let raw = format!("POST {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n0\r\n\r\n{SMUGGLED}");
            let status = status(&gated, &raw);
            assert!(status.is_none_or(|status| status == 400), "{headers:?}: {status:?}");
        }
        assert!(gated.upstream.asked(target).is_empty(), "{:?}", gated.upstream.asked(target));
        // Both: the chunks count, and the length goes no further.
        for headers in [
            format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", length + 5),
            format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", length + 5),
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        ] {
            status(&gated, &format!("POST {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n0\r\n\r\n{SMUGGLED}"));
        }
        // A chunk that is longer than it says, and one whose size is odd.
        for chunk in
            ["1\r\nab\r\n0\r\n\r\n", "ffffffffffffffff1\r\n", "-1\r\n", "0;ext\nX\r\n\r\n", "0\r\nX: 1\n\n\r\n"]
        {
            status(
                &gated,
                &format!("POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{SMUGGLED}"),
            );
        }
        // A body that is announced, and holds a request: it stays a body.
        let raw = format!("POST {target}_body HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}");
        assert_eq!(status(&gated, &raw), Some(200));
        assert_eq!(gated.upstream.asked(&format!("{target}_body"))[0].body, SMUGGLED.as_bytes());
        // The same twice is once.
        let raw = format!(
            "POST {target}_twice HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"
        );
        if status(&gated, &raw) == Some(200) {
            assert_eq!(gated.upstream.asked(&format!("{target}_twice"))[0].body, SMUGGLED.as_bytes());
        }
    }
    assert_nothing_smuggled(&gated);
    assert_eq!(gated.catalog("production"), "1 1 1");
}

#[test]
fn requests_one_behind_the_other_are_each_looked_at() {
    let gated = Gated::deployed("", "");
    let mut agent = gated.agent();
    agent.send(format!("GET /puppet/v3/report/one HTTP/1.1\r\nHost: x\r\n\r\n{SMUGGLED}")).unwrap();
    for _ in 0..2 {
        assert_eq!(agent.answer().unwrap().status, 200);
    }
    assert_eq!(gated.upstream.asked("/node/smuggled").len(), 1);
    assert_nothing_smuggled(&gated);
}

#[test]
fn the_port_of_agents_takes_no_plain_http() {
    let gated = Gated::deployed("", "");
    let mut plain = Agent::plain(gated.ports.tls);
    let answer = plain.request("GET", "/puppet/v3/node/plain", &[], b"");
    assert!(answer.is_err(), "{answer:?}");
    assert!(gated.upstream.asked("/node/plain").is_empty());
}

//! Large, slow and broken bodies.

use std::io;

use crate::support::agent::{Agent, FORM};
use crate::support::gated::Gated;
use crate::support::gated_site::GatedSite;
use crate::support::upstream::Odd;

/// What passes in one piece: far more than the gate may take in memory for it.
const LARGE: usize = 100 << 20;

/// How much more memory the process may take for it: what buffers, TLS and the allocator are.
const MORE: u64 = 32 << 20;

/// The largest body of a request that reads code.
const MOST: usize = 16 << 20;

/// A body in chunks of 64 KiB.
fn send_chunks(agent: &mut Agent, head: &str, length: usize) -> io::Result<()> {
    agent.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n"))?;
    let piece = vec![b'x'; 64 << 10];
    for _ in 0..length / piece.len() {
        agent.send([format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat())?;
    }
    agent.send("0\r\n\r\n")
}

#[test]
fn a_large_report_and_a_large_file_cost_no_memory() {
    let site = GatedSite::new("", "");
    site.stage("production", "1");
    let primary = site.site.start_primary();
    let client = site.start();
    site.wait_deployed(site.site.commit().commit);
    site.upstream.answers_oddly("/file_content/announced", Odd::Large(LARGE));
    site.upstream.answers_oddly("/file_content/chunked", Odd::LargeInChunks(LARGE));
    let mut agent = site.agent();
    assert_eq!(agent.get("/puppet/v3/node/x?environment=production").status, 200);
    let before = client.peak_memory();

    let announced = agent.request("PUT", "/puppet/v3/report/announced", &[], &vec![b'x'; LARGE]).unwrap();
    assert_eq!(announced.status, 200);
    send_chunks(&mut agent, "PUT /puppet/v3/report/chunked HTTP/1.1\r\nHost: x\r\n", LARGE).unwrap();
    assert_eq!(agent.answer().unwrap().status, 200);
    for report in ["announced", "chunked"] {
        let asked = &site.upstream.asked(&format!("/report/{report}"))[0];
        assert_eq!(asked.length, LARGE as u64, "{report}");
    }
    for file in ["announced", "chunked"] {
        let answer = agent.get(&format!("/puppet/v3/file_content/{file}?environment=production"));
        assert!(answer.body.len() == LARGE && answer.body.iter().all(|byte| *byte == b'x'), "{file}");
    }
    let more = client.peak_memory() - before;
    println!("4 bodies of {} MiB: {} KiB more at the peak, over {} KiB", LARGE >> 20, more >> 10, before >> 10);
    assert!(more < MORE, "{more} bytes more at the peak");
    let lines = site.wait_logged("/file_content/", 2);
    assert!(lines.iter().all(|line| line.bytes == LARGE as u64), "{lines:?}");
    assert!(client.stop().success());
    primary.kill();
}

#[test]
fn one_connection_carries_a_whole_run_and_more() {
    let gated = Gated::deployed("", "");
    let mut agent = gated.agent();
    for at in 0..100 {
        let target = format!("/puppet/v3/file_metadata/modules/m/{at}?environment=production");
        let answer = agent.get(&target);
        assert_eq!((answer.status, answer.text()), (200, format!("GET {target}")));
    }
    assert_eq!(gated.metric("sceneshift_client_gate_connections"), 1.0);
}

#[test]
fn puppet_server_that_is_down_or_dies_is_named_at_once() {
    let mut gated = Gated::deployed("", "");
    gated.upstream.answers_oddly("dies_at_once", Odd::DiesAtOnce);
    gated.upstream.answers_oddly("dies_half_way", Odd::DiesHalfWay);
    let mut agent = gated.agent();
    for target in ["/puppet/v3/catalog/dies_at_once", "/puppet/v3/report/dies_at_once"] {
        let answer = agent.request("POST", target, &[FORM], b"environment=production").unwrap();
        assert_eq!(answer.status, 502);
        assert!(answer.text().contains(&gated.upstream.url()), "{}", answer.text());
    }
    let half = agent.request("GET", "/puppet/v3/file_content/dies_half_way?environment=production", &[], b"");
    half.expect_err("half a file does not look like a whole one");
    gated.upstream.stop();
    let mut agent = gated.agent();
    for target in ["/puppet/v3/node/x", "/puppet/v3/report/x"] {
        let answer = agent.get(target);
        assert_eq!(answer.status, 502);
        let said = format!("nobody answers at {}", gated.upstream.url());
        assert!(answer.text().contains(&said), "{}", answer.text());
    }
    gated.upstream.start_again();
    assert_eq!(agent.get("/puppet/v3/node/x").status, 200, "on the same connection");
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_passed_on_whole_and_drained() {
    let gated = Gated::deployed("", "");
    gated.upstream.answers_oddly("/catalog/slow", Odd::ByteByByte);
    let slow = gated.ask_catalog("slow", "production");
    gated.wait_asked("/catalog/slow");
    let commit = gated.commit_version("production", "2");
    let text = slow.join().unwrap().unwrap().text();
    assert!(text == "1 1 1" || text == "2 2 2", "{text}");
    gated.wait_deployed(commit);
}

#[test]
fn the_body_of_a_request_for_code_has_a_limit() {
    let gated = Gated::deployed("", "");
    let most = [b"environment=production&facts=".as_slice(), &vec![b'x'; MOST - 29]].concat();
    assert_eq!(most.len(), MOST);
    let answer = gated.agent().request("POST", "/puppet/v3/catalog/most", &[FORM], &most).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(gated.upstream.asked("/catalog/most")[0].length, MOST as u64);

    // Announced: refused before it is sent.
    let mut agent = gated.agent();
    agent
        .send(format!("POST /puppet/v3/catalog/more HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", MOST + 1))
        .unwrap();
    assert_eq!(agent.answer().unwrap().status, 413);
    assert!(agent.is_closed());
    // In chunks: as soon as it is too much. Who goes on sending may find the connection gone.
    let mut agent = gated.agent();
    let sent = send_chunks(&mut agent, "POST /puppet/v3/catalog/more HTTP/1.1\r\nHost: x\r\n", 2 * MOST);
    if let Ok(answer) = agent.answer() {
        assert_eq!(answer.status, 413);
    } else {
        println!("the answer was lost behind what was still sent ({sent:?})");
    }
    assert!(gated.wait_logged("/catalog/more", 2).iter().all(|line| line.status == 413));

    // Whoever has no certificate gets no catalog anyway.
    let mut stranger = Agent::tls(gated.ports.tls, &gated.ca, None);
    stranger.send("POST /puppet/v3/catalog/stranger HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n").unwrap();
    assert_eq!(stranger.answer().unwrap().status, 413);
    assert!(gated.upstream.asked("/catalog/more").is_empty() && gated.upstream.asked("/catalog/stranger").is_empty());
}

#[test]
fn a_body_that_comes_byte_by_byte_is_read_whole_and_one_that_breaks_off_goes_nowhere() {
    let gated = Gated::deployed("", "");
    let mut agent = gated.agent();
    let form = "environment=development&facts=1";
    agent
        .send(format!(
            "POST /puppet/v3/catalog/slow HTTP/1.1\r\nHost: x\r\n{}: {}\r\nContent-Length: {}\r\n\r\n",
            FORM.0,
            FORM.1,
            form.len()
        ))
        .unwrap();
    for byte in form.bytes() {
        assert!(
            gated.upstream.asked("/catalog/slow").is_empty(),
            "before it is whole it cannot be told what it asks for"
        );
        agent.send([byte]).unwrap();
    }
    assert_eq!(agent.answer().unwrap().text(), "1 1 1");
    assert_eq!(gated.wait_logged("/catalog/slow", 1)[0].environment.as_deref(), Some("development"));

    let mut agent = gated.agent();
    agent
        .send("POST /puppet/v3/catalog/broken HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nenvironment=")
        .unwrap();
    agent.hang_up();
    assert_ne!(gated.wait_logged("/catalog/broken", 1)[0].status, 200);
    assert!(gated.upstream.asked("/catalog/broken").is_empty());
}

#[test]
fn who_asks_before_sending_a_body_is_told_to_go_on() {
    let gated = Gated::deployed("", "");
    for target in ["/puppet/v3/catalog/expects", "/puppet/v3/report/expects"] {
        let mut agent = gated.agent();
        agent
            .send(format!("PUT {target} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"))
            .unwrap();
        assert_eq!(agent.head().unwrap().0, 100, "{target}");
        agent.send("hello").unwrap();
        assert_eq!(agent.answer().unwrap().status, 200);
        let asked = &gated.upstream.asked(target)[0];
        assert!(asked.body == b"hello" && asked.all("expect").is_empty(), "{asked:?}");
    }
}

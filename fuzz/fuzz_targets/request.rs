//! The primary's port: whatever arrives there, it answers as HTTP says, never with an error of its own making, and goes on.
//!
//! The input is the bytes of one connection.
#![no_main]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sceneshift::config::read_primary;
use sceneshift_fuzz::Folder;

/// How long an answer may take once nothing more can come.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for the end before hanging up: what was sent may have left the primary waiting for more.
const BRIEF: Duration = Duration::from_millis(50);

static PRIMARY: LazyLock<SocketAddr> = LazyLock::new(start);

fn start() -> SocketAddr {
    let folder = Folder::new();
    let site = folder.path().join("staging/environments/production/manifests");
    std::fs::create_dir_all(&site).expect("a folder of our own");
    std::fs::write(site.join("site.pp"), "node default {}").expect("a file of our own");
    let (data, staging) = (folder.path().join("data"), folder.path().join("staging"));
    let settings = folder.path().join("primary.toml");
    std::fs::write(&settings, format!("data-dir = {data:?}\n[repos.puppet-code]\nstaging-dir = {staging:?}\n"))
        .expect("a file of our own");
    let config = read_primary(&settings).expect("good settings");
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _folder = folder;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            tell.send(listener.local_addr().expect("it is bound")).expect("the other thread waits");
            sceneshift::server::serve_on(config, listener, std::future::pending()).await.expect("it serves");
        });
    });
    let address = told.recv().expect("the primary starts");
    let commit = b"POST /v1/repos/puppet-code/commits HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = talk(address, commit, PATIENCE);
    assert!(answer.starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&answer));
    address
}

fn talk(address: SocketAddr, bytes: &[u8], patience: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the primary takes connections");
    // It may have had enough, and hung up.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    if is_late(&mut stream, patience, &mut answer) {
        let _ = stream.shutdown(Shutdown::Write);
        assert!(!is_late(&mut stream, PATIENCE, &mut answer), "a connection does not end");
    }
    answer
}

/// Reads to the end; says whether it did not come in time.
fn is_late(stream: &mut TcpStream, patience: Duration, answer: &mut Vec<u8>) -> bool {
    stream.set_read_timeout(Some(patience)).expect("a good time");
    let outcome = stream.read_to_end(answer);
    outcome.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

fuzz_target!(|bytes: &[u8]| {
    // The input is followed by a whole request, whose answer ends the connection: whoever hangs up early is answered nothing.
    let last = b"\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = talk(*PRIMARY, &[bytes, last.as_slice()].concat(), BRIEF);
    if let Some(status) = answer.strip_prefix(b"HTTP/1.1 ").or(answer.strip_prefix(b"HTTP/1.0 ")) {
        assert!(!status.starts_with(b"500"), "{}", String::from_utf8_lossy(&answer));
    }
});

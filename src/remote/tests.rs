use std::io::Read;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::values::{CommitId, RepoName, TreePath};
use crate::wire::STREAM_MEDIA_TYPE;
use crate::wire::api::{FetchRequest, PinRequest, PinTo};

/// Requests that a server has seen: the request line, a space, the body.
type Seen = Arc<Mutex<Vec<String>>>;

fn repo() -> RepoName {
    "puppet-code".parse().unwrap()
}

fn id(text: &[u8]) -> CommitId {
    CommitId::of(text)
}

fn answer(status: &str, media_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Reads one request and writes `answer`. The connection then stays open until the caller hangs up.
async fn serve_one(stream: impl AsyncRead + AsyncWrite, answer: &[u8], seen: &Seen) {
    let mut stream = Box::pin(BufReader::new(stream));
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).await.unwrap();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim().to_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let line = first.trim_end_matches("\r\n").trim_end_matches(" HTTP/1.1");
    seen.lock().unwrap().push(format!("{line} {}", String::from_utf8_lossy(&body)).trim_end().to_owned());
    let _ = stream.write_all(answer).await;
    let _ = stream.flush().await;
    let _ = stream.read(&mut [0]).await;
}

/// A primary that gives everybody the same answer.
async fn primary(answer: Vec<u8>) -> (Remote, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = Remote::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let seen = Seen::default();
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (answer, seen) = (answer.clone(), Arc::clone(&shared));
            tokio::spawn(async move { serve_one(stream, &answer, &seen).await });
        }
    });
    (remote, seen)
}

fn problem(status: &str, detail: &str) -> Vec<u8> {
    let number: u16 = status[..3].parse().unwrap();
    let paths = ["environments/a/x"];
    let body =
        serde_json::json!({"type": "about:blank", "title": "t", "status": number, "detail": detail, "paths": paths});
    answer(status, "application/problem+json", body.to_string().as_bytes())
}

async fn all(stream: ObjectStream) -> std::io::Result<Vec<u8>> {
    let read = |mut stream: ObjectStream| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).map(|_| bytes)
    };
    tokio::task::spawn_blocking(move || read(stream)).await.unwrap()
}

fn fetch() -> FetchRequest {
    FetchRequest { want: id(b"want"), have: vec![] }
}

#[tokio::test]
async fn nobody_there_is_told_with_the_address_and_the_next_step() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Remote::new(&address).unwrap().repos().await.unwrap_err();
    assert!(error.is_unreachable());
    let text = error.to_string();
    assert!(text.contains(&address) && text.contains("is `sceneshift serve` running there"), "{text}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.starts_with("Connection refused"), "{cause}");
}

#[tokio::test]
async fn a_refusal_arrives_with_status_words_and_paths() {
    let (remote, _) = primary(problem("409 Conflict", "staging changed while it was read")).await;
    let error = remote.commit(&repo(), &Default::default()).await.unwrap_err();
    assert_eq!((error.status(), error.to_string().as_str()), (Some(409), "staging changed while it was read"));
    assert_eq!(error.paths(), ["environments/a/x"]);
}

#[tokio::test]
async fn a_stranger_on_the_port_is_not_mistaken_for_a_primary() {
    let (remote, _) = primary(answer("502 Bad Gateway", "text/html", b"<html>")).await;
    let error = remote.clients().await.unwrap_err();
    assert!(matches!(error, RemoteError::Protocol { source: ProtocolError::Status(502), .. }), "{error:?}");
    let (remote, _) = primary(answer("200 OK", "text/html", b"<html>")).await;
    let error = remote.clients().await.unwrap_err();
    assert!(matches!(error, RemoteError::Protocol { source: ProtocolError::Document(_), .. }), "{error:?}");
    let error = remote.fetch(&repo(), &fetch()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Protocol { source: ProtocolError::MediaType { .. }, .. }), "{error:?}");
}

#[tokio::test]
async fn a_long_poll_tells_the_same_head_from_none_and_from_an_unknown_repo() {
    let wait = Duration::from_secs(1);
    let (remote, seen) = primary(b"HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n".to_vec()).await;
    assert_eq!(remote.head(&repo(), Some(id(b"a")), wait).await.unwrap(), HeadAnswer::Same);
    assert_eq!(seen.lock().unwrap()[0], format!("GET /v1/repos/puppet-code/head?known={}&wait=1", id(b"a")));
    let (remote, _) = primary(problem("404 Not Found", "the repo puppet-code has no commit yet")).await;
    assert_eq!(remote.head(&repo(), None, wait).await.unwrap(), HeadAnswer::NoCommitYet);
    let (remote, _) = primary(problem("404 Not Found", "there is no repo puppet-code")).await;
    assert_eq!(remote.head(&repo(), None, wait).await.unwrap_err().status(), Some(404));
}

#[tokio::test]
async fn a_stream_gives_every_byte_and_counts_them() {
    let content: Vec<u8> = (0..300_000_u32).map(|byte| byte as u8).collect();
    let (remote, seen) = primary(answer("200 OK", STREAM_MEDIA_TYPE, &content)).await;
    let stream = remote.fetch(&repo(), &fetch()).await.unwrap();
    let received = stream.received();
    assert_eq!(all(stream).await.unwrap(), content);
    assert_eq!(received.load(Relaxed), 300_000);
    let expected = format!("POST /v1/repos/puppet-code/fetch {{\"want\":\"{}\",\"have\":[]}}", id(b"want"));
    assert_eq!(seen.lock().unwrap()[0], expected);
}

#[tokio::test]
async fn a_stream_that_is_cut_fails_and_does_not_just_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = Remote::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let whole = answer("200 OK", STREAM_MEDIA_TYPE, &[7; 1000]);
        stream.write_all(&whole[..whole.len() - 1]).await.unwrap();
    });
    let stream = remote.fetch(&repo(), &fetch()).await.unwrap();
    let error = all(stream).await.unwrap_err();
    assert!(error.to_string().contains("broke"), "{error}");
}

/// Its beginning, and then nothing more.
fn stalling() -> Vec<u8> {
    let whole = answer("200 OK", STREAM_MEDIA_TYPE, &[7; 1000]);
    whole[..whole.len() - 1].to_vec()
}

#[tokio::test]
async fn a_stream_that_stalls_ends_in_an_error() {
    let (remote, _) = primary(stalling()).await;
    let stream = remote.fetch(&repo(), &fetch()).await.unwrap().pausing_at_most(Duration::from_millis(50));
    assert_eq!(all(stream).await.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_waiting_read_ends_when_its_daemon_stops() {
    let (remote, _) = primary(stalling()).await;
    let stop = CancellationToken::new();
    let stream = remote.fetch(&repo(), &fetch()).await.unwrap().until(stop.clone());
    let received = stream.received();
    let reading = tokio::spawn(all(stream));
    while received.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    // Any kind but `Interrupted`, after which the standard library's readers simply try again.
    assert_eq!(reading.await.unwrap().unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn a_file_a_link_and_a_directory_are_told_apart_and_any_name_can_be_asked_for() {
    let path = TreePath::new(b"a b/\xff%").unwrap();
    let (remote, seen) = primary(answer("200 OK", "application/octet-stream", b"{}")).await;
    match remote.listing_or_file(&repo(), "head", &path).await.unwrap() {
        FileAnswer::File(stream) => assert_eq!(all(stream).await.unwrap(), b"{}"),
        other => panic!("{other:?} is no file"),
    }
    assert_eq!(seen.lock().unwrap()[0], "GET /v1/repos/puppet-code/commits/head/files/a%20b/%FF%25");
    let listing = serde_json::json!({"path": "", "tree": id(b"t").to_string(), "entries": []}).to_string();
    let (remote, _) = primary(answer("200 OK", "application/json; charset=utf-8", listing.as_bytes())).await;
    let found = remote.listing_or_file(&repo(), id(b"c"), &TreePath::root()).await.unwrap();
    assert!(matches!(found, FileAnswer::Listing(listing) if listing.entries.is_empty()));
    let (remote, _) =
        primary(answer("200 OK", "application/json", br#"{"name":"n","kind":"symlink","target":"../t"}"#)).await;
    let found = remote.listing_or_file(&repo(), "v1.0", &path).await.unwrap();
    assert!(matches!(found, FileAnswer::Link(entry) if entry.target.as_deref() == Some("../t")));
}

#[tokio::test]
async fn a_control_socket_is_spoken_to_and_its_absence_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let remote = Remote::unix(&path).unwrap();
    let error = remote.status().await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert!(error.to_string().contains("control.sock (is the daemon running"), "{error}");

    let listener = UnixListener::bind(&path).unwrap();
    let seen = Seen::default();
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve_one(stream, &answer("200 OK", "application/json", br#"{"version":"1","repos":{}}"#), &shared).await;
    });
    let report = remote.pin(&PinRequest { repo: repo(), to: PinTo::Previous }).await.unwrap();
    assert_eq!(report.version, "1");
    assert_eq!(seen.lock().unwrap()[0], r#"POST /rollback {"repo":"puppet-code","to":"previous"}"#);
}

#[tokio::test]
async fn a_hold_lasts_until_it_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (gone, over) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        // The line comes in two pieces, a blank one follows.
        let body = "d\r\n{\"checkpoint\"\r\n7\r\n:\"/c\"}\n\r\n1\r\n\n\r\n";
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let hung_up = stream.read(&mut [0; 10]).await.unwrap_or(0);
        gone.send(hung_up).unwrap();
    });
    let hold = Remote::unix(&path).unwrap().fsck_hold().await.unwrap();
    assert_eq!(hold.hold.checkpoint, Path::new("/c"));
    drop(hold);
    assert_eq!(over.await.unwrap(), 0, "the daemon sees that the connection was closed");
}

//! What this machine has no more is asked for at the client daemon's `content.sock`, which asks the primary (`docs/api.md`).
//!
//! One request and one answer of HTTP/1.1 by hand, over a connection of its own: the answer's head, then exactly as many bytes as it says.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Settings, VersionedCodeError};

/// How long the daemon may take to begin its answer, and the longest pause within it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a whole answer may take: an agent waits no longer for it.
const WHOLE: Duration = Duration::from_secs(600);

/// The longest head of an answer, in bytes; the daemon's have a few hundred.
const MAX_HEAD: usize = 16 << 10;

/// As much of a problem document is read, in bytes.
const MAX_PROBLEM: u64 = 64 << 10;

/// Writes to `out` the file at `path` of the tree `id`, of whichever repo has it.
pub(super) fn copy(
    settings: &Settings,
    id: &str,
    path: &std::ffi::OsStr,
    out: &mut dyn Write,
) -> Result<(), VersionedCodeError> {
    let socket = settings.data_dir().join("content.sock");
    let mut refused = VersionedCodeError::NoRepos;
    for repo in settings.repos() {
        let route = format!("/v1/repos/{}/trees/{id}/files/{}", encode(repo.as_bytes()), encode(path.as_bytes()));
        match Answer::to(&socket, &route)?.copy(out) {
            // Another repo may have it.
            Err(error @ VersionedCodeError::Refused { status: 404, .. }) => refused = error,
            other => return other,
        }
    }
    Err(refused)
}

/// The beginning of an answer.
struct Answer<'a> {
    socket: &'a Path,
    stream: UnixStream,
    until: Instant,
    status: u16,
    length: u64,
    /// What came of the body with the head.
    begun: Vec<u8>,
}

impl<'a> Answer<'a> {
    fn to(socket: &'a Path, route: &str) -> Result<Self, VersionedCodeError> {
        let unreachable = |source| VersionedCodeError::Unreachable { socket: socket.to_owned(), source };
        let mut stream = UnixStream::connect(socket).map_err(unreachable)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(unreachable)?;
        let request = format!("GET {route} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(|error| failed(socket, error))?;
        let began = Instant::now();
        let mut head = Vec::new();
        let end = loop {
            if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            let mut piece = [0; 4096];
            let read = read(&mut stream, &mut piece, socket, began + PATIENCE)?;
            if read == 0 || head.len() > MAX_HEAD {
                return Err(nonsense(socket));
            }
            head.extend_from_slice(&piece[..read]);
        };
        let begun = head.split_off(end + 4);
        let (status, length) =
            std::str::from_utf8(&head).ok().and_then(status_and_length).ok_or_else(|| nonsense(socket))?;
        Ok(Self { socket, stream, until: began + WHOLE, status, length, begun })
    }

    /// Writes the content to `out`, or says why there is none.
    fn copy(mut self, out: &mut dyn Write) -> Result<(), VersionedCodeError> {
        if self.status != 200 {
            let mut problem = Vec::new();
            self.length = self.length.min(MAX_PROBLEM);
            self.each_piece(&mut |piece| {
                problem.extend_from_slice(piece);
                Ok(())
            })?;
            let detail = detail_of(&String::from_utf8_lossy(&problem)).unwrap_or_default();
            return Err(VersionedCodeError::Refused { status: self.status, detail });
        }
        self.each_piece(&mut |piece| out.write_all(piece).map_err(VersionedCodeError::Output))
    }

    fn each_piece(
        &mut self,
        see: &mut dyn FnMut(&[u8]) -> Result<(), VersionedCodeError>,
    ) -> Result<(), VersionedCodeError> {
        let mut missing = self.length;
        let mut piece = std::mem::take(&mut self.begun);
        let mut come = piece.len();
        piece.resize(piece.len().max(64 << 10), 0);
        loop {
            let wanted = usize::try_from(missing).unwrap_or(usize::MAX).min(come);
            if wanted > 0 {
                see(&piece[..wanted])?;
                missing -= wanted as u64;
            }
            if missing == 0 {
                return Ok(());
            }
            let until = self.until.min(Instant::now() + PATIENCE);
            come = read(&mut self.stream, &mut piece, self.socket, until)?;
            if come == 0 {
                return Err(VersionedCodeError::Truncated { missing });
            }
        }
    }
}

/// Reads what has come, waiting for it no longer than until then.
fn read(
    stream: &mut UnixStream,
    buffer: &mut [u8],
    socket: &Path,
    until: Instant,
) -> Result<usize, VersionedCodeError> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(VersionedCodeError::TimedOut { socket: socket.to_owned() });
        }
        let outcome = stream.set_read_timeout(Some(left)).and_then(|()| stream.read(buffer));
        match outcome {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other.map_err(|error| failed(socket, error)),
        }
    }
}

fn failed(socket: &Path, source: std::io::Error) -> VersionedCodeError {
    let socket: PathBuf = socket.to_owned();
    match source.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => VersionedCodeError::TimedOut { socket },
        _ => VersionedCodeError::Unreachable { socket, source },
    }
}

fn nonsense(socket: &Path) -> VersionedCodeError {
    VersionedCodeError::Nonsense { socket: socket.to_owned() }
}

/// What the head of an answer says. The daemon announces every body's length; one that does not cannot be told from one that broke off.
fn status_and_length(head: &str) -> Option<(u16, u64)> {
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let mut lengths = headers.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next()?.1.trim().parse().ok()?;
    lengths.next().is_none().then_some((status, length))
}

/// The `detail` of a problem document. A text in JSON, as the daemon writes it, is a text in TOML too.
fn detail_of(problem: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Document {
        detail: String,
    }
    let text = problem.split_once("\"detail\":\"")?.1;
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    let document: Document = toml::from_str(&format!("detail = \"{}\"", &text[..end])).ok()?;
    Some(document.detail)
}

/// Bytes as they stand in a URL: RFC 3986's unreserved characters and slashes as they are, all else escaped.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// What `copy` makes of an answer, and what it wrote.
    fn answered(answer: &'static [u8]) -> (Result<(), VersionedCodeError>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("client.toml");
        std::fs::write(&file, format!("data-dir = {:?}\n[repos.code]\n", folder.path())).unwrap();
        let settings = Settings::read(&file).unwrap();
        let listener = UnixListener::bind(folder.path().join("content.sock")).unwrap();
        let daemon = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            stream.write_all(answer).unwrap();
            String::from_utf8(asked).unwrap()
        });
        let mut written = Vec::new();
        let outcome = copy(&settings, &"ab".repeat(32), OsStr::new("files/a b+ä%"), &mut written);
        let asked = daemon.join().unwrap();
        assert!(
            asked.starts_with(&format!(
                "GET /v1/repos/code/trees/{}/files/files/a%20b%2B%C3%A4%25 HTTP/1.1\r\n",
                "ab".repeat(32)
            )),
            "{asked}"
        );
        (outcome, written)
    }

    #[test]
    fn exactly_the_bytes_that_were_announced_are_handed_on() {
        let (outcome, written) = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ncode and more");
        outcome.unwrap();
        assert_eq!(written, b"code");
    }

    #[test]
    fn an_answer_that_breaks_off_is_an_error() {
        let (outcome, _) = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\ncode");
        assert!(matches!(outcome, Err(VersionedCodeError::Truncated { missing: 36 })), "{outcome:?}");
        let (outcome, _) = answered(b"HTTP/1.1 200 OK\r\ncontent-le");
        assert!(matches!(outcome, Err(VersionedCodeError::Nonsense { .. })), "{outcome:?}");
    }

    #[test]
    fn an_answer_that_does_not_say_how_long_it_is_hands_on_nothing() {
        for answer in [
            &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ncode\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\ncode",
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\ncode",
            b"SSH-2.0-x\r\n\r\n",
        ] {
            let (outcome, written) = answered(answer);
            assert!(matches!(outcome, Err(VersionedCodeError::Nonsense { .. })), "{outcome:?}");
            assert!(written.is_empty());
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_who_refused() {
        let (outcome, written) = answered(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 53\r\n\r\n{\"status\":404,\"detail\":\"no \\\"such\\\" thing\\u001b\\n\\\\\"}",
        );
        let error = outcome.unwrap_err();
        assert!(
            matches!(&error, VersionedCodeError::Refused { status: 404, detail } if detail == "no \"such\" thing\u{1b}\n\\"),
            "{error:?}"
        );
        assert!(written.is_empty());
    }
}

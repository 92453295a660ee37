//! A client of the gate that speaks HTTP/1.1 byte by byte, plain or over TLS, and can do what no decent one does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::ca::{Ca, Certificate, HOST};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// The media type of a form.
pub const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A connection.
pub struct Agent {
    stream: BufReader<Stream>,
    socket: TcpStream,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The values of a header, whatever its spelling.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How an agent with this certificate does TLS. Sessions are resumed by whoever uses the same settings again.
pub fn tls(ca: &Ca, certificate: Option<&Certificate>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(ca.roots());
    Arc::new(match certificate {
        Some(certificate) => builder.with_client_auth_cert(vec![certificate.der.clone()], certificate.key()).unwrap(),
        None => builder.with_no_client_auth(),
    })
}

impl Agent {
    pub fn plain(address: SocketAddr) -> Self {
        let socket = connected(address);
        Self { stream: BufReader::new(Stream::Plain(socket.try_clone().unwrap())), socket }
    }

    pub fn tls(address: SocketAddr, ca: &Ca, certificate: Option<&Certificate>) -> Self {
        Self::with(address, &tls(ca, certificate))
    }

    pub fn with(address: SocketAddr, tls: &Arc<ClientConfig>) -> Self {
        Self::over(connected(address), tls)
    }

    /// The same, of a gate that may not be there.
    pub fn try_with(address: SocketAddr, tls: &Arc<ClientConfig>) -> io::Result<Self> {
        Ok(Self::over(try_connected(address)?, tls))
    }

    fn over(socket: TcpStream, tls: &Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from(HOST).unwrap();
        let connection = ClientConnection::new(Arc::clone(tls), name).unwrap();
        let stream = StreamOwned::new(connection, socket.try_clone().unwrap());
        Self { stream: BufReader::new(Stream::Tls(Box::new(stream))), socket }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes.as_ref())?;
        stream.flush()
    }

    /// Sends a request with these headers, and a `Content-Length` where there is a body.
    pub fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        self.send([head.as_bytes(), b"\r\n", body].concat())
    }

    pub fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        self.ask(method, target, headers, body)?;
        self.answer()
    }

    #[track_caller]
    pub fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target, &[], b"").unwrap()
    }

    /// Reads an answer to its end. One that breaks off is an error.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let (status, headers) = loop {
            let head = self.head()?;
            if head.0 >= 200 {
                break head;
            }
        };
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").map(|length| length.parse::<u64>().unwrap());
        if answer.header("transfer-encoding") == Some("chunked") {
            self.chunks(&mut answer.body)?;
        } else if let Some(length) = length {
            (&mut self.stream).take(length).read_to_end(&mut answer.body)?;
            if answer.body.len() as u64 != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        } else if status != 204 && status != 304 {
            self.stream.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// Reads one head, also that of `100 Continue`.
    pub fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status: {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let length = u64::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
            if (&mut self.stream).take(length).read_to_end(body)? as u64 != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            assert_eq!(self.line()?, "");
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Whether the other end closes the connection now.
    pub fn is_closed(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(more) => more.is_empty(),
            // Also a reset, and TLS without its goodbye; but not a wait in vain.
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }

    /// Hangs up, without a goodbye.
    pub fn hang_up(self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

fn connected(address: SocketAddr) -> TcpStream {
    try_connected(address).unwrap()
}

fn try_connected(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

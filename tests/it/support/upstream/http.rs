//! What the scripted Puppet Server reads and writes: requests as they came, and answers, some of them odd.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Which answers are odd.
#[derive(Debug, Clone, Copy)]
pub enum Odd {
    /// One byte at a time, the head too.
    ByteByByte,
    /// The connection ends before the head.
    DiesAtOnce,
    /// The connection ends in the middle of the body.
    DiesHalfWay,
    /// So many bytes, announced.
    Large(usize),
    /// So many bytes, in chunks.
    LargeInChunks(usize),
    /// Stamps of its own, and headers that concern one connection.
    Forged,
}

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// Without the bytes of large ones.
    pub body: Vec<u8>,
    pub length: u64,
}

impl Asked {
    /// The values of a header, whatever its spelling.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).collect()
    }
}

impl Asked {
    /// The environment that it asks for, in its query or its form.
    pub(super) fn environment(&self) -> Option<String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let fields = query.split('&').chain(std::str::from_utf8(&self.body).unwrap_or("").split('&'));
        fields.filter_map(|field| field.strip_prefix("environment=")).next().map(str::to_owned)
    }
}

pub(super) fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut asked = Asked { method, target, headers: Vec::new(), body: Vec::new(), length: 0 };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        let Some((name, value)) = line.split_once(':') else { break };
        asked.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    if asked.all("transfer-encoding") == ["chunked"] {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let length = u64::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
            asked.take(reader, length)?;
            reader.read_line(&mut String::new())?;
            if length == 0 {
                break;
            }
        }
    } else if let Some(length) = asked.all("content-length").first() {
        let length = length.parse().map_err(io::Error::other)?;
        asked.take(reader, length)?;
    }
    Ok(Some(asked))
}

impl Asked {
    /// Takes so many bytes of the body, and keeps the first of them.
    fn take(&mut self, reader: &mut BufReader<&TcpStream>, length: u64) -> io::Result<()> {
        let keep = length.min((64 << 10) - self.body.len() as u64);
        reader.take(keep).read_to_end(&mut self.body)?;
        if io::copy(&mut reader.take(length - keep), &mut io::sink())? < length - keep {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.length += length;
        Ok(())
    }
}

pub(super) fn write_answer(
    mut connection: &TcpStream,
    (status, body): (u16, String),
    odd: Option<Odd>,
) -> io::Result<()> {
    let head = |more: &str| format!("HTTP/1.1 {status} X\r\nX-Puppet-Version: 7.23.0\r\n{more}\r\n");
    let whole = format!("{}{body}", head(&format!("Content-Length: {}\r\n", body.len())));
    match odd {
        None => connection.write_all(whole.as_bytes()),
        Some(Odd::ByteByByte) => whole.bytes().try_for_each(|byte| {
            std::thread::sleep(Duration::from_micros(200));
            connection.write_all(&[byte])
        }),
        Some(Odd::DiesAtOnce) => Err(io::ErrorKind::ConnectionAborted.into()),
        Some(Odd::DiesHalfWay) => {
            connection.write_all(format!("{}half", head("Content-Length: 100\r\n")).as_bytes())?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        Some(Odd::Large(length)) => {
            connection.write_all(head(&format!("Content-Length: {length}\r\n")).as_bytes())?;
            pieces(length).try_for_each(|piece| connection.write_all(&piece))
        }
        Some(Odd::LargeInChunks(length)) => {
            connection.write_all(head("Transfer-Encoding: chunked\r\n").as_bytes())?;
            pieces(length).try_for_each(|piece| {
                connection.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
                connection.write_all(&piece)?;
                connection.write_all(b"\r\n")
            })?;
            connection.write_all(b"0\r\n\r\n")
        }
        Some(Odd::Forged) => {
            let more = "X-Sceneshift-Commit: forged\r\nx-sceneshift-code-id: forged\r\nConnection: X-Secret\r\n\
                        X-Secret: 1\r\nContent-Length: 2\r\n";
            connection.write_all(format!("{}ok", head(more)).as_bytes())
        }
    }
}

fn pieces(length: usize) -> impl Iterator<Item = Vec<u8>> {
    let piece = 64 << 10;
    (0..length.div_ceil(piece)).map(move |at| vec![b'x'; piece.min(length - at * piece)])
}

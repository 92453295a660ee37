//! A wire between client and primary that counts what comes over it, and can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes connections on to a server, until the test ends.
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    /// Bytes that came from the server, in all connections.
    received: AtomicU64,
    /// After how many bytes from the server connections are cut; the last one comes first.
    cuts: Mutex<Vec<u64>>,
}

impl Proxy {
    /// Before the server at `server` (`127.0.0.1:8145`).
    pub fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared = Shared { server: server.to_owned(), received: AtomicU64::new(0), cuts: Mutex::default() };
        let shared = Arc::new(shared);
        let passing = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&passing);
                thread::spawn(move || shared.pass(client));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Cuts so many connections, each after so many bytes from the server.
    pub fn cut(&self, after: &[u64]) {
        *self.shared.cuts.lock().unwrap() = after.iter().rev().copied().collect();
    }

    /// How many cuts are still to come.
    pub fn cuts_left(&self) -> usize {
        self.shared.cuts.lock().unwrap().len()
    }

    /// How many bytes came from the server since this was asked last.
    pub fn take_received(&self) -> u64 {
        self.shared.received.swap(0, SeqCst)
    }
}

impl Shared {
    fn pass(&self, client: TcpStream) {
        let Ok(server) = TcpStream::connect(&self.server) else { return };
        let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || copy(from_client, to_server));
        self.answer(server, client);
    }

    /// Passes on what the server says, until the wire is cut.
    fn answer(&self, mut server: TcpStream, mut client: TcpStream) {
        let (mut buffer, mut passed) = (vec![0; 4096], 0);
        while let Ok(length @ 1..) = server.read(&mut buffer) {
            passed += length as u64;
            self.received.fetch_add(length as u64, SeqCst);
            if self.cuts.lock().unwrap().pop_if(|after| passed > *after).is_some() {
                break;
            }
            if client.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
        let _ = client.shutdown(Shutdown::Both);
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

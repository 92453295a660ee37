//! A wire to a Puppet Server on which flushes, and they only, meet with what a test wants.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What becomes of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushes {
    /// It reaches the server.
    Pass,
    /// It is answered with 500, and the server hears nothing of it.
    Fail,
    /// It gets no answer, and the server hears nothing of it.
    Stuck,
}

/// How long a stuck flush stays stuck at most.
const STUCK: Duration = Duration::from_secs(60);

/// What a flush begins with. A client that waits for each answer sends a request's head in one piece of its own.
const FLUSH: &[u8] = b"DELETE /puppet-admin-api/v1/environment-cache";

/// Passes connections on to the server, until the test ends.
pub struct Between {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    /// What becomes of flushes, and how many have come.
    state: Mutex<(Flushes, usize)>,
    changed: Condvar,
}

impl Between {
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { server, state: Mutex::new((Flushes::Pass, 0)), changed: Condvar::new() });
        let passing = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&passing);
                thread::spawn(move || shared.pass(&client));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says what becomes of flushes from now on, and lets go of those that are stuck: their connections end.
    pub fn set(&self, flushes: Flushes) {
        self.shared.state.lock().unwrap().0 = flushes;
        self.shared.changed.notify_all();
    }

    /// How many flushes have come by now.
    pub fn flushes(&self) -> usize {
        self.shared.state.lock().unwrap().1
    }
}

impl Shared {
    fn pass(&self, client: &TcpStream) {
        let Ok(server) = TcpStream::connect(self.server) else { return };
        for stream in [client, &server] {
            let _ = stream.set_nodelay(true);
        }
        let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut answers, &mut to_client);
            let _ = to_client.shutdown(Shutdown::Both);
        });
        self.ask(client, &server);
        let _ = server.shutdown(Shutdown::Both);
        let _ = client.shutdown(Shutdown::Both);
    }

    /// Passes on what the client says, until one of them goes.
    fn ask(&self, mut client: &TcpStream, mut server: &TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            let piece = &buffer[..length];
            let flushes = if piece.starts_with(FLUSH) { self.count() } else { Flushes::Pass };
            let passed = match flushes {
                Flushes::Pass => server.write_all(piece),
                Flushes::Fail => client.write_all(b"HTTP/1.1 500 Server Error\r\ncontent-length: 0\r\n\r\n"),
                Flushes::Stuck => return self.stuck(),
            };
            if passed.is_err() {
                return;
            }
        }
    }

    fn count(&self) -> Flushes {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        state.0
    }

    fn stuck(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_timeout_while(state, STUCK, |(flushes, _)| *flushes == Flushes::Stuck).unwrap());
    }
}

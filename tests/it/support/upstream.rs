//! A scripted Puppet Server: plain HTTP/1.1, a thread for each connection.
//!
//! A catalog request reads `<current>/environments/E/version` when it begins and again when it ends, and answers both, so that a torn one shows;
//! and what its environment cache holds, so that a stale one does. It remembers every request. What it does wrong is told by a part of
//! the request's target.

mod http;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

pub use http::{Asked, Odd};
use http::{read_request, write_answer};

use super::random::Random;

/// See the module. Stops when it goes.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

struct Shared {
    current: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    /// Requests whose target holds one of these wait.
    held: BTreeSet<String>,
    odd: BTreeMap<String, Odd>,
    /// The answer to a flush; none keeps silent.
    flush: Option<u16>,
    /// How often all flushes that waited for their answer were forgotten.
    forgotten: u64,
    cache: BTreeMap<String, String>,
    /// Catalogs take up to so long.
    delay: Duration,
    connections: Vec<TcpStream>,
}

impl Upstream {
    /// One that reads the code at `current`, and runs.
    pub fn start(current: &Path) -> Self {
        let state = Mutex::new(State { flush: Some(204), ..State::default() });
        let shared = Arc::new(Shared { current: current.to_owned(), state, changed: Condvar::new() });
        let mut upstream = Self { address: "127.0.0.1:0".parse().unwrap(), shared, running: None };
        upstream.start_again();
        upstream
    }

    /// After a stop, at the same port, with an empty cache.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let listener = TcpListener::bind(self.address).unwrap();
        self.address = listener.local_addr().unwrap();
        self.lock().cache.clear();
        let (stopped, shared) = (Arc::new(AtomicBool::new(false)), Arc::clone(&self.shared));
        let stop = Arc::clone(&stopped);
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if stop.load(SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let _ = connection.set_nodelay(true);
                shared.state.lock().unwrap().connections.push(connection.try_clone().unwrap());
                let (shared, stop) = (Arc::clone(&shared), Arc::clone(&stop));
                std::thread::spawn(move || {
                    let _ = shared.serve(&connection, &stop);
                    let _ = connection.shutdown(Shutdown::Both);
                });
            }
        });
        self.running = Some((stopped, thread));
    }

    /// Ends every connection, and refuses new ones.
    pub fn stop(&mut self) {
        let Some((stopped, thread)) = self.running.take() else { return };
        stopped.store(true, SeqCst);
        // Wakes the thread, which then sees that it should end.
        let _ = TcpStream::connect(self.address);
        thread.join().unwrap();
        for connection in std::mem::take(&mut self.lock().connections) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Lets requests wait whose target holds this.
    pub fn hold(&self, what: &str) {
        self.lock().held.insert(what.to_owned());
    }

    pub fn release(&self, what: &str) {
        self.lock().held.remove(what);
        self.shared.changed.notify_all();
    }

    pub fn answers_oddly(&self, what: &str, odd: Odd) {
        self.lock().odd.insert(what.to_owned(), odd);
    }

    /// How it answers a flush from now on; `None`: not at all.
    pub fn flushes_with(&self, status: Option<u16>) {
        self.lock().flush = status;
        self.shared.changed.notify_all();
    }

    /// Forgets the flushes that wait for their answer, as if they had never arrived: those of a daemon that was killed must not do what
    /// the next one owes.
    pub fn forget_flushes(&self) {
        self.lock().forgotten += 1;
        self.shared.changed.notify_all();
    }

    pub fn takes_up_to(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// All requests whose target holds this, in the order in which they came.
    pub fn asked(&self, what: &str) -> Vec<Asked> {
        self.lock().asked.iter().filter(|asked| asked.target.contains(what)).cloned().collect()
    }

    /// The targets of all flushes.
    pub fn flushes(&self) -> Vec<String> {
        let all = self.asked("/puppet-admin-api/v1/environment-cache");
        all.into_iter().filter(|asked| asked.method == "DELETE").map(|asked| asked.target).collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn serve(&self, connection: &TcpStream, stop: &AtomicBool) -> io::Result<()> {
        let mut reader = BufReader::new(connection);
        let mut random = Random::new(connection.peer_addr()?.port().into());
        while let Some(asked) = read_request(&mut reader)? {
            let odd = {
                let mut state = self.state.lock().unwrap();
                state.asked.push(asked.clone());
                let odd = state.odd.iter().find(|(what, _)| asked.target.contains(*what));
                odd.map(|(_, odd)| *odd)
            };
            self.changed.notify_all();
            let answer = if asked.method == "DELETE" {
                self.flush(&asked, stop)?
            } else if asked.target.starts_with("/puppet/v3/catalog") {
                self.catalog(&asked, stop, &mut random)?
            } else {
                self.wait_while_held(&asked, stop)?;
                (200, format!("{} {}", asked.method, asked.target))
            };
            write_answer(connection, answer, odd)?;
        }
        Ok(())
    }

    fn catalog(&self, asked: &Asked, stop: &AtomicBool, random: &mut Random) -> io::Result<(u16, String)> {
        let environment = asked.environment().unwrap_or_else(|| "production".into());
        let begin = self.version(&environment);
        let (cached, delay) = {
            let mut state = self.state.lock().unwrap();
            let cached = state.cache.entry(environment.clone()).or_insert_with(|| begin.clone()).clone();
            (cached, state.delay)
        };
        self.wait_while_held(asked, stop)?;
        if !delay.is_zero() {
            std::thread::sleep(Duration::from_micros(random.next() % delay.as_micros() as u64));
        }
        Ok((200, format!("{begin} {} {cached}", self.version(&environment))))
    }

    fn version(&self, environment: &str) -> String {
        let path = self.current.join("environments").join(environment).join("version");
        std::fs::read_to_string(path).unwrap_or_else(|_| "none".into())
    }

    fn flush(&self, asked: &Asked, stop: &AtomicBool) -> io::Result<(u16, String)> {
        let mut state = self.state.lock().unwrap();
        let forgotten = state.forgotten;
        let status = loop {
            match state.flush {
                _ if state.forgotten != forgotten => return Err(io::ErrorKind::ConnectionAborted.into()),
                Some(status) => break status,
                None if stop.load(SeqCst) => return Err(io::ErrorKind::ConnectionAborted.into()),
                None => state = self.changed.wait(state).unwrap(),
            }
        };
        if status == 204 {
            match asked.environment() {
                Some(environment) => drop(state.cache.remove(&environment)),
                None => state.cache.clear(),
            }
        }
        Ok((status, String::new()))
    }

    fn wait_while_held(&self, asked: &Asked, stop: &AtomicBool) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        while state.held.iter().any(|what| asked.target.contains(what.as_str())) {
            if stop.load(SeqCst) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            state = self.changed.wait(state).unwrap();
        }
        Ok(())
    }
}

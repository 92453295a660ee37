//! The flush of Puppet Server's cache: when it is made, and what is live when it cannot be.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use sceneshift::farm::{Farm, FarmSettings};
use sceneshift::pause::Scope;
use sceneshift::values::RepoName;

use crate::support::rig::Rig;
use crate::support::wait::until;

const SOON: Duration = Duration::from_secs(20);

/// Answers every request with one status, and remembers what was asked.
struct PuppetServer {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PuppetServer {
    fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let status = Arc::new(AtomicU16::new(204));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (status, asked, stop) = (Arc::clone(&status), Arc::clone(&asked), Arc::clone(&stop));
            move || {
                for connection in listener.incoming() {
                    if stop.load(SeqCst) {
                        return;
                    }
                    let mut connection = connection.unwrap();
                    let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
                    let Some(Ok(first)) = lines.next() else { continue };
                    lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty())).for_each(drop);
                    asked.lock().unwrap().push(first.trim_end_matches(" HTTP/1.1").to_owned());
                    let status = status.load(SeqCst);
                    let _ = write!(connection, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                }
            }
        });
        Self { address, status, asked, stop, thread: Some(thread) }
    }

    /// What was asked since, but for the request that opens the connection before anybody is held.
    fn take_asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.retain(|line| line != "GET /status/v1/simple");
        asked
    }

    fn rig(&self) -> Rig {
        Rig::with("", &format!("[puppetserver]\nflush-url = \"http://{}\"\nflush-timeout = \"200ms\"", self.address))
    }
}

impl Drop for PuppetServer {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        // Wakes the thread, which then sees that it should end.
        let _ = std::net::TcpStream::connect(self.address);
        self.thread.take().map(JoinHandle::join);
    }
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn write(rig: &Rig, path: &str, content: &str) {
    let path = rig.staging().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn live(rig: &Rig) -> String {
    std::fs::read_to_string(rig.current().join("environments/production/site.pp")).unwrap()
}

fn flush_is_owed(rig: &Rig) -> bool {
    rig.current().with_file_name("flush-pending").exists()
}

const ALL: &str = "DELETE /puppet-admin-api/v1/environment-cache";

#[test]
fn the_first_deploy_flushes_everything_and_later_ones_what_changed() {
    let puppet = PuppetServer::start(anywhere());
    let rig = puppet.rig();
    for name in ["production", "te st"] {
        write(&rig, &format!("environments/{name}/site.pp"), "one");
    }
    rig.commit();
    rig.deploy();
    assert_eq!(puppet.take_asked(), [ALL]);

    write(&rig, "environments/te st/site.pp", "two");
    rig.commit();
    rig.deploy();
    assert_eq!(puppet.take_asked(), [format!("{ALL}?environment=te%20st")], "others keep their cache");

    write(&rig, "modules/shared.pp", "every environment may use it");
    rig.commit();
    rig.deploy();
    assert_eq!(puppet.take_asked(), [ALL]);

    rig.deploy();
    assert_eq!(puppet.take_asked(), [""; 0], "nothing changed, nothing is flushed");
    assert!(!flush_is_owed(&rig));
}

#[test]
fn new_code_under_an_old_cache_is_not_served() {
    let puppet = PuppetServer::start(anywhere());
    let rig = puppet.rig();
    write(&rig, "environments/production/site.pp", "one");
    rig.commit();
    puppet.status.store(403, SeqCst);
    let error = format!("{:?}", rig.try_deploy().unwrap_err());
    assert!(error.contains("403"), "{error}");
    assert!(std::fs::symlink_metadata(rig.current()).is_err(), "before the first deploy nothing is live");

    puppet.status.store(204, SeqCst);
    rig.deploy();
    assert_eq!(live(&rig), "one");

    puppet.status.store(500, SeqCst);
    write(&rig, "environments/production/site.pp", "two");
    rig.commit();
    rig.try_deploy().unwrap_err();
    assert_eq!(live(&rig), "one", "the rename was taken back");

    puppet.status.store(204, SeqCst);
    rig.deploy();
    assert_eq!(live(&rig), "two", "and the next deploy heals");
    assert!(!flush_is_owed(&rig));
    rig.assert_clean();
}

#[test]
fn where_nobody_listens_the_deploy_stands_and_the_flush_is_owed_until_somebody_does() {
    let puppet = PuppetServer::start(anywhere());
    let (address, rig) = (puppet.address, puppet.rig());
    write(&rig, "environments/production/site.pp", "one");
    rig.commit();
    drop(puppet);
    let report = rig.deploy();
    let status = &report.repos[&rig.repo()];
    assert!(status.unflushed && status.error.is_some(), "{status:?}");
    assert_eq!(live(&rig), "one");
    assert!(flush_is_owed(&rig));

    let puppet = PuppetServer::start(address);
    let report = rig.deploy();
    let status = &report.repos[&rig.repo()];
    assert!(!status.unflushed && status.error.is_none(), "{status:?}");
    assert_eq!(puppet.take_asked(), [ALL]);
    assert!(!flush_is_owed(&rig));
}

#[test]
fn a_daemon_that_was_killed_between_rename_and_flush_flushes_when_it_starts() {
    let puppet = PuppetServer::start(anywhere());
    let rig = puppet.rig();
    write(&rig, "environments/production/site.pp", "one");
    rig.commit();
    rig.deploy();
    puppet.take_asked();
    // What such a daemon leaves: the note, and the link already renamed.
    let repo: RepoName = rig.repo();
    let farm = Farm::open_existing(&rig.client_data(), FarmSettings::default()).unwrap();
    farm.owe_flush(&repo, Scope::Environments(vec!["production".into()])).unwrap();
    drop(farm);

    let client = rig.start_client();
    until("it has flushed", SOON, || (!flush_is_owed(&rig)).then_some(()));
    assert_eq!(puppet.take_asked(), [format!("{ALL}?environment=production")]);
    rig.stop_client(client);
}

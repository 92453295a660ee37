//! Who is let in at a primary that speaks TLS: by their certificate, and for what.

mod renewed;
mod repos;

use std::path::Path;
use std::time::Duration;

use sceneshift::config::{Puppet, read_client, read_primary};
use sceneshift::puppet::Certificates;
use sceneshift::remote::{Remote, RemoteError};
use sceneshift::server;
use sceneshift::values::RepoName;
use sceneshift::wire::api::{ClientReport, CommitRequest};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::support::agent::Agent;
use crate::support::ca::{Ca, Certificate, HOST};
use crate::support::folder;
use crate::support::wait::until;

const SOON: Duration = Duration::from_secs(30);

/// A primary with TLS.
struct Primary {
    runtime: Runtime,
    folder: tempfile::TempDir,
    ca: Ca,
    /// Its own.
    certificate: Certificate,
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Primary {
    fn start(access: &str) -> Self {
        Self::start_with(access, "")
    }

    /// The same, with more repos.
    fn start_with(access: &str, more: &str) -> Self {
        let folder = folder::fast();
        let ca = Ca::new(&folder.path().join("ssl"));
        let certificate = ca.host(HOST, None);
        let staging = folder.path().join("staging/environments/production");
        std::fs::create_dir_all(&staging).unwrap();
        std::fs::write(staging.join("site.pp"), "one").unwrap();
        let settings = format!(
            "data-dir = {:?}\n[puppet]\nssl-dir = {:?}\ncertname = {HOST:?}\n[access]\n{access}\n[repos.puppet-code]\nstaging-dir = {:?}\n{more}",
            folder.path().join("primary"),
            ca.dir(),
            folder.path().join("staging"),
        );
        let config = read_primary(&write(folder.path(), "primary.toml", &settings)).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = runtime.spawn(async move {
            server::serve_on(config, listener, async move { drop(stopped.await) }).await.unwrap();
        });
        Self { runtime, folder, ca, certificate, port, stop: Some(stop), task: Some(task) }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn puppet(&self, certname: &str) -> Puppet {
        Puppet { ssl_dir: self.ca.dir().to_owned(), certname: certname.to_owned(), crl_file: None }
    }

    /// Calls with this host's certificate.
    fn as_host(&self, certname: &str) -> Remote {
        let certificates = Certificates::open(&self.puppet(certname)).unwrap();
        Remote::secure(&self.url(), certificates.current().client.clone()).unwrap()
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            let _ = self.runtime.block_on(async { tokio::time::timeout(SOON, task).await });
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn repo() -> RepoName {
    "puppet-code".parse().unwrap()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, RemoteError>, why: &str) {
    let error = outcome.expect_err("it is refused");
    assert_eq!(error.status(), Some(403), "{error}");
    assert!(error.to_string().contains(why), "{error}");
}

const ACCESS: &str = "read = [\"compile*.example\"]\ncommit = [\"pp_auth_role=deployer\"]";

#[test]
fn certificates_decide_who_reads_who_commits_and_who_reports() {
    let primary = Primary::start(ACCESS);
    primary.ca.host("compile1.example", None);
    primary.ca.host("ci.example", Some("deployer"));
    primary.ca.host("web1.example", Some("web"));
    let (compiler, deployer, other) =
        (primary.as_host("compile1.example"), primary.as_host("ci.example"), primary.as_host("web1.example"));
    primary.block_on(async {
        let request = CommitRequest::default();
        assert_refused(compiler.commit(&repo(), &request).await, "compile1.example is not in [access] commit");
        assert_refused(other.commit(&repo(), &request).await, "web1.example is not in [access] commit");
        let commit = deployer.commit(&repo(), &request).await.unwrap().commit;

        assert_eq!(compiler.commit_info(&repo(), "head").await.unwrap().commit, commit);
        assert_eq!(deployer.commit_info(&repo(), "head").await.unwrap().commit, commit, "who commits may read");
        assert_refused(other.commit_info(&repo(), "head").await, "web1.example is not in [access] read");

        let report = ClientReport::default();
        compiler.report("compile1.example", &report).await.unwrap();
        assert_refused(compiler.report("compile2.example", &report).await, "under TLS a client's name is its certname");
        assert_refused(other.report("web1.example", &report).await, "[access] read");
        let names: Vec<String> = compiler.clients().await.unwrap().clients.into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["compile1.example"]);
    });
}

#[test]
fn without_a_certificate_there_is_what_monitor_says_and_nothing_else() {
    for (monitor, health) in [("", 403), ("monitor = [\"anybody\"]", 200)] {
        let primary = Primary::start(&format!("{ACCESS}\n{monitor}"));
        let address = ([127, 0, 0, 1], primary.port).into();
        let status = |path: &str| Agent::tls(address, &primary.ca, None).get(path).status;
        for path in ["/healthz", "/metrics"] {
            assert_eq!(status(path), health, "{path}");
        }
        for path in ["/v1/repos", "/v1/clients", "/v1/repos/puppet-code/head"] {
            assert_eq!(status(path), 403, "{path}");
        }
    }
}

#[test]
fn a_revoked_certificate_is_refused_also_on_an_open_connection_and_plain_http_is_no_way_in() {
    let primary = Primary::start(ACCESS);
    let revoked = primary.ca.host("compile1.example", None);
    primary.ca.host("compile2.example", None);
    let (compiler, sibling) = (primary.as_host("compile1.example"), primary.as_host("compile2.example"));
    assert!(primary.block_on(compiler.repos()).is_ok(), "the connection is open");
    primary.ca.revoke(&revoked);
    until("the revocation counts", SOON, || primary.block_on(compiler.repos()).is_err().then_some(()));
    let fresh = primary.as_host("compile1.example");
    assert!(primary.block_on(fresh.repos()).is_err(), "nor is it taken on a new one");
    assert!(primary.block_on(sibling.repos()).is_ok(), "others are not touched");

    let plain = Remote::new(&format!("http://localhost:{}", primary.port)).unwrap();
    assert!(primary.block_on(plain.repos()).is_err());
}

#[test]
fn a_client_follows_a_primary_over_tls_and_believes_no_other() {
    let primary = Primary::start(ACCESS);
    primary.ca.host("compile1.example", None);
    primary.ca.host("ci.example", Some("deployer"));
    primary.block_on(primary.as_host("ci.example").commit(&repo(), &CommitRequest::default())).unwrap();
    let settings = |ssl: &Path| {
        format!(
            "data-dir = {:?}\nserver = {:?}\nlisten = \"127.0.0.1:0\"\n[puppet]\nssl-dir = {ssl:?}\ncertname = \"compile1.example\"\n[repos.puppet-code]\n",
            primary.folder.path().join("client"),
            primary.url(),
        )
    };
    let sync = |ssl: &Path| {
        let config = read_client(&write(primary.folder.path(), "client.toml", &settings(ssl))).unwrap();
        primary.block_on(sceneshift::client::once(config, &Default::default(), Default::default()))
    };
    // The same names, but another CA: neither believes the other.
    let strange = Ca::new(&primary.folder.path().join("strange"));
    strange.host("compile1.example", None);
    assert!(sync(strange.dir()).is_err());
    assert!(!primary.folder.path().join("client/repos/puppet-code/current").exists());

    let report = sync(primary.ca.dir()).unwrap();
    assert!(report.repos[&repo()].deployed.is_some());
    let fleet = primary.block_on(primary.as_host("compile1.example").clients()).unwrap();
    assert_eq!(fleet.clients[0].name, "compile1.example", "it reports under its certname");
}

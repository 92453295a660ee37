//! A primary and a client within this process: fast, for many small cases.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sceneshift::client::{self, ClientError};
use sceneshift::config::{ClientConfig, PrimaryConfig, read_client, read_primary};
use sceneshift::datadir::CONTROL_SOCKET;
use sceneshift::fsck::{self, Access, FsckError};
use sceneshift::progress::Progress;
use sceneshift::remote::{Remote, RemoteError};
use sceneshift::server;
use sceneshift::values::RepoName;
use sceneshift::wire::api::{ClientReport, CommitAnswer, CommitRequest};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::folder;
use super::tree::Tree;
use super::wait::until;

/// How long a daemon may take to stop.
const STOP: Duration = Duration::from_secs(40);

/// A primary with one repo `puppet-code`, and a client of it that syncs when told.
pub struct Rig {
    primary: Option<Running>,
    runtime: Runtime,
    folder: tempfile::TempDir,
    address: String,
    /// More lines for the primary's `[repos.puppet-code]`.
    pub primary_settings: String,
    /// More lines for the client's `[repos.puppet-code]`.
    pub client_settings: String,
}

/// A daemon on the rig's runtime.
pub struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), String>>,
}

impl Running {
    /// Tells it to stop, and does not wait.
    pub fn cancel(self) {
        self.stop.cancel();
    }

    fn stop(self, runtime: &Runtime) {
        self.stop.cancel();
        let stopped = runtime.block_on(async { tokio::time::timeout(STOP, self.task).await });
        stopped.expect("it stops in time").expect("it does not panic").expect("it ends well");
    }
}

impl Rig {
    /// One that runs, in memory where there is room.
    pub fn new() -> Self {
        Self::with("", "")
    }

    /// The same, with more settings for the repo.
    pub fn with(primary_settings: &str, client_settings: &str) -> Self {
        let mut rig = Self {
            primary: None,
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
            folder: folder::fast(),
            address: String::new(),
            primary_settings: primary_settings.to_owned(),
            client_settings: client_settings.to_owned(),
        };
        std::fs::create_dir(rig.staging()).unwrap();
        rig.start_primary();
        rig
    }

    pub fn start_primary(&mut self) {
        assert!(self.primary.is_none(), "it runs already");
        // After the first time at the same port: its clients know no other.
        let address = self.address.strip_prefix("http://").unwrap_or("127.0.0.1:0").to_owned();
        let listener = self.runtime.block_on(TcpListener::bind(address)).unwrap();
        self.address = format!("http://{}", listener.local_addr().unwrap());
        let (config, stop) = (self.primary_config(), CancellationToken::new());
        let stopped = stop.clone().cancelled_owned();
        let task = self.runtime.spawn(async move {
            server::serve_on(config, listener, stopped).await.map_err(|error| format!("{error:?}"))
        });
        self.primary = Some(Running { stop, task });
        let socket = Remote::unix(&self.primary_data().join(CONTROL_SOCKET)).unwrap();
        until("the primary answers", STOP, || self.block_on(socket.primary_status()).ok());
    }

    pub fn stop_primary(&mut self) {
        self.primary.take().expect("it runs").stop(&self.runtime);
    }

    /// Starts a client that follows the head, and answers its control socket.
    pub fn start_client(&self) -> Running {
        self.start_client_of(&self.address)
    }

    /// The same, of a primary at another address.
    pub fn start_client_of(&self, server: &str) -> Running {
        self.start_client_with(self.client_config_for(server))
    }

    /// The same, with settings of the test's own.
    pub fn start_client_with(&self, config: ClientConfig) -> Running {
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let task = self
            .runtime
            .spawn(async move { client::run_until(config, stopping).await.map_err(|error| format!("{error:?}")) });
        Running { stop, task }
    }

    pub fn stop_client(&self, client: Running) {
        client.stop(&self.runtime);
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn staging(&self) -> PathBuf {
        self.folder.path().join("staging-area")
    }

    pub fn primary_data(&self) -> PathBuf {
        self.folder.path().join("primary")
    }

    pub fn client_data(&self) -> PathBuf {
        self.folder.path().join("client")
    }

    pub fn current(&self) -> PathBuf {
        self.client_data().join("repos/puppet-code/current")
    }

    pub fn repo(&self) -> RepoName {
        "puppet-code".parse().unwrap()
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn remote(&self) -> Remote {
        Remote::new(&self.address).unwrap()
    }

    /// The client's daemon.
    pub fn socket(&self) -> Remote {
        Remote::unix(&self.client_data().join(CONTROL_SOCKET)).unwrap()
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn stage(&self, tree: &Tree) {
        tree.write_to(&self.staging());
    }

    /// Commits everything, whatever is left of it.
    #[track_caller]
    pub fn commit(&self) -> CommitAnswer {
        self.try_commit(&CommitRequest { allow_empty: true, ..CommitRequest::default() }).expect("staging stands still")
    }

    pub fn try_commit(&self, request: &CommitRequest) -> Result<CommitAnswer, RemoteError> {
        self.block_on(self.remote().commit(&self.repo(), request))
    }

    /// One sync and deploy.
    #[track_caller]
    pub fn deploy(&self) -> ClientReport {
        self.try_deploy().expect("the head can be deployed")
    }

    pub fn try_deploy(&self) -> Result<ClientReport, ClientError> {
        self.try_deploy_from(&self.address)
    }

    /// The same, from a primary at another address.
    pub fn try_deploy_from(&self, server: &str) -> Result<ClientReport, ClientError> {
        self.block_on(client::once(self.client_config_for(server), &Arc::default(), CancellationToken::new()))
    }

    /// Runs something until the rig goes.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(future);
    }

    /// Fails the test unless both data directories are in order, whether their daemons run or not.
    #[track_caller]
    pub fn assert_clean(&self) {
        for data in [self.primary_data(), self.client_data()] {
            if data.exists() {
                let findings = self.fsck(&data).findings;
                assert!(findings.is_empty(), "{}: {findings:#?}", data.display());
            }
        }
    }

    fn fsck(&self, data: &Path) -> fsck::Report {
        let progress = Progress::default();
        match fsck::check(data, &Access::Locked, &progress) {
            // A daemon runs.
            Err(FsckError::Lock(_)) => {
                let socket = Remote::unix(&data.join(CONTROL_SOCKET)).unwrap();
                let held = self.block_on(socket.fsck_hold()).unwrap();
                fsck::check(data, &Access::Checkpoint(held.hold.checkpoint.clone()), &progress).unwrap()
            }
            other => other.unwrap(),
        }
    }

    fn primary_config(&self) -> PrimaryConfig {
        let mut text = format!("data-dir = {:?}\n[repos.puppet-code]\n", self.primary_data());
        writeln!(text, "staging-dir = {:?}\n{}", self.staging(), self.primary_settings).unwrap();
        read_primary(&self.write("primary.toml", &text)).unwrap()
    }

    /// The client's settings, with this address of its primary.
    pub fn client_config_for(&self, server: &str) -> ClientConfig {
        let mut text = format!("data-dir = {:?}\nserver = {server:?}\nname = \"tested\"\n", self.client_data());
        writeln!(text, "listen = \"127.0.0.1:0\"\n[repos.puppet-code]\n{}", self.client_settings).unwrap();
        read_client(&self.write("client.toml", &text)).unwrap()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// A client for requests that the program's own never makes.
pub fn http_client() -> reqwest::Client {
    reqwest::Client::builder().tls_backend_preconfigured(sceneshift::tls::trusts_nobody()).build().unwrap()
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(primary) = self.primary.take() {
            primary.stop.cancel();
            let _ = self.runtime.block_on(async { tokio::time::timeout(STOP, primary.task).await });
        }
    }
}

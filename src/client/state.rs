//! What the daemon holds, and how each repo does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, RwLock};
use tokio_util::sync::CancellationToken;

use super::ClientError;
use super::metrics::Metrics;
use crate::config::{ClientConfig, ClientRepo};
use crate::farm::{Farm, FarmSettings, Retention, SharedDirs};
use crate::progress::{Phase, Progress};
use crate::puppet::Flusher;
use crate::remote::Remote;
use crate::values::RepoName;
use crate::wire::api::{DeployFigures, FailedCommit};

/// The index's note of where the primary was: `fsck --repair` without a daemon asks there.
pub(super) const SERVER_NOTE: &str = "server";

/// One running client.
pub(super) struct Client {
    pub(super) config: ClientConfig,
    pub(super) name: String,
    pub(super) farm: Arc<Farm>,
    pub(super) remote: Remote,
    pub(super) flusher: Option<Flusher>,
    pub(super) repos: BTreeMap<RepoName, Repo>,
    pub(super) metrics: Metrics,
    /// Held by whoever syncs, deploys, prunes or repairs.
    pub(super) work: Arc<tokio::sync::Mutex<()>>,
    /// Read-held while fsck reads; pruning takes it for writing.
    pub(super) hold: Arc<RwLock<()>>,
    /// What the primary said last of commits that failed.
    pub(super) failed_commits: Mutex<BTreeMap<RepoName, FailedCommit>>,
    /// Something happened that the primary should hear of.
    pub(super) news: Notify,
    pub(super) stop: CancellationToken,
}

/// One repo, as the daemon sees it.
pub(super) struct Repo {
    pub(super) settings: ClientRepo,
    pub(super) shared: SharedDirs,
    pub(super) progress: Arc<Progress>,
    pub(super) figures: Mutex<Option<DeployFigures>>,
    /// Wakes the task that follows the repo: what it should do may have changed.
    pub(super) wake: Notify,
}

impl Client {
    /// Opens the data directory and checks the settings.
    pub(super) async fn open(config: ClientConfig, stop: CancellationToken) -> Result<Arc<Self>, ClientError> {
        let remote = Remote::new(&config.server)?;
        let flusher = config.puppetserver.as_ref().map(Flusher::new).transpose().map_err(ClientError::Flusher)?;
        let repos = config.repos.iter().map(|(name, settings)| Ok((name.clone(), Repo::new(name, settings)?)));
        let repos = repos.collect::<Result<_, ClientError>>()?;
        let settings = FarmSettings { file_mode: config.file_mode, reader_group: group_number(&config.reader_group) };
        let (path, server) = (config.data_dir.clone(), config.server.clone());
        let farm = tokio::task::spawn_blocking(move || {
            let farm = Farm::open(&path, settings)?;
            farm.index().put_meta(SERVER_NOTE, server.as_bytes())?;
            Ok::<_, ClientError>(farm)
        });
        let farm = Arc::new(farm.await??);
        let name = config.name.clone().unwrap_or_else(host_name);
        Ok(Arc::new(Self {
            config,
            name,
            farm,
            remote,
            flusher,
            repos,
            metrics: Metrics::new(),
            work: Arc::default(),
            hold: Arc::default(),
            failed_commits: Mutex::default(),
            news: Notify::new(),
            stop,
        }))
    }

    /// The repo of this name, or an error that names those there are.
    pub(super) fn repo(&self, name: &RepoName) -> Result<&Repo, ClientError> {
        self.repos
            .get(name)
            .ok_or_else(|| ClientError::UnknownRepo { repo: name.clone(), known: self.repos.keys().cloned().collect() })
    }

    /// Runs blocking work on the farm.
    pub(super) async fn blocking<T: Send + 'static, E: Into<ClientError> + Send + 'static>(
        &self,
        work: impl FnOnce(&Farm) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ClientError> {
        let farm = Arc::clone(&self.farm);
        tokio::task::spawn_blocking(move || work(&farm)).await?.map_err(Into::into)
    }

    /// Asks what is under way to stop at its next convenient point.
    pub(super) fn interrupt(&self) {
        self.repos.values().for_each(|repo| repo.progress.cancel());
    }

    /// How long generations are kept.
    pub(super) fn retentions(&self) -> BTreeMap<RepoName, Retention> {
        let retention = |repo: &Repo| Retention { keep: repo.settings.keep_generations, age: repo.settings.keep_age };
        self.repos.iter().map(|(name, repo)| (name.clone(), retention(repo))).collect()
    }
}

impl Repo {
    fn new(name: &RepoName, settings: &ClientRepo) -> Result<Self, ClientError> {
        let shared = SharedDirs::new(&settings.shared_dirs)
            .map_err(|source| ClientError::SharedDirs { repo: name.clone(), source })?;
        Ok(Self {
            settings: settings.clone(),
            shared,
            progress: Arc::default(),
            figures: Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// Says that nothing is being done any more.
    pub(super) fn idle(&self) {
        self.progress.begin(Phase::Idle, 0, 0);
    }
}

/// The number of a group; `None` where there is no such group, or asking failed.
fn group_number(name: &str) -> Option<u32> {
    nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
}

/// What the host calls itself.
fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "unnamed".into())
}

//! What the daemon holds, and how each repo does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, RwLock};
use tokio_util::sync::CancellationToken;

use super::ClientError;
use super::metrics::Metrics;
use super::pauser::Pauser;
use super::scrub::NOTE;
use crate::config::{ClientConfig, ClientRepo, DrainKind};
use crate::farm::{Farm, FarmSettings, Retention, SharedDirs};
use crate::gate::Gate;
use crate::progress::{Phase, Progress};
use crate::puppet::{Certificates, FlushError, Flusher};
use crate::remote::{Remote, RemoteError};
use crate::scrub::{self, Scrub};
use crate::signature::VerifyingKey;
use crate::telling::telling;
use crate::values::RepoName;
use crate::wire::api::{DeployFigures, FailedCommit};

/// The index's note of where the primary was: `fsck --repair` without a daemon asks there.
pub(super) const SERVER_NOTE: &str = "server";

/// As what a client runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Until it is stopped.
    Daemon,
    /// For one sync and deploy, or a repair.
    Once,
}

/// One running client.
pub(super) struct Client {
    pub(super) config: ClientConfig,
    pub(super) name: String,
    pub(super) farm: Arc<Farm>,
    pub(super) remote: Remote,
    /// The host's, where the settings say where they are.
    pub(super) certificates: Option<Arc<Certificates>>,
    /// The gate, where the settings have one and this is a daemon.
    pub(super) gate: Option<Arc<Gate>>,
    pub(super) flusher: Option<Arc<Flusher>>,
    pub(super) repos: BTreeMap<RepoName, Repo>,
    pub(super) metrics: Metrics,
    /// Held by whoever syncs, deploys, prunes or repairs.
    pub(super) work: Arc<tokio::sync::Mutex<()>>,
    /// Read-held while fsck reads; pruning takes it for writing.
    pub(super) hold: Arc<RwLock<()>>,
    /// A pruning was left out because of that.
    pub(super) prune_owed: AtomicBool,
    pub(super) scrub: Scrub,
    pub(super) scrub_progress: Arc<Progress>,
    /// How far a repair is that somebody asked for.
    pub(super) repair_progress: Arc<Progress>,
    /// What the primary said last of commits that failed.
    pub(super) failed_commits: Mutex<BTreeMap<RepoName, FailedCommit>>,
    /// Something happened that the primary should hear of.
    pub(super) news: Notify,
    pub(super) stop: CancellationToken,
}

/// One repo, as the daemon sees it.
pub(super) struct Repo {
    pub(super) settings: ClientRepo,
    pub(super) pauser: Pauser,
    pub(super) shared: SharedDirs,
    /// Whose heads are believed; none for everybody's.
    pub(super) signed_by: Vec<VerifyingKey>,
    pub(super) progress: Arc<Progress>,
    pub(super) figures: Mutex<Option<DeployFigures>>,
    /// Wakes the task that follows the repo: what it should do may have changed.
    pub(super) wake: Notify,
}

impl Client {
    /// Opens the data directory and checks the settings. Only a daemon has a gate. `progress` tells how far it is; `stop` ends it.
    pub(super) async fn open(
        config: ClientConfig,
        role: Role,
        stop: CancellationToken,
        progress: &Arc<Progress>,
    ) -> Result<Arc<Self>, ClientError> {
        let settings = FarmSettings { file_mode: config.file_mode, reader_group: group_number(&config.reader_group) };
        let (opened, recovering) = (config.clone(), Arc::clone(progress));
        let opened = tokio::task::spawn_blocking(move || {
            let certificates = opened.puppet.as_ref().map(Certificates::open).transpose()?.map(Arc::new);
            let keys = opened.repos.iter().map(|(name, repo)| Ok((name.clone(), read_keys(name, repo)?)));
            let keys: BTreeMap<_, _> = keys.collect::<Result<_, ClientError>>()?;
            let farm = Farm::open_telling(&opened.data_dir, settings, &recovering)?;
            farm.index().put_meta(SERVER_NOTE, opened.server.as_bytes())?;
            let mut metrics = Metrics::new();
            let gate = match (&opened.gate, &certificates, role) {
                (Some(gate), Some(certificates), Role::Daemon) => {
                    let tracks_runs = opened.repos.values().any(|repo| repo.drain == DrainKind::Runs);
                    let certificates = Arc::clone(certificates);
                    Some(Gate::new(gate, certificates, opened.longest_hold(), tracks_runs, metrics.registry())?)
                }
                _ => None,
            };
            let note = farm.index().meta(NOTE)?;
            let scrub = Scrub::new(opened.scrub.pass(), note.as_deref(), scrub::now());
            Ok::<_, ClientError>((Arc::new(farm), certificates, metrics, gate, scrub, keys))
        });
        let opened = stop_by(&stop, || progress.cancel(), telling(None, progress, opened)).await?;
        let (farm, certificates, metrics, gate, scrub, mut keys) = opened?;
        let remote = primary_at(&config.server, certificates.as_deref())?;
        let flusher = flusher(&config, certificates.clone()).map_err(ClientError::Flusher)?.map(Arc::new);
        let repos = config.repos.iter().map(|(name, settings)| {
            let pauser = Pauser::new(&config, settings, gate.as_ref())?;
            Ok((name.clone(), Repo::new(name, settings, pauser, keys.remove(name).unwrap_or_default())?))
        });
        let repos = repos.collect::<Result<_, ClientError>>()?;
        let certname = config.puppet.as_ref().map(|puppet| puppet.certname.clone());
        let name = config.name.clone().or(certname).unwrap_or_else(host_name);
        Ok(Arc::new(Self {
            config,
            name,
            farm,
            remote,
            certificates,
            gate,
            flusher,
            repos,
            metrics,
            work: Arc::default(),
            hold: Arc::default(),
            prune_owed: AtomicBool::default(),
            scrub,
            scrub_progress: Arc::new(Progress::paced(scrub::RATE)),
            repair_progress: Arc::default(),
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
        self.scrub_progress.cancel();
        self.repair_progress.cancel();
    }

    /// How long generations are kept.
    pub(super) fn retentions(&self) -> BTreeMap<RepoName, Retention> {
        let retention = |repo: &Repo| Retention { keep: repo.settings.keep_generations, age: repo.settings.keep_age };
        self.repos.iter().map(|(name, repo)| (name.clone(), retention(repo))).collect()
    }
}

impl Repo {
    fn new(
        name: &RepoName,
        settings: &ClientRepo,
        pauser: Pauser,
        signed_by: Vec<VerifyingKey>,
    ) -> Result<Self, ClientError> {
        let shared = SharedDirs::new(&settings.shared_dirs)
            .map_err(|source| ClientError::SharedDirs { repo: name.clone(), source })?;
        Ok(Self {
            settings: settings.clone(),
            pauser,
            shared,
            signed_by,
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

/// Does work to its end, and asks it to come to one as soon as `stop` is cancelled.
pub(super) async fn stop_by<T>(stop: &CancellationToken, ask: impl FnOnce(), work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = stop.cancelled() => ask(),
    }
    work.await
}

fn read_keys(name: &RepoName, repo: &ClientRepo) -> Result<Vec<VerifyingKey>, ClientError> {
    let key = |path: &PathBuf| {
        VerifyingKey::read(path).map_err(|source| ClientError::SignedBy { repo: name.clone(), source })
    };
    repo.signed_by.iter().map(key).collect()
}

/// The primary at this address, asked with the host's certificate where that is wanted.
pub(super) fn primary_at(server: &str, certificates: Option<&Certificates>) -> Result<Remote, RemoteError> {
    match certificates {
        Some(certificates) => Remote::secure(server, certificates.current().client.clone()),
        None => Remote::new(server),
    }
}

/// How the cache is flushed: through the gate's upstream where there is a gate, else as the settings say.
fn flusher(config: &ClientConfig, certificates: Option<Arc<Certificates>>) -> Result<Option<Flusher>, FlushError> {
    match (&config.gate, &config.puppetserver, certificates) {
        (Some(gate), _, Some(certificates)) => Flusher::upstream(gate, certificates).map(Some),
        (_, Some(direct), certificates) => Flusher::direct(direct, certificates).map(Some),
        _ => Ok(None),
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

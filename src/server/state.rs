//! What all handlers share: the store, the repos with their heads, the clients, the counters.
//!
//! Invariant: a repo's `head` channel says what the store says, and never goes back to an older head.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ServeError;
use super::access::{Guard, Rights};
use super::clients::Clients;
use super::failed::Failure;
use super::gc::Collecting;
use super::metrics::Metrics;
use super::shared::Streams;
use super::turns::Turns;
use crate::config::{PrimaryConfig, PrimaryRepo};
use crate::datadir::{DataDir, Kind};
use crate::http::Refusal;
use crate::ingest;
use crate::progress::Progress;
use crate::scrub::{self, Scrub};
use crate::signature::SigningKey;
use crate::store::{ReadStore, Store, StoreError, lost_heads};
use crate::values::{CommitId, RepoName, TreeId, TreePath};
use crate::wire::api::{CommitInfo, FailedCommit};

/// The state as handlers get it.
pub(super) type Shared = Arc<Primary>;

/// A running primary.
pub(super) struct Primary {
    /// The object store.
    pub(super) store: Arc<Store>,
    /// The data directory, locked.
    pub(super) data: DataDir,
    /// The configured repos.
    pub(super) repos: BTreeMap<RepoName, Arc<RepoState>>,
    /// TLS, and who may do what.
    pub(super) guard: Guard,
    /// What signs heads, where they are signed.
    pub(super) signing_key: Option<SigningKey>,
    /// How many connections are open at most.
    pub(super) max_connections: usize,
    /// Where users of this machine come, besides the data directory's control socket.
    pub(super) socket: Option<PathBuf>,
    /// The fleet.
    pub(super) clients: Clients,
    /// The counters.
    pub(super) metrics: Metrics,
    /// Leave to write a stream.
    pub(super) turns: Turns,
    /// Streams that many ask for.
    pub(super) streams: Arc<Streams>,
    /// Cancelled when the primary is to stop: who waits for something to happen waits no more.
    pub(super) stopping: CancellationToken,
    /// Cancelled when it has waited long enough for what was under way.
    pub(super) cut: CancellationToken,
    /// Blocking work, which may outlive the request that asked for it.
    pub(super) jobs: TaskTracker,
    /// The GC under way.
    pub(super) gc: Collecting,
    /// How far a repair is that somebody asked for, and the way to end it.
    pub(super) repair_progress: Progress,
    /// Which part of the store is read again when.
    pub(super) scrub: Scrub,
    /// The pace of that, and the way to end it.
    pub(super) scrub_progress: Progress,
    /// The way to end a repair of what it found. At no pace: commits wait for it.
    pub(super) scrub_repair: Progress,
}

/// One configured repo.
pub(super) struct RepoState {
    /// What ingest needs to know.
    pub(super) source: ingest::Repo,
    /// GC keeps at least this many commits.
    pub(super) keep_commits: u64,
    /// GC keeps commits younger than this.
    pub(super) keep_age: Duration,
    /// The newest commit, for everybody who waits for another.
    pub(super) head: watch::Sender<Option<Arc<CommitInfo>>>,
    /// The last commit, where it failed.
    pub(super) failure: Failure,
    /// How far the commit under way is.
    pub(super) progress: Arc<Progress>,
    /// Trees that were found to be an environment's in some kept commit.
    pub(super) environment_trees: Mutex<HashSet<TreeId>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    announcing: Mutex<()>,
}

impl Primary {
    /// Opens the data directory and the store. Blocking.
    pub(super) fn open(config: PrimaryConfig) -> Result<Shared, ServeError> {
        let guard = Guard::open(&config)?;
        let signing_key = config.signing.as_ref().map(|signing| SigningKey::read(&signing.key)).transpose()?;
        let data = DataDir::open(&config.data_dir, Kind::Primary)?;
        let store = Arc::new(Store::open(&data)?);
        let metrics = Metrics::new();
        let scrub = Scrub::new(config.scrub.pass(), store.scrub_note()?.as_deref(), scrub::now());
        let mut repos = BTreeMap::new();
        for (name, repo) in config.repos {
            store.set_staging(&name, &repo.staging_dir)?;
            repos.insert(name.clone(), Arc::new(RepoState::new(&store, name, repo)?));
        }
        let primary = Arc::new(Self {
            guard,
            signing_key,
            max_connections: config.max_connections,
            socket: config.socket,
            clients: Clients::load(&store)?,
            store,
            data,
            repos,
            metrics,
            turns: Turns::new(),
            streams: Arc::default(),
            stopping: CancellationToken::new(),
            cut: CancellationToken::new(),
            jobs: TaskTracker::new(),
            gc: Collecting::default(),
            repair_progress: Progress::default(),
            scrub,
            scrub_progress: Progress::paced(scrub::RATE),
            scrub_repair: Progress::default(),
        });
        for repo in primary.repos.values() {
            primary.announce(repo)?;
        }
        Ok(primary)
    }

    /// The repo of this name, where the caller may read it, or 404 with the names of those that he may.
    pub(super) fn repo(&self, name: &str, rights: &Rights) -> Result<Arc<RepoState>, Refusal> {
        let found = name.parse::<RepoName>().ok().and_then(|name| self.repos.get(&name));
        let readable = found.filter(|repo| rights.may_read(repo.name()));
        readable.cloned().ok_or_else(|| rights.no_repo(name, self.repos.keys()))
    }

    /// The repos whose last commit failed.
    pub(super) fn failed_commits(&self) -> BTreeMap<RepoName, FailedCommit> {
        let failed = |(name, repo): (&RepoName, &Arc<RepoState>)| Some((name.clone(), repo.failure.get()?));
        self.repos.iter().filter_map(failed).collect()
    }

    /// Reads a repo's head and tells everybody who waits for one. Blocking. Called after whatever may have changed head or tags.
    pub(super) fn announce(&self, repo: &RepoState) -> Result<(), StoreError> {
        // Between reading and telling nobody else may tell: an older head must not overtake a newer one.
        let _turn = lock(&repo.announcing);
        let name = &repo.source.name;
        let Some(id) = self.store.head(name)? else {
            return Ok(());
        };
        if lost_heads(&*self.store)?.iter().any(|(lost, _)| lost == name) {
            // What is there is older than what was: clients must not go back to it by themselves.
            tracing::error!(repo = %name, survivor = %id, "the head was lost with a damaged store; `sceneshift commit` makes a new one");
            return Ok(());
        }
        let Some(commit) = self.store.commit(&id)? else {
            tracing::error!(repo = %name, head = %id, "the head's commit is not stored; run `sceneshift fsck` on the primary");
            return Ok(());
        };
        let tags = self.store.tags(name)?;
        let tags = tags.into_iter().filter(|(_, tagged)| *tagged == id).map(|(tag, _)| tag.to_string()).collect();
        self.metrics.set_head(name, commit.sequence);
        let signature = self.signing_key.as_ref().map(|key| key.sign(name, commit.sequence, &id));
        let info = CommitInfo { signature, ..CommitInfo::of(id, &commit, tags) };
        repo.head.send_replace(Some(Arc::new(info)));
        Ok(())
    }

    /// Gives up what is still under way: streams break, commits and GC are cancelled.
    pub(super) fn cut_off(&self) {
        self.cut.cancel();
        self.gc.cancel();
        self.repair_progress.cancel();
        for repo in self.repos.values() {
            repo.progress.cancel();
        }
    }

    /// Runs blocking work. It goes on when the caller goes away, and a stop waits for it.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Primary) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let primary = Arc::clone(self);
        let job = self.jobs.spawn_blocking(move || work(&primary));
        job.await.unwrap_or_else(|error| Err(Refusal::internal(&error)))
    }
}

impl RepoState {
    fn new(store: &Store, name: RepoName, config: PrimaryRepo) -> Result<Self, ServeError> {
        let environments_dir = TreePath::new(config.environments_dir.as_bytes())
            .map_err(|source| ServeError::EnvironmentsDir { repo: name.clone(), source })?;
        Ok(Self {
            failure: Failure::load(store, &name)?,
            source: ingest::Repo {
                name,
                staging_dir: config.staging_dir,
                environments_dir,
                ignore: config.ignore,
                skip_special: config.skip_special,
            },
            keep_commits: config.keep_commits,
            keep_age: config.keep_age,
            head: watch::Sender::new(None),
            progress: Arc::default(),
            environment_trees: Mutex::default(),
            turn: Arc::default(),
            announcing: Mutex::default(),
        })
    }

    /// Its name.
    pub(super) fn name(&self) -> &RepoName {
        &self.source.name
    }

    /// Its newest commit.
    pub(super) fn head_id(&self) -> Option<CommitId> {
        self.head.borrow().as_ref().map(|head| head.commit)
    }

    /// Waits until no other commit of this repo is under way. Those who wait here hold no thread.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// 404: there is nothing to show yet.
    pub(super) fn no_commit_yet(&self) -> Refusal {
        Refusal::not_found(format!("the repo {} has no commit yet; `sceneshift commit` makes one", self.name()))
    }
}

/// The lock, also where a thread panicked while it held it: what these locks guard is whole after every statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

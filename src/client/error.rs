//! Why a client could not do something.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::hooks::HookError;
use crate::farm::{FarmError, PatternError};
use crate::fsck::FsckError;
use crate::gate::{GateError, PauseError};
use crate::http::SocketError;
use crate::puppet::{CertificateError, FlushError};
use crate::remote::RemoteError;
use crate::signature::KeyError;
use crate::values::{BlobId, CommitId, RepoName, Totals, TreeId};
use crate::wire::{DeltaError, StreamError};

/// Why a client could not do something. `current` shows what it showed before.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The data directory said no.
    #[error(transparent)]
    Farm(#[from] FarmError),
    /// The primary said no, or nothing.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// What the primary sent did not come through, or is not what was asked for.
    #[error("what was asked for did not arrive from the primary")]
    Receive(#[source] ReceiveError),
    /// The cache of Puppet Server was not flushed; the old code stays live.
    #[error("Puppet Server's cache could not be flushed, so the old code stays live")]
    Flush(#[source] FlushError),
    /// A flush is owed from before, and was not made.
    #[error("Puppet Server's cache could not be flushed, and may hold older code than what is live")]
    OwedFlush(#[source] FlushError),
    /// Requests could not be held.
    #[error("the deploy was put off")]
    Pause(#[source] PauseError),
    /// A hook did not do its work.
    #[error("a hook of the pause failed")]
    Hook(#[source] HookError),
    /// A swap would not be kept from requests.
    #[error("pause = \"gate\" needs the running daemon, which has the gate; start `sceneshift client`")]
    NoGate,
    /// The gate cannot be opened.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Puppet's certificates cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// A setting cannot be used.
    #[error("[repos.{repo}]")]
    SharedDirs {
        /// The repo.
        repo: RepoName,
        /// What is wrong.
        source: PatternError,
    },
    /// The flush cannot be set up.
    #[error("the flush of Puppet Server's cache")]
    Flusher(#[source] FlushError),
    /// The repo is not in this client's settings.
    #[error("the repo {repo} is not configured here; known are: {}", list(known))]
    UnknownRepo {
        /// What was asked for.
        repo: RepoName,
        /// What there is.
        known: Vec<RepoName>,
    },
    /// Nothing to go back to.
    #[error("{0} has no earlier generation; name a commit to go to")]
    NothingBefore(RepoName),
    /// Nobody said where the primary is.
    #[error("the primary's address is not known; give it with --server")]
    NoServer,
    /// Nothing is committed yet.
    #[error("the repo {0} has no commit yet")]
    NoCommit(RepoName),
    /// The commit is of another repo.
    #[error("commit {commit} belongs to the repo {found}, not to {wanted}")]
    OtherRepo {
        /// The commit.
        commit: CommitId,
        /// What it says of itself.
        found: RepoName,
        /// What was asked for.
        wanted: RepoName,
    },
    /// A head that nobody vouches for.
    #[error(
        "the head {commit} of {repo} is not signed, and was not fetched: add [signing] with a key to the primary, or remove signed-by here"
    )]
    Unsigned {
        /// The repo.
        repo: RepoName,
        /// The head.
        commit: CommitId,
    },
    /// A head that somebody else vouches for, or that was changed on its way.
    #[error(
        "the head {commit} of {repo} is signed by none of the keys in signed-by, and was not fetched: where the primary has a new key, add its public half; else find out who answers in the primary's place"
    )]
    WronglySigned {
        /// The repo.
        repo: RepoName,
        /// The head.
        commit: CommitId,
    },
    /// A head from before.
    #[error(
        "the head {commit} of {repo} is #{sequence}, older than #{accepted}, which was accepted before, and was not fetched: where the primary went back on purpose, `sceneshift rollback {commit}` goes with it, and `--release` follows it again"
    )]
    Replayed {
        /// The repo.
        repo: RepoName,
        /// The head.
        commit: CommitId,
        /// Its sequence.
        sequence: u64,
        /// The highest that was accepted.
        accepted: u64,
    },
    /// A head that lied about itself.
    #[error("commit {commit} is #{found}, and #{claimed} was said of it: the primary is wrong or not who it should be")]
    OtherSequence {
        /// The commit.
        commit: CommitId,
        /// What it says of itself.
        found: u64,
        /// What the head's answer said.
        claimed: u64,
    },
    /// A key of `signed-by` cannot be used.
    #[error("signed-by of [repos.{repo}]")]
    SignedBy {
        /// The repo.
        repo: RepoName,
        /// What is wrong.
        source: KeyError,
    },
    /// The primary does not give what a commit needs.
    #[error("commit {0} cannot be completed: the primary sent nothing of what is missing")]
    Stuck(CommitId),
    /// A port or socket cannot be had.
    #[error("cannot listen on {address}; is another client running, or something else on that port? (setting listen)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    /// The farm could not be read again.
    #[error("cannot check the data directory")]
    Scrub(#[source] Box<FsckError>),
    /// The daemon is stopping.
    #[error("the client is stopping")]
    Stopping,
    /// A thread of the daemon died.
    #[error("an internal task failed; its panic is in the log")]
    Task(#[from] tokio::task::JoinError),
}

impl ClientError {
    /// How long to wait at least before trying again.
    pub(super) fn retry(&self) -> Duration {
        match self {
            ClientError::Pause(error) => error.retry(),
            _ => Duration::ZERO,
        }
    }
}

impl From<ReceiveError> for ClientError {
    /// That this machine could not keep what arrived is no fault of the primary.
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Farm(error) => ClientError::Farm(error),
            error => ClientError::Receive(error),
        }
    }
}

/// What is wrong with what arrived.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The stream itself.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Keeping it failed.
    #[error(transparent)]
    Farm(#[from] FarmError),
    /// A commit that was not asked for.
    #[error("commit {0} was not asked for")]
    UnwantedCommit(CommitId),
    /// A tree that was not asked for, or came twice.
    #[error("tree {0} was not asked for")]
    UnwantedTree(TreeId),
    /// A blob that was not asked for, or came twice.
    #[error("blob {0} was not asked for")]
    UnwantedBlob(BlobId),
    /// A chunk where none was announced, or another than was.
    #[error("chunk {0} was not announced")]
    UnwantedChunk(BlobId),
    /// A tree with other totals than its directory's entry says.
    #[error("tree {id} holds {found:?}; its entry says {expected:?}")]
    Totals {
        /// The tree.
        id: TreeId,
        /// What it holds.
        found: Totals,
        /// What was expected.
        expected: Totals,
    },
    /// A blob of another size than its entry says.
    #[error("blob {id} has {found} bytes; its entry says {expected}")]
    Size {
        /// The blob.
        id: BlobId,
        /// What came.
        found: u64,
        /// What was expected.
        expected: u64,
    },
    /// A difference that does not fit its base.
    #[error("a tree delta does not fit its base")]
    Delta(#[from] DeltaError),
}

fn list(names: &[RepoName]) -> String {
    let names: Vec<&str> = names.iter().map(RepoName::as_str).collect();
    names.join(", ")
}

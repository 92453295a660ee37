//! What is said when it does not work.

use std::io;
use std::path::PathBuf;

use crate::client::ClientError;
use crate::config::ConfigError;
use crate::datadir::DataDirError;
use crate::disk::LockError;
use crate::fsck::FsckError;
use crate::ingest::IngestError;
use crate::puppet::CertificateError;
use crate::remote::RemoteError;
use crate::server::ServeError;
use crate::store::StoreError;
use crate::values::{CommitId, PathError, RepoName};
use crate::versioned_code::VersionedCodeError;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The primary, or a daemon.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The primary cannot run, or failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The client cannot run, or failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A check that could not be made.
    #[error(transparent)]
    Fsck(#[from] FsckError),
    /// A primary's store that cannot be made anew.
    #[error("cannot make the store anew; the old one is as it was")]
    Rebuild(#[from] IngestError),
    /// The primary's store, for a repair without a daemon.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A daemon that was stopped while its data directory was checked.
    #[error("the daemon of {} stopped while its data directory was read; run fsck again", data_dir.display())]
    DaemonStopped {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// A version of an environment, or a file of it.
    #[error(transparent)]
    VersionedCode(#[from] VersionedCodeError),
    /// A part of the program that failed.
    #[error("a task of the program failed")]
    Task(#[from] tokio::task::JoinError),
    /// The program itself.
    #[error("cannot start the threads that the program needs")]
    Runtime(#[source] io::Error),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    /// Ctrl-C.
    #[error("interrupted: {then}")]
    Interrupted {
        /// What becomes of what was under way.
        then: &'static str,
    },
    /// Standard output.
    #[error("cannot write the answer to standard output")]
    Output(#[source] io::Error),
    /// A transfer that broke.
    #[error("cannot read all of {path}")]
    Transfer {
        /// What was read.
        path: String,
        /// What happened.
        source: io::Error,
    },
    /// The certificates for a call over TLS.
    #[error("cannot ask the primary over TLS")]
    Certificates(#[source] CertificateError),
    /// A file of this machine.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No gate, so no access log.
    #[error("{} has no [gate], and so there is no access log; name one with --log", .0.display())]
    NoGate(PathBuf),
    /// Several repos, none named.
    #[error("there are several repos, and none was named: {}", list(.0))]
    SeveralRepos(Vec<RepoName>),
    /// No repo at all.
    #[error("no repo is configured there")]
    NoRepos,
    /// A repo that is not there.
    #[error("there is no repo {wanted}; there is {}", list(known))]
    UnknownRepo {
        /// The repo.
        wanted: RepoName,
        /// Those that there are.
        known: Vec<RepoName>,
    },
    /// A text that names nothing that this machine keeps, while the primary cannot be asked.
    #[error(
        "{text:?} names no commit of {repo} that is kept here, and the primary cannot be reached to ask for others"
    )]
    UnknownHere {
        /// The text.
        text: String,
        /// The repo.
        repo: RepoName,
    },
    /// A text that names several.
    #[error("{text:?} names several commits: {}", list(commits))]
    AmbiguousCommit {
        /// The text.
        text: String,
        /// The commits.
        commits: Vec<CommitId>,
    },
    /// A path that is none.
    #[error("the path must lead down from the root of staging")]
    Path(#[from] PathError),
    /// A path to a file where a directory is needed.
    #[error("{0} is a file")]
    NotADirectory(String),
    /// A path to a directory where a file is needed.
    #[error("{0} is a directory")]
    NotAFile(String),
    /// A path to a link where a file is needed: where it leads is for the caller to say.
    #[error("{path} is a symbolic link to {target}")]
    SymbolicLink {
        /// The link.
        path: String,
        /// Where it points.
        target: String,
    },
    /// Clients that do not run a commit.
    #[error("not every client runs commit {}: {}", commit.short(), list(laggards))]
    NotEverywhere {
        /// The commit.
        commit: CommitId,
        /// Each client, and what keeps it.
        laggards: Vec<Laggard>,
    },
    /// A client's deploy that failed.
    #[error("{repo}: {error}")]
    Deploy {
        /// The repo.
        repo: RepoName,
        /// In the client's words.
        error: String,
    },
    /// A data directory that is not there.
    #[error("the data directory {} does not exist", path.display())]
    NoDataDir {
        /// The data directory.
        path: PathBuf,
    },
}

/// A client that does not run a commit.
#[derive(Debug)]
pub(super) struct Laggard {
    /// Its name.
    pub(super) name: String,
    /// What keeps it.
    pub(super) why: String,
}

impl std::fmt::Display for Laggard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.why)
    }
}

fn list<T: std::fmt::Display>(things: &[T]) -> String {
    let texts: Vec<String> = things.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

impl CliError {
    /// Whether the reader of standard output went away, as `head` does: nothing to complain about.
    pub(super) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What to do next, where the message does not say it.
    pub(super) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Config(ConfigError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                "write one (README.md has an example), or name another with --config"
            }
            Self::Fsck(FsckError::Lock(LockError::Held { .. })) => {
                "its daemon runs and does not answer on control.sock; run this as the daemon's user or root, or stop the daemon"
            }
            Self::SeveralRepos(_) | Self::UnknownRepo { .. } => "choose one with -r",
            Self::UnknownHere { .. } => "`sceneshift status` lists what is kept here",
            Self::AmbiguousCommit { .. } => "give more digits",
            Self::NotADirectory(_) => "`sceneshift cat` prints it",
            Self::NotAFile(_) => "`sceneshift ls` lists it",
            Self::NotEverywhere { .. } => {
                "`sceneshift clients` shows the fleet; `sceneshift status` on a client shows more"
            }
            Self::Deploy { .. } => "`sceneshift status` shows the state; the client tries again by itself",
            Self::NoDataDir { .. } => {
                "name the client's data directory with --data-dir, or its configuration with --config"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// Paths that the error is about.
    pub(super) fn paths(&self) -> &[String] {
        match self {
            Self::Remote(error) => error.paths(),
            _ => &[],
        }
    }
}

//! The status that an error of the core gets: the only place that chooses one.
//!
//! Invariant: what an internal error says goes to the log, never to the client; what the client can act on is said in `detail`.

use axum::http::StatusCode;

use super::pack::PackError;
use crate::http::{Refusal, chain};
use crate::ingest::IngestError;
use crate::store::StoreError;
use crate::values::TreePath;

/// What a job is told that is cancelled: nothing else cancels one.
const STOPPING: &str = "the primary is stopping; ask again when it runs";

const FULL: &str = "the disk with the primary's data directory is full, so nothing was changed; make room (`sceneshift gc` needs some too) \
    and ask again, some seconds later";

const BROKEN: &str = "the disk with the primary's data directory failed, so nothing was changed; the primary's log says how. Once the disk is \
    in order, restart the primary";

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Held | StoreError::HeadMoved { .. } => Self::conflict(error.to_string()),
            StoreError::NoSuchCommit(_) => Self::not_found(error.to_string()),
            StoreError::Unfit(_) => Self::bad_request(chain(&error)),
            StoreError::Cancelled => Self::new(StatusCode::SERVICE_UNAVAILABLE, STOPPING),
            error if error.is_full() => {
                tracing::error!(error = chain(error), "the disk is full");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, FULL)
            }
            error if error.is_broken_disk() => {
                tracing::error!(error = chain(error), "the disk failed; once it is in order, restart the primary");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, BROKEN)
            }
            StoreError::Open { .. }
            | StoreError::NoList { .. }
            | StoreError::Checkpoint { .. }
            | StoreError::Read { .. }
            | StoreError::Write { .. }
            | StoreError::Damaged { .. }
            | StoreError::DamagedBlocks { .. }
            | StoreError::Missing { .. }
            | StoreError::Content(_)
            | StoreError::Output(_)
            | StoreError::Chunks(_)
            | StoreError::NotWhole(_)
            | StoreError::OtherRepo { .. }
            | StoreError::Disk(_) => Self::internal(&error),
        }
    }
}

impl From<PackError> for Refusal {
    fn from(error: PackError) -> Self {
        match error {
            PackError::Store(error) => error.into(),
            PackError::Receiver(_) | PackError::NoTree(_) | PackError::NoBlob(_) | PackError::NoChunk { .. } => {
                Self::internal(&error)
            }
        }
    }
}

impl From<IngestError> for Refusal {
    fn from(error: IngestError) -> Self {
        let error = match error {
            IngestError::Store(error) => return error.into(),
            error => error,
        };
        let unprocessable = || Self::new(StatusCode::UNPROCESSABLE_ENTITY, chain(&error));
        match &error {
            // What stands in staging, or stands there no more.
            IngestError::StagingMissing { .. }
            | IngestError::StagingNotADirectory { .. }
            | IngestError::StagingUnreadable { .. }
            | IngestError::WouldBeEmpty { .. }
            | IngestError::HeadMoved { .. } => Self::conflict(chain(&error)),
            IngestError::Changing { paths } => Self::conflict(error.to_string()).about(shown(paths)),
            IngestError::Unreadable { path, .. }
            | IngestError::Special { path }
            | IngestError::TooDeep { path }
            | IngestError::TreeTooLarge { path, .. }
            | IngestError::Tree { path, .. }
            | IngestError::LinkTarget { path, .. }
            | IngestError::Read { path, .. } => unprocessable().about(shown([path])),
            IngestError::Totals(_) => unprocessable(),
            // What the request asks for.
            IngestError::UnknownEnvironment { environments } => unprocessable().about(shown(environments)),
            IngestError::BadEnvironmentName { .. } | IngestError::NoEnvironments { .. } => unprocessable(),
            IngestError::Commit(_) => Self::bad_request(chain(&error)),
            IngestError::UnknownCommit { .. } => Self::not_found(error.to_string()),
            // What only the operator can mend; a setting is named to whoever asks, for nothing else would help.
            IngestError::Pattern { .. } => Self::new(StatusCode::INTERNAL_SERVER_ERROR, chain(&error)),
            IngestError::Cancelled => Self::new(StatusCode::SERVICE_UNAVAILABLE, STOPPING),
            IngestError::Incomplete { .. } | IngestError::HeadMissing { .. } => {
                tracing::error!(error = chain(&error), "a commit failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
            IngestError::Threads(_) | IngestError::Disk(_) | IngestError::Store(_) => Self::internal(&error),
        }
    }
}

fn shown<'a>(paths: impl IntoIterator<Item = &'a TreePath>) -> impl Iterator<Item = String> {
    paths.into_iter().map(ToString::to_string)
}

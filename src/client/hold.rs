//! A farm that stands still, for who checks it: a copy of its index, and no pruning.
//!
//! Builds and deploys go on: what they add is newer than the copy, and nobody's damage. Deliberately absent: the check itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::OwnedRwLockReadGuard;

use super::ClientError;
use super::state::Client;
use crate::http::chain;

/// While it lives nothing is pruned; when it goes, so does the copy of the index.
pub(super) struct Hold {
    client: Arc<Client>,
    name: String,
    _held: OwnedRwLockReadGuard<()>,
}

impl Hold {
    /// Waits until nothing is being built: what is checked should stand still.
    pub(super) async fn begin(client: &Arc<Client>) -> Result<Self, ClientError> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let _working = client.work.lock().await;
        let held = Arc::clone(&client.hold).read_owned().await;
        let name = format!("fsck-{}", NUMBER.fetch_add(1, Relaxed));
        // Made before the checkpoint, so that a half-made one is removed too.
        let hold = Self { client: Arc::clone(client), name, _held: held };
        let path = hold.checkpoint();
        client.blocking(move |farm| farm.index().checkpoint(&path)).await?;
        Ok(hold)
    }

    /// The copy of the index.
    pub(super) fn checkpoint(&self) -> PathBuf {
        self.client.farm.data().path.join("tmp").join(&self.name)
    }
}

impl Drop for Hold {
    /// Removes some dozens of links to RocksDB's files: short enough for a thread that serves others.
    fn drop(&mut self) {
        match self.client.farm.data().tmp.remove_all(self.name.as_str()) {
            Err(error) if !error.is_not_found() => {
                tracing::warn!(error = chain(&error), "the checkpoint of fsck stays until the next start");
            }
            _ => tracing::debug!("done reading"),
        }
    }
}

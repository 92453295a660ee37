//! The routes of a daemon's control socket.

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{LONG, ProtocolError, QUICK, Remote, RemoteError};
use crate::progress::Snapshot;
use crate::wire::api::{ClientReport, FsckHold, PinRequest, PrimaryStatus, SyncRequest};

/// The longest line that a hold begins with, in bytes: a path in JSON.
const MAX_HOLD_LINE: usize = 64 << 10;

/// The daemon prunes nothing and keeps the checkpoint for as long as this lives.
#[derive(Debug)]
pub struct Hold {
    /// What the daemon said.
    pub hold: FsckHold,
    response: reqwest::Response,
}

impl Hold {
    /// Returns when the daemon no longer holds: it was stopped. Until then it must go on to be waited for.
    pub async fn ended(&mut self) {
        while let Ok(Some(_)) = self.response.chunk().await {}
    }
}

impl Remote {
    /// How a client's daemon does.
    pub async fn status(&self) -> Result<ClientReport, RemoteError> {
        self.json(self.get(&["status"])?, QUICK).await
    }

    /// How a primary does.
    pub async fn primary_status(&self) -> Result<PrimaryStatus, RemoteError> {
        self.json(self.get(&["status"])?, QUICK).await
    }

    /// Has a client's daemon look for a new head now, and deploy it; returns when that is done.
    pub async fn sync(&self, request: &SyncRequest) -> Result<ClientReport, RemoteError> {
        self.json(self.post(&["sync"], request)?, LONG).await
    }

    /// Has a client's daemon deploy an older commit and stay there, or go on; returns when that is done.
    pub async fn pin(&self, request: &PinRequest) -> Result<ClientReport, RemoteError> {
        self.json(self.post(&["rollback"], request)?, LONG).await
    }

    /// Has a daemon make a checkpoint of its database, and prune nothing while the answer lives.
    pub async fn fsck_hold(&self) -> Result<Hold, RemoteError> {
        let mut response = match tokio::time::timeout(LONG, self.send(self.request(Method::POST, &["fsck"])?)).await {
            Ok(response) => response?,
            Err(_) => return Err(RemoteError::TimedOut { place: self.place.clone() }),
        };
        let mut line = Vec::new();
        while !line.contains(&b'\n') {
            match response.chunk().await.map_err(|error| RemoteError::transport(&self.place, error))? {
                Some(piece) if line.len() + piece.len() <= MAX_HOLD_LINE => line.extend_from_slice(&piece),
                Some(_) => return Err(self.protocol(ProtocolError::TooLarge(MAX_HOLD_LINE))),
                None => break,
            }
        }
        let first = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match serde_json::from_slice(first) {
            Ok(hold) => Ok(Hold { hold, response }),
            Err(error) => Err(self.protocol(ProtocolError::Document(error))),
        }
    }

    /// How far a daemon's repair is.
    pub async fn repair_progress(&self) -> Result<Snapshot, RemoteError> {
        self.json(self.get(&["repair"])?, QUICK).await
    }

    /// Has a daemon repair what fsck found; the outcomes stand in the order of the findings.
    pub async fn repair<F: Serialize, O: DeserializeOwned>(&self, findings: &[F]) -> Result<Vec<O>, RemoteError> {
        self.json(self.post(&["repair"], &findings)?, LONG).await
    }
}

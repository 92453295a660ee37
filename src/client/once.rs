//! One sync and deploy, then done: by the daemon where one runs, else without it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::ClientError;
use super::flush::catch_up;
use super::state::{Client, Role, stop_by};
use crate::config::ClientConfig;
use crate::datadir::CONTROL_SOCKET;
use crate::http::chain;
use crate::progress::Progress;
use crate::remote::{Remote, RemoteError};
use crate::wire::api::{ClientReport, SyncRequest};

/// Syncs and deploys every repo once. Failures of single repos stand in the report. Ends early, with an error, when `stop` is cancelled: a deploy
/// that has begun is finished first, and what has arrived is kept.
pub async fn once(
    config: ClientConfig,
    progress: &Arc<Progress>,
    stop: CancellationToken,
) -> Result<ClientReport, ClientError> {
    let socket = config.data_dir.join(CONTROL_SOCKET);
    if socket.exists() {
        let (daemon, all) = (Remote::unix(&socket)?, SyncRequest::default());
        let asked = tokio::select! {
            () = stop.cancelled() => return Err(ClientError::Stopping),
            asked = daemon.sync(&all) => asked,
        };
        match asked {
            // A socket that a killed daemon left behind.
            Err(RemoteError::Unreachable { .. }) => {}
            other => return Ok(other?),
        }
    }
    let mut client = Client::open(config, Role::Once, stop.clone(), progress).await?;
    if let Some(client) = Arc::get_mut(&mut client) {
        client.repos.values_mut().for_each(|repo| repo.progress = Arc::clone(progress));
    }
    stop_by(&stop, || client.interrupt(), bring_all(&client)).await
}

async fn bring_all(client: &Client) -> Result<ClientReport, ClientError> {
    catch_up(client).await?;
    let mut failure = None;
    for name in client.repos.keys() {
        let brought = async {
            client.keep_pin(name).await?;
            client.sync_now(name).await
        };
        if let Err(error) = brought.await {
            if client.stop.is_cancelled() {
                return Err(error);
            }
            let (repo, text) = (name.clone(), chain(&error));
            client.blocking(move |farm| farm.update_state(&repo, |state| state.error = Some(text))).await?;
            failure = Some(error);
        }
    }
    let report = client.report().await?;
    if let Err(error) = client.remote.report(&client.name, &report).await {
        tracing::debug!(error = chain(&error), "the primary did not take the report");
    }
    // With one repo its error is the error; with several the report says which failed.
    match failure {
        Some(error) if client.repos.len() == 1 => Err(error),
        _ => Ok(report),
    }
}

//! TLS: begun within a limit, with certificates that are taken in anew when they change.
//!
//! Deliberately absent: who somebody is, and whether he is still to be believed on an open connection ([`crate::puppet`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::http::chain;
use crate::puppet::{Certificates, Material};

/// How long TLS may take to begin.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the certificates are looked at.
const REFRESH: Duration = Duration::from_secs(2);

/// Takes in changed revocation lists, certificates and keys, for ever; says each time whether what is there now cannot be used.
pub async fn keep_fresh(certificates: &Arc<Certificates>, mut say_failing: impl FnMut(bool)) {
    let mut failing = false;
    loop {
        tokio::time::sleep(REFRESH).await;
        let refreshed = Arc::clone(certificates);
        match tokio::task::spawn_blocking(move || refreshed.refresh()).await {
            Ok(Ok(changed)) => {
                failing = false;
                if changed {
                    tracing::info!("took in changed certificates or revocation lists");
                }
            }
            Ok(Err(error)) if !failing => {
                failing = true;
                tracing::error!(
                    error = chain(&error),
                    "changed certificates cannot be used; those from before stay in use"
                );
            }
            Ok(Err(_)) | Err(_) => {}
        }
        say_failing(failing);
    }
}

/// Why no TLS came about.
#[derive(Debug, thiserror::Error)]
pub enum NoTls {
    /// The two could not agree, or the other's certificate is not valid. Also what a health check by TCP alone looks like.
    #[error("no TLS came about")]
    Handshake(#[source] std::io::Error),
    /// It took too long.
    #[error("TLS did not begin within {HANDSHAKE_TIMEOUT:?}")]
    Slow,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// Begins TLS. Gives the stream, and what the other's certificate was verified with, where there is one.
pub async fn begin_tls(
    stream: TcpStream,
    certificates: &Certificates,
    stop: &CancellationToken,
) -> Result<(TlsStream<TcpStream>, Arc<Material>), NoTls> {
    let material = certificates.current();
    let handshake = TlsAcceptor::from(Arc::clone(&material.server)).accept(stream);
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake);
    let handshake = tokio::select! {
        () = stop.cancelled() => return Err(NoTls::Stopping),
        handshake = handshake => handshake,
    };
    match handshake {
        Ok(Ok(stream)) => Ok((stream, material)),
        Ok(Err(error)) => Err(NoTls::Handshake(error)),
        Err(_) => Err(NoTls::Slow),
    }
}

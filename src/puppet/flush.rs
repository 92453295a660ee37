//! The flush of Puppet Server's environment cache: `DELETE /puppet-admin-api/v1/environment-cache`.

use std::error::Error;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::StatusCode;
use tokio::time::Instant;

use crate::config::PuppetServer;
use crate::pause::Scope;

/// Above this many environments, one flush of everything is cheaper than one flush for each.
const MOST_SINGLE: usize = 20;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Flushes one Puppet Server's cache. Keeps its connection: a flush over an open one takes a few milliseconds, over a new one ten times that.
#[derive(Debug, Clone)]
pub struct Flusher {
    client: reqwest::Client,
    url: String,
    timeout: Duration,
}

/// Why the cache was not flushed.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// The address cannot be used.
    #[error("flush-url = {url:?} must begin with http:// (this version has no TLS yet)")]
    Address {
        /// The setting.
        url: String,
    },
    /// The HTTP client could not be set up.
    #[error("cannot set up an HTTP client")]
    Setup(#[source] reqwest::Error),
    /// Nobody listens there: no server that could serve old code, or a wrong address.
    #[error("nobody listens at {url}; is Puppet Server down, or flush-url wrong?")]
    Refused {
        /// The address.
        url: String,
        /// What the system said.
        source: reqwest::Error,
    },
    /// The connection failed otherwise.
    #[error("the flush at {url} failed")]
    Failed {
        /// The address.
        url: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// Puppet Server answered, and not with 204.
    #[error(
        "Puppet Server at {url} answered the flush with {status}; does its auth.conf allow this host /puppet-admin-api/v1?"
    )]
    Status {
        /// The address.
        url: String,
        /// The answer.
        status: StatusCode,
    },
}

impl Flusher {
    /// A flusher with these settings. Connects to nothing yet.
    pub fn new(settings: &PuppetServer) -> Result<Self, FlushError> {
        let url = settings.flush_url.trim_end_matches('/').to_owned();
        if !url.starts_with("http://") {
            return Err(FlushError::Address { url: settings.flush_url.clone() });
        }
        // The HTTP client wants cryptography chosen, once for the process, also where it speaks plain HTTP.
        let _chosen_before = rustls::crypto::ring::default_provider().install_default();
        let built = reqwest::Client::builder().no_proxy().timeout(ATTEMPT).build();
        let client = built.map_err(FlushError::Setup)?;
        Ok(Self { client, url, timeout: settings.flush_timeout })
    }

    /// Flushes what `scope` names, trying for as long as the setting `flush-timeout` allows.
    pub async fn flush(&self, scope: &Scope) -> Result<(), FlushError> {
        let until = Instant::now() + self.timeout;
        let mut pause = Duration::from_millis(50);
        loop {
            let error = match self.try_once(scope).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if Instant::now() + pause >= until {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn try_once(&self, scope: &Scope) -> Result<(), FlushError> {
        match scope {
            Scope::Environments(names) if names.len() <= MOST_SINGLE => {
                for name in names {
                    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
                    self.delete(&format!("?environment={name}")).await?;
                }
                Ok(())
            }
            _ => self.delete("").await,
        }
    }

    async fn delete(&self, query: &str) -> Result<(), FlushError> {
        let url = || self.url.clone();
        let address = format!("{}/puppet-admin-api/v1/environment-cache{query}", self.url);
        let answer = self.client.delete(address).send().await.map_err(|source| match is_refused(&source) {
            true => FlushError::Refused { url: url(), source },
            false => FlushError::Failed { url: url(), source },
        })?;
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(()),
            status => Err(FlushError::Status { url: url(), status }),
        }
    }
}

/// Whether the system said that nobody listens; the HTTP client buries that deep among the causes.
fn is_refused(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

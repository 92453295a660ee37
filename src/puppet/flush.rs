//! The flush of Puppet Server's environment cache: `DELETE /puppet-admin-api/v1/environment-cache`.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::StatusCode;
use tokio::time::Instant;

use super::{Certificates, Material};
use crate::config::{GateConfig, PuppetServer};
use crate::pause::Scope;
use crate::tls;

/// Above this many environments, one flush of everything is cheaper than one flush for each.
const MOST_SINGLE: usize = 20;

/// How long an idle connection is kept: Puppet Server closes them after 30 s.
const IDLE: Duration = Duration::from_secs(20);

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Flushes one Puppet Server's cache. Keeps its connection: a flush over an open one takes a few milliseconds, over a new one ten times that.
#[derive(Debug)]
pub struct Flusher {
    url: String,
    timeout: Duration,
    certificates: Option<Arc<Certificates>>,
    /// Whether the address is the one through which agents reach Puppet Server: where nobody listens, nothing is cached.
    is_upstream: bool,
    client: Mutex<Connected>,
}

/// An HTTP client, and the certificates that it shows.
#[derive(Debug, Clone)]
struct Connected {
    client: reqwest::Client,
    material: Option<Arc<Material>>,
}

/// Why the cache was not flushed.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
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
    /// No answer in time.
    #[error("no answer to the flush at {url} within {timeout:?}")]
    TimedOut {
        /// The address.
        url: String,
        /// The limit.
        timeout: Duration,
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
    /// One for a host without a gate. Connects to nothing yet.
    pub fn direct(settings: &PuppetServer, certificates: Option<Arc<Certificates>>) -> Result<Self, FlushError> {
        Self::new(&settings.flush_url, settings.flush_timeout, certificates, false)
    }

    /// One that goes where the gate's requests go.
    pub fn upstream(gate: &GateConfig, certificates: Arc<Certificates>) -> Result<Self, FlushError> {
        Self::new(&gate.upstream, gate.flush_timeout, Some(certificates), true)
    }

    fn new(
        url: &str,
        timeout: Duration,
        certificates: Option<Arc<Certificates>>,
        is_upstream: bool,
    ) -> Result<Self, FlushError> {
        let url = url.trim_end_matches('/').to_owned();
        let client = Mutex::new(Connected::new(certificates.as_ref().map(|all| all.current()))?);
        Ok(Self { url, timeout, certificates, is_upstream, client })
    }

    /// Opens the connection, so that nobody who is held waits for it. Should that fail, the flush will say so.
    pub async fn prepare(&self) {
        if let Ok(connected) = self.connected() {
            let request = connected.client.get(format!("{}/status/v1/simple", self.url));
            if let Ok(answer) = request.send().await {
                // Read to its end, so that the connection can be used again.
                let _ = answer.bytes().await;
            }
        }
    }

    /// The client, with the certificates of now.
    fn connected(&self) -> Result<Connected, FlushError> {
        let mut connected = self.client.lock().expect("no holder of this lock panics");
        let now = self.certificates.as_ref().map(|all| all.current());
        let is_same = match (&now, &connected.material) {
            (Some(now), Some(then)) => Arc::ptr_eq(now, then),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            *connected = Connected::new(now)?;
        }
        Ok(connected.clone())
    }

    /// Flushes what `scope` names, trying for as long as the setting `flush-timeout` allows.
    pub async fn flush(&self, scope: &Scope) -> Result<(), FlushError> {
        let until = Instant::now() + self.timeout;
        let mut pause = Duration::from_millis(50);
        loop {
            let error = match tokio::time::timeout_at(until, self.try_once(scope)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(FlushError::Refused { .. })) if self.is_upstream => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => return Err(FlushError::TimedOut { url: self.url.clone(), timeout: self.timeout }),
            };
            if Instant::now() + pause >= until {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn try_once(&self, scope: &Scope) -> Result<(), FlushError> {
        let connected = self.connected()?;
        match scope {
            Scope::Environments(names) if names.len() <= MOST_SINGLE => {
                for name in names {
                    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
                    self.delete(&connected, &format!("?environment={name}")).await?;
                }
                Ok(())
            }
            _ => self.delete(&connected, "").await,
        }
    }

    async fn delete(&self, connected: &Connected, query: &str) -> Result<(), FlushError> {
        let url = || self.url.clone();
        let address = format!("{}/puppet-admin-api/v1/environment-cache{query}", self.url);
        let mut request = connected.client.delete(address);
        if let Some(material) = &connected.material
            && self.url.starts_with("http://")
        {
            // No TLS that could say who asks.
            request = request.headers(material.host.headers.clone());
        }
        let answer = request.send().await.map_err(|source| match is_refused(&source) {
            true => FlushError::Refused { url: url(), source },
            false => FlushError::Failed { url: url(), source },
        })?;
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(()),
            status => Err(FlushError::Status { url: url(), status }),
        }
    }
}

impl Connected {
    fn new(material: Option<Arc<Material>>) -> Result<Self, FlushError> {
        let tls = material.as_ref().map_or_else(tls::trusts_nobody, |material| material.client.clone());
        let builder = reqwest::Client::builder().no_proxy().timeout(ATTEMPT).pool_idle_timeout(IDLE);
        let client = builder.tls_backend_preconfigured(tls).build().map_err(FlushError::Setup)?;
        Ok(Self { client, material })
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

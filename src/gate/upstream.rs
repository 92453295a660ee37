//! The connections to Puppet Server: plain HTTP/1.1, kept open.

use std::time::Duration;

use http::header::{Entry, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::body::Body;
use super::refusal::Refused;

/// How long an idle connection is kept: Puppet Server closes them after 30 s.
const IDLE: Duration = Duration::from_secs(20);

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Puppet Server.
#[derive(Debug)]
pub(super) struct Upstream {
    client: Client<HttpConnector, Body>,
    authority: Authority,
    url: String,
}

impl Upstream {
    /// The one at this address, which the settings have checked.
    pub(super) fn new(url: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            // The agent's own name for the server stays.
            .set_host(false)
            .build(connector);
        let host = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
        let authority = host.parse().unwrap_or_else(|_| Authority::from_static("localhost"));
        Self { client, authority, url: url.to_owned() }
    }

    /// Sends a request there; returns when the head of the answer is here.
    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
        path: PathAndQuery,
    ) -> Result<Response<Incoming>, Refused> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(path);
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Refused::NoPath)?;
        *request.version_mut() = Version::HTTP_11;
        // HTTP/1.0 needs none, and HTTP/1.1 is refused without.
        if let Entry::Vacant(host) = request.headers_mut().entry(HOST)
            && let Ok(ours) = HeaderValue::from_str(self.authority.as_str())
        {
            host.insert(ours);
        }
        self.client.request(request).await.map_err(|error| self.refusal(&error))
    }

    fn refusal(&self, error: &Error) -> Refused {
        let upstream = self.url.clone();
        match error.is_connect() {
            true => Refused::Unreachable { upstream },
            false => Refused::Broken { upstream },
        }
    }
}

//! Typed calls: to a primary over TCP or a socket, and to a daemon of this machine over its control socket.
//!
//! ```text
//! address.rs  where a server is: a URL or a socket; the URLs of its routes
//! calls.rs    the routes of a primary
//! control.rs  the routes of a control socket
//! stream.rs   the body of an answer as a blocking `Read`, for whoever takes objects apart
//! backoff.rs  how long to wait before the next try
//! error.rs    what can go wrong, told from what the other side said
//! ```
//!
//! - Nothing here waits without a bound. A connection is made within 5 s; an answer comes within the call's own limit; a body may take
//!   as long as it needs, but never pauses for more than [`READ_TIMEOUT`].
//! - A body in JSON is read up to a limit, so that no server can make a caller run out of memory.
//! - Every call is made once. [`Backoff`] is all there is of retrying; the client daemon, which alone knows what may be tried again, uses it.
//!
//! Deliberately absent: proxies of the environment and redirects (code for a compile master comes from where its settings say, or not at
//! all), and any use of what arrives.

mod address;
mod backoff;
mod calls;
mod control;
mod error;
mod stream;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::tls;
use crate::wire::api::Problem;

pub use address::{Place, encode_path};
pub use backoff::Backoff;
pub use calls::{FileAnswer, HeadAnswer, NO_COMMIT_YET};
pub use control::Hold;
pub use error::{ProtocolError, RemoteError};
pub use stream::{ObjectStream, READ_TIMEOUT};

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a call that only looks something up may take.
const QUICK: Duration = Duration::from_secs(30);

/// How long a call may take behind which a whole estate is read, written, or swept.
const LONG: Duration = Duration::from_secs(3600);

/// The largest JSON document that is taken, in bytes.
const MAX_JSON: usize = 64 << 20;

/// One server, and the connections to it. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub struct Remote {
    client: Arc<RwLock<reqwest::Client>>,
    place: Place,
}

impl Remote {
    /// The primary at this address of plain HTTP, like `http://127.0.0.1:8145`, or of a socket, like `unix:/run/sceneshift/primary.sock`. Connects
    /// to nothing yet.
    pub fn new(server: &str) -> Result<Self, RemoteError> {
        if let Some(socket) = Place::socket(server)? {
            return Self::unix(&socket);
        }
        let place = Place::primary(server)?;
        match place.is_secure() {
            true => Err(RemoteError::NoCertificates { address: server.to_owned() }),
            false => Self::build(place, tls::trusts_nobody()),
        }
    }

    /// The primary at this address, like `https://primary.example.com:8145`, over TLS with these certificates. Connects to nothing yet.
    pub fn secure(server: &str, certificates: ClientConfig) -> Result<Self, RemoteError> {
        Self::build(Place::primary(server)?, certificates)
    }

    /// The daemon behind this socket. Connects to nothing yet.
    pub fn unix(socket: &Path) -> Result<Self, RemoteError> {
        Self::build(Place::Socket(socket.to_owned()), tls::trusts_nobody())
    }

    /// From the next call on, other certificates are shown and believed, by this and all its clones, and on new connections: what was agreed on
    /// an open one was agreed with the old. Calls under way go on.
    pub fn renew(&self, certificates: ClientConfig) -> Result<(), RemoteError> {
        let client = connections(&self.place, certificates)?;
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }

    fn client(&self) -> reqwest::Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn build(place: Place, tls: ClientConfig) -> Result<Self, RemoteError> {
        Ok(Self { client: Arc::new(RwLock::new(connections(&place, tls)?)), place })
    }

    /// Where the calls go.
    pub fn place(&self) -> &Place {
        &self.place
    }

    fn request(&self, method: Method, route: &[&str]) -> Result<RequestBuilder, RemoteError> {
        Ok(self.client().request(method, self.place.url(route)?))
    }

    fn get(&self, route: &[&str]) -> Result<RequestBuilder, RemoteError> {
        self.request(Method::GET, route)
    }

    fn post(&self, route: &[&str], body: &impl Serialize) -> Result<RequestBuilder, RemoteError> {
        Ok(self.request(Method::POST, route)?.json(body))
    }

    /// Sends a request and takes any answer that is not an error.
    async fn send(&self, request: RequestBuilder) -> Result<Response, RemoteError> {
        let response = request.send().await.map_err(|error| RemoteError::transport(&self.place, error))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let body = self.body(response).await?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(RemoteError::Problem {
                status: status.as_u16(),
                detail: if problem.detail.is_empty() { problem.title } else { problem.detail },
                paths: problem.paths,
            }),
            Err(_) => Err(self.protocol(ProtocolError::Status(status.as_u16()))),
        }
    }

    /// Sends a request and reads the document that answers it.
    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder, limit: Duration) -> Result<T, RemoteError> {
        let response = self.send(request.timeout(limit)).await?;
        self.document(response).await
    }

    async fn document<T: DeserializeOwned>(&self, response: Response) -> Result<T, RemoteError> {
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|error| self.protocol(ProtocolError::Document(error)))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, RemoteError> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| RemoteError::transport(&self.place, error))? {
            if body.len() + piece.len() > MAX_JSON {
                return Err(self.protocol(ProtocolError::TooLarge(MAX_JSON)));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn protocol(&self, source: ProtocolError) -> RemoteError {
        RemoteError::Protocol { place: self.place.clone(), source }
    }
}

/// An HTTP client for one server, which holds its connections.
fn connections(place: &Place, tls: ClientConfig) -> Result<reqwest::Client, RemoteError> {
    let builder = match place {
        Place::Primary(_) => reqwest::Client::builder(),
        Place::Socket(path) => reqwest::Client::builder().unix_socket(path.clone()).http1_only(),
    };
    let built = builder
        .connect_timeout(CONNECT_TIMEOUT)
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(concat!("sceneshift/", env!("CARGO_PKG_VERSION")))
        .build();
    built.map_err(RemoteError::Setup)
}

/// The media type of an answer, without its parameters.
fn media_type(response: &Response) -> &str {
    let header = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    header.unwrap_or("").split(';').next().unwrap_or("").trim()
}

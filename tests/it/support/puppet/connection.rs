//! One kept-alive HTTP/1.1 connection, as an agent has it: over mutual TLS, or plain with the headers of a proxy that ended TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ca::{Ca, Identity};

/// What may go wrong between two machines, in words.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where to ask, and as whom.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub certname: String,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Tls(Arc<ClientConfig>),
    /// The headers by which a proxy says who asks.
    Plain(HeaderMap),
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An open connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    headers: HeaderMap,
}

impl Target {
    /// Plain HTTP, as a proxy speaks for this caller.
    pub fn plain(address: SocketAddr, identity: &Identity) -> Self {
        Self { address, certname: identity.certname.clone(), way: Way::Plain(headers_of(identity)) }
    }

    /// TLS, with the caller's certificate where there is one.
    pub fn tls(address: SocketAddr, ca: &Ca, identity: Option<&Identity>) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca.certificates()).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match identity {
            Some(identity) => {
                let chain = CertificateDer::pem_file_iter(&identity.certificate).unwrap();
                let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
                builder.with_client_auth_cert(chain.collect::<Result<_, _>>().unwrap(), key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let certname = identity.map(|identity| identity.certname.clone()).unwrap_or_default();
        Self { address, certname, way: Way::Tls(Arc::new(config)) }
    }
}

/// The headers by which a proxy that ended TLS says who asks.
pub fn headers_of(identity: &Identity) -> HeaderMap {
    let pem = std::fs::read_to_string(&identity.certificate).unwrap();
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: &str| headers.insert(name, HeaderValue::from_str(value).unwrap());
    put("x-client-verify", "SUCCESS");
    put("x-client-dn", &format!("CN={}", identity.certname));
    put("x-client-cert", &utf8_percent_encode(&pem, NON_ALPHANUMERIC).to_string());
    headers
}

impl Connection {
    pub async fn open(target: &Target) -> Result<Self, Failure> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &target.way {
            Way::Plain(headers) => Self { sender: speak(stream).await?, headers: headers.clone() },
            Way::Tls(config) => {
                let name = ServerName::try_from("localhost")?;
                let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
                Self { sender: speak(stream).await?, headers: HeaderMap::new() }
            }
        })
    }

    /// Asks, and comes back when the head of the answer is there.
    pub async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        self.sender.ready().await?;
        request.headers_mut().insert("host", HeaderValue::from_static("localhost"));
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(self.sender.send_request(request).await?)
    }

    /// Asks, and reads the answer to its end.
    pub async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let (head, body) = self.send(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        self.ask(get(path)).await
    }
}

/// One question over a connection of its own.
pub async fn get_once(target: &Target, path: &str) -> Result<Answer, Failure> {
    Connection::open(target).await?.get(path).await
}

/// A `GET` as an agent makes it.
pub fn get(path: &str) -> Request<Full<Bytes>> {
    let builder =
        Request::builder().uri(path).header("accept", "application/json, application/octet-stream, text/plain");
    builder.header("x-puppet-version", "7.23.0").body(body("")).unwrap()
}

/// A body that is all there.
pub fn body(text: impl Into<Bytes>) -> Full<Bytes> {
    Full::new(text.into())
}

/// Begins to speak HTTP. The task that moves the bytes ends with the connection.
async fn speak<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // How it ends is told to whoever asks over it.
    tokio::spawn(async { drop(connection.await) });
    Ok(sender)
}

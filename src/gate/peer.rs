//! Who is at the other end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use http::HeaderMap;
use ipnet::IpNet;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::refusal::Refused;
use crate::puppet::{Certificates, Identity, IdentityError, Material};

/// One connection's other end.
#[derive(Debug)]
pub(super) struct Peer {
    /// Of the connection.
    pub(super) id: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// TLS, without a certificate.
    Stranger,
    /// TLS, with a certificate that was verified.
    Agent(Agent),
    /// Plain HTTP, from a load balancer that is trusted to say who asks, or from somebody who is not.
    Plain { is_trusted: bool },
}

#[derive(Debug)]
struct Agent {
    chain: Vec<CertificateDer<'static>>,
    identity: Identity,
    /// The files that it was last verified with.
    verified: Mutex<Arc<Material>>,
}

impl Peer {
    /// Somebody who came by TLS. The handshake has verified the chain, where there is one, with `material`.
    pub(super) fn of_tls(
        id: u64,
        chain: Option<&[CertificateDer<'_>]>,
        material: Arc<Material>,
    ) -> Result<Self, IdentityError> {
        let Some(chain) = chain.filter(|chain| !chain.is_empty()) else {
            return Ok(Self { id, kind: Kind::Stranger });
        };
        let identity = Identity::of_certificate(&chain[0])?;
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Ok(Self { id, kind: Kind::Agent(Agent { chain, identity, verified: Mutex::new(material) }) })
    }

    /// Somebody who came by plain HTTP.
    pub(super) fn of_plain(id: u64, address: SocketAddr, trusted: &[IpNet]) -> Self {
        let address: IpAddr = address.ip().to_canonical();
        Self { id, kind: Kind::Plain { is_trusted: trusted.iter().any(|net| net.contains(&address)) } }
    }

    /// Who sends a request with these headers.
    pub(super) fn identity(
        &self,
        headers: &HeaderMap,
        certificates: &Certificates,
    ) -> Result<Option<Identity>, Refused> {
        match &self.kind {
            Kind::Stranger | Kind::Plain { is_trusted: false } => Ok(None),
            Kind::Plain { is_trusted: true } => Ok(Identity::of_headers(headers)?),
            Kind::Agent(agent) => {
                agent.verify_again(certificates)?;
                Ok(Some(agent.identity.clone()))
            }
        }
    }
}

impl Agent {
    /// Connections are kept alive, and certificates revoked meanwhile: after each change of the files they are looked at once more.
    fn verify_again(&self, certificates: &Certificates) -> Result<(), Refused> {
        let now = certificates.current();
        let mut verified = self.verified.lock().expect("no holder of this lock panics");
        if Arc::ptr_eq(&now, &verified) {
            return Ok(());
        }
        let outcome = now.verifier.verify_client_cert(&self.chain[0], &self.chain[1..], UnixTime::now());
        outcome.map_err(|_| Refused::Revoked)?;
        *verified = now;
        Ok(())
    }
}

//! Who is at the other end of a connection.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use super::refusal::Refused;
use crate::puppet::{Certificates, Certified, Identity};

/// One connection's other end.
#[derive(Debug)]
pub(super) struct Peer {
    /// Of the connection.
    pub(super) id: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// TLS, without a certificate or with one that was verified.
    Tls(Option<Certified>),
    /// Plain HTTP, from a load balancer that is trusted to say who asks, or from somebody who is not.
    Plain { is_trusted: bool },
}

impl Peer {
    /// Somebody who came by TLS, and may have shown a certificate.
    pub(super) fn of_tls(id: u64, certified: Option<Certified>) -> Self {
        Self { id, kind: Kind::Tls(certified) }
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
            Kind::Tls(None) | Kind::Plain { is_trusted: false } => Ok(None),
            Kind::Plain { is_trusted: true } => Ok(Identity::of_headers(headers)?),
            Kind::Tls(Some(certified)) => Ok(Some(certified.identity(certificates)?.clone())),
        }
    }
}

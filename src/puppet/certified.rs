//! Somebody at the other end of a connection who has shown a certificate of this CA.

use std::sync::{Arc, Mutex};

use rustls::pki_types::{CertificateDer, UnixTime};

use super::{Certificates, Identity, IdentityError, Material};

/// Their certificate is no longer valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the certificate is no longer valid: it was revoked, or its CA is not trusted any more")]
pub struct Revoked;

/// The certificate of one connection, which its handshake has verified.
#[derive(Debug)]
pub struct Certified {
    chain: Vec<CertificateDer<'static>>,
    identity: Identity,
    /// The files that it was last verified with.
    verified: Mutex<Arc<Material>>,
}

impl Certified {
    /// What a handshake with `material` has verified; `None` where no certificate was shown.
    pub fn new(chain: Option<&[CertificateDer<'_>]>, material: Arc<Material>) -> Result<Option<Self>, IdentityError> {
        let Some(chain) = chain.filter(|chain| !chain.is_empty()) else { return Ok(None) };
        let identity = Identity::of_certificate(&chain[0])?;
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Ok(Some(Self { chain, identity, verified: Mutex::new(material) }))
    }

    /// Whose it is. Connections are kept alive, and certificates revoked meanwhile: after each change of the files it is verified once more.
    pub fn identity(&self, certificates: &Certificates) -> Result<&Identity, Revoked> {
        let now = certificates.current();
        let mut verified = self.verified.lock().expect("no holder of this lock panics");
        if !Arc::ptr_eq(&now, &verified) {
            let outcome = now.verifier.verify_client_cert(&self.chain[0], &self.chain[1..], UnixTime::now());
            outcome.map_err(|_| Revoked)?;
            *verified = now;
        }
        Ok(&self.identity)
    }
}

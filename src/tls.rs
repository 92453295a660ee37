//! What all TLS here has in common: one provider of cryptography, and a client that trusts nobody.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};

/// The cryptography: *ring*'s.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// For an HTTP client whose addresses are plain HTTP: no certificate of the system's is read, and none would be believed.
pub fn trusts_nobody() -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has a suite for every version")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

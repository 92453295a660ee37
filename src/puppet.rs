//! What Puppet Server is like: its routes, its certificates, its environment cache.
//!
//! ```text
//! requests.rs      which requests read code, and of which environments
//! certificates.rs  the files of Puppet's `ssldir`, as TLS needs them
//! certified.rs     somebody who has shown a certificate
//! identity.rs      the name in a certificate, and the `X-Client-*` headers that tell it
//! flush.rs         the flush of the environment cache
//! ```
//!
//! Deliberately absent: when to hold a request and when to flush (see [`crate::gate`] and [`crate::client`]).

mod certificates;
mod certified;
mod flush;
mod identity;
mod requests;

pub use certificates::{CertificateError, Certificates, Material};
pub use certified::{Certified, Revoked};
pub use flush::{FlushError, Flusher};
pub use identity::{Identity, IdentityError, is_identity_header};
pub use requests::{Form, Route, environments};

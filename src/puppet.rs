//! What Puppet Server is like: its environment cache, and how to flush it.
//!
//! Deliberately absent: when to flush (see [`crate::client`]), and TLS, which this version does not speak yet.

mod flush;

pub use flush::{FlushError, Flusher};

//! sceneshift: brings one staging tree of Puppet code to every compile master and swaps it in whole, between requests.

pub mod codec;
pub mod config;
pub mod datadir;
pub mod disk;
pub mod ingest;
pub mod progress;
pub mod server;
pub mod store;
pub mod values;
pub mod wire;

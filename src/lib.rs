//! sceneshift: brings one staging tree of Puppet code to every compile master and swaps it in whole, between requests.

pub mod cli;
pub mod client;
pub mod codec;
pub mod config;
pub mod datadir;
pub mod disk;
pub mod farm;
pub mod http;
pub mod ingest;
pub mod pause;
pub mod progress;
pub mod puppet;
pub mod remote;
pub mod server;
pub mod store;
pub mod values;
pub mod wire;

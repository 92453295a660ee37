//! A real Puppet Server, real agents, and load: Debian's packages, confined to one folder and to loopback, without systemd.
//!
//! ```text
//! ca.rs          the certificate authority, made while no server runs
//! settings.rs    what a server is told
//! server.rs      the server: start, stop, kill, restart
//! connection.rs  one kept-alive connection, mutual TLS or plain HTTP with the headers of a proxy
//! between.rs     a wire to a server on which flushes, and they only, meet with what a test wants
//! agent.rs       a real `puppet agent`
//! code.rs        an environment whose every part says which version it is of
//! catalog.rs     of which versions a catalog is made
//! load.rs        catalog requests without a break, and what came of them
//! figures.rs     middle, 99 % and most
//! ```
//!
//! Deliberately absent: anything of the program under test. These files know Puppet only.

pub mod agent;
pub mod between;
pub mod ca;
pub mod catalog;
pub mod code;
pub mod connection;
pub mod figures;
pub mod load;
pub mod server;
pub mod settings;

use std::net::TcpListener;

/// A port of loopback that nobody listens at now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

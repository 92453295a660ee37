//! What is promised about a real Puppet Server, proved on one: Debian's, with two compilers and an environment cache that never expires.
//!
//! Each test starts a JVM, which takes half a minute and a gigabyte. So all are ignored unless asked for: `make test-puppet`. What they
//! print is what the documentation cites.
//!
//! ```text
//! master.rs      a compile master: a primary, a client and a Puppet Server, all on loopback
//! control.rs     without a pause catalogs are torn, and the tests can see it; how far pinning helps
//! gate.rs        with the gate: what it promises, to requests and to real agents
//! straight.rs    the ground: a real agent at a real server, neither gate nor client
//! open_file.rs   a file is open by the time that the head of its answer arrives
//! ```

mod control;
mod gate;
mod master;
mod open_file;
mod straight;

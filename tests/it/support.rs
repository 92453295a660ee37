//! What the tests share: trees in memory and on disk, a primary and clients within this process or as real ones, and waiting.
//!
//! ```text
//! tree.rs       a tree in memory, the model; made real in a staging directory
//! shows.rs      whether `current` shows what staging shows
//! folder.rs     places to work in
//! image.rs      file systems in files
//! rig.rs        a primary and a client within this process: fast, for many small cases
//! process.rs    real processes: for signals, memory, the command line
//! strace.rs     system calls of real processes, counted
//! proxy.rs      a wire between client and primary that can be cut
//! upstream.rs   a scripted Puppet Server
//! agent.rs      a client of the gate, byte by byte, plain or over TLS
//! ca.rs         a Puppet CA, and agents' certificates
//! gated.rs      a primary, a client with a gate, and a scripted Puppet Server
//! gated_site.rs the same as real processes
//! user.rs       commands as another user
//! wait.rs       conditions, waited for with a bound
//! puppet.rs     a real Puppet Server, real agents, and load
//! rot.rs        damage as a disk does it
//! random.rs     numbers that only look like chance
//! ```

pub mod agent;
pub mod ca;
pub mod folder;
pub mod gated;
pub mod gated_site;
pub mod image;
pub mod process;
pub mod proxy;
pub mod puppet;
pub mod random;
pub mod rig;
pub mod rot;
pub mod shows;
pub mod strace;
pub mod tree;
pub mod upstream;
pub mod user;
pub mod wait;

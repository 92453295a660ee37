//! sceneshift: brings one staging tree of Puppet code to every compile master and swaps it in whole, between requests.
//!
//! # Words
//!
//! A **repo** is one named staging tree with its history. A **blob** is the bytes of one file, a **tree** one directory, a **commit** one
//! state of a repo, its **head** the newest commit. An **environment** is a directory directly under the environments directory. On a
//! client, a **generation** is what was built for one commit, a **shared directory** one that is built once per content; a **deploy** is
//! pause, rename, flush, resume.
//!
//! # The way of a change
//!
//! ```text
//! staging ──walk, hash──▶ ingest ──objects, head──▶ store ◀──read── server ──stream──▶ remote ──▶ client ──▶ farm ──▶ current
//!                                  (primary)                                            (compile master)
//! ```
//!
//! # Reading order
//!
//! 1. `storage-format.md`, the only description of bytes and of write order.
//! 2. [`values`] (what everything is about), [`codec`] (its bytes), [`wire`] (what is said between machines).
//! 3. [`disk`] and [`datadir`]: the file system, and what a data directory is.
//! 4. The primary: [`store`], then [`ingest`], then [`server`].
//! 5. The client: [`farm`], then [`client`], with [`pause`] and [`puppet`] beside it and [`remote`] to talk to the primary.
//!    [`gate`] is the proxy that holds requests; [`connections`] and [`tls`] are what it shares with the primary.
//!    [`notify`] tells systemd how either daemon does, [`telling`] the log how far long work is ([`progress`]).
//! 6. [`fsck`], which finds damage; [`scrub`], by which both daemons look for it in the background.
//! 7. [`versioned_code`], what Puppet Server asks by two small programs; it stands alone.
//! 8. [`cli`], which ties it together.
//!
//! # Who may import whom
//!
//! Data flows one way: values know nothing of I/O; [`store`] and [`farm`] know nothing of each other, nor of HTTP; nobody imports [`cli`].
//! Only [`disk`] writes to the file system. The core is blocking code; tokio stays at the edges. A test holds all that
//! (`tests/it/architecture.rs`).

pub mod cli;
pub mod client;
pub mod codec;
pub mod config;
pub mod connections;
pub mod datadir;
pub mod disk;
pub mod farm;
pub mod findings;
pub mod fsck;
pub mod gate;
pub mod http;
pub mod ingest;
pub mod notify;
pub mod pause;
pub mod progress;
pub mod puppet;
pub mod remote;
pub mod scrub;
pub mod server;
pub mod signature;
pub mod store;
pub mod telling;
pub mod tls;
pub mod values;
pub mod versioned_code;
pub mod wire;

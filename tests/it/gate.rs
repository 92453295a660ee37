//! The gate from outside, before a scripted Puppet Server.
//!
//! ```text
//! pause.rs      a deploy waits for what runs and holds what comes, in its scope
//! bounds.rs     nobody is held for ever, and no deploy waits for ever
//! flush.rs      the flush, and what is served when it fails
//! killed.rs     the daemon is stopped or killed in the middle of a deploy
//! passed_on.rs  socket activation
//! identity.rs   who asks, by certificate
//! plain.rs      who asks, by a load balancer's word
//! bodies.rs     large, slow and broken bodies
//! requests.rs   requests that no agent would send
//! log.rs        the access log, and the stamps of answers
//! runs.rs       runs, not only requests
//! hooks.rs      commands of the site in place of the gate
//! stress.rs     many agents under many deploys
//! ```

mod bodies;
mod bounds;
mod flush;
mod hooks;
mod identity;
mod killed;
mod log;
mod passed_on;
mod pause;
mod plain;
mod requests;
mod rollback;
mod runs;
mod stress;

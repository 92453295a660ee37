//! What machines do to daemons: processes are killed, the power fails, again and again under load, and nothing acknowledged is lost.
//!
//! ```text
//! model.rs   what a commit of a number holds, and whether `current` shows just that
//! load.rs    one commit after the other, and what was acknowledged
//! agents.rs  catalogs all the while: none torn, none stale
//! kills.rs   kill -9 of the primary, of clients, of all
//! cuts.rs    the power fails: a disk's image as it is at one moment
//! back.rs    the machine comes back with that image
//! ```
//!
//! `make test` does each of them 20 times. `SCENESHIFT_KILLS` and `SCENESHIFT_CUTS` say how often otherwise, `SCENESHIFT_SEED` with which
//! numbers; `make torture` does them for hours. Moments are those of real processes: the same seed gives the same plan, not the same run.

mod agents;
mod back;
mod cuts;
mod kills;
mod load;
mod model;

use std::time::Duration;

/// How long anything may take. Two cores may have much else to do.
const SOON: Duration = Duration::from_secs(60);

/// How often something is done, where nobody says otherwise.
const TIMES: u64 = 20;

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

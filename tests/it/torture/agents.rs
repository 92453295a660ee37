//! An agent that asks for catalogs through the gate, all the while: each is of one version, and of that of the cache.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use super::model::ENVIRONMENTS;
use crate::support::agent::{Agent, FORM, tls};
use crate::support::gated_site::GatedSite;

/// What became of its requests.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) whole: AtomicU64,
    /// The daemon was killed, or not there.
    pub(super) broken: AtomicU64,
}

/// Asks until it is done.
pub(super) fn run(site: &GatedSite, seen: &Seen, done: &AtomicBool) {
    let tls = tls(&site.ca, Some(&site.ca.agent("asking.example")));
    let mut agent: Option<Agent> = None;
    for at in 0.. {
        if done.load(SeqCst) {
            return;
        }
        let form = format!("environment={}", ENVIRONMENTS[at % 2]);
        let connected = agent.take().map_or_else(|| Agent::try_with(site.ports.tls, &tls), Ok);
        let answer = connected.and_then(|mut connected| {
            let answer = connected.request("POST", "/puppet/v3/catalog/asking", &[FORM], form.as_bytes())?;
            agent = Some(connected);
            Ok(answer)
        });
        match answer {
            Ok(answer) => {
                let text = answer.text();
                assert_eq!(answer.status, 200, "{text}");
                let versions: Vec<&str> = text.split(' ').collect();
                assert!(versions.iter().all(|version| *version == versions[0]), "torn or stale: {text}");
                seen.whole.fetch_add(1, SeqCst);
            }
            Err(_) => {
                seen.broken.fetch_add(1, SeqCst);
            }
        }
        // It shares two cores with all the rest.
        std::thread::sleep(Duration::from_millis(4));
    }
}

//! Many agents under many deploys.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::support::agent::FORM;
use crate::support::gated::Gated;
use crate::support::random::Random;

const DEPLOYS: u32 = 30;
const AGENTS: u64 = 8;
const ENVIRONMENTS: [&str; 3] = ["production", "development", "other"];

/// The most time that the deploys may take together.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug, Default)]
struct Outcome {
    whole: AtomicU32,
    torn: AtomicU32,
    failed: AtomicU32,
}

/// Agents ask for catalogs of changing environments while one environment after the other is deployed.
fn run(repo_settings: &str) -> Outcome {
    let gated = Gated::deployed("", repo_settings);
    gated.stage("other", "1");
    gated.wait_deployed(gated.commit());
    gated.upstream.takes_up_to(Duration::from_millis(12));
    let (outcome, done, begun) = (Outcome::default(), AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        for seed in 0..AGENTS {
            let (gated, outcome, done) = (&gated, &outcome, &done);
            scope.spawn(move || {
                let (mut agent, mut random) = (gated.agent(), Random::new(seed));
                while !done.load(SeqCst) && begun.elapsed() < LIMIT {
                    let form = format!("environment={}", random.one_of(&ENVIRONMENTS));
                    let answer = agent.request("POST", "/puppet/v3/catalog/x", &[FORM], form.as_bytes());
                    let kind = match answer {
                        Ok(answer) if answer.status == 200 => {
                            let text = answer.text();
                            let seen: Vec<&str> = text.split(' ').collect();
                            if seen.iter().all(|version| *version == seen[0]) { &outcome.whole } else { &outcome.torn }
                        }
                        other => {
                            println!("failed: {other:?}");
                            agent = gated.agent();
                            &outcome.failed
                        }
                    };
                    kind.fetch_add(1, SeqCst);
                }
            });
        }
        // Also when this fails the agents must end.
        let deploys = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut random = Random::new(99);
            for version in 2..2 + DEPLOYS {
                let commit = gated.commit_version(ENVIRONMENTS[random.below(3)], &version.to_string());
                gated.wait_deployed(commit);
            }
        }));
        done.store(true, SeqCst);
        deploys.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    // What each deploy held, from the log.
    let mut held: BTreeMap<bool, Vec<f64>> = BTreeMap::new();
    let asked = outcome.whole.load(SeqCst) + outcome.torn.load(SeqCst) + outcome.failed.load(SeqCst);
    let lines = gated.wait_logged("/catalog/x", asked as usize);
    assert_eq!(lines.len(), asked as usize, "a line of the log for each request");
    for line in lines {
        held.entry(line.held_ms > 0.0).or_default().push(line.held_ms);
    }
    let mut waits = held.remove(&true).unwrap_or_default();
    waits.sort_by(f64::total_cmp);
    let at = |part: f64| waits.get((waits.len() as f64 * part) as usize).or(waits.last()).copied().unwrap_or(0.0);
    println!(
        "{outcome:?} in {:.1} s; {} held, p50 {} ms, p99 {} ms, at most {} ms",
        begun.elapsed().as_secs_f64(),
        waits.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    outcome
}

#[test]
fn under_many_deploys_no_catalog_is_torn_and_none_fails() {
    let outcome = run("");
    assert_eq!((outcome.torn.into_inner(), outcome.failed.into_inner()), (0, 0));
    assert!(outcome.whole.into_inner() > 50, "there was load");
}

#[test]
fn without_a_pause_the_same_load_gets_torn_catalogs() {
    let outcome = run("pause = \"none\"");
    assert!(outcome.torn.into_inner() > 0, "or the test above proves nothing");
    assert_eq!(outcome.failed.into_inner(), 0);
}

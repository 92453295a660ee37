//! Flushes that fail, and a gate that is stopped and killed under load.

use std::time::Duration;

use super::load::{asked_anew, assert_all_came};
use super::versions::Versions;
use super::{Gated, Told};
use crate::real_server::master::{agents, under_load, warm_up};
use crate::support::puppet::between::{Between, Flushes};
use crate::support::puppet::load::Report;
use crate::support::wait::until;

const SOON: Duration = Duration::from_secs(60);

/// How often the gate is stopped, and how often it is killed.
const STOPS: u32 = 4;
const KILLS: u32 = 8;

#[test]
#[ignore = "needs Debian's puppetserver: make test-puppet"]
fn behind_a_gate_that_fails_and_dies_no_catalog_is_torn_or_stale() {
    let agents = agents(4);
    let mut environment = None;
    let mut gated =
        Gated::start(&agents, &Told::default(), |master| environment = Some(Versions::new(master, "production")));
    let mut production = environment.unwrap();
    production.is_live(&gated);
    let between = Between::before(gated.master.puppet.address());
    let upstream = Some(between.address());
    gated.start_client(&Told { gate: "flush-timeout = \"500ms\"", upstream, ..Told::default() });
    warm_up(&gated.workers(&agents, "production"));

    a_flush_that_fails_leaves_the_old_version(&gated, &agents, &mut production, &between);
    killed_between_rename_and_flush(&mut gated, &agents, &mut production, &between);
    stopped_and_killed_at_any_moment(&mut gated, &agents, &mut production);
}

fn a_flush_that_fails_leaves_the_old_version(
    gated: &Gated,
    agents: &[String],
    production: &mut Versions,
    between: &Between,
) {
    let old = gated.code_id("production");
    let (report, ()) = under_load(gated.workers(agents, "production"), |load| {
        between.set(Flushes::Fail);
        production.write_next(&gated.master);
        production.commit(gated);
        let error = until("the failure is shown", SOON, || gated.status().error);
        assert!(error.contains("500"), "{error}");
        // Nothing of the new version is noted as live, so that judging the answers says that all of them were old.
        asked_anew(load, agents.len());
        assert_eq!(gated.code_id("production"), old, "the swap is taken back");
        between.set(Flushes::Pass);
        // It is tried again by itself; nobody has to commit.
        production.wait(gated);
        until("the failure is over", SOON, || gated.status().error.is_none().then_some(()));
        asked_anew(load, agents.len());
        production.deploy_next(gated);
    });
    report.print("a flush that fails, and heals");
    assert_all_came(&report);
    production.assert_seen_by(&report.answers);
    let of_old = report.answers.iter().filter(|answer| answer.stamp.as_ref() == Some(&old)).count();
    assert!(of_old > 2 * agents.len(), "agents went on getting the old version: {of_old}");
    assert_eq!(production.with_a_first_catalog(&report), 2, "the deploys that came to their end");
}

fn killed_between_rename_and_flush(gated: &mut Gated, agents: &[String], production: &mut Versions, between: &Between) {
    let (report, ()) = under_load(gated.workers(agents, "production"), |load| {
        between.set(Flushes::Stuck);
        let (old, flushes) = (gated.code_id("production"), between.flushes());
        production.write_next(&gated.master);
        production.commit(gated);
        until("the flush is under way", SOON, || (between.flushes() > flushes).then_some(()));
        assert_ne!(gated.code_id("production"), old, "the swap is made");
        gated.kill_client();
        between.set(Flushes::Pass);
        // From here on nothing old may come: no gate runs, and the next one flushes before it lets anything through.
        production.is_live(gated);
        gated.start_client_again();
        asked_anew(load, agents.len());
        production.wait(gated);
    });
    report.print("killed between rename and flush");
    production.assert_seen_by(&report.answers);
    assert_only_connections_were_lost(&report);
    assert_eq!(production.with_a_first_catalog(&report), 1);
}

/// Each time a deploy is under way, another moment of it.
fn stopped_and_killed_at_any_moment(gated: &mut Gated, agents: &[String], production: &mut Versions) {
    let (report, (stopped, killed)) = under_load(gated.workers(agents, "production"), |load| {
        let usual = production.deploy_next(gated).seconds;
        asked_anew(load, agents.len());
        let mut live_at_the_end = [0, 0];
        for number in 0..STOPS + KILLS {
            let before = gated.code_id("production");
            production.write_next(&gated.master);
            production.commit(gated);
            // Most of a deploy is the drain; up to half as long again, so that the swap and what follows is among the moments.
            let share = f64::from(number * 5 % (STOPS + KILLS)) / f64::from(STOPS + KILLS);
            std::thread::sleep(Duration::from_secs_f64(1.5 * usual * share));
            let is_kill = number >= STOPS;
            if is_kill {
                gated.kill_client();
            } else {
                gated.stop_client();
            }
            live_at_the_end[usize::from(is_kill)] += usize::from(gated.code_id("production") != before);
            gated.start_client_again();
            production.wait(gated);
            asked_anew(load, agents.len());
        }
        (live_at_the_end[0], live_at_the_end[1])
    });
    report.print("stopped and killed at any moment");
    println!(
        "  stopped {STOPS} times during a deploy, {stopped} of them after the swap; killed {KILLS} times, {killed} of them after it"
    );
    production.assert_seen_by(&report.answers);
    assert_only_connections_were_lost(&report);
    assert_eq!(
        production.with_a_first_catalog(&report) as u32,
        1 + STOPS + KILLS,
        "each deploy came to its end by itself"
    );
}

fn assert_only_connections_were_lost(report: &Report) {
    let failed: Vec<_> = report.failed().collect();
    assert!(failed.is_empty(), "{failed:?}");
    let is_of_connection = |reason: &&String| {
        ["refused", "reset", "closed", "eof", "broken pipe"].iter().any(|word| reason.to_lowercase().contains(word))
    };
    let others: Vec<_> = report.lost.iter().filter(|reason| !is_of_connection(reason)).collect();
    assert!(others.is_empty(), "{others:?}");
}

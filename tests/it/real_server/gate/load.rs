//! Under load: no torn catalog, no stale one, and nobody held whom a change does not concern.

use std::time::Duration;

use sceneshift::gate::Served;
use sceneshift::wire::api::DeployFigures;

use super::versions::{Versions, print_deploys};
use super::{Gated, Told};
use crate::real_server::control::classifier;
use crate::real_server::master::{agents, under_load, warm_up};
use crate::support::puppet::figures::Figures;
use crate::support::puppet::load::{Load, Report};
use crate::support::wait::until;

/// As many as in the control.
const DEPLOYS: usize = 50;

/// Where only one thing is looked at.
const FEWER: usize = 10;

#[test]
#[ignore = "needs Debian's puppetserver: make test-puppet"]
fn behind_the_gate_catalogs_are_whole_and_new_and_only_whom_it_concerns_waits() {
    let agents = agents(4);
    let mut environments = Vec::new();
    let mut gated = Gated::start(&agents, &Told::default(), |master| {
        environments = ["production", "development"].map(|name| Versions::new(master, name)).into();
    });
    let (mut development, mut production) = (environments.pop().unwrap(), environments.pop().unwrap());
    for versions in [&mut production, &mut development] {
        versions.is_live(&gated);
    }
    no_catalog_is_torn_or_stale(&gated, &agents, &mut production);
    others_are_not_held(&gated, &agents, &production, &mut development);
    with_a_classifier(&mut gated, &agents, &mut production);
}

fn no_catalog_is_torn_or_stale(gated: &Gated, agents: &[String], production: &mut Versions) {
    let workers = gated.workers(agents, "production");
    warm_up(&workers);
    let skip = gated.served().len();
    let (report, deploys) = under_load(workers, |load| deploys(gated, load, agents.len(), production, DEPLOYS));
    let catalogs = gated.catalogs_served(skip, report.answers.len());
    report.print("pause = \"gate\"");
    print_held(&catalogs);
    print_deploys(&deploys);
    let first = production.with_a_first_catalog(&report);
    println!("  the first catalog after a deploy was of the new version: {first} of {DEPLOYS}");

    assert_all_came(&report);
    production.assert_seen_by(&report.answers);
    assert_eq!(first, DEPLOYS);
    assert_eq!(report.connections, agents.len(), "every connection was kept");
    assert_eq!(catalogs.len(), report.answers.len());
    let noted = |served: &Served| report.answers.iter().any(|answer| answer.stamp == served.code_id);
    assert!(catalogs.iter().all(noted), "the log names the versions that agents were told");
    assert!(catalogs.iter().any(|served| served.held_ms > 0.0), "nobody was held: this proves nothing");
}

fn others_are_not_held(gated: &Gated, agents: &[String], production: &Versions, development: &mut Versions) {
    let mut workers = gated.workers(&agents[..2], "production");
    workers.extend(gated.workers(&agents[2..], "development"));
    warm_up(&workers);
    let skip = gated.served().len();
    let (report, deploys) = under_load(workers, |load| deploys(gated, load, agents.len(), development, FEWER));
    let (theirs, ours): (Vec<Served>, Vec<Served>) = gated
        .catalogs_served(skip, report.answers.len())
        .into_iter()
        .partition(|served| served.environment.as_deref() == Some("production"));
    report.print("development is deployed, production and development are asked for");
    println!("  production:");
    print_held(&theirs);
    println!("  development:");
    print_held(&ours);
    print_deploys(&deploys);

    assert_all_came(&report);
    let (of_production, of_development): (Vec<_>, Vec<_>) = report.answers.iter().partition(|answer| answer.worker < 2);
    production.assert_seen_by(of_production);
    development.assert_seen_by(of_development);
    let held: Vec<&Served> = theirs.iter().filter(|served| served.held_ms != 0.0).collect();
    assert!(held.is_empty() && !theirs.is_empty(), "production was held: {held:?}");
    assert!(ours.iter().any(|served| served.held_ms > 0.0), "development was not: this proves nothing");
}

/// A classifier that sends every node to `production`, whatever it asks for. What is asked for then says nothing about what is read: an
/// agent that asks for `development` is compiled from `production`.
fn with_a_classifier(gated: &mut Gated, agents: &[String], production: &mut Versions) {
    gated.start_client(&Told { gate: "scope = \"all\"", ..Told::default() });
    let classifier = classifier(&gated.master);
    let started = gated.master.puppet.restart_with(|to| to.classifier = Some(classifier));
    println!("Puppet Server answers after {started:.0?}");
    let mut workers = gated.workers(agents, "production");
    // The first one asks by GET, and is not told to come again in the right environment.
    workers[0].environment = "development".into();
    warm_up(&workers);
    let skip = gated.served().len();
    let (report, deploys) = under_load(workers, |load| deploys(gated, load, agents.len(), production, FEWER));
    let catalogs = gated.catalogs_served(skip, report.answers.len());
    report.print("pause = \"gate\", scope = \"all\", with a node classifier");
    print_held(&catalogs);
    print_deploys(&deploys);
    assert_all_came(&report);
    let first = production.with_a_first_catalog(&report);
    assert_eq!(first, FEWER, "the first catalog after each deploy is of the new version");
}

/// So many deploys, each of which agents see.
fn deploys(gated: &Gated, load: &Load, agents: usize, versions: &mut Versions, count: usize) -> Vec<DeployFigures> {
    let deploy = |_| {
        let figures = versions.deploy_next(gated);
        asked_anew(load, agents);
        figures
    };
    (0..count).map(deploy).collect()
}

/// Waits until something has been answered that was asked from now on: of so many answers two are one agent's.
pub fn asked_anew(load: &Load, agents: usize) {
    let before = load.answered();
    until("agents are answered", Duration::from_secs(60), || (load.answered() > before + agents).then_some(()));
}

pub fn assert_all_came(report: &Report) {
    let (torn, failed): (Vec<_>, Vec<_>) = (report.torn().collect(), report.failed().collect());
    assert!(torn.is_empty(), "{torn:?}");
    assert!(failed.is_empty(), "{failed:?}");
    assert!(report.lost.is_empty(), "{:?}", report.lost);
}

fn print_held(catalogs: &[Served]) {
    let held: Vec<&Served> = catalogs.iter().filter(|served| served.held_ms > 0.0).collect();
    let times = held.iter().map(|served| Duration::from_secs_f64(served.held_ms / 1000.0));
    println!(
        "  held, by the gate's log: {} of {} ({:.0} %), {}",
        held.len(),
        catalogs.len(),
        100.0 * held.len() as f64 / catalogs.len().max(1) as f64,
        Figures::of(times)
    );
}

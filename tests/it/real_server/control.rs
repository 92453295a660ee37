//! The control: with new code renamed into place and the cache flushed, and no pause, catalogs are torn. A test that cannot see that
//! proves nothing when it sees none. And the second best, `versioned_environment_dirs`, which pins a compile to its tree but for Hiera.

use std::time::Duration;

use super::master::{Master, agents, under_load, warm_up};
use crate::support::puppet::figures::Figures;
use crate::support::puppet::load::{Report, Style, Worker};
use crate::support::puppet::settings::Admin;
use crate::support::wait::until;

/// Deploys under load, for each way.
const DEPLOYS: usize = 50;

/// As many bytes of facts as a host with very many mounts or interfaces posts.
const LARGE_FACTS: usize = 400 << 10;

/// What lies between two parts of each compile.
const SLOW: Duration = Duration::from_millis(100);

const STYLES: [Style; 4] = [
    Style::Get,
    Style::Post { check_environment: true },
    Style::Post { check_environment: false },
    Style::Post { check_environment: true },
];

#[test]
#[ignore = "needs Debian's puppetserver: make test-puppet"]
fn without_a_pause_catalogs_are_torn_pinned_or_not() {
    let agents = agents(4);
    let mut master = Master::new(&agents, |_, settings| settings.admin = Admin::Anybody);
    let url = format!("http://{}", master.puppet.address());
    let mut version = 0;
    next(&master, &mut version);
    master.start_client(&format!("pause = \"none\"\n[puppetserver]\nflush-url = {url:?}"));
    println!("Puppet Server answers after {:.0?}", master.first_deploy());

    let workers = |master: &Master| master.workers(&agents, "production", &STYLES);
    let plain = deploys_under_load(&master, workers(&master), &mut version);
    plain.print("no pause, versioned_environment_dirs = false");
    println!(
        "Puppet Server answers after {:.0?}",
        master.puppet.restart_with(|to| to.versioned_environment_dirs = true)
    );
    let pinned = deploys_under_load(&master, workers(&master), &mut version);
    pinned.print("no pause, versioned_environment_dirs = true (pinning)");
    // Between finding the environment for a request and finding it for the node, Puppet reads the facts. A flush in between makes them two
    // environments where they are pinned, and Puppet answers that with an empty catalog.
    let mut large = workers(&master);
    for worker in &mut large {
        (worker.style, worker.facts) = (Style::Post { check_environment: true }, LARGE_FACTS);
    }
    let large = deploys_under_load(&master, large, &mut version);
    large.print("the same, agents with 400 KiB of facts");

    for (report, what) in [(&plain, "without pinning"), (&pinned, "with pinning")] {
        assert!(report.torn().count() > 0, "{what}: this test does not see torn catalogs, or there are none");
    }
}

/// Writes the next version into staging.
fn next(master: &Master, version: &mut usize) -> String {
    *version += 1;
    let name = format!("v{version}");
    master.code("production", SLOW).write(&name);
    name
}

fn deploys_under_load(master: &Master, workers: Vec<Worker>, version: &mut usize) -> Report {
    let agents = workers.len();
    next(master, version);
    master.deploy();
    warm_up(&workers);
    let (report, times) = under_load(workers, |load| {
        let deploy = |_| {
            let before = load.answered();
            next(master, version);
            let took = master.deploy().1;
            until("every agent has been answered", Duration::from_secs(60), || {
                (load.answered() >= before + agents).then_some(())
            });
            took
        };
        (0..DEPLOYS).map(deploy).collect::<Vec<_>>()
    });
    println!("{DEPLOYS} deploys, from the commit's answer to the flush's end: {}", Figures::of(times));
    report
}

//! The control: with new code renamed into place and the cache flushed, and no pause, catalogs are torn. A test that cannot see that
//! proves nothing when it sees none. And the second best, `versioned_environment_dirs`, which pins a compile to its tree but for Hiera.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use super::master::{Master, agents, under_load, warm_up};
use crate::support::puppet::figures::Figures;
use crate::support::puppet::load::{Report, Style, Worker};
use crate::support::puppet::settings::Admin;
use crate::support::wait::until;

/// Deploys under load, for each way.
const DEPLOYS: usize = 50;

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
    let classifier = classifier(&master);
    println!("Puppet Server answers after {:.0?}", master.puppet.restart_with(|to| to.classifier = Some(classifier)));
    let classified = deploys_under_load(&master, workers(&master), &mut version);
    classified.print("the same, with a node classifier");

    for (report, what) in [(&plain, "without pinning"), (&pinned, "with pinning"), (&classified, "with a classifier")] {
        assert!(report.torn().count() > 0, "{what}: this test does not see torn catalogs, or there are none");
    }
}

/// A classifier that names the environment of every node. Puppet then looks the environment up a second time; where a flush has come in
/// between and environments are pinned, it finds another one, and to an agent that asks for the check it answers an empty catalog.
pub fn classifier(master: &Master) -> PathBuf {
    let path = master.site.folder().join("classifier");
    std::fs::write(&path, "#!/bin/sh\nprintf -- '---\\nclasses: {}\\nenvironment: production\\n'\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
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

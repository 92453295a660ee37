//! Symbolic links of any kind at any place: whatever they do in staging, they do in `current`.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::farm::testing::{Seen, TestFarm, seen_to};

/// Directories that links are put in.
const PLACES: [&str; 9] = [
    "",
    "environments",
    "environments/p",
    "environments/p/modules",
    "environments/p/modules/a",
    "environments/p/modules/a/lib",
    "environments/d/modules/a",
    "modules/a",
    "shared/e",
];

const STEPS: [&str; 14] =
    ["..", "..", "..", "environments", "p", "d", "modules", "a", "lib", "shared", "e", "init.pp", "l0", "l1"];

/// Where it stands, and the steps of its target.
type Link = (usize, Vec<usize>);

fn link() -> impl Strategy<Value = Link> {
    (0..PLACES.len(), prop::collection::vec(0..STEPS.len(), 1..6))
}

fn write(farm: &TestFarm, links: &[Link]) {
    for (at, place) in PLACES.iter().enumerate() {
        farm.write(format!("{place}/init.pp").trim_start_matches('/'), format!("{}", at % 3));
    }
    for (at, (place, steps)) in links.iter().enumerate() {
        let target: Vec<&str> = steps.iter().map(|step| STEPS[*step]).collect();
        farm.symlink(format!("{}/l{at}", PLACES[*place]).trim_start_matches('/'), &target.join("/"));
    }
}

/// What lies outside staging is not staging's to show.
fn stays_inside(staging: &Path, path: &Path) -> bool {
    let real = fs::canonicalize(staging.join(path));
    real.map_or(true, |real| real.starts_with(staging))
}

#[test]
fn whatever_links_do_in_staging_they_do_in_current() {
    // One farm for all cases: each deploy builds on what the one before left.
    let farm = TestFarm::new();
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(links in prop::collection::vec(link(), 1..4))| {
        fs::remove_dir_all(farm.staging()).unwrap();
        write(&farm, &links);
        farm.deploy();
        let staging = fs::canonicalize(farm.staging()).unwrap();
        for (path, wanted) in seen_to(6, &staging, &|path| stays_inside(&staging, path)) {
            prop_assert_eq!(Seen::at(&farm.current().join(&path)), wanted, "{}", path.display());
        }
    });
}

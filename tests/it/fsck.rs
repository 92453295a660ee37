//! `sceneshift fsck` beside real daemons, and without them.

mod site;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use site::{Daemon, Site};

use crate::support::rot::flip;

fn assert_shows_staging(site: &Site) {
    for path in ["environments/production/manifests/site.pp", "environments/production/modules/a/init.pp", "large"] {
        let shown = fs::read(site.current().join(path)).unwrap();
        assert_eq!(shown, fs::read(site.staging().join(path)).unwrap(), "{path}");
    }
}

#[test]
fn both_sides_are_clean_after_a_deploy_with_and_without_their_daemons() {
    let site = Site::deployed();
    for side in ["primary", "client"] {
        let (code, report) = site.fsck(side, &[]);
        assert_eq!((code, report["findings"].as_array().map(Vec::len)), (0, Some(0)), "{report}");
    }
    let site = site.without(Daemon::Client).without(Daemon::Primary);
    for side in ["primary", "client"] {
        let (code, report) = site.fsck(side, &[]);
        assert_eq!((code, report["findings"].as_array().map(Vec::len)), (0, Some(0)), "{report}");
        assert_eq!(report["kind"], side);
        assert!(report["bytes"].as_u64().unwrap() > 3_000_000, "{report}");
    }
}

#[test]
fn a_running_client_repairs_what_was_damaged_and_says_so() {
    let site = Site::deployed();
    flip(&site.current().join("environments/production/manifests/site.pp"));
    flip(&site.current().join("large"));
    fs::remove_file(site.current().join("environments/production/modules/a/init.pp")).unwrap();
    fs::write(site.client_data().join("trees/foreign"), "x").unwrap();
    let (code, report) = site.fsck("client", &[]);
    assert_eq!(code, 1);
    let kinds: Vec<&str> =
        report["findings"].as_array().unwrap().iter().map(|finding| finding["finding"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["blob-file-damaged", "blob-file-damaged", "foreign-file", "entry-missing"], "{report}");
    let (code, report) = site.fsck("client", &["--repair"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["remaining"].as_array().map(Vec::len), Some(0));
    assert!(report["repair"].as_array().unwrap().iter().all(|outcome| outcome["repaired"] == true), "{report}");
    assert_shows_staging(&site);
    assert_eq!(site.fsck("client", &[]).0, 0);
}

#[test]
fn whatever_became_of_a_blob_file_is_named_and_the_primary_has_it() {
    let site = Site::deployed();
    let real = |path: &str| fs::canonicalize(site.current().join(path)).unwrap();
    let of = |path: &str| {
        let id = blake3::hash(&fs::read(site.staging().join(path)).unwrap()).to_hex();
        site.client_data().join("blobs").join(&id[..2]).join(id.as_str())
    };
    let (one, other) = ("environments/production/manifests/site.pp", "environments/production/modules/a/init.pp");
    let cut = |path: &Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_len(3).unwrap();
    };
    type Case<'a> = (&'a str, &'a dyn Fn(), &'a [&'a str]);
    let cases: [Case<'_>; 5] = [
        ("truncated", &|| cut(&of(one)), &["blob-file-damaged"]),
        ("missing", &|| fs::remove_file(of(one)).unwrap(), &["blob-file-missing"]),
        (
            "swapped",
            &|| {
                let between = site.client_data().join("blobs/between");
                fs::rename(of(one), &between).unwrap();
                fs::rename(of(other), of(one)).unwrap();
                fs::rename(between, of(other)).unwrap();
            },
            &["blob-file-damaged", "blob-file-damaged"],
        ),
        (
            "edited through current",
            &|| {
                fs::set_permissions(real(one), fs::Permissions::from_mode(0o644)).unwrap();
                fs::write(real(one), "edited").unwrap();
            },
            &["blob-file-damaged"],
        ),
        (
            "retargeted",
            &|| {
                let link = fs::canonicalize(site.current().join("environments/production/modules")).unwrap().join("a");
                fs::remove_file(&link).unwrap();
                std::os::unix::fs::symlink("/etc", link).unwrap();
            },
            &["link-retargeted"],
        ),
    ];
    for (what, damage, kinds) in cases {
        damage();
        let (code, report) = site.fsck("client", &[]);
        let found = report["findings"].as_array().unwrap().iter().map(|finding| finding["finding"].as_str().unwrap());
        assert_eq!((code, found.collect::<Vec<_>>()), (1, kinds.to_vec()), "{what}: {report}");
        let (code, report) = site.fsck("client", &["--repair"]);
        assert_eq!(code, 0, "{what}: {report}");
        assert_shows_staging(&site);
    }
}

#[test]
fn a_client_is_repaired_without_its_daemon_from_the_primary_that_it_had() {
    let site = Site::deployed().without(Daemon::Client);
    flip(&site.current().join("environments/production/manifests/site.pp"));
    fs::remove_file(site.current()).unwrap();
    // The index loses all its trees and commits: only the primary still has them.
    site.empty_index_families(&["trees", "commits"]);
    let (code, report) = site.fsck("client", &["--repair"]);
    assert_eq!(code, 0, "{report}");
    assert_shows_staging(&site);
    assert_eq!(site.fsck("client", &[]).0, 0);
}

#[test]
fn blobs_that_nothing_vouches_for_any_more_are_fetched_again() {
    let site = Site::deployed().without(Daemon::Client);
    site.empty_index_families(&["blobs"]);
    let (code, report) = site.fsck("client", &["--repair"]);
    assert_eq!(code, 0, "{report}");
    assert!(report["findings"].as_array().unwrap().iter().all(|finding| finding["finding"] == "index-blob-missing"));
    assert_shows_staging(&site);
}

#[test]
fn damage_remains_where_the_primary_is_away_and_nothing_becomes_worse() {
    let site = Site::deployed().without(Daemon::Client).without(Daemon::Primary);
    flip(&site.current().join("environments/production/manifests/site.pp"));
    let (code, report) = site.fsck("client", &["--repair"]);
    assert_eq!(code, 1, "{report}");
    assert_eq!(report["remaining"], report["findings"]);
    let detail = report["repair"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("cannot connect to the primary"), "{detail}");
}

#[test]
fn a_running_primary_repairs_its_store_from_staging() {
    let site = Site::deployed();
    let site = site.without(Daemon::Primary);
    site.damage_store();
    let (code, report) = site.fsck("primary", &[]);
    let kinds: Vec<_> =
        report["findings"].as_array().unwrap().iter().map(|finding| finding["finding"].as_str().unwrap()).collect();
    // The stat cache knew the directory's tree.
    assert_eq!((code, kinds), (1, vec!["blob-damaged", "tree-missing", "stat-cache-lies"]), "{report}");
    let site = site.with(Daemon::Primary);
    let (code, report) = site.fsck("primary", &["--repair"]);
    assert_eq!(code, 0, "{report}");
    let site = site.without(Daemon::Primary);
    site.damage_store();
    let (code, report) = site.fsck("primary", &["--repair"]);
    assert_eq!(code, 0, "without the daemon: {report}");
}

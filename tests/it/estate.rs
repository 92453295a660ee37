//! Real input: the modules that Debian packages, in four environments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::support::rig::Rig;
use crate::support::shows::{assert_shows, resolve};

/// Where `puppet-module-*` packages put their modules.
const MODULES: &str = "/usr/share/puppet/modules.available";

const ENVIRONMENTS: [&str; 4] = ["production", "staging", "test", "dev"];

/// The module that is the same in all environments.
const SAME_EVERYWHERE: &str = "puppetlabs-stdlib";

/// Each environment holds all modules and a site manifest; about one manifest in fifty differs from environment to environment.
fn stage(staging: &Path) {
    for (at, environment) in ENVIRONMENTS.iter().enumerate() {
        let dir = staging.join("environments").join(environment);
        fs::create_dir_all(dir.join("manifests")).unwrap();
        fs::write(dir.join("manifests/site.pp"), format!("node default {{ notify {{ '{environment}': }} }}\n"))
            .unwrap();
        fs::write(dir.join("environment.conf"), "modulepath = modules:$basemodulepath\n").unwrap();
        copy(Path::new(MODULES), &dir.join("modules"));
        let manifests = files_below(&dir.join("modules")).into_iter();
        let manifests = manifests.filter(|path| path.extension().is_some_and(|extension| extension == "pp"));
        let elsewhere = |path: &PathBuf| !path.components().any(|part| part.as_os_str() == SAME_EVERYWHERE);
        for path in manifests.filter(elsewhere).skip(at).step_by(50) {
            let content = [&fs::read(&path).unwrap()[..], format!("# {environment}\n").as_bytes()].concat();
            fs::write(path, content).unwrap();
        }
    }
}

/// Copies a directory, what links lead to in place of links.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // A link that leads nowhere is left out.
        let Ok(kind) = fs::metadata(entry.path()) else { continue };
        let to = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else {
            _ = fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// All files below a directory, in order. Links are looked through.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match fs::metadata(&path) {
            Ok(kind) if kind.is_dir() => found.extend(files_below(&path)),
            Ok(_) => found.push(path),
            Err(_) => {}
        }
    }
    found.sort();
    found
}

#[test]
fn the_modules_of_debian_in_four_environments_are_shown_and_shared() {
    if !Path::new(MODULES).is_dir() {
        println!("skipped: {MODULES} is not there; install Debian's puppet-module-* packages");
        return;
    }
    let rig = Rig::new();
    stage(&rig.staging());
    let timed = |what: &str, begun: Instant| println!("{what}: {:.2} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let commit = rig.commit();
    timed(&format!("commit of {} files, {} bytes", commit.files, commit.bytes), begun);
    let begun = Instant::now();
    rig.deploy();
    timed("first deploy", begun);
    assert_shows(&rig.staging(), &rig.current());

    // Every file is the blob that the BLAKE3 of its content names, linked, not copied.
    let mut inodes = BTreeMap::new();
    for path in files_below(&rig.current()) {
        let (stat, content) = (fs::metadata(&path).unwrap(), fs::read(&path).unwrap());
        if content.is_empty() {
            continue;
        }
        let id = blake3::hash(&content).to_hex();
        let executable = if stat.mode() & 0o100 != 0 { ".x" } else { "" };
        let blob = rig.client_data().join(format!("blobs/{}/{id}{executable}", &id[..2]));
        assert_eq!(fs::metadata(blob).unwrap().ino(), stat.ino(), "{path:?}");
        *inodes.entry(stat.ino()).or_insert(0) += 1;
    }
    println!("{} files with content, {} on disk", inodes.values().sum::<u64>(), inodes.len());

    // A module that all environments hold is one directory.
    let place = |environment: &str| {
        resolve(&rig.current().join(format!("environments/{environment}/modules/{SAME_EVERYWHERE}"))).unwrap()
    };
    let places: BTreeSet<PathBuf> = ENVIRONMENTS.iter().map(|name| place(name)).collect();
    assert_eq!(places.len(), 1, "{places:?}");

    // One file changed: a commit that reads one file, a deploy that builds one module and its environment.
    fs::write(rig.staging().join("environments/dev/modules/puppetlabs-stdlib/manifests/init.pp"), "class stdlib { }\n")
        .unwrap();
    let begun = Instant::now();
    assert!(rig.commit().created);
    timed("commit of one changed file", begun);
    let begun = Instant::now();
    let report = rig.deploy();
    timed("deploy of it", begun);
    let figures = report.repos[&rig.repo()].last_deploy.unwrap();
    assert_eq!((figures.blobs, figures.trees_built), (1, 2), "{figures:?}");
    assert!(figures.received_bytes < 100_000, "{figures:?}");
    assert_shows(&rig.staging(), &rig.current());
}

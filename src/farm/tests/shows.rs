//! What `current` shows is what staging shows.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::farm::blob_mtime;
use crate::farm::testing::{TestFarm, seen};
use crate::values::BlobId;

/// A module with a file of each kind.
fn write_module(farm: &TestFarm, at: &str, content: &str) {
    farm.write(&format!("{at}/manifests/init.pp"), format!("class {content} {{}}"));
    farm.write(&format!("{at}/files/empty"), "");
    farm.write_executable(&format!("{at}/tasks/run.sh"), "#!/bin/sh");
    farm.write_executable(&format!("{at}/tasks/nothing.sh"), "");
    farm.mkdir(&format!("{at}/spec"));
}

fn estate(farm: &TestFarm) {
    for environment in ["production", "dev"] {
        write_module(farm, &format!("environments/{environment}/modules/apache"), "apache");
        farm.write(&format!("environments/{environment}/manifests/site.pp"), environment);
    }
    write_module(farm, "modules/stdlib", "stdlib");
    farm.write("hiera.yaml", "---");
}

fn assert_shows_staging(farm: &TestFarm) {
    let (wanted, shown) = (seen(&farm.staging()), seen(&farm.current()));
    let paths = |all: &std::collections::BTreeMap<PathBuf, _>| all.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(paths(&shown), paths(&wanted));
    for (path, found) in &shown {
        assert_eq!(found, &wanted[path], "{}", path.display());
    }
}

/// Every symbolic link below `root`, with its text.
fn links(root: &Path, at: &Path, all: &mut Vec<(PathBuf, PathBuf)>) {
    for entry in fs::read_dir(root.join(at)).unwrap() {
        let entry = entry.unwrap();
        let at = at.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            all.push((at, fs::read_link(entry.path()).unwrap()));
        } else if kind.is_dir() {
            links(root, &at, all);
        }
    }
}

#[test]
fn every_directory_file_empty_file_and_executable_is_shown() {
    let farm = TestFarm::new();
    estate(&farm);
    farm.deploy();
    assert_shows_staging(&farm);
}

#[test]
fn names_that_are_no_text_are_shown() {
    let farm = TestFarm::new();
    estate(&farm);
    let odd = farm.staging().join("environments/production").join(OsStr::from_bytes(b"\xff\x01 \n*"));
    fs::write(&odd, "odd").unwrap();
    let module = farm.staging().join("environments/production/modules").join(OsStr::from_bytes(b"\xfe"));
    fs::create_dir(&module).unwrap();
    fs::write(module.join("x"), "odd too").unwrap();
    farm.deploy();
    assert_shows_staging(&farm);
}

#[test]
fn links_that_stay_inside_a_module_dangle_circle_or_are_absolute_are_shown_as_they_are() {
    let farm = TestFarm::new();
    estate(&farm);
    let module = "environments/production/modules/apache";
    farm.symlink(&format!("{module}/files/same"), "empty");
    farm.symlink(&format!("{module}/files/up"), "../tasks/run.sh");
    farm.symlink(&format!("{module}/files/dangling"), "nowhere");
    farm.symlink(&format!("{module}/files/circle"), "circle");
    farm.symlink(&format!("{module}/files/passwd"), "/etc/passwd");
    farm.symlink(&format!("{module}/dot"), ".");
    farm.symlink("environments/production/out", "../../../outside");
    farm.deploy();
    assert_shows_staging(&farm);
    let mut recorded = Vec::new();
    links(&farm.staging(), Path::new(""), &mut recorded);
    for (path, text) in recorded {
        assert_eq!(fs::read_link(farm.current().join(&path)).unwrap(), text, "{}", path.display());
    }
}

#[test]
fn a_link_that_leaves_its_module_leads_where_it_leads_in_staging() {
    let farm = TestFarm::new();
    estate(&farm);
    farm.symlink("environments/production/modules/apache/files/site.pp", "../../../manifests/site.pp");
    farm.symlink("environments/dev/modules/apache/files/hiera", "../../../../../hiera.yaml");
    farm.symlink("modules/stdlib/files/apache", "../../../environments/dev/modules/apache/manifests");
    farm.deploy();
    assert_shows_staging(&farm);
}

#[test]
fn a_link_that_enters_a_module_and_leaves_it_again_leads_where_it_leads_in_staging() {
    let farm = TestFarm::new();
    estate(&farm);
    // Lexically this is `environments/dev`; the kernel goes into the module and takes `..` from there.
    farm.symlink("round", "environments/dev/modules/apache/../../manifests");
    farm.symlink("environments/production/step", "modules/apache");
    farm.symlink("environments/production/back", "step/../../manifests/site.pp");
    farm.deploy();
    assert_shows_staging(&farm);
}

#[test]
fn environments_and_modules_that_are_links_are_shown() {
    let farm = TestFarm::new();
    estate(&farm);
    farm.symlink("environments/current", "production");
    farm.symlink("environments/chained", "current");
    farm.symlink("environments/elsewhere", "../templates/base");
    farm.symlink("environments/gone", "removed");
    farm.symlink("environments/production/modules/httpd", "apache");
    farm.symlink("environments/dev/modules/stdlib", "../../../modules/stdlib");
    farm.write("templates/base/manifests/site.pp", "base");
    let commit = farm.deploy();
    assert_shows_staging(&farm);
    let ids = farm.data_dir().join(format!("repos/puppet-code/generations/{commit}/ids"));
    let id = |name: &str| fs::read_link(ids.join(name)).ok();
    assert_eq!(id("current"), id("production"));
    assert_eq!(id("chained"), id("production"));
    assert!(id("elsewhere").is_some());
    assert_eq!(id("gone"), None, "a link to nowhere is no environment");
}

#[test]
fn an_environment_that_is_a_link_really_lies_where_its_target_lies() {
    let farm = TestFarm::new();
    estate(&farm);
    farm.symlink("environments/current", "production");
    farm.deploy();
    let real = |name: &str| fs::canonicalize(farm.current().join("environments").join(name)).unwrap();
    assert_eq!(real("current"), real("production"));
    let text = fs::read_link(farm.current().join("environments/current")).unwrap();
    assert!(text.is_absolute(), "versioned_environment_dirs needs {} to be absolute", text.display());
}

#[test]
fn without_shared_dirs_everything_is_a_real_directory() {
    let farm = TestFarm::shared_by(&[]);
    estate(&farm);
    farm.symlink("environments/production/modules/apache/files/site.pp", "../../../manifests/site.pp");
    farm.deploy();
    assert_shows_staging(&farm);
    let mut found = Vec::new();
    links(&farm.current(), Path::new(""), &mut found);
    assert_eq!(found.len(), 1, "only staging's own link is one: {found:?}");
    assert_eq!(fs::read_dir(farm.data_dir().join("trees")).unwrap().count(), 0);
}

#[test]
fn a_file_looks_the_same_on_every_master() {
    let farm = TestFarm::new();
    estate(&farm);
    farm.deploy();
    let apache = farm.current().join("environments/dev/modules/apache");
    for (path, mode) in
        [("manifests/init.pp", 0o444), ("files/empty", 0o444), ("tasks/run.sh", 0o555), ("tasks/nothing.sh", 0o555)]
    {
        let (metadata, content) = (fs::metadata(apache.join(path)).unwrap(), fs::read(apache.join(path)).unwrap());
        assert_eq!(metadata.mode() & 0o7777, mode, "{path}");
        let mtime = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
        assert_eq!(mtime, blob_mtime(&BlobId::of(&content)), "{path}");
    }
}

#[test]
fn empty_files_share_no_inode_and_equal_files_do() {
    let farm = TestFarm::new();
    estate(&farm);
    farm.deploy();
    let inode = |path: &str| fs::metadata(farm.current().join(path)).unwrap().ino();
    let (apache, stdlib) = ("environments/dev/modules/apache", "modules/stdlib");
    assert_ne!(inode(&format!("{apache}/files/empty")), inode(&format!("{stdlib}/files/empty")));
    assert_eq!(inode(&format!("{apache}/tasks/run.sh")), inode(&format!("{stdlib}/tasks/run.sh")));
}

#[test]
fn a_module_that_several_environments_hold_is_on_disk_once() {
    let farm = TestFarm::new();
    estate(&farm);
    farm.deploy();
    let real = |environment: &str| {
        fs::canonicalize(farm.current().join("environments").join(environment).join("modules/apache")).unwrap()
    };
    assert_eq!(real("production"), real("dev"));
    assert_ne!(real("production").parent(), Some(farm.current().as_path()));
}

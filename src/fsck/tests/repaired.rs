//! What is found is repaired without the primary wherever all that is needed is here, and then nothing is found any more.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use super::*;
use crate::client::repair_offline;
use crate::farm::testing::seen;

const APACHE: &str = "environments/production/modules/apache";

/// Damages a farm, repairs it without a daemon or primary, and expects a clean farm that shows what staging shows.
fn heals(what: &str, damage: impl FnOnce(&Client)) {
    let client = Client::new();
    damage(&client);
    let found = client.found();
    assert!(!found.is_empty(), "{what}: nothing was found");
    let outcomes = repair(&client.farm.data_dir(), found);
    for outcome in &outcomes {
        assert!(outcome.repaired, "{what}: {outcome:?}");
    }
    assert_eq!(client.found(), [], "{what}");
    assert_eq!(seen(&client.farm.current()), seen(&client.farm.staging()), "{what}");
}

fn repair(data_dir: &Path, found: Vec<ClientFinding>) -> Vec<crate::findings::Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(repair_offline(data_dir, None, None, found, Arc::default(), Default::default())).unwrap()
}

fn replace(path: &Path, make: impl FnOnce(&Path)) {
    let gone = fs::symlink_metadata(path).map(|metadata| metadata.is_dir());
    match gone {
        Ok(true) => fs::remove_dir_all(path).unwrap(),
        Ok(false) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
    make(path);
}

#[test]
fn blob_files_whose_bytes_are_here() {
    heals("a mode", |client| chmod(&client.blob_path(plain(SHARED)), 0o666));
    heals("a time", |client| touch(&client.blob_path(plain(SHARED))));
    heals("a copy", |client| {
        let path = client.blob_path(plain(SHARED));
        let copy = client.data("tmp/copy");
        fs::copy(&path, &copy).unwrap();
        fs::rename(&copy, &path).unwrap();
    });
}

#[test]
fn a_damaged_file_whose_executable_twin_is_good() {
    let mut client = Client::new();
    client.farm.reopen();
    client.farm.write("twin", SHARED);
    client.farm.write_executable("twin.sh", SHARED);
    client.farm.deploy();
    client.farm.close();
    overwrite(&client.blob_path(plain(SHARED)), "class Apache {}", Time::Kept);
    let found = client.found();
    assert_eq!(found, [ClientFinding::BlobFileDamaged { file: file(plain(SHARED)) }]);
    assert!(repair(&client.farm.data_dir(), found)[0].repaired);
    assert_eq!(client.found(), []);
    assert_eq!(seen(&client.farm.current()), seen(&client.farm.staging()), "also where it was linked already");
}

#[test]
fn a_blob_that_is_nowhere_here_remains_and_says_what_to_do() {
    let client = Client::new();
    fs::remove_file(client.blob_path(plain(SHARED))).unwrap();
    let found = client.found();
    let outcomes = repair(&client.farm.data_dir(), found.clone());
    assert!(!outcomes[0].repaired);
    assert!(outcomes[0].detail.contains("--server"), "{outcomes:?}");
    assert_eq!(client.found(), found, "and nothing became worse");
    assert_eq!(seen(&client.farm.current()), seen(&client.farm.staging()), "trees still hold the content");
}

#[test]
fn entries_of_shared_trees() {
    let inside = |client: &Client, path: &str| client.shown(APACHE).join(path);
    heals("missing", |client| fs::remove_file(inside(client, "manifests/init.pp")).unwrap());
    heals("missing directory", |client| fs::remove_dir_all(inside(client, "manifests")).unwrap());
    heals("foreign", |client| fs::write(inside(client, "foreign"), "x").unwrap());
    heals("kind", |client| replace(&inside(client, "manifests/init.pp"), |path| fs::create_dir(path).unwrap()));
    heals("other inode", |client| {
        replace(&inside(client, "manifests/init.pp"), |path| fs::write(path, SHARED).unwrap());
    });
    heals("filled", |client| overwrite(&inside(client, "files/empty"), "x", Time::Kept));
    heals("mode", |client| chmod(&inside(client, "files/empty"), 0o600));
    heals("time", |client| touch(&inside(client, "files/empty")));
    heals("mode of a directory", |client| chmod(&inside(client, "manifests"), 0o700));
    heals("link", |client| replace(&inside(client, "files/link"), |path| symlink("/etc/passwd", path).unwrap()));
}

#[test]
fn inodes_that_only_trees_have() {
    let renewed = || {
        let mut client = Client::new();
        client.farm.reopen();
        client.farm.renew(plain(SHARED));
        client.farm.close();
        client
    };
    let init = format!("{APACHE}/manifests/init.pp");
    for damage in [|path: &Path| overwrite(path, "Dev", Time::Kept), |path: &Path| chmod(path, 0o600), touch] {
        let client = renewed();
        damage(&client.shown(&init));
        let found = client.found();
        assert_eq!(found.len(), 1, "{found:?}");
        let outcomes = repair(&client.farm.data_dir(), found);
        assert!(outcomes[0].repaired, "{outcomes:?}");
        assert_eq!(client.found(), []);
        assert_eq!(seen(&client.farm.current()), seen(&client.farm.staging()));
    }
}

#[test]
fn trees_and_generations_as_a_whole() {
    heals("a shared tree", |client| fs::remove_dir_all(client.data("trees").join(client.tree_name(APACHE))).unwrap());
    heals("a root's link", |client| {
        replace(&client.shown("environments/production"), |path| symlink("dev", path).unwrap());
    });
    heals("a root's file", |client| fs::remove_file(client.shown("hiera.yaml")).unwrap());
    heals("a root", |client| fs::remove_dir_all(client.generation().join("root")).unwrap());
    heals("an id", |client| fs::remove_file(client.generation().join("ids/dev")).unwrap());
    heals("the link to the environments", |client| {
        replace(&client.generation().join("environments"), |path| symlink("root", path).unwrap());
    });
    heals("a foreign id", |client| symlink("x", client.generation().join("ids/x")).unwrap());
}

#[test]
fn a_current_that_shows_nothing() {
    heals("missing", |client| fs::remove_file(client.farm.current()).unwrap());
    heals("odd", |client| replace(&client.farm.current(), |path| symlink("/etc", path).unwrap()));
    let client = Client::new();
    fs::remove_file(client.farm.current()).unwrap();
    repair(&client.farm.data_dir(), client.found());
    assert!(client.data("repos/puppet-code/flush-pending").exists(), "the daemon flushes before it says anything");
}

#[test]
fn places() {
    heals("mode", |client| chmod(&client.data("blobs"), 0o777));
    heals("mode of a shard", |client| chmod(client.blob_path(plain(SHARED)).parent().unwrap(), 0o777));
    heals("mode of a generation", |client| chmod(&client.generation(), 0o700));
    for place in ["blobs/x", "trees/x", "repos/puppet-code/x", "repos/-x"] {
        heals(place, |client| fs::write(client.data(place), "x").unwrap());
    }
    heals("a directory in trees", |client| fs::create_dir_all(client.data("trees/a/b")).unwrap());
}

#[test]
fn nothing_that_is_vouched_for_is_removed_as_foreign_whatever_a_finding_says() {
    let client = Client::new();
    let key = plain(SHARED);
    let places = [
        format!("blobs/{}/{}", key.dir_name(), key.file_name()),
        format!("blobs/{}", key.dir_name()),
        format!("trees/{}", client.tree_name(APACHE)),
        format!("repos/puppet-code/generations/{}", client.commit),
        "repos/puppet-code/current".into(),
        "repos/puppet-code".into(),
        "index".into(),
        "FORMAT".into(),
    ];
    let lies = places.iter().map(|place| ClientFinding::ForeignFile { path: path(place) }).collect();
    let outcomes = repair(&client.farm.data_dir(), lies);
    assert!(outcomes.iter().all(|outcome| !outcome.repaired));
    assert_eq!(client.found(), []);
}

#[test]
fn a_data_directory_that_was_moved() {
    let client = Client::new();
    let moved = client.farm.folder().join("moved");
    fs::rename(client.farm.data_dir(), &moved).unwrap();
    let find = || check(&moved, &Access::Locked, &Progress::default()).unwrap().findings;
    let found = find().into_iter().map(|finding| match finding {
        Finding::Client(finding) => finding,
        Finding::Primary(_) => panic!("{finding:?}"),
    });
    assert!(repair(&moved, found.collect())[0].repaired);
    assert_eq!(find(), []);
    assert_eq!(seen(&moved.join("repos/puppet-code/current")), seen(&client.farm.staging()));
}

#[test]
fn records_of_the_index() {
    let blob = [&plain("dev").id.as_bytes()[..], &[0]].concat();
    heals("a blob's size", |client| client.farm.set_raw("blobs", &blob, Some(&changed(client, "blobs", &blob))));
    let name = |client: &Client| client.tree_name("environments/production").into_bytes();
    heals("no record of a tree", |client| client.farm.set_raw("built", &name(client), None));
    heals("a tree's record that is none", |client| client.farm.set_raw("built", &name(client), Some(b"x")));
    heals("a tree's links", |client| client.farm.set_raw("built", &name(client), Some(&[0; 4])));
    heals("a chunk's record that is none", |client| client.farm.set_raw("chunks", &[1; 32], Some(b"x")));
    heals("a generation's rules", |client| {
        let key = [b"puppet-code\0", &client.commit.as_bytes()[..]].concat();
        let mut value = client.farm.raw("generations", &key);
        value[16] ^= 1;
        client.farm.set_raw("generations", &key, Some(&value));
    });
}

fn changed(client: &Client, family: &str, key: &[u8]) -> Vec<u8> {
    let mut value = client.farm.raw(family, key);
    value[0] ^= 1;
    value
}

#[test]
fn a_tree_that_lost_its_record_is_not_removed_by_a_start() {
    let mut client = Client::new();
    let name = client.tree_name("environments/production");
    client.farm.set_raw("built", name.as_bytes(), None);
    client.farm.reopen();
    assert_eq!(seen(&client.farm.current()), seen(&client.farm.staging()), "Puppet goes on reading it");
}

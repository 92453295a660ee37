//! Shared trees and roots, damaged one entry at a time.

use std::os::unix::fs::symlink;

use super::*;

const APACHE: &str = "environments/production/modules/apache";

fn entry(client: &Client, inside: &str) -> (Holder, TreePath, PathBuf) {
    (client.tree(APACHE), path(inside), client.shown(APACHE).join(inside))
}

#[test]
fn a_missing_file() {
    let client = Client::new();
    let (holder, path, file) = entry(&client, "manifests/init.pp");
    fs::remove_file(file).unwrap();
    assert_eq!(client.found(), [ClientFinding::EntryMissing { holder, path }]);
}

#[test]
fn a_missing_directory_is_one_finding() {
    let client = Client::new();
    let (holder, path, dir) = entry(&client, "manifests");
    fs::remove_dir_all(dir).unwrap();
    assert_eq!(client.found(), [ClientFinding::EntryMissing { holder, path }]);
}

#[test]
fn a_foreign_file() {
    let client = Client::new();
    let (holder, path, file) = entry(&client, "manifests/init.pp.orig");
    fs::write(file, "x").unwrap();
    assert_eq!(client.found(), [ClientFinding::EntryForeign { holder, path }]);
}

#[test]
fn a_directory_in_the_place_of_a_file() {
    let client = Client::new();
    let (holder, path, file) = entry(&client, "manifests/init.pp");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(client.found(), [ClientFinding::EntryKind { holder, path }]);
}

#[test]
fn a_link_in_the_place_of_a_directory() {
    let client = Client::new();
    let (holder, path, dir) = entry(&client, "manifests");
    let elsewhere = client.data("tmp/manifests");
    fs::rename(&dir, &elsewhere).unwrap();
    symlink(&elsewhere, &dir).unwrap();
    assert_eq!(client.found(), [ClientFinding::EntryKind { holder, path }]);
}

#[test]
fn a_file_in_the_place_of_a_link() {
    let client = Client::new();
    let (holder, path, link) = entry(&client, "files/link");
    fs::remove_file(&link).unwrap();
    fs::write(&link, "").unwrap();
    assert_eq!(client.found(), [ClientFinding::EntryKind { holder, path }]);
}

#[test]
fn a_file_written_anew_by_an_editor() {
    let client = Client::new();
    let (holder, path, edited) = entry(&client, "manifests/init.pp");
    fs::remove_file(&edited).unwrap();
    fs::write(&edited, SHARED).unwrap();
    assert_eq!(client.found(), [ClientFinding::EntryNotTheBlob { holder, path, file: file(plain(SHARED)) }]);
}

#[test]
fn a_link_to_another_blob() {
    let client = Client::new();
    let (holder, path, swapped) = entry(&client, "manifests/init.pp");
    fs::remove_file(&swapped).unwrap();
    fs::hard_link(client.blob_path(plain("dev")), &swapped).unwrap();
    assert_eq!(client.found(), [ClientFinding::EntryNotTheBlob { holder, path, file: file(plain(SHARED)) }]);
}

#[test]
fn an_empty_file_that_is_not() {
    let client = Client::new();
    let (holder, path, filled) = entry(&client, "files/empty");
    overwrite(&filled, "not empty", Time::Kept);
    assert_eq!(client.found(), [ClientFinding::EntryDamaged { holder, path, file: file(plain("")) }]);
}

#[test]
fn the_mode_of_an_empty_file() {
    let client = Client::new();
    let (holder, path, empty) = entry(&client, "files/empty");
    chmod(&empty, 0o664);
    assert_eq!(client.found(), [ClientFinding::EntryMode { holder, path, found: 0o664, wanted: 0o444 }]);
}

#[test]
fn the_time_of_an_empty_file() {
    let client = Client::new();
    let (holder, path, empty) = entry(&client, "files/empty");
    touch(&empty);
    assert_eq!(client.found(), [ClientFinding::EntryTime { holder, path }]);
}

#[test]
fn the_mode_of_a_directory() {
    let client = Client::new();
    let (holder, path, dir) = entry(&client, "manifests");
    chmod(&dir, 0o777);
    assert_eq!(client.found(), [ClientFinding::EntryMode { holder, path, found: 0o777, wanted: 0o755 }]);
}

#[test]
fn a_link_of_the_commit_that_leads_elsewhere() {
    let client = Client::new();
    let (holder, path, link) = entry(&client, "files/link");
    fs::remove_file(&link).unwrap();
    symlink("/etc/passwd", &link).unwrap();
    let (found, wanted) = ("/etc/passwd".into(), "empty".into());
    assert_eq!(client.found(), [ClientFinding::LinkRetargeted { holder, path, found, wanted }]);
}

#[test]
fn a_link_between_shared_trees_that_leads_elsewhere() {
    let client = Client::new();
    let (holder, wanted) = (client.tree("environments/production"), client.tree_name(APACHE));
    let link = client.shown("environments/production/modules/apache");
    fs::remove_file(&link).unwrap();
    symlink("..", &link).unwrap();
    let (path, found, wanted) = (path("modules/apache"), "..".into(), format!("../../{wanted}"));
    assert_eq!(client.found(), [ClientFinding::LinkRetargeted { holder, path, found, wanted }]);
}

#[test]
fn a_link_of_a_root_that_leads_to_the_wrong_shared_tree() {
    let client = Client::new();
    let link = client.shown("environments/production");
    let wanted = fs::read_link(&link).unwrap().to_str().unwrap().to_owned();
    let found = fs::canonicalize(client.shown(APACHE)).unwrap().to_str().unwrap().to_owned();
    fs::remove_file(&link).unwrap();
    symlink(&found, &link).unwrap();
    let (holder, path) = (client.root(), path("environments/production"));
    assert_eq!(client.found(), [ClientFinding::LinkRetargeted { holder, path, found, wanted }]);
}

#[test]
fn an_environment_that_is_a_link_and_leads_elsewhere() {
    let client = Client::new();
    let link = client.shown("environments/linked");
    let wanted = fs::read_link(&link).unwrap().to_str().unwrap().to_owned();
    fs::remove_file(&link).unwrap();
    symlink("production", &link).unwrap();
    let (holder, path, found) = (client.root(), path("environments/linked"), "production".into());
    assert_eq!(client.found(), [ClientFinding::LinkRetargeted { holder, path, found, wanted }]);
}

#[test]
fn a_file_of_a_root() {
    let client = Client::new();
    fs::remove_file(client.shown("hiera.yaml")).unwrap();
    assert_eq!(client.found(), [ClientFinding::EntryMissing { holder: client.root(), path: path("hiera.yaml") }]);
}

#[test]
fn a_missing_shared_tree() {
    let client = Client::new();
    let tree = client.tree_name(APACHE);
    fs::remove_dir_all(client.data("trees").join(&tree)).unwrap();
    assert_eq!(client.found(), [ClientFinding::SharedTreeMissing { tree }]);
}

#[test]
fn a_missing_generation() {
    let client = Client::new();
    fs::remove_dir_all(client.generation()).unwrap();
    let (repo, commit) = (TestFarm::repo(), client.commit);
    assert_eq!(client.found(), [ClientFinding::GenerationMissing { repo, commit }]);
}

#[test]
fn a_generation_without_its_root() {
    let client = Client::new();
    fs::remove_dir_all(client.generation().join("root")).unwrap();
    let (repo, commit) = (TestFarm::repo(), client.commit);
    assert_eq!(client.found(), [ClientFinding::GenerationMissing { repo, commit }]);
}

fn ids_wrong(client: &Client, environment: &str) -> ClientFinding {
    ClientFinding::IdsWrong { repo: TestFarm::repo(), commit: client.commit, environment: path(environment) }
}

#[test]
fn an_id_that_is_missing_surplus_or_of_another_tree() {
    let client = Client::new();
    let ids = client.generation().join("ids");
    fs::remove_file(ids.join("linked")).unwrap();
    assert_eq!(client.found(), [ids_wrong(&client, "linked")]);

    let client = Client::new();
    let ids = client.generation().join("ids");
    symlink("0".repeat(64), ids.join("test")).unwrap();
    assert_eq!(client.found(), [ids_wrong(&client, "test")]);

    let client = Client::new();
    let ids = client.generation().join("ids");
    fs::remove_file(ids.join("dev")).unwrap();
    symlink(fs::read_link(ids.join("production")).unwrap(), ids.join("dev")).unwrap();
    assert_eq!(client.found(), [ids_wrong(&client, "dev")]);
}

#[test]
fn a_link_to_the_environments_that_is_missing_or_leads_elsewhere() {
    for damage in [None, Some("root")] {
        let client = Client::new();
        let link = client.generation().join("environments");
        fs::remove_file(&link).unwrap();
        if let Some(text) = damage {
            symlink(text, &link).unwrap();
        }
        let (repo, commit) = (TestFarm::repo(), client.commit);
        assert_eq!(client.found(), [ClientFinding::EnvironmentsLinkWrong { repo, commit }]);
    }
}

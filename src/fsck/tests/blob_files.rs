//! Blob files, damaged one at a time.

use super::*;

#[test]
fn a_flipped_byte() {
    let client = Client::new();
    overwrite(&client.blob_path(plain(SHARED)), "class Apache {}", Time::Kept);
    assert_eq!(client.found(), [ClientFinding::BlobFileDamaged { file: file(plain(SHARED)) }]);
}

#[test]
fn an_edit_in_place_through_the_live_tree() {
    let client = Client::new();
    overwrite(&client.shown("environments/production/modules/apache/manifests/init.pp"), "edited", Time::Changed);
    assert_eq!(client.found(), [ClientFinding::BlobFileDamaged { file: file(plain(SHARED)) }]);
}

#[test]
fn a_truncated_file() {
    let client = Client::new();
    overwrite(&client.blob_path(plain(SHARED)), "", Time::Kept);
    assert_eq!(client.found(), [ClientFinding::BlobFileDamaged { file: file(plain(SHARED)) }]);
}

#[test]
fn two_files_swapped() {
    let client = Client::new();
    let (a, b) = (client.blob_path(plain("dev")), client.blob_path(plain("---")));
    let between = client.data("tmp/between");
    fs::rename(&a, &between).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(&between, &b).unwrap();
    let mut expected = vec![
        ClientFinding::BlobFileDamaged { file: file(plain("dev")) },
        ClientFinding::BlobFileDamaged { file: file(plain("---")) },
    ];
    expected.sort();
    assert_eq!(client.found(), expected);
}

#[test]
fn a_directory_in_the_place_of_a_file() {
    let client = Client::new();
    let path = client.blob_path(plain("dev"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(client.found(), [ClientFinding::BlobFileDamaged { file: file(plain("dev")) }]);
}

#[test]
fn a_missing_file() {
    let client = Client::new();
    fs::remove_file(client.blob_path(plain(SHARED))).unwrap();
    assert_eq!(client.found(), [ClientFinding::BlobFileMissing { file: file(plain(SHARED)) }]);
}

#[test]
fn a_copy_in_the_place_of_a_file() {
    let client = Client::new();
    let path = client.blob_path(plain(SHARED));
    let (copy, before) = (client.data("tmp/copy"), fs::metadata(&path).unwrap());
    fs::copy(&path, &copy).unwrap();
    chmod(&copy, 0o644);
    fs::File::options().write(true).open(&copy).unwrap().set_modified(before.modified().unwrap()).unwrap();
    fs::set_permissions(&copy, before.permissions()).unwrap();
    fs::rename(&copy, &path).unwrap();
    assert_eq!(client.found(), [ClientFinding::BlobFileReplaced { file: file(plain(SHARED)) }]);
}

#[test]
fn a_wrong_mode() {
    let client = Client::new();
    chmod(&client.blob_path(plain(SHARED)), 0o644);
    let expected = ClientFinding::BlobFileMode { file: file(plain(SHARED)), found: 0o644, wanted: 0o444 };
    assert_eq!(client.found(), [expected]);
}

#[test]
fn an_executable_that_lost_its_bit() {
    let client = Client::new();
    let key = BlobKey { executable: true, ..plain("#!/bin/sh") };
    chmod(&client.blob_path(key), 0o444);
    assert_eq!(client.found(), [ClientFinding::BlobFileMode { file: file(key), found: 0o444, wanted: 0o555 }]);
}

#[test]
fn a_wrong_time() {
    let client = Client::new();
    touch(&client.blob_path(plain(SHARED)));
    assert_eq!(client.found(), [ClientFinding::BlobFileTime { file: file(plain(SHARED)) }]);
}

/// A farm in which one inode of a blob lives on in a tree only.
fn with_retired_inode() -> (Client, PathBuf) {
    let mut client = Client::new();
    client.farm.reopen();
    client.farm.renew(plain("dev"));
    client.farm.close();
    let site = client.shown("environments/dev/manifests/site.pp");
    (client, site)
}

#[test]
fn a_flipped_byte_in_an_inode_that_only_trees_have() {
    let (client, site) = with_retired_inode();
    overwrite(&site, "Dev", Time::Kept);
    let (holder, path) = (client.root(), path("environments/dev/manifests/site.pp"));
    assert_eq!(client.found(), [ClientFinding::EntryDamaged { holder, path, file: file(plain("dev")) }]);
}

#[test]
fn a_wrong_mode_of_an_inode_that_only_trees_have() {
    let (client, site) = with_retired_inode();
    chmod(&site, 0o600);
    let (holder, path) = (client.root(), path("environments/dev/manifests/site.pp"));
    assert_eq!(client.found(), [ClientFinding::EntryMode { holder, path, found: 0o600, wanted: 0o444 }]);
}

#[test]
fn a_wrong_time_of_an_inode_that_only_trees_have() {
    let (client, site) = with_retired_inode();
    touch(&site);
    let (holder, path) = (client.root(), path("environments/dev/manifests/site.pp"));
    assert_eq!(client.found(), [ClientFinding::EntryTime { holder, path }]);
}

//! What is good is clean, and what cannot be checked says why.

use super::*;
use crate::datadir::{DataDir, DataDirError};
use crate::disk::{Dir, Lock};
use crate::pause::Paused;

#[test]
fn a_good_farm_is_clean_and_everything_in_it_is_counted() {
    let client = Client::new();
    let report = client.check();
    assert_eq!(report.findings, []);
    assert_eq!(report.kind, Kind::Client);
    let contents = [SHARED, "#!/bin/sh", "production", "dev", "---"];
    assert_eq!(
        report.counts.bytes,
        contents.iter().map(|content| content.len() as u64).sum::<u64>(),
        "each inode once"
    );
    assert!(report.counts.entries > 20, "{report:?}");
}

#[test]
fn a_farm_with_several_generations_of_several_repos_is_clean() {
    let mut client = Client::new();
    client.farm.reopen();
    client.farm.write("environments/production/manifests/site.pp", "second");
    client.farm.deploy();
    let other = "other".parse().unwrap();
    let commit = client.farm.commit(&other, &client.farm.staging());
    client.farm.build(&other, commit);
    client.farm.close();
    assert_eq!(client.found(), []);
}

#[test]
fn a_farm_of_real_directories_only_is_clean() {
    let mut farm = TestFarm::shared_by(&[]);
    fill(&farm);
    let commit = farm.deploy();
    farm.close();
    assert_eq!(Client { farm, commit }.found(), []);
}

#[test]
fn a_farm_that_is_still_empty_and_a_commit_that_never_went_live_are_clean() {
    let mut farm = TestFarm::new();
    farm.write("a", "1");
    let commit = farm.commit(&TestFarm::repo(), &farm.staging());
    farm.close();
    let client = Client { farm, commit };
    assert_eq!(client.found(), []);
}

#[test]
fn a_blob_file_that_was_full_of_links_is_clean_and_hashed_with_the_one_that_took_over() {
    let mut client = Client::new();
    client.farm.reopen();
    client.farm.renew(plain(SHARED));
    client.farm.write("more/init.pp", SHARED);
    client.farm.deploy();
    client.farm.close();
    let once = Client::new().check().counts.bytes;
    let report = client.check();
    assert_eq!(report.findings, []);
    assert_eq!(report.counts.bytes, once + SHARED.len() as u64, "both inodes of the file, each once");
}

#[test]
fn a_directory_in_use_of_no_kind_or_of_a_newer_format_is_told_apart_from_a_damaged_one() {
    let client = Client::new();
    let try_check = |path: &Path| check(path, &Access::Locked, &Progress::default()).unwrap_err();
    let dir = Dir::open(&client.farm.data_dir()).unwrap();
    let lock = Lock::take(&dir).unwrap();
    assert!(matches!(try_check(&client.farm.data_dir()), FsckError::Lock(LockError::Held { .. })));
    drop(lock);
    let wrong = try_check(client.farm.folder());
    assert!(matches!(wrong, FsckError::DataDir(DataDirError::Missing { .. })), "{wrong:?}");
    let format = client.data("FORMAT");
    fs::write(&format, fs::read_to_string(&format).unwrap().replace("version = 1", "version = 2")).unwrap();
    let newer = try_check(&client.farm.data_dir());
    assert!(matches!(newer, FsckError::DataDir(DataDirError::Newer { found: 2, .. })), "{newer:?}");
}

#[test]
fn a_data_directory_whose_daemon_never_ran_is_empty_and_not_damaged() {
    let folder = tempfile::tempdir().unwrap();
    drop(DataDir::open(folder.path(), Kind::Primary).unwrap());
    let error = check(folder.path(), &Access::Locked, &Progress::default()).unwrap_err();
    assert!(matches!(error, FsckError::Empty { .. }), "{error:?}");
}

#[test]
fn a_check_that_was_told_to_stop_says_nothing_about_the_state() {
    let client = Client::new();
    let progress = Progress::default();
    progress.cancel();
    let stopped = check(&client.farm.data_dir(), &Access::Locked, &progress);
    assert!(matches!(stopped, Err(FsckError::Cancelled)), "{stopped:?}");
}

#[test]
fn what_a_running_daemon_adds_while_fsck_reads_is_nobodys_damage() {
    let mut client = Client::new();
    client.farm.reopen();
    let checkpoint = client.data("tmp/fsck-1");
    client.farm.farm().index().checkpoint(&checkpoint).unwrap();
    // A deploy goes on: new blobs, trees, a generation, another `current`; and an old tree is built anew.
    client.farm.write("environments/production/manifests/new.pp", "new");
    client.farm.deploy();
    let apache = client.farm.farm().index().all_built().unwrap().into_keys().collect();
    client.farm.farm().rebuild_trees(&apache, &Progress::default()).unwrap();
    let access = Access::Checkpoint(checkpoint);
    let found = |access: &Access| check(&client.farm.data_dir(), access, &Progress::default()).unwrap().findings;
    assert_eq!(found(&access), []);
    // What was there before is found all the same.
    overwrite(&client.shown("hiera.yaml"), "+++", Time::Kept);
    let damaged = ClientFinding::BlobFileDamaged { file: file(plain("---")) };
    assert_eq!(found(&access), [damaged.into()]);
}

#[test]
fn a_swap_while_fsck_reads_is_nobodys_damage() {
    let mut client = Client::new();
    client.farm.reopen();
    let checkpoint = client.data("tmp/fsck-1");
    client.farm.farm().index().checkpoint(&checkpoint).unwrap();
    let swap = client.farm.farm().prepare_swap(&TestFarm::repo(), &client.commit).unwrap();
    swap.make(&Paused::nothing()).unwrap();
    assert_eq!(
        check(&client.farm.data_dir(), &Access::Checkpoint(checkpoint), &Progress::default()).unwrap().findings,
        []
    );
}

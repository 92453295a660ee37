//! A disk that is full: what was there stands, and with room again the next try succeeds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use sceneshift::wire::api::CommitRequest;

use super::{assert_head, assert_shows};
use crate::support::folder::SmallDisk;
use crate::support::random::Random;
use crate::support::rig::Rig;
use crate::support::wait::until;

/// The disk's size, in MiB: room for what is staged, its log, and its tables.
const SIZE: u32 = 400;

/// What a full disk cannot take, in files of 100,000 bytes: more than a database reserves for its log.
const FILES: u64 = 900;

/// How long it may take until a primary notices that there is room again.
const RECOVERY: Duration = Duration::from_secs(30);

/// Makes a data directory lie on the small disk.
fn put_on(disk: &SmallDisk, data: &Path) {
    fs::create_dir(disk.path().join("data")).unwrap();
    symlink(disk.path().join("data"), data).unwrap();
}

fn stage_much(rig: &Rig) {
    let dir = rig.staging().join("environments/production/modules/much/files");
    fs::create_dir_all(&dir).unwrap();
    for at in 0..FILES {
        fs::write(dir.join(at.to_string()), Random::new(at).bytes(100_000)).unwrap();
    }
}

fn stage_little(rig: &Rig, content: &str) {
    fs::create_dir_all(rig.staging().join("environments/production/manifests")).unwrap();
    fs::write(rig.staging().join("environments/production/manifests/site.pp"), content).unwrap();
}

#[test]
fn a_commit_on_a_full_disk_moves_no_head_and_succeeds_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(SIZE) else { return };
    let mut rig = Rig::new();
    rig.stop_primary();
    fs::remove_dir_all(rig.primary_data()).unwrap();
    put_on(&disk, &rig.primary_data());
    rig.start_primary();
    stage_little(&rig, "one");
    let head = rig.commit().commit;
    rig.deploy();

    disk.fill_up("filler", 3 << 20);
    stage_much(&rig);
    let error = rig.try_commit(&CommitRequest::default()).unwrap_err();
    assert_eq!(error.status(), Some(507), "{error}");
    assert!(error.to_string().contains("is full"), "{error}");
    assert_head(&rig, head);
    // What is stored is served all the while.
    rig.deploy();

    fs::remove_file(disk.path().join("filler")).unwrap();
    let begun = Instant::now();
    // Without a restart: the database looks for room every five seconds.
    let answer = until("there is room again", RECOVERY, || match rig.try_commit(&CommitRequest::default()) {
        Ok(answer) => Some(answer),
        Err(error) if error.status() == Some(507) => None,
        Err(error) => panic!("{error}"),
    });
    println!("it commits again {:?} after there is room", begun.elapsed());
    assert!(answer.created);
    rig.deploy();
    assert_shows(&rig.staging(), &rig.current());
    rig.assert_clean();
    rig.stop_primary();
    rig.start_primary();
    assert_head(&rig, answer.commit);
    rig.assert_clean();
    rig.stop_primary();
}

#[test]
fn a_deploy_on_a_full_disk_leaves_current_and_succeeds_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(SIZE) else { return };
    let rig = Rig::new();
    put_on(&disk, &rig.client_data());
    stage_little(&rig, "one");
    rig.commit();
    rig.deploy();
    let current = fs::read_link(rig.current()).unwrap();

    let client = rig.start_client();
    until("the daemon answers", RECOVERY, || rig.block_on(rig.socket().status()).ok());
    disk.fill_up("filler", 8 << 20);
    stage_much(&rig);
    rig.commit();
    let sync = || rig.block_on(rig.socket().sync(&sceneshift::wire::api::SyncRequest::default()));
    let error = sync().unwrap_err();
    assert_eq!(error.status(), Some(507), "{error}");
    assert_eq!(fs::read_link(rig.current()).unwrap(), current);
    let report = rig.block_on(rig.socket().status()).unwrap();
    let status = &report.repos[&rig.repo()];
    assert!(status.error.as_ref().is_some_and(|error| error.contains("No space left")), "{status:?}");

    fs::remove_file(disk.path().join("filler")).unwrap();
    sync().expect("without a restart");
    assert_shows(&rig.staging(), &rig.current());
    rig.assert_clean();
    rig.stop_client(client);
    rig.deploy();
    rig.assert_clean();
}

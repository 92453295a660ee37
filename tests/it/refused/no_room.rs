//! A disk on which room runs out at one stage after the other, in bytes and in inodes. Each time the work is done, or it is said that the disk
//! is full and nothing has moved; with room again it is done, without a restart, and everything is in order.

use std::fs::{self, File};
use std::time::Duration;

use super::on_disk::{CLIENT, OnDisk, assert_says_full};
use crate::support::image::Image;
use crate::support::process::Process;
use crate::support::wait::until;

/// How long it may take until a database notices that there is room again: it looks every five seconds.
const RECOVERY: Duration = Duration::from_secs(40);

/// Large enough for both databases, which reserve room for their logs.
const SIZE: u64 = 300;

/// What each new version holds: some 5 MB, in more directories than a block of names.
const FILES: u64 = 50;
const LENGTH: usize = 100_000;

/// So many KiB are left; from nothing to enough for all of it, and what lies between ends at another stage each.
const LEFT: [u64; 8] = [0, 8, 48, 700, 3 << 10, 5 << 10, 6 << 10, 14 << 10];

/// A version for a primary, which has reserved room for the 64 MiB of its log: some 24 MB.
const LARGE: usize = 480_000;

/// So many KiB are left to a primary: its log is full at other moments than its tables are written.
const LEFT_TO_PRIMARY: [u64; 8] = [0, 8, 3 << 10, 9 << 10, 18 << 10, 36 << 10, 72 << 10, 100 << 10];

/// Both daemons on one disk, with a first version live.
fn deployed(disk: Image) -> (OnDisk, Process, Process) {
    let on = OnDisk::new(disk);
    on.stage(1, FILES, LENGTH);
    let primary = on.site.start_primary();
    on.commit().unwrap();
    let client = on.site.start_client(CLIENT);
    on.sync().unwrap();
    on.assert_shows_staging();
    (on, primary, client)
}

/// What is asked for again until it is done, since a database takes its time to see that there is room.
#[track_caller]
fn until_done<T>(mut ask: impl FnMut() -> Result<T, sceneshift::remote::RemoteError>) -> T {
    until("it is done, as there is room again", RECOVERY, || match ask() {
        Ok(done) => Some(done),
        Err(error) if error.status() == Some(507) => None,
        Err(error) => panic!("{error}"),
    })
}

#[test]
fn wherever_a_commit_finds_the_disk_full_the_head_stands_and_with_room_it_is_made() {
    let Some(on) = Image::ext4(700, &[], "rw").map(OnDisk::new) else { return };
    // The client lies elsewhere: it has room all the while.
    fs::remove_file(on.site.client_data(CLIENT)).unwrap();
    on.stage(1, FILES, LARGE);
    let primary = on.site.start_primary();
    on.commit().unwrap();
    let client = on.site.start_client(CLIENT);
    let mut outcomes = Vec::new();
    for (version, left) in (2_u64..).zip(LEFT_TO_PRIMARY) {
        let head = on.head().unwrap();
        on.disk.fill_up("filler", left << 10);
        on.stage(version, FILES, LARGE);
        let outcome = on.commit();
        outcomes.push((left, outcome.is_ok()));
        if let Err(error) = outcome {
            assert_says_full(&error);
            assert_eq!(on.head().unwrap(), head, "with {left} KiB left");
            on.sync().expect("what is stored is served");
            on.collect_garbage().inspect_err(assert_says_full).ok();
        }
        fs::remove_file(on.disk.path().join("filler")).unwrap();
        until_done(|| on.commit());
        until_done(|| on.sync());
        on.assert_shows_staging();
    }
    println!("KiB left, and whether the commit was made: {outcomes:?}");
    assert!(outcomes.iter().any(|(_, made)| *made) && outcomes.iter().any(|(_, made)| !made), "{outcomes:?}");
    until_done(|| on.collect_garbage());
    on.assert_clean();
    for process in [client, primary] {
        assert!(process.stop().success());
    }
    on.assert_clean();
}

#[test]
fn wherever_a_deploy_finds_the_disk_full_current_stands_and_with_room_it_is_made() {
    let Some(mut on) = Image::ext4(SIZE, &[], "rw").map(OnDisk::new) else { return };
    // The primary lies elsewhere: it has room all the while.
    fs::remove_file(on.site.primary_data()).unwrap();
    on.site.client_settings = "keep-generations = 2\n".into();
    on.stage(1, FILES, LENGTH);
    let primary = on.site.start_primary();
    on.commit().unwrap();
    let client = on.site.start_client(CLIENT);
    on.sync().unwrap();
    let mut outcomes = Vec::new();
    for (version, left) in (2_u64..).zip(LEFT) {
        let live = on.live();
        on.disk.fill_up("filler", left << 10);
        on.stage(version, FILES, LENGTH);
        let commit = on.commit().unwrap().commit;
        let outcome = on.sync();
        outcomes.push((left, outcome.is_ok()));
        if let Err(error) = outcome {
            assert_says_full(&error);
            assert_eq!(on.live(), live, "with {left} KiB left");
            let shown = fs::read_to_string(on.current().join("environments/production/version")).unwrap();
            assert_eq!(shown, (version - 1).to_string(), "what is live can be read");
            let status = on.site.status(CLIENT).unwrap();
            assert!(status.error.as_ref().is_some_and(|error| error.contains("No space left")), "{status:?}");
        }
        fs::remove_file(on.disk.path().join("filler")).unwrap();
        until_done(|| on.sync());
        assert!(on.live().to_str().unwrap().contains(&commit.to_string()));
        on.assert_shows_staging();
    }
    println!("KiB left, and whether the deploy was made: {outcomes:?}");
    assert!(outcomes.iter().any(|(_, made)| *made) && outcomes.iter().any(|(_, made)| !made), "{outcomes:?}");
    on.assert_clean();
    for process in [client, primary] {
        assert!(process.stop().success());
    }
    on.assert_clean();
}

#[test]
fn a_daemon_that_starts_on_a_full_disk_serves_or_says_so_and_starts_when_there_is_room() {
    let Some(disk) = Image::ext4(SIZE, &[], "rw") else { return };
    let (on, primary, client) = deployed(disk);
    let head = on.head().unwrap();
    for process in [client, primary] {
        process.kill();
    }
    on.disk.fill_up("filler", 0);
    for (what, arguments) in [
        ("primary", ["serve", "--config", on.site.primary_settings_file().to_str().unwrap()]),
        ("client", ["client", "--config", on.site.client_settings_file(CLIENT, &on.site.address()).to_str().unwrap()]),
    ] {
        let log = on.site.folder().join(format!("{what}-full.log"));
        let mut process = Process::start(what, crate::support::process::sceneshift(&arguments), log);
        let listens = until("it listens or ends", RECOVERY, || {
            let listens = process.log().contains("listening on ");
            (listens || !process.is_running()).then_some(listens)
        });
        println!("the {what} {} on a full disk", if listens { "starts" } else { "does not start" });
        assert!(listens || process.log().contains("No space left"), "{}", process.log());
        process.kill_if_running();
    }
    on.assert_shows_staging();
    fs::remove_file(on.disk.path().join("filler")).unwrap();
    let (primary, client) = (on.site.start_primary(), on.site.start_client(CLIENT));
    assert_eq!(on.head().unwrap(), head);
    on.stage(2, FILES, LENGTH);
    until_done(|| on.commit());
    until_done(|| on.sync());
    on.assert_shows_staging();
    on.assert_clean();
    for process in [client, primary] {
        assert!(process.stop().success());
    }
}

#[test]
fn without_inodes_nothing_moves_and_with_some_again_everything_goes_on() {
    // Some 1,000 inodes, in place of one for 16 KiB.
    let Some(disk) = Image::ext4(SIZE, &["-N", "1000"], "rw") else { return };
    let (on, primary, client) = deployed(disk);
    let mut outcomes = Vec::new();
    for (version, left) in (2_u64..).zip([0, 3, 20, 60, 110, 400]) {
        let (head, live) = (on.head().unwrap(), on.live());
        let filler = on.disk.path().join("filler");
        fs::create_dir(&filler).unwrap();
        let taken = (0..).take_while(|name: &u64| File::create(filler.join(name.to_string())).is_ok()).count();
        for name in 0..left.min(taken) {
            fs::remove_file(filler.join(name.to_string())).unwrap();
        }
        on.stage(version, FILES, 100);
        let committed = on.commit();
        if let Err(error) = &committed {
            assert_says_full(error);
            assert_eq!(on.head().unwrap(), head, "with {left} inodes left");
        }
        let synced = on.sync();
        if let Err(error) = &synced {
            assert_says_full(error);
            assert_eq!(on.live(), live, "with {left} inodes left");
        }
        outcomes.push((left, committed.is_ok(), synced.is_ok()));
        fs::remove_dir_all(&filler).unwrap();
        until_done(|| on.commit());
        until_done(|| on.sync());
        on.assert_shows_staging();
    }
    println!("inodes left, and whether the commit and the deploy were made: {outcomes:?}");
    assert!(outcomes.iter().any(|(_, _, made)| *made) && outcomes.iter().any(|(_, _, made)| !made), "{outcomes:?}");
    on.assert_clean();
    for process in [client, primary] {
        assert!(process.stop().success());
    }
    on.assert_clean();
}

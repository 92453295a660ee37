//! One deploy after another: what is built, kept, noticed and removed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use crate::farm::testing::{TestFarm, seen};
use crate::farm::{BlobKey, Farm, FarmError, FarmSettings, GenerationRecord, Retention};
use crate::pause::Paused;
use crate::progress::Progress;
use crate::values::BlobId;

fn key(content: &[u8]) -> BlobKey {
    BlobKey { id: BlobId::of(content), executable: false }
}

fn edit_in_place(path: &Path, content: &str) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Waits until the clock, by which generations are ordered and aged, has gone on.
fn next_millisecond() {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let before = now();
    while now() <= before {
        std::thread::yield_now();
    }
}

#[test]
fn a_change_builds_only_the_module_and_the_environment_it_is_in() {
    let farm = TestFarm::new();
    for module in ["a", "b", "c"] {
        farm.write(&format!("environments/production/modules/{module}/init.pp"), module);
        farm.write(&format!("environments/dev/modules/{module}/init.pp"), module);
    }
    farm.deploy();
    farm.write("environments/dev/modules/b/init.pp", "changed");
    let repo = TestFarm::repo();
    let commit = farm.commit(&repo, &farm.staging());
    assert_eq!(farm.plan(&repo, commit).missing.len(), 2, "the module and its environment");
    assert_eq!(farm.farm().missing_blobs(&farm.plan(&repo, commit)).unwrap().len(), 1);
    farm.deploy();
    assert_eq!(seen(&farm.current()), seen(&farm.staging()));
}

#[test]
fn links_that_stay_the_same_are_made_once_and_shown_by_each_generation() {
    let farm = TestFarm::new();
    for environment in ["dev", "production"] {
        farm.write(&format!("environments/{environment}/modules/a/init.pp"), environment);
        farm.write(&format!("environments/{environment}/modules/b/init.pp"), "b");
    }
    farm.symlink("environments/dev/here", "modules/a");
    farm.deploy();
    let inode = |path: &str| fs::symlink_metadata(farm.current().join(path)).unwrap().ino();
    let watched = [
        "environments/production",
        "../ids/production",
        "environments/dev/modules/b",
        "environments/dev/here",
        "environments/dev",
        "../ids/dev",
        "environments/dev/modules/a",
    ];
    let before = watched.map(inode);
    farm.write("environments/dev/modules/a/init.pp", "changed");
    farm.deploy();
    let same: Vec<bool> = watched.iter().zip(before).map(|(path, before)| inode(path) == before).collect();
    assert_eq!(same, [true, true, true, true, false, false, false], "all but those on the way to the change");
    assert_eq!(seen(&farm.current()), seen(&farm.staging()));
}

#[test]
fn an_edit_in_place_is_noticed_before_the_file_is_linked_again() {
    let farm = TestFarm::new();
    farm.write("environments/production/manifests/site.pp", "node default {}");
    farm.deploy();
    assert!(farm.farm().blob_is_good(key(b"node default {}")).unwrap());
    edit_in_place(&farm.current().join("environments/production/manifests/site.pp"), "node default ()");
    assert!(!farm.farm().blob_is_good(key(b"node default {}")).unwrap());
    farm.write("environments/new/site.pp", "node default {}");
    let repo = TestFarm::repo();
    let commit = farm.commit(&repo, &farm.staging());
    let missing = farm.farm().missing_blobs(&farm.plan(&repo, commit)).unwrap();
    assert!(missing[&BlobId::of(b"node default {}")].damaged);
}

#[test]
fn a_refetched_file_is_right_everywhere_once_its_holders_are_rebuilt() {
    let farm = TestFarm::new();
    farm.write("environments/production/modules/a/init.pp", "right");
    farm.write("environments/dev/modules/b/init.pp", "right");
    farm.write("root.pp", "right");
    farm.deploy();
    edit_in_place(&farm.current().join("root.pp"), "wrong");
    let mut writer = farm.farm().blob_writer().unwrap();
    writer.write(b"right").unwrap();
    writer.finish(BlobId::of(b"right"), &[false].into()).unwrap();
    farm.farm().settle().unwrap();
    farm.farm().rebuild_holders(&[BlobId::of(b"right")].into(), &Progress::default()).unwrap();
    assert_eq!(seen(&farm.current()), seen(&farm.staging()));
}

#[test]
fn a_refetched_file_whose_holders_were_not_rebuilt_is_right_everywhere_after_the_next_start() {
    let mut farm = TestFarm::new();
    farm.write("environments/production/modules/a/init.pp", "right");
    farm.write("root.pp", "right");
    farm.deploy();
    edit_in_place(&farm.current().join("root.pp"), "wrong");
    let mut writer = farm.farm().blob_writer().unwrap();
    writer.write(b"right").unwrap();
    writer.finish(BlobId::of(b"right"), &[false].into()).unwrap();
    farm.farm().settle().unwrap();
    // Here the power fails.
    farm.reopen();
    assert_eq!(seen(&farm.current()), seen(&farm.staging()));
    assert_eq!(farm.farm().rebuild_replaced(&Progress::default()).unwrap(), 0, "it is done once");
}

#[test]
fn a_fresh_inode_that_the_index_never_heard_of_is_taken_over_at_the_next_start() {
    let mut farm = TestFarm::new();
    farm.write("environments/production/modules/a/init.pp", "a");
    farm.deploy();
    farm.farm().renew_for_tests(b"a");
    farm.reopen();
    assert!(farm.farm().blob_is_good(key(b"a")).unwrap());
    assert_eq!(seen(&farm.current()), seen(&farm.staging()));
}

#[test]
fn what_is_not_vouched_for_is_gone_after_a_start() {
    let mut farm = TestFarm::new();
    farm.write("environments/production/modules/a/init.pp", "a");
    let kept = farm.deploy();
    let data = farm.data_dir();
    let stray = key(b"stray");
    let places = [
        data.join("blobs").join(stray.dir_name()).join(stray.file_name()),
        data.join("blobs").join("zz"),
        data.join("trees").join(format!("{}-0123456789abcdef", "ab".repeat(32))),
        data.join("trees/readme"),
        data.join(format!("repos/puppet-code/generations/{}", "cd".repeat(32))),
    ];
    fs::create_dir_all(places[0].parent().unwrap()).unwrap();
    fs::write(&places[0], "stray").unwrap();
    fs::write(&places[1], "stray").unwrap();
    fs::create_dir_all(places[2].join("sub")).unwrap();
    fs::write(&places[3], "stray").unwrap();
    fs::create_dir_all(places[4].join("root")).unwrap();
    farm.reopen();
    for place in &places {
        assert!(!place.exists(), "{}", place.display());
    }
    assert_eq!(farm.farm().current(&TestFarm::repo()).unwrap(), Some(kept));
    assert_eq!(seen(&farm.current()), seen(&farm.staging()));
}

#[test]
fn a_data_directory_that_was_moved_shows_the_same() {
    let mut farm = TestFarm::new();
    farm.write("environments/production/modules/a/init.pp", "a");
    farm.symlink("environments/linked", "production");
    farm.deploy();
    farm.close();
    let moved = farm.folder().join("moved");
    fs::rename(farm.data_dir(), &moved).unwrap();
    let opened = crate::farm::Farm::open(&moved, crate::farm::FarmSettings::default()).unwrap();
    assert_eq!(seen(&moved.join("repos/puppet-code/current")), seen(&farm.staging()));
    drop(opened);
}

#[test]
fn a_generation_of_an_older_program_gets_its_link_to_the_environments() {
    let mut farm = TestFarm::new();
    farm.write("environments/production/modules/a/init.pp", "a");
    let commit = farm.deploy();
    let link = farm.data_dir().join(format!("repos/puppet-code/generations/{commit}/environments"));
    assert_eq!(fs::read(link.join("production/modules/a/init.pp")).unwrap(), b"a");
    fs::remove_file(&link).unwrap();
    farm.reopen();
    assert_eq!(fs::read(link.join("production/modules/a/init.pp")).unwrap(), b"a");
}

#[test]
fn what_was_live_last_is_told_also_after_the_clock_was_set_back() {
    let (farm, repo) = (TestFarm::new(), TestFarm::repo());
    farm.write("a", "1");
    let first = farm.deploy();
    let record = farm.farm().index.generation(&repo, &first).unwrap().unwrap();
    let an_hour_later = GenerationRecord { deployed: record.deployed + 3_600_000, ..record };
    farm.farm().index.put_generation(&repo, first, &an_hour_later).unwrap();
    farm.write("a", "2");
    let second = farm.deploy();
    let order: Vec<_> = farm.farm().generations(&repo).unwrap().into_iter().map(|one| one.commit).collect();
    assert_eq!(order, [second, first], "a rollback would go to the wrong one");
}

#[test]
fn pruning_keeps_the_current_and_the_pinned_generation_and_removes_what_only_others_need() {
    let mut farm = TestFarm::new();
    let repo = TestFarm::repo();
    let mut commits = Vec::new();
    for version in ["one", "two", "three", "four"] {
        farm.write("environments/production/modules/a/init.pp", version);
        farm.write("environments/production/modules/same/init.pp", "the same in all");
        commits.push(farm.deploy());
        next_millisecond();
    }
    farm.farm().update_state(&repo, |state| state.pinned = Some(commits[0])).unwrap();
    // Back to the second, so that the current one is not the newest.
    farm.farm().prepare_swap(&repo, &commits[1]).unwrap().make(&Paused::nothing()).unwrap();
    let retention = Retention { keep: 1, age: Duration::ZERO };
    let pruned = farm.farm().prune(&BTreeMap::from([(repo.clone(), retention)]), &Progress::default()).unwrap();
    let generations = farm.data_dir().join("repos/puppet-code/generations");
    // The fourth was deployed last, which `keep` counts; the third is what remains to be removed.
    let mut kept = vec![commits[0].to_string(), commits[1].to_string(), commits[3].to_string()];
    kept.sort();
    assert_eq!(names(&generations), kept);
    assert_eq!((pruned.generations, pruned.trees, pruned.blobs), (1, 2, 1));
    assert!(!farm.farm().blob_is_good(key(b"three")).unwrap());
    for content in [&b"one"[..], b"two", b"four", b"the same in all"] {
        assert!(farm.farm().blob_is_good(key(content)).unwrap());
    }
    assert_eq!(fs::read(farm.current().join("environments/production/modules/a/init.pp")).unwrap(), b"two");
    assert_eq!(count(&farm.data_dir().join("trees")), 3 * 2 + 1, "an environment and a module each, and the same one");
    farm.reopen();
    assert_eq!(fs::read(farm.current().join("environments/production/modules/a/init.pp")).unwrap(), b"two");
}

fn blob_files(farm: &TestFarm) -> usize {
    let shards = fs::read_dir(farm.data_dir().join("blobs")).unwrap();
    shards.map(|shard| count(&shard.unwrap().path())).sum()
}

/// Does work that is asked to stop as soon as it has counted something.
fn stopped_early<T>(work: impl FnOnce(&Progress) -> T) -> T {
    let (progress, done) = (Progress::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(SeqCst) && progress.snapshot().files == 0 {
                std::hint::spin_loop();
            }
            progress.cancel();
        });
        let outcome = work(&progress);
        done.store(true, SeqCst);
        outcome
    })
}

#[test]
fn what_is_stopped_half_way_is_done_by_the_next_start_a_pruning_and_a_start_itself() {
    let repo = TestFarm::repo();
    let retention = BTreeMap::from([(repo.clone(), Retention { keep: 1, age: Duration::ZERO })]);
    let mut stopped = 0;
    for _ in 0..50 {
        let mut farm = TestFarm::new();
        (0..200)
            .for_each(|at| farm.write(&format!("environments/production/old{}/{at}", at % 10), format!("old {at}")));
        farm.deploy();
        next_millisecond();
        fs::remove_dir_all(farm.staging()).unwrap();
        farm.write("environments/production/new", "new");
        farm.deploy();
        next_millisecond();
        let pruned = stopped_early(|progress| farm.farm().prune(&retention, progress));
        let files = blob_files(&farm);
        stopped += u32::from(files > 1);
        assert!(files == 1 || matches!(pruned, Err(FarmError::Cancelled)), "{pruned:?}");
        farm.close();
        let settings = FarmSettings::default();
        let started = stopped_early(|progress| Farm::open_telling(&farm.data_dir(), settings, progress).map(drop));
        assert!(matches!(started, Ok(()) | Err(FarmError::Cancelled)), "{started:?}");
        farm.reopen();
        assert_eq!(blob_files(&farm), 1, "what nothing needs is gone");
        assert_eq!(fs::read(farm.current().join("environments/production/new")).unwrap(), b"new");
        if stopped == 3 {
            return;
        }
    }
    panic!("no pruning was stopped half-way");
}

#[test]
fn a_swap_is_taken_back_to_what_was_before_or_to_nothing() {
    let farm = TestFarm::new();
    let repo = TestFarm::repo();
    farm.write("a", "1");
    let first = farm.commit(&repo, &farm.staging());
    farm.build(&repo, first);
    let swap = farm.farm().prepare_swap(&repo, &first).unwrap();
    swap.make(&Paused::nothing()).unwrap();
    swap.take_back(&Paused::nothing()).unwrap();
    assert!(fs::symlink_metadata(farm.current()).is_err(), "nothing was current before the first deploy");
    assert_eq!(farm.deploy(), farm.farm().current(&repo).unwrap().unwrap());
    let first = farm.farm().current(&repo).unwrap();
    farm.write("a", "2");
    let second = farm.commit(&repo, &farm.staging());
    farm.build(&repo, second);
    let swap = farm.farm().prepare_swap(&repo, &second).unwrap();
    assert_eq!(swap.before(), first);
    swap.make(&Paused::nothing()).unwrap();
    assert_eq!(fs::read(farm.current().join("a")).unwrap(), b"2");
    swap.take_back(&Paused::nothing()).unwrap();
    assert_eq!(fs::read(farm.current().join("a")).unwrap(), b"1");
}

#[test]
fn a_flush_that_is_owed_stays_owed_over_a_start_and_a_second_one() {
    use crate::pause::Scope;
    let mut farm = TestFarm::new();
    let repo = TestFarm::repo();
    assert_eq!(farm.farm().owed_flush(&repo).unwrap(), None);
    farm.farm().owe_flush(&repo, Scope::Environments(vec!["a".into()])).unwrap();
    farm.reopen();
    farm.farm().owe_flush(&repo, Scope::Environments(vec!["b".into()])).unwrap();
    let owed = farm.farm().owed_flush(&repo).unwrap();
    assert_eq!(owed, Some(Scope::Environments(vec!["a".into(), "b".into()])));
    fs::write(farm.data_dir().join("repos/puppet-code/flush-pending"), "{").unwrap();
    assert_eq!(farm.farm().owed_flush(&repo).unwrap(), Some(Scope::Everything), "a torn note counts as everything");
    farm.farm().flushed(&repo).unwrap();
    assert_eq!(farm.farm().owed_flush(&repo).unwrap(), None);
}

#[test]
fn bytes_that_are_not_those_of_the_id_never_become_a_blob() {
    let farm = TestFarm::new();
    let mut writer = farm.farm().blob_writer().unwrap();
    writer.write(b"evil").unwrap();
    assert!(writer.finish(BlobId::of(b"good"), &[false].into()).is_err());
    assert!(!farm.farm().blob_is_good(key(b"good")).unwrap());
    assert_eq!(count(&farm.data_dir().join("tmp")), 0);
}

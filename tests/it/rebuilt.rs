//! A database that is damaged itself: what can be read of it is saved, the rest comes from the other side, and nothing is lost in silence.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use sceneshift::values::CommitId;
use sceneshift::wire::api::CommitAnswer;

use crate::support::process::{Process, Site, sceneshift};
use crate::support::random::Random;
use crate::support::shows::assert_shows;
use crate::support::wait::until;

/// How long a sync and deploy may take.
const SOON: Duration = Duration::from_secs(60);

/// Two commits: so many files that tables have many blocks, and one of many chunks.
fn committed() -> (Site, Process, CommitAnswer) {
    let site = Site::new();
    let mut random = Random::new(7);
    for at in 0..300 {
        let path = format!("environments/production/modules/m{}/files/f{at}", at / 10);
        site.stage(&path, random.bytes(3000));
    }
    site.stage("large", random.bytes(5 << 20));
    let primary = site.start_primary();
    site.commit();
    site.stage("environments/production/manifests/site.pp", "node default {}");
    let head = site.commit();
    (site, primary, head)
}

/// What a start that is not the first leaves: tables, and an almost empty log.
fn in_tables() -> (Site, CommitAnswer) {
    let (site, primary, head) = committed();
    assert!(primary.stop().success());
    assert!(site.start_primary().stop().success());
    (site, head)
}

fn in_log() -> (Site, CommitAnswer) {
    let (site, primary, head) = committed();
    assert!(primary.stop().success());
    (site, head)
}

fn files(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = all.filter(|path| wanted(path.file_name().unwrap().to_str().unwrap())).collect();
    found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    found
}

/// The largest file of this kind.
fn largest(folder: &Path, kind: &str) -> PathBuf {
    files(folder, |name| name.ends_with(kind)).into_iter().next().unwrap_or_else(|| panic!("no {kind}"))
}

/// Changes a few bytes at so many hundredths of the file.
fn rot(path: &Path, hundredths: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() * hundredths / 100;
    bytes[at..at + 8].iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(path, bytes).unwrap();
}

fn fsck(data: &Path, args: &[&str]) -> (i32, serde_json::Value) {
    let output: Output = sceneshift(&["fsck", "--json"]).arg(data).args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    (output.status.code().unwrap(), report)
}

fn show(site: &Site, name: &str, commit: CommitId) {
    let target = format!("generations/{commit}/root");
    until("the commit is live", SOON, || {
        (fs::read_link(site.current(name)).ok()?.to_str() == Some(&target)).then_some(())
    });
    assert_shows(&site.staging(), &site.current(name));
}

/// Nothing was lost that staging has: the head is the same, and can be deployed.
fn saves_everything(what: &str, (site, head): (Site, CommitAnswer), damage: impl Fn(&Path)) {
    let store = site.primary_data().join("store");
    damage(&store);
    let checked = sceneshift(&["fsck", "--json"]).arg(site.primary_data()).output().unwrap();
    assert_ne!(checked.status.code(), Some(0), "{what}: the damage is seen");
    let (code, report) = fsck(&site.primary_data(), &["--repair"]);
    assert_eq!(code, 0, "{what}: {report:#}");
    assert!(report["rebuilt"]["lost-heads"].as_array().unwrap().is_empty(), "{what}: {report:#}");
    assert!(site.primary_data().join("store.damaged").is_dir(), "{what}");
    assert_eq!(fsck(&site.primary_data(), &[]).0, 0, "{what}");
    let primary = site.start_primary();
    let client = site.start_client("compile1");
    show(&site, "compile1", head.commit);
    let again = site.commit();
    assert_eq!((again.commit, again.created), (head.commit, false), "{what}: nothing changed");
    assert!(client.stop().success());
    assert!(primary.stop().success());
}

#[test]
fn a_store_whose_tables_rot() {
    saves_everything("a block", in_tables(), |store| rot(&largest(store, ".sst"), 40));
    saves_everything("the end", in_tables(), |store| {
        let table = largest(store, ".sst");
        let bytes = fs::read(&table).unwrap();
        fs::write(&table, &bytes[..bytes.len() - 100]).unwrap();
    });
    saves_everything("a whole table", in_tables(), |store| fs::remove_file(largest(store, ".sst")).unwrap());
}

#[test]
fn a_store_that_has_lost_the_list_of_its_tables() {
    saves_everything("no CURRENT", in_tables(), |store| fs::remove_file(store.join("CURRENT")).unwrap());
    saves_everything("an empty CURRENT", in_tables(), |store| fs::write(store.join("CURRENT"), "").unwrap());
    saves_everything("no MANIFEST", in_tables(), |store| {
        files(store, |name| name.starts_with("MANIFEST")).iter().for_each(|path| fs::remove_file(path).unwrap());
    });
    saves_everything("a rotten MANIFEST", in_tables(), |store| {
        files(store, |name| name.starts_with("MANIFEST")).iter().for_each(|path| rot(path, 50));
    });
    saves_everything("nothing but a log", in_log(), |store| {
        files(store, |name| name.starts_with("MANIFEST")).iter().for_each(|path| fs::remove_file(path).unwrap());
    });
}

#[test]
fn a_store_whose_log_rots_before_its_end() {
    // By itself RocksDB would go back, in silence, to before the first commit.
    saves_everything("a log", in_log(), |store| rot(&largest(store, ".log"), 30));
    let (site, head) = in_log();
    rot(&largest(&site.primary_data().join("store"), ".log"), 30);
    let mut command = sceneshift(&["serve", "--config"]);
    let started = command.arg(site.primary_settings_file()).output().unwrap();
    assert!(!started.status.success());
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(said.contains("fsck --repair"), "{said}");
    assert_eq!(fsck(&site.primary_data(), &["--repair"]).0, 0);
    let _primary = site.start_primary();
    assert_eq!(site.commit().commit, head.commit);
}

#[test]
fn a_head_that_is_lost_is_told_and_no_client_goes_back_by_itself() {
    let (site, primary, head) = committed();
    let client = site.start_client("compile1");
    show(&site, "compile1", head.commit);
    until("the primary knows", SOON, || {
        site.fleet()
            .clients
            .iter()
            .any(|client| client.report.repos[&head.repo].deployed == Some(head.commit))
            .then_some(())
    });
    assert!(primary.stop().success());
    // The commit's own record goes.
    {
        let (options, path) = (rocksdb::Options::default(), site.primary_data().join("store"));
        let families = rocksdb::DB::list_cf(&options, &path).unwrap();
        let database = rocksdb::DB::open_cf(&options, &path, families).unwrap();
        let commits = database.cf_handle("commits").unwrap();
        database.put_cf(commits, head.commit.as_bytes(), b"rot").unwrap();
        // Else what it was before would still be found in the log or an older table, and saved.
        database.compact_range_cf(commits, None::<&[u8]>, None::<&[u8]>);
    }
    let (code, report) = fsck(&site.primary_data(), &["--repair"]);
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(report["rebuilt"]["lost-heads"][0]["lost"], head.commit.to_string(), "{report:#}");
    assert_eq!(report["remaining"][0]["finding"], "head-lost", "{report:#}");
    assert_eq!(report["remaining"].as_array().unwrap().len(), 1, "{report:#}");

    let primary = site.start_primary();
    let asked = site.run(&["show", "head", "--json"]);
    assert!(asked.status.success(), "the history is there: {}", String::from_utf8_lossy(&asked.stderr));
    until("the client has asked", SOON, || site.metrics().contains("sceneshift_long_polls 1\n").then_some(()));
    show(&site, "compile1", head.commit);
    site.stage("environments/production/manifests/site.pp", "node default { include ntp }");
    let next = site.commit();
    assert_eq!(next.sequence, 2, "it follows the one that was saved");
    show(&site, "compile1", next.commit);
    assert!(primary.stop().success());
    assert_eq!(fsck(&site.primary_data(), &[]).0, 0, "all is well again");
    drop(client);
}

#[test]
fn a_client_whose_index_is_damaged_makes_it_anew_and_serves_meanwhile() {
    let (site, _primary, head) = committed();
    type Case = (&'static str, fn(&Path));
    let cases: [Case; 4] = [
        ("no CURRENT", |index| fs::remove_file(index.join("CURRENT")).unwrap()),
        ("no MANIFEST", |index| {
            files(index, |name| name.starts_with("MANIFEST")).iter().for_each(|path| fs::remove_file(path).unwrap());
        }),
        ("no table", |index| fs::remove_file(largest(index, ".sst")).unwrap()),
        ("a rotten table", |index| rot(&largest(index, ".sst"), 30)),
    ];
    for (at, (what, damage)) in cases.iter().enumerate() {
        let name = format!("compile{at}");
        let client = site.start_client(&name);
        show(&site, &name, head.commit);
        assert!(client.stop().success());
        assert!(site.start_client(&name).stop().success());
        let seen = fs::read_link(site.current(&name)).unwrap();
        damage(&site.client_data(&name).join("index"));
        if at % 2 == 0 {
            // A start does it, and so does a repair.
            let (_, report) = fsck(&site.client_data(&name), &["--repair"]);
            assert_eq!(report["remaining"][0]["finding"], "current-unknown", "{what}: {report:#}");
        }
        assert_eq!(fs::read_link(site.current(&name)).unwrap(), seen, "{what}");
        assert_shows(&site.staging(), &site.current(&name));
        let client = site.start_client(&name);
        until("all is known again", SOON, || {
            assert_shows(&site.staging(), &site.current(&name));
            site.status(&name).filter(|status| status.error.is_none() && !status.generations.is_empty())
        });
        assert!(client.stop().success());
        assert_eq!(fsck(&site.client_data(&name), &[]).0, 0, "{what}");
    }
}

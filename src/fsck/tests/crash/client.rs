//! Cuts in a client's runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::origin::{Step, Version, deploy, repo, sync};
use super::{Lab, findings, is_full, sweep, wrong_states};
use crate::disk::crash::{Deaf, Recording, Variant, reached};
use crate::farm::testing::seen;
use crate::farm::{Farm, FarmSettings, Retention, parse_current};
use crate::progress::Progress;
use crate::values::CommitId;

fn open(data: &Path) -> Farm {
    Farm::open(data, FarmSettings::default()).unwrap()
}

/// A client that has seen some versions of a site.
struct Site {
    lab: Lab,
    versions: Vec<Version>,
}

fn write(dir: &Path, path: &str, content: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

impl Site {
    /// Three versions: a whole site; one file of one module changed; an environment, a link and an executable more.
    fn new() -> Self {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let lab = Lab::new();
        let dir = lab.folder.path().join("staging");
        for environment in ["production", "dev"] {
            let of = |path: &str| format!("environments/{environment}/{path}");
            write(&dir, &of("modules/apache/manifests/init.pp"), "class apache {}");
            write(&dir, &of("modules/apache/files/empty"), "");
            write(&dir, &of("manifests/site.pp"), environment);
        }
        symlink("production", dir.join("environments/linked")).unwrap();
        symlink("../../hiera.yaml", dir.join("environments/dev/hiera")).unwrap();
        write(&dir, "hiera.yaml", "---");
        let first = Version::of(&dir, None);
        write(&dir, "environments/production/modules/apache/manifests/init.pp", "class apache { notice('2') }");
        let second = Version::of(&dir, Some(&first));
        write(&dir, "environments/test/manifests/site.pp", "class apache {}");
        write(&dir, "environments/dev/modules/apache/tasks/run.sh", "class apache {}");
        let run = dir.join("environments/dev/modules/apache/tasks/run.sh");
        fs::set_permissions(run, fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_file(dir.join("environments/linked")).unwrap();
        let third = Version::of(&dir, Some(&second));
        Self { lab, versions: vec![first, second, third] }
    }

    fn data(&self) -> PathBuf {
        self.lab.data()
    }

    /// Brings these versions live, one after the other, unobserved.
    fn bring(&self, versions: &[usize]) {
        let farm = open(&self.data());
        for version in versions {
            sync(&farm, &self.versions[*version]);
            deploy(&farm, &self.versions[*version], |_| {});
        }
    }

    /// What `current` names in a data directory that nobody has opened yet, as Puppet sees it.
    fn shown(&self) -> Option<CommitId> {
        let current = self.data().join("repos").join(repo().as_str()).join("current");
        let target = fs::read_link(&current).ok()?;
        let commit = parse_current(target.as_os_str().as_encoded_bytes()).expect("current names a generation");
        let version = self.versions.iter().find(|version| version.id == commit).unwrap();
        let seen = seen(&current);
        let wrong: Vec<_> = version.seen.iter().filter(|(path, what)| seen.get(*path) != Some(what)).collect();
        assert!(wrong.is_empty() && seen.len() == version.seen.len(), "current is not whole: {wrong:?}");
        Some(commit)
    }

    fn id(&self, version: usize) -> CommitId {
        self.versions[version].id
    }

    /// Checks a state that a cut left: one of `allowed` is live and whole, also after a start, which leaves nothing to find; and `goal` can be
    /// deployed then.
    fn check(&self, allowed: &[Option<usize>], goal: usize) {
        let allowed: Vec<Option<CommitId>> = allowed.iter().map(|one| one.map(|version| self.id(version))).collect();
        let before = self.shown();
        assert!(allowed.contains(&before), "{before:?} is live, not one of {allowed:?}");
        let farm = open(&self.data());
        assert_eq!(self.shown(), before, "a start changes what is live");
        drop(farm);
        assert_eq!(findings(&self.data()), [], "after a start");
        let farm = open(&self.data());
        if farm.owed_flush(&repo()).unwrap().is_some() {
            farm.flushed(&repo()).unwrap();
        }
        sync(&farm, &self.versions[goal]);
        if farm.current(&repo()).unwrap() != Some(self.id(goal)) {
            deploy(&farm, &self.versions[goal], |_| {});
        }
        assert_eq!(self.shown(), Some(self.id(goal)), "the next run brings the goal live");
        drop(farm);
        assert_eq!(findings(&self.data()), [], "after the next run");
    }

    fn flush_is_owed(&self) -> bool {
        self.data().join("repos").join(repo().as_str()).join("flush-pending").exists()
    }
}

/// Stages of a run that deploys once.
const SWAPPING: usize = 1;
const FLUSHED: usize = 2;
const CONFIRMED: usize = 3;
const DONE: usize = 4;

/// Brings a version live, observed.
fn bring(site: &Site, farm: &Farm, version: usize) {
    let data = site.data();
    sync(farm, &site.versions[version]);
    deploy(farm, &site.versions[version], |step| {
        let stage = match step {
            Step::Swapping => SWAPPING,
            Step::Flushed => FLUSHED,
            Step::Confirmed => CONFIRMED,
        };
        reached(&data, stage);
    });
    reached(&data, DONE);
}

/// Checks a run that took `from` to `to`.
fn sweep_deploy(name: &str, site: &Site, recording: &Recording, from: Option<usize>, to: usize) {
    sweep(name, recording, |stage| {
        let allowed = match stage {
            0 => vec![from],
            SWAPPING | FLUSHED => vec![from, Some(to)],
            _ => vec![Some(to)],
        };
        if stage == SWAPPING && site.shown() == Some(site.id(to)) {
            assert!(site.flush_is_owed(), "new code is live, an old cache may be, and nobody knows");
        }
        site.check(&allowed, to);
    });
}

#[test]
fn a_cut_in_the_first_fetch_build_and_deploy_leaves_nothing_or_all_of_it() {
    let site = Site::new();
    let recording = site.lab.record(|data| bring(&site, &open(data), 0));
    sweep_deploy("first deploy", &site, &recording, None, 0);
}

#[test]
fn a_cut_in_the_deploy_of_one_changed_file_leaves_the_old_or_the_new() {
    let site = Site::new();
    site.bring(&[0]);
    let recording = site.lab.record(|data| bring(&site, &open(data), 1));
    sweep_deploy("one changed file", &site, &recording, Some(0), 1);
}

#[test]
fn a_cut_in_a_deploy_with_new_environments_and_modes_leaves_the_old_or_the_new() {
    let site = Site::new();
    site.bring(&[1]);
    let recording = site.lab.record(|data| bring(&site, &open(data), 2));
    sweep_deploy("more of everything", &site, &recording, Some(1), 2);
}

#[test]
fn a_cut_in_a_rollback_leaves_the_new_or_the_old_and_never_the_old_without_its_pin() {
    let site = Site::new();
    site.bring(&[0, 1]);
    let recording = site.lab.record(|data| {
        let farm = open(data);
        sync(&farm, &site.versions[0]);
        farm.update_state(&repo(), |state| state.pinned = Some(site.id(0))).unwrap();
        bring(&site, &farm, 0);
    });
    sweep("rollback", &recording, |stage| {
        if site.shown() == Some(site.id(0)) {
            assert_eq!(open(&site.data()).state(&repo()).unwrap().pinned, Some(site.id(0)), "the pin is forgotten");
        }
        let allowed = match stage {
            0 => vec![Some(1)],
            SWAPPING | FLUSHED => vec![Some(1), Some(0)],
            _ => vec![Some(0)],
        };
        site.check(&allowed, 0);
    });
}

fn keep_one() -> BTreeMap<crate::values::RepoName, Retention> {
    BTreeMap::from([(repo(), Retention { keep: 1, age: Duration::ZERO })])
}

/// Prunes until all but the current generation are gone: those of this very millisecond stay.
fn prune(farm: &Farm) {
    let mut tries = 0;
    while farm.generations(&repo()).unwrap().len() > 1 {
        farm.prune(&keep_one(), &Progress::default()).unwrap();
        tries += 1;
        assert!(tries < 1_000_000, "old generations stay");
    }
}

#[test]
fn a_cut_in_a_prune_leaves_what_is_live_and_what_was_pruned_can_come_again() {
    let site = Site::new();
    site.bring(&[0, 1, 2]);
    let recording = site.lab.record(|data| prune(&open(data)));
    sweep("prune", &recording, |_| site.check(&[Some(2)], 0));
}

#[test]
fn a_cut_in_a_start_after_a_cut_is_no_worse() {
    let site = Site::new();
    site.bring(&[1]);
    let first = site.lab.record(|data| bring(&site, &open(data), 2));
    let states = first.states(&Variant::all(2));
    let step = states.len() / if is_full() { 40 } else { 3 };
    // Not from the beginning, where nothing is left to put right.
    for (number, (point, variant, state)) in states.iter().skip(step / 2).step_by(step).enumerate() {
        first.put(state);
        let second = site.lab.record(|data| drop(open(data)));
        let name = format!("start {number}, after {variant:?} at {}", point.stage);
        sweep(&name, &second, |_| match point.stage {
            0 => site.check(&[Some(1)], 2),
            SWAPPING | FLUSHED => site.check(&[Some(1), Some(2)], 2),
            _ => site.check(&[Some(2)], 2),
        });
    }
}

#[test]
fn a_cut_in_the_first_start_of_a_moved_data_directory_is_put_right_by_the_next() {
    let site = Site::new();
    let other = site.lab.folder.path().join("other");
    {
        let farm = open(&other);
        for version in [0, 1] {
            sync(&farm, &site.versions[version]);
            deploy(&farm, &site.versions[version], |_| {});
        }
    }
    fs::remove_dir(site.data()).unwrap();
    fs::rename(&other, site.data()).unwrap();
    let recording = site.lab.record(|data| drop(open(data)));
    sweep("moved", &recording, |_| {
        // Until it was started once, its links lead to where it was.
        drop(open(&site.data()));
        site.check(&[Some(1)], 2);
    });
}

/// Writes something else into the file that `path` of `current` is.
fn damage(site: &Site, path: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = site.data().join("repos").join(repo().as_str()).join("current").join(path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, DAMAGE).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
}

const DAMAGE: &str = "edited in place";

/// `current` shows what one of these versions has, or what somebody wrote into it, and nothing else.
fn shows_no_new_damage(site: &Site) {
    let current = site.data().join("repos").join(repo().as_str()).join("current");
    let seen = seen(&current);
    let damaged = crate::farm::testing::Seen::File(DAMAGE.into(), false);
    let fits = site.versions.iter().any(|version| {
        seen.len() == version.seen.len()
            && version.seen.iter().all(|(path, what)| seen.get(path).is_some_and(|it| it == what || *it == damaged))
    });
    assert!(fits, "current shows {seen:?}");
}

#[test]
fn a_cut_while_an_edited_file_is_healed_leaves_nothing_worse_and_the_next_run_heals_it() {
    let site = Site::new();
    site.bring(&[0, 1]);
    damage(&site, "environments/dev/modules/apache/manifests/init.pp");
    damage(&site, "hiera.yaml");
    // The next version has both, where they must be linked anew.
    let recording = site.lab.record(|data| bring(&site, &open(data), 2));
    sweep("heal", &recording, |_| {
        shows_no_new_damage(&site);
        let farm = open(&site.data());
        if farm.owed_flush(&repo()).unwrap().is_some() {
            farm.flushed(&repo()).unwrap();
        }
        shows_no_new_damage(&site);
        sync(&farm, &site.versions[2]);
        if farm.current(&repo()).unwrap() != Some(site.id(2)) {
            deploy(&farm, &site.versions[2], |_| {});
        }
        assert_eq!(site.shown(), Some(site.id(2)));
        drop(farm);
        assert_eq!(findings(&site.data()), [], "what was edited is healed everywhere");
    });
}

#[test]
fn a_cut_while_a_file_full_of_links_gets_a_fresh_inode_leaves_both_good() {
    let site = Site::new();
    site.bring(&[0]);
    let recording = site.lab.record(|data| {
        let farm = open(data);
        for content in ["class apache {}", "---"] {
            farm.renew_for_tests(content.as_bytes());
        }
        bring(&site, &farm, 2);
    });
    sweep_deploy("renewal", &site, &recording, Some(0), 2);
}

fn repair(site: &Site) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = findings(&site.data()).into_iter().map(|finding| match finding {
        crate::findings::Finding::Client(finding) => finding,
        crate::findings::Finding::Primary(finding) => panic!("{finding:?} on a client"),
    });
    let found = found.collect();
    let data = site.data();
    let repaired =
        crate::client::repair_offline(&data, None, None, found, std::sync::Arc::default(), Default::default());
    runtime.block_on(repaired).unwrap();
}

#[test]
fn a_cut_in_a_repair_leaves_nothing_worse_and_the_next_repair_ends_it() {
    let site = Site::new();
    site.bring(&[0, 1]);
    // A blob file that is a copy of itself, and a link that is gone from a live tree.
    let shard = fs::read_dir(site.data().join("blobs")).unwrap().next().unwrap().unwrap().path();
    let file = fs::read_dir(shard).unwrap().next().unwrap().unwrap().path();
    let copy = site.data().join("tmp/copy");
    fs::copy(&file, &copy).unwrap();
    fs::rename(&copy, &file).unwrap();
    let current = site.data().join("repos").join(repo().as_str()).join("current");
    fs::remove_file(current.join("environments/production/manifests/site.pp")).unwrap();
    let before = seen(&current);
    let recording = site.lab.record(|_| repair(&site));
    sweep("repair", &recording, |_| {
        let now = seen(&current);
        let right = &site.versions[1].seen;
        for (path, what) in &now {
            assert!(before.get(path) == Some(what) || right.get(path) == Some(what), "{}: {what:?}", path.display());
        }
        assert!(now.len() >= before.len(), "something is gone");
        drop(open(&site.data()));
        repair(&site);
        assert_eq!(findings(&site.data()), []);
        assert_eq!(site.shown(), Some(site.id(1)));
    });
}

/// The sweep itself: a sync that the program forgot would be found.
#[test]
fn a_forgotten_sync_is_found() {
    for deaf in [Deaf::FileSystem, Deaf::Directories, Deaf::Database] {
        let site = Site::new();
        site.bring(&[0]);
        let mut recording = site.lab.record_deaf(Some(deaf), |data| bring(&site, &open(data), 1));
        recording.points.retain(|point| point.stage >= SWAPPING);
        let wrong = wrong_states(&format!("without {deaf:?}"), &recording, |stage| {
            let allowed = if stage >= CONFIRMED { vec![Some(1)] } else { vec![Some(0), Some(1)] };
            site.check(&allowed, 1);
        });
        assert!(!wrong.is_empty(), "without {deaf:?} nothing is wrong");
    }
}

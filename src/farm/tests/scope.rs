//! Whose requests a swap concerns: named cases, and random trees held against the kernel's own way through them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use proptest::prelude::*;

use crate::farm::testing::{Seen, TestFarm};
use crate::pause::Scope;
use crate::values::{Commit, TreePath};

/// The scope of a swap from what `before` stages to what `change` makes of it.
fn scope(before: impl FnOnce(&TestFarm), change: impl FnOnce(&TestFarm)) -> Scope {
    let farm = TestFarm::new();
    before(&farm);
    let first = farm.commit(&TestFarm::repo(), &farm.staging());
    change(&farm);
    let second = farm.commit(&TestFarm::repo(), &farm.staging());
    let there = farm.farm().scope_between(Some(first), second).unwrap();
    // A rollback holds whom the deploy held.
    assert_eq!(farm.farm().scope_between(Some(second), first).unwrap(), there);
    there
}

fn only(names: &[&str]) -> Scope {
    Scope::Environments(names.iter().map(|name| (*name).to_owned()).collect())
}

fn three(farm: &TestFarm) {
    for environment in ["dev", "production", "test"] {
        farm.write(&format!("environments/{environment}/manifests/site.pp"), environment);
    }
    farm.write("modules/base/init.pp", "base");
}

fn remove(farm: &TestFarm, path: &str) {
    let path = farm.staging().join(path);
    if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
}

fn relink(farm: &TestFarm, path: &str, target: &str) {
    remove(farm, path);
    farm.symlink(path, target);
}

#[test]
fn only_the_environment_that_changed_is_held() {
    let edit = |farm: &TestFarm| farm.write("environments/dev/manifests/site.pp", "new");
    assert_eq!(scope(three, edit), only(&["dev"]));
}

#[test]
fn environments_that_come_and_go_are_held() {
    let change = |farm: &TestFarm| {
        remove(farm, "environments/dev");
        farm.write("environments/new/a", "a");
    };
    assert_eq!(scope(three, change), only(&["dev", "new"]));
    let all_gone = |farm: &TestFarm| remove(farm, "environments");
    assert_eq!(scope(three, all_gone), only(&["dev", "production", "test"]));
}

#[test]
fn a_change_beside_the_environments_is_everybodys() {
    assert_eq!(scope(three, |farm| farm.write("modules/base/init.pp", "new")), Scope::Everything);
    assert_eq!(scope(three, |farm| farm.write("hiera.yaml", "new")), Scope::Everything);
}

#[test]
fn the_same_tree_again_holds_nobody() {
    let absolute = |farm: &TestFarm| {
        three(farm);
        farm.symlink("environments/dev/etc", "/etc");
    };
    assert_eq!(scope(absolute, |_| ()), only(&[]));
}

#[test]
fn an_environment_that_is_a_link_changes_with_what_it_leads_to() {
    let before = |farm: &TestFarm| {
        three(farm);
        farm.symlink("environments/alias", "linked");
        farm.symlink("environments/linked", "production");
        farm.symlink("environments/other", "test");
    };
    let edit = |farm: &TestFarm| farm.write("environments/production/manifests/site.pp", "new");
    assert_eq!(scope(before, edit), only(&["alias", "linked", "production"]));
    let edit = |farm: &TestFarm| farm.write("environments/dev/manifests/site.pp", "new");
    assert_eq!(scope(before, edit), only(&["dev"]));
    // What leads to `linked` sees another tree, though no byte of it changed.
    let turn = |farm: &TestFarm| relink(farm, "environments/linked", "test");
    assert_eq!(scope(before, turn), only(&["alias", "linked"]));
}

#[test]
fn a_module_borrowed_from_another_environment_counts_and_nothing_beside_it() {
    let before = |farm: &TestFarm| {
        three(farm);
        farm.write("environments/production/modules/a/init.pp", "a");
        farm.symlink("environments/dev/modules/a", "../../production/modules/a");
        farm.symlink("environments/test/modules", "../dev/modules");
    };
    let module = |farm: &TestFarm| farm.write("environments/production/modules/a/init.pp", "new");
    assert_eq!(scope(before, module), only(&["dev", "production", "test"]));
    let beside = |farm: &TestFarm| farm.write("environments/production/manifests/site.pp", "new");
    assert_eq!(scope(before, beside), only(&["production"]));
}

#[test]
fn a_link_to_a_file_is_followed_and_its_executable_bit_counts() {
    let before = |farm: &TestFarm| {
        three(farm);
        farm.write("environments/dev/data/common.yaml", "a: 1");
        farm.symlink("environments/test/common.yaml", "../dev/data/common.yaml");
    };
    let edit = |farm: &TestFarm| farm.write("environments/dev/data/common.yaml", "a: 2");
    assert_eq!(scope(before, edit), only(&["dev", "test"]));
    let mode = |farm: &TestFarm| farm.write_executable("environments/dev/data/common.yaml", "a: 1");
    assert_eq!(scope(before, mode), only(&["dev", "test"]));
}

#[test]
fn a_way_through_what_lies_outside_is_followed_back_in() {
    let before = |farm: &TestFarm| {
        three(farm);
        farm.symlink("environments/test/shared", "../../shared/data");
        farm.write("shared/data/common.yaml", "a");
    };
    let edit = |farm: &TestFarm| farm.write("environments/dev/manifests/site.pp", "new");
    assert_eq!(scope(before, edit), only(&["dev"]));
    // A link outside that leads to a changed environment shows everybody the change.
    let through = |farm: &TestFarm| {
        before(farm);
        farm.symlink("shared/data/dev", "../../environments/dev");
    };
    assert_eq!(scope(through, edit), Scope::Everything);
    let other = |farm: &TestFarm| farm.write("environments/production/manifests/site.pp", "new");
    assert_eq!(scope(through, other), only(&["production"]));
}

#[test]
fn a_link_to_the_directory_of_all_environments_sees_every_change() {
    let before = |farm: &TestFarm| {
        three(farm);
        farm.symlink("environments/test/all", "..");
    };
    let edit = |farm: &TestFarm| farm.write("environments/dev/manifests/site.pp", "new");
    assert_eq!(scope(before, edit), only(&["dev", "test"]));
}

#[test]
fn who_reaches_a_link_that_no_commit_can_resolve_is_held_always() {
    for target in ["/srv/data", "../../../elsewhere"] {
        let before = |farm: &TestFarm| {
            three(farm);
            farm.symlink("environments/test/data", target);
            farm.symlink("environments/production/theirs", "../test");
        };
        let edit = |farm: &TestFarm| farm.write("environments/dev/manifests/site.pp", "new");
        assert_eq!(scope(before, edit), only(&["dev", "production", "test"]), "{target}");
    }
    let outside = |farm: &TestFarm| {
        three(farm);
        farm.symlink("modules/stdlib", "/usr/share/puppet/modules/stdlib");
    };
    let edit = |farm: &TestFarm| farm.write("environments/dev/manifests/site.pp", "new");
    assert_eq!(scope(outside, edit), Scope::Everything);
}

#[test]
fn a_link_that_leads_nowhere_counts_when_it_begins_to_lead_somewhere() {
    let before = |farm: &TestFarm| {
        three(farm);
        farm.symlink("environments/test/gone", "../dev/not/yet");
        farm.symlink("environments/production/round", "round");
    };
    let edit = |farm: &TestFarm| farm.write("environments/dev/manifests/site.pp", "new");
    assert_eq!(scope(before, edit), only(&["dev"]));
    let fill = |farm: &TestFarm| farm.write("environments/dev/not/yet", "now");
    assert_eq!(scope(before, fill), only(&["dev", "test"]));
}

#[test]
fn two_environments_that_lead_to_each_other_end() {
    let before = |farm: &TestFarm| {
        three(farm);
        farm.symlink("environments/dev/test", "../test");
        farm.symlink("environments/test/dev", "../dev");
    };
    let edit = |farm: &TestFarm| farm.write("environments/production/manifests/site.pp", "new");
    assert_eq!(scope(before, edit), only(&["production"]));
    let edit = |farm: &TestFarm| farm.write("environments/dev/manifests/site.pp", "new");
    assert_eq!(scope(before, edit), only(&["dev", "test"]));
}

#[test]
fn a_slash_behind_a_file_leads_nowhere_as_the_kernel_has_it() {
    let before = |farm: &TestFarm| {
        three(farm);
        farm.write("environments/dev/file", "a");
        farm.symlink("environments/test/file", "../dev/file/");
    };
    assert_eq!(scope(before, |farm| farm.write("environments/dev/file", "b")), only(&["dev"]));
}

#[test]
fn what_stands_in_the_place_of_the_environments_counts_as_outside() {
    let before = |farm: &TestFarm| {
        farm.write("one/dev/site.pp", "1");
        farm.write("two/dev/site.pp", "2");
        farm.symlink("environments", "one");
    };
    assert_eq!(scope(before, |farm| relink(farm, "environments", "two")), Scope::Everything);
}

#[test]
fn a_name_that_no_request_can_hold_makes_it_everything() {
    let change = |farm: &TestFarm| {
        let path = farm.staging().join("environments").join(OsStr::from_bytes(b"\xff"));
        fs::create_dir(path).unwrap();
    };
    assert_eq!(scope(three, change), Scope::Everything);
}

#[test]
fn a_file_that_moves_to_another_directory_on_the_way_is_a_change_outside() {
    let farm = TestFarm::new();
    let commit = || {
        let id = farm.commit(&TestFarm::repo(), &farm.staging());
        let commit = farm.farm().index().commit(&id).unwrap().unwrap();
        let deeper = TreePath::new(b"code/environments").unwrap();
        farm.farm().put_commit(&Commit { environments_dir: deeper, ..commit }).unwrap()
    };
    farm.write("code/environments/dev/site.pp", "1");
    farm.write("hiera.yaml", "a");
    let first = commit();
    fs::rename(farm.staging().join("hiera.yaml"), farm.staging().join("code/hiera.yaml")).unwrap();
    let second = commit();
    assert_eq!(farm.farm().scope_between(Some(first), second).unwrap(), Scope::Everything);
    farm.write("code/environments/dev/site.pp", "2");
    assert_eq!(farm.farm().scope_between(Some(second), commit()).unwrap(), only(&["dev"]));
}

#[test]
fn what_cannot_be_compared_is_everything() {
    let farm = TestFarm::new();
    three(&farm);
    let commit = farm.commit(&TestFarm::repo(), &farm.staging());
    assert_eq!(farm.farm().scope_between(None, commit).unwrap(), Scope::Everything);
    let unknown = "ab".repeat(32).parse().unwrap();
    assert_eq!(farm.farm().scope_between(Some(unknown), commit).unwrap(), Scope::Everything);
    assert!(farm.farm().scope_between(Some(commit), unknown).is_err());
}

// ---- random trees, and the kernel ----

/// Directories that links are put in, and files with them.
const PLACES: [&str; 8] = [
    "environments/a",
    "environments/a/lib",
    "environments/b",
    "environments/b/lib/deep",
    "environments/c",
    "environments/c/lib",
    "shared",
    "shared/lib",
];

const STEPS: [&str; 16] =
    ["..", "..", "..", "..", "a", "b", "c", "lib", "deep", "shared", "environments", "init", "l0", "l1", "l2", "init/"];

/// Where it stands, and the steps of its target.
type Link = (usize, Vec<usize>);

fn link() -> impl Strategy<Value = Link> {
    (0..PLACES.len(), prop::collection::vec(0..STEPS.len(), 1..5))
}

/// Which places have another file afterwards, and which link another target.
#[derive(Debug, Clone)]
struct Change {
    edited: Vec<usize>,
    turned: Option<(usize, Vec<usize>)>,
    removed: Option<usize>,
}

fn change() -> impl Strategy<Value = Change> {
    let turned = prop::option::weighted(0.3, (0..4usize, prop::collection::vec(0..STEPS.len(), 1..5)));
    // Rarely outside, where a change is everybody's.
    let edited = prop::collection::vec(prop_oneof![9 => 0..6usize, 1 => 6..8usize], 0..3);
    (edited, turned, prop::option::weighted(0.2, 0..6usize)).prop_map(|(edited, turned, removed)| Change {
        edited,
        turned,
        removed,
    })
}

fn write(root: &Path, links: &[Link], change: Option<&Change>) {
    let is = |place: usize, of: fn(&Change) -> &[usize]| change.is_some_and(|change| of(change).contains(&place));
    for (at, place) in PLACES.iter().enumerate() {
        let dir = root.join(place);
        fs::create_dir_all(&dir).unwrap();
        if !is(at, |change| change.removed.as_slice()) {
            let content = if is(at, |change| &change.edited) { "new" } else { "old" };
            fs::write(dir.join("init"), content).unwrap();
        }
    }
    for (at, (place, steps)) in links.iter().enumerate() {
        let turned = change.and_then(|change| change.turned.as_ref()).filter(|(turned, _)| *turned == at);
        let steps = turned.map_or(steps, |(_, steps)| steps);
        let target: Vec<&str> = steps.iter().map(|step| STEPS[*step]).collect();
        std::os::unix::fs::symlink(target.join("/"), root.join(PLACES[*place]).join(format!("l{at}"))).unwrap();
    }
}

/// Whether a process that walks `at` in both roots, and follows every link, sees the same, and never leaves them. `at` is the real place of
/// the entry on each side.
struct Walk<'a> {
    roots: [&'a Path; 2],
    been: BTreeSet<[std::path::PathBuf; 2]>,
}

impl Walk<'_> {
    fn same(&mut self, at: [&Path; 2]) -> bool {
        let text = at.map(|at| fs::read_link(at).ok());
        if text[0] != text[1] {
            return false;
        }
        if text[0].is_some() && (0..2).any(|side| leaves(self.roots[side], at[side])) {
            return false;
        }
        let seen = at.map(Seen::at);
        if seen[0] != seen[1] {
            return false;
        }
        let [Seen::Dir(names), _] = &seen else { return true };
        let real = at.map(|at| fs::canonicalize(at).unwrap());
        let first = self.been.insert(real.clone());
        !first || names.iter().all(|name| self.same([&real[0].join(name), &real[1].join(name)]))
    }
}

/// Whether the way of a link leaves the root, as the kernel finds it.
fn leaves(root: &Path, link: &Path) -> bool {
    let dir = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    let how = OpenHow::new().flags(OFlag::O_PATH).resolve(ResolveFlag::RESOLVE_BENEATH);
    openat2(dir, link.strip_prefix(root).unwrap(), how).err() == Some(Errno::EXDEV)
}

#[test]
fn the_scope_is_what_a_walk_that_follows_every_link_finds_changed() {
    let farm = TestFarm::new();
    let folder = fs::canonicalize(farm.folder()).unwrap();
    let roots = [folder.join("before"), folder.join("after")];
    let config = ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() };
    let held = std::cell::Cell::new([0usize; 4]);
    proptest!(config, |(links in prop::collection::vec(link(), 0..5), change in change())| {
        let _ = roots.each_ref().map(fs::remove_dir_all);
        write(&roots[0], &links, None);
        write(&roots[1], &links, Some(&change));
        let [before, after] = roots.each_ref().map(|root| farm.commit(&TestFarm::repo(), root));
        let found = farm.farm().scope_between(Some(before), after).unwrap();

        let is_same = |path: &str| {
            let mut walk = Walk { roots: roots.each_ref().map(std::path::PathBuf::as_path), been: BTreeSet::new() };
            walk.same([&roots[0].join(path), &roots[1].join(path)])
        };
        let trees = [before, after].map(|id| farm.farm().index().commit(&id).unwrap().unwrap().root.id);
        let wanted = if trees[0] == trees[1] {
            only(&[])
        } else if !is_same("shared") {
            Scope::Everything
        } else {
            only(&["a", "b", "c"].into_iter().filter(|name| !is_same(&format!("environments/{name}"))).collect::<Vec<_>>())
        };
        let mut counts = held.get();
        counts[match &wanted { Scope::Everything => 3, Scope::Environments(names) => names.len().min(2) }] += 1;
        held.set(counts);
        prop_assert_eq!(found, wanted);
    });
    assert!(held.get().iter().all(|count| *count > 10), "too few of a kind were tried: {:?}", held.get());
}

/// With `versioned_environment_dirs` Puppet Server remembers where an environment really lies, and with another layout that is elsewhere.
#[test]
fn another_layout_of_the_same_content_is_everybodys() {
    let farm = TestFarm::new();
    three(&farm);
    farm.write("environments/dev/modules/a/init.pp", "a");
    let first = farm.deploy();
    farm.write("environments/dev/modules/a/init.pp", "b");
    let second = farm.deploy();
    assert_eq!(farm.farm().scope_between(Some(first), second).unwrap(), only(&["dev"]));
    // Leaves the module by `..`, so that the module has to stay in its place.
    farm.symlink("environments/dev/modules/a/up", "../../manifests");
    let third = farm.deploy();
    assert_eq!(farm.farm().scope_between(Some(second), third).unwrap(), Scope::Everything);
}

//! What a commit holds.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::values::{BlobId, Totals};

#[test]
fn a_commit_holds_what_staging_holds() {
    let site = site();
    site.write("environments/production/manifests/site.pp", "node default {}");
    site.write("environments/production/bin/run", "#!/bin/sh");
    fs::set_permissions(site.at("environments/production/bin/run"), fs::Permissions::from_mode(0o750)).unwrap();
    site.link("environments/test", "production");
    site.link("modules/x", "../nowhere/at/all");
    fs::create_dir_all(site.at("modules/empty")).unwrap();
    site.write("modules/nothing", "");
    let answer = site.commit();
    let expected = [
        ("environments/production/bin/run", "*#!/bin/sh"),
        ("environments/production/manifests/site.pp", "node default {}"),
        ("environments/test", "-> production"),
        ("modules/empty", "/"),
        ("modules/nothing", ""),
        ("modules/x", "-> ../nowhere/at/all"),
    ];
    assert_eq!(site.shown(), expected.map(|(path, content)| (path.to_owned(), content.to_owned())).into());
    assert!(answer.created);
    assert_eq!((answer.sequence, answer.parent, answer.files, answer.bytes), (1, None, 3, 24));
    assert_eq!(answer.changes, Changes { added: 5, modified: 0, removed: 0 });
}

#[test]
fn the_same_content_elsewhere_has_the_same_id() {
    let trees = [site(), site()].map(|site| {
        site.write("b/x", "1");
        site.write("a", "2");
        site.commit().tree
    });
    assert_eq!(trees[0], trees[1]);
}

#[test]
fn names_and_targets_of_any_bytes_are_recorded() {
    let site = site();
    let name = OsStr::from_bytes(b"\xff\xfe \n");
    fs::write(site.repo.staging_dir.join(name), "x").unwrap();
    symlink(OsStr::from_bytes(b"\x80"), site.at("link")).unwrap();
    let tree = site.store.tree(&site.commit().tree).unwrap().unwrap();
    assert_eq!(tree.entries()[1].0.as_os_str(), name);
    assert!(matches!(&tree.entries()[0].1, Entry::Symlink(target) if target.as_bytes() == b"\x80"));
}

#[test]
fn a_file_of_many_chunks_is_stored_whole() {
    let site = site();
    let content: Vec<u8> = (0..1_300_000u32).flat_map(u32::to_le_bytes).collect();
    site.write("large", &content);
    let tree = site.store.tree(&site.commit().tree).unwrap().unwrap();
    let Some(Entry::File { id, size, .. }) = tree.get(b"large") else { panic!("{tree:?}") };
    assert_eq!((*id, *size), (BlobId::of(&content), content.len() as u64));
    let mut stored = Vec::new();
    site.store.copy_blob(id, &mut stored).unwrap();
    assert!(stored == content);
}

#[test]
fn directories_deeper_than_any_path_may_be_long_are_committed() {
    let site = site();
    let name = "d".repeat(255);
    let mut dir = Dir::open(&site.repo.staging_dir).unwrap();
    for _ in 0..200 {
        dir.make_dir(name.as_str(), 0o755).unwrap();
        dir = dir.open_dir(name.as_str()).unwrap();
    }
    drop(dir.create_file("file", 0o644).unwrap());
    let answer = site.commit();
    assert_eq!(answer.files, 1);
    assert!(!site.commit().created);
}

#[test]
fn what_is_ignored_is_not_there_and_refuses_nothing() {
    let mut site = site();
    site.repo.ignore = vec!["*.swp".into(), "/scratch/".into(), "!.r10k-deploy.json".into()];
    for file in ["a.pp", ".a.pp.swp", "scratch/x", "b/scratch/x", ".git/config", "b/.git", "b/.r10k-deploy.json"] {
        site.write(file, file);
    }
    nix::unistd::mkfifo(&site.at("pipe.swp"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    site.commit();
    assert_eq!(site.shown().into_keys().collect::<Vec<_>>(), ["a.pp", "b/.r10k-deploy.json", "b/scratch/x"]);
}

#[test]
fn totals_count_everything_below() {
    let site = site();
    site.write("a/b/c", "123");
    site.write("a/d", "4567");
    site.link("a/b/l", "x");
    site.commit();
    let head = site.store.commit(&site.head().unwrap()).unwrap().unwrap();
    assert_eq!(head.root.totals, Totals { files: 2, links: 1, bytes: 7 });
}

#[test]
fn the_answer_warns_of_what_will_not_work_elsewhere() {
    let site = site();
    site.link("environments/a", site.at("environments/b"));
    site.link("modules/x", "../../x");
    site.write("modules/m/lib/x.rb", "require_relative '../../other/lib/y'");
    site.write("environments/b/environment.conf", "config_version = version.sh");
    let warnings = site.commit().warnings;
    let about: Vec<_> = warnings.iter().map(|text| text.split(' ').next().unwrap()).collect();
    assert_eq!(about, ["environments/a", "environments/b/environment.conf", "modules/m/lib/x.rb", "modules/x"]);
}

#[test]
fn an_entry_that_becomes_another_kind_is_that_kind() {
    let site = site();
    site.write("x/y", "1");
    site.commit();
    site.remove("x");
    site.write("x", "2");
    let answer = site.commit();
    assert_eq!(answer.changes, Changes { added: 1, modified: 0, removed: 1 });
    assert_eq!(site.content("x").as_deref(), Some("2"));
    site.remove("x");
    site.link("x", "y");
    assert_eq!(site.commit().changes, Changes { added: 0, modified: 1, removed: 0 });
    assert_eq!(site.content("x").as_deref(), Some("-> y"));
}

//! What refuses a commit, and how it says so.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::Instant;

use super::*;
use crate::values::MAX_DEPTH;

#[test]
fn a_fifo_refuses_the_commit_with_its_path_and_at_once() {
    let mut site = site();
    site.write("a/x", "1");
    nix::unistd::mkfifo(&site.at("a/pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let begun = Instant::now();
    let error = site.try_commit().unwrap_err();
    assert!(matches!(&error, IngestError::Special { path: found } if *found == path("a/pipe")), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(site.head(), None);
    let _socket = UnixListener::bind(site.at("a/socket")).unwrap();
    site.repo.skip_special = true;
    site.commit();
    assert_eq!(site.shown().into_keys().collect::<Vec<_>>(), ["a/x"]);
}

#[test]
fn a_staging_directory_that_is_none_is_named_with_its_setting() {
    let mut site = site();
    fs::write(site.folder.path().join("file"), "").unwrap();
    site.repo.staging_dir = site.folder.path().join("file");
    let error = site.try_commit().unwrap_err();
    assert!(matches!(error, IngestError::StagingNotADirectory { .. }), "{error:?}");
    assert!(error.to_string().contains("staging-dir of [repos.puppet-code]"), "{error}");
    site.repo.staging_dir = site.folder.path().join("nowhere");
    let error = site.try_commit().unwrap_err();
    assert!(matches!(error, IngestError::StagingMissing { .. }), "{error:?}");
    assert!(error.to_string().contains("staging-dir of [repos.puppet-code]"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let site = site();
    site.write("a/secret", "1");
    fs::set_permissions(site.at("a/secret"), fs::Permissions::from_mode(0o000)).unwrap();
    if nix::unistd::geteuid().is_root() {
        println!("not tried: root reads everything");
        return;
    }
    let error = site.try_commit().unwrap_err();
    assert!(matches!(&error, IngestError::Unreadable { path: found, .. } if *found == path("a/secret")), "{error:?}");
}

#[test]
fn directories_deeper_than_a_tree_may_nest_are_refused() {
    let site = site();
    let mut dir = Dir::open(&site.repo.staging_dir).unwrap();
    for _ in 1..MAX_DEPTH {
        dir.make_dir("d", 0o755).unwrap();
        dir = dir.open_dir("d").unwrap();
    }
    assert!(site.commit().created, "512 levels are allowed");
    dir.make_dir("d", 0o755).unwrap();
    let error = site.try_commit().unwrap_err();
    assert!(matches!(error, IngestError::TooDeep { .. }), "{error:?}");
    assert!(error.to_string().len() < 500, "{error}");
}

#[test]
fn a_cancelled_commit_leaves_the_head() {
    let site = site();
    site.write("x", "1");
    let progress = Progress::default();
    progress.cancel();
    let refused = commit(&site.store, &site.repo, &CommitRequest::default(), &progress);
    assert!(matches!(refused, Err(IngestError::Cancelled)), "{refused:?}");
    assert_eq!(site.head(), None);
}

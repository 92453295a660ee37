//! Bad input, each time with a clear error, nothing lost and nothing half done.

mod failing_disk;
mod full_disk;
mod many_links;
mod no_room;
mod on_disk;
mod starts;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use sceneshift::remote::{HeadAnswer, RemoteError};
use sceneshift::values::CommitId;
use sceneshift::wire::api::CommitRequest;

use crate::support::rig::{Rig, http_client};
use crate::support::shows::assert_shows;
use crate::support::tree::Tree;

/// A rig with one commit that is live.
fn deployed() -> (Rig, CommitId) {
    let rig = Rig::new();
    let mut tree = Tree::default();
    tree.file("environments/production/manifests/site.pp", 1, 100);
    tree.file("environments/production/modules/m/files/f", 2, 100);
    rig.stage(&tree);
    let commit = rig.commit().commit;
    rig.deploy();
    (rig, commit)
}

/// The commit is refused with this status and these words, and the head and `current` stand.
#[track_caller]
fn assert_refused(rig: &Rig, head: CommitId, request: &CommitRequest, status: u16, words: &str) {
    let current = fs::read_link(rig.current()).unwrap();
    match rig.try_commit(request) {
        Err(RemoteError::Problem { status: found, detail, .. }) => {
            assert_eq!(found, status, "{detail}");
            assert!(detail.contains(words), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    assert_head(rig, head);
    rig.deploy();
    assert_eq!(fs::read_link(rig.current()).unwrap(), current);
}

#[track_caller]
fn assert_head(rig: &Rig, expected: CommitId) {
    match rig.block_on(rig.remote().head(&rig.repo(), None, std::time::Duration::ZERO)).unwrap() {
        HeadAnswer::Head(info) => assert_eq!(info.commit, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn staging_that_is_gone_or_no_directory_or_empty_moves_no_head() {
    let (rig, head) = deployed();
    let (staging, aside) = (rig.staging(), rig.folder().join("aside"));
    let all = CommitRequest::default();
    fs::rename(&staging, &aside).unwrap();
    assert_refused(&rig, head, &all, 409, "does not exist");
    fs::write(&staging, "a file").unwrap();
    assert_refused(&rig, head, &all, 409, "is not a directory");
    fs::remove_file(&staging).unwrap();
    // A mount that is lost.
    fs::create_dir(&staging).unwrap();
    assert_refused(&rig, head, &all, 409, "staging is empty");
    fs::create_dir(staging.join("environments")).unwrap();
    assert_refused(&rig, head, &all, 409, "gone from staging");
    fs::remove_dir_all(&staging).unwrap();
    fs::rename(&aside, &staging).unwrap();
    let again = rig.commit();
    assert_eq!((again.commit, again.created), (head, false));
}

#[test]
fn a_socket_or_a_fifo_in_staging_is_named() {
    let (rig, head) = deployed();
    let all = CommitRequest::default();
    let modules = rig.staging().join("environments/production/modules");
    let socket = UnixListener::bind(modules.join("socket")).unwrap();
    assert_refused(
        &rig,
        head,
        &all,
        422,
        "environments/production/modules/socket in staging is a socket, FIFO or device",
    );
    drop(socket);
    fs::remove_file(modules.join("socket")).unwrap();
    nix::unistd::mkfifo(&modules.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert_refused(&rig, head, &all, 422, "environments/production/modules/fifo");
    fs::remove_file(modules.join("fifo")).unwrap();
    assert!(!rig.commit().created);
}

#[test]
fn what_may_not_be_read_is_named() {
    if nix::unistd::geteuid().is_root() {
        println!("skipped: root may read everything");
        return;
    }
    let (rig, head) = deployed();
    let all = CommitRequest::default();
    for (path, words) in
        [("environments/production/modules/m", "modules/m in staging cannot be read"), ("", "cannot open")]
    {
        let path = rig.staging().join(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        assert_refused(&rig, head, &all, if words == "cannot open" { 409 } else { 422 }, words);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_request_that_makes_no_sense_moves_no_head() {
    let (rig, head) = deployed();
    let nowhere = rig.block_on(rig.remote().commit(&"nope".parse().unwrap(), &CommitRequest::default())).unwrap_err();
    assert_eq!(nowhere.status(), Some(404), "{nowhere}");
    assert!(nowhere.to_string().contains("nope"), "{nowhere}");
    let environment = CommitRequest { environments: vec!["nope".into()], ..CommitRequest::default() };
    assert_refused(&rig, head, &environment, 422, "nope");
    let expected = CommitRequest { expect_head: Some(CommitId::of(b"other")), ..CommitRequest::default() };
    assert_refused(&rig, head, &expected, 409, "the head is");
    let long = CommitRequest { message: Some("m".repeat(65_537)), ..CommitRequest::default() };
    let outcome = rig.try_commit(&long).unwrap_err();
    assert!(matches!(outcome.status(), Some(400 | 413)), "{outcome}");

    let url = format!("{}/v1/repos/puppet-code/commits", rig.address());
    let post = |body: String| {
        let sent = http_client().post(&url).body(body).send();
        let answer = rig.block_on(async { sent.await.unwrap() });
        (answer.status().as_u16(), rig.block_on(answer.text()).unwrap())
    };
    let (status, problem) = post("{\"mesage\": \"x\"}".into());
    assert!(status == 400 && problem.contains("mesage"), "{status} {problem}");
    // Also who sends far more than a connection buffers reads why it was refused.
    let (status, problem) = post(format!("{{\"message\": \"{}\"}}", "m".repeat(64 << 20)));
    assert!(status == 413 && problem.contains("larger than this route takes"), "{status} {problem}");
    assert_eq!(post("{".into()).0, 400);
    assert_head(&rig, head);
    assert_shows(&rig.staging(), &rig.current());
}

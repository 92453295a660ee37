//! A disk that fails under running daemons: it turns read-only, as ext4 does after an error, or answers every call with an I/O error. Nothing
//! acknowledged is lost; what is asked for meanwhile is refused; and once the disk is well, a restart is all that is needed.
//!
//! An operator cannot remount it read-only himself: the kernel refuses that while a database has its log open. After an error newer
//! kernels want a file system unmounted before it is written again, so the daemons have to be restarted in any case.

use std::fs;
use std::path::Path;
use std::process::Command;

use sceneshift::remote::RemoteError;
use sceneshift::values::CommitId;

use super::on_disk::{CLIENT, OnDisk};
use crate::support::image::{Image, run, skip};
use crate::support::process::Process;

/// How a disk fails.
struct Failure {
    fail: fn(&Image) -> Result<(), String>,
    /// Whether what is there can be read.
    is_readable: bool,
    /// What the system says then.
    words: &'static str,
}

/// ext4 found an error in itself.
const READ_ONLY: Failure = Failure {
    fail: |disk| {
        let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", disk.device());
        fs::write(&trigger, "1").map_err(|error| format!("{trigger}: {error}"))
    },
    is_readable: true,
    words: "Read-only file system",
};

/// What is in the journal stays; what is not is lost, as it is with a disk that is pulled out.
const ERRORS: Failure = Failure {
    fail: |disk| run(Command::new("xfs_io").args(["-x", "-c", "shutdown -f"]).arg(disk.path())),
    is_readable: false,
    words: "Input/output error",
};

/// Both daemons with a second version live, on a disk; the primary elsewhere where it says so.
fn deployed(is_primary_elsewhere: bool) -> Option<(OnDisk, Process, Process)> {
    let on = OnDisk::new(Image::ext4(300, &[], "errors=remount-ro")?);
    if is_primary_elsewhere {
        fs::remove_file(on.site.primary_data()).unwrap();
    }
    let (primary, client) = (on.site.start_primary(), on.site.start_client(CLIENT));
    for version in [1, 2] {
        on.stage(version, 50, 10_000);
        on.commit().unwrap();
        on.sync().unwrap();
    }
    on.stage(3, 50, 10_000);
    Some((on, primary, client))
}

/// The disk is well again: the daemons are started, and go on where they were.
fn mend(mut on: OnDisk, daemons: [Process; 2], acknowledged: CommitId, live: &Path) {
    for daemon in daemons {
        // It may say that it could not end well.
        daemon.stop();
    }
    on.disk.mount_again();
    assert_eq!(on.live(), live, "current is what it was");
    let (primary, client) = (on.site.start_primary(), on.site.start_client(CLIENT));
    assert_eq!(on.head().unwrap(), Some(acknowledged));
    on.commit().unwrap();
    on.sync().unwrap();
    on.assert_shows_staging();
    on.assert_clean();
    for process in [client, primary] {
        assert!(process.stop().success());
    }
    on.assert_clean();
}

fn under_a_primary(failure: &Failure) {
    let Some((on, mut primary, client)) = deployed(false) else { return };
    let (acknowledged, live) = (on.head().unwrap().unwrap(), on.live());
    let Some(()) = skip((failure.fail)(&on.disk)) else { return };
    for _ in 0..2 {
        let refused = on.commit().unwrap_err();
        println!("a commit: {refused}");
        assert!(matches!(&refused, RemoteError::Problem { status: 500, .. }), "{refused:?}");
        assert!(refused.to_string().contains("restart"), "it says what to do: {refused}");
        assert!(primary.is_running(), "{}", primary.log());
    }
    assert!(primary.log().contains(failure.words), "the log names the cause: {}", primary.log());
    if failure.is_readable {
        assert_eq!(on.head().unwrap(), Some(acknowledged), "what is stored is served");
    }
    mend(on, [client, primary], acknowledged, &live);
}

fn under_a_client(failure: &Failure) {
    let Some((on, primary, mut client)) = deployed(true) else { return };
    let live = on.live();
    let Some(()) = skip((failure.fail)(&on.disk)) else { return };
    let acknowledged = on.commit().unwrap().commit;
    for _ in 0..2 {
        let refused = on.sync().unwrap_err();
        println!("a sync: {refused}");
        let text = refused.to_string();
        assert!(text.contains(failure.words) && text.contains("restart"), "it names the cause, and what to do: {text}");
        assert!(client.is_running(), "{}", client.log());
    }
    if failure.is_readable {
        assert_eq!(on.live(), live);
        let shown = fs::read_to_string(on.current().join("environments/production/version")).unwrap();
        assert_eq!(shown, "2", "what is live is served");
    }
    mend(on, [client, primary], acknowledged, &live);
}

#[test]
fn a_disk_that_turns_read_only_under_a_primary_loses_nothing() {
    under_a_primary(&READ_ONLY);
}

#[test]
fn a_disk_that_answers_with_errors_under_a_primary_loses_nothing() {
    under_a_primary(&ERRORS);
}

#[test]
fn a_disk_that_turns_read_only_under_a_client_loses_nothing() {
    under_a_client(&READ_ONLY);
}

#[test]
fn a_disk_that_answers_with_errors_under_a_client_loses_nothing() {
    under_a_client(&ERRORS);
}

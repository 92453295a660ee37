//! `pause = "hooks"`: commands of the site in place of the gate.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::process::Site;
use crate::support::rig::Rig;
use crate::support::wait::until;

const SOON: Duration = Duration::from_secs(30);

/// Scripts that note when they were called, with what, and what was live then.
pub(super) struct Scripts(PathBuf);

impl Scripts {
    /// In `folder`, for a client whose `current` is there. `pause` and `resume` are more lines of theirs.
    pub(super) fn write(folder: &Path, current: &Path, pause: &str, resume: &str) -> Self {
        for (name, more) in [("pause", pause), ("resume", resume)] {
            let live = current.join("environments/production/version");
            let text = format!(
                "#!/bin/sh\ncd {folder:?}\nlive=$(cat {live:?} 2>/dev/null)\n\
                 echo \"{name} $1 repo=$SCENESHIFT_REPO commit=$SCENESHIFT_COMMIT scope=$SCENESHIFT_SCOPE environments=[$SCENESHIFT_ENVIRONMENTS] live=$live\" >> calls\n{more}\n"
            );
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(folder.to_owned())
    }

    pub(super) fn settings(&self, timeout: &str) -> String {
        let (pause, resume) = (self.0.join("pause"), self.0.join("resume"));
        format!(
            "pause = \"hooks\"\n[repos.puppet-code.hooks]\npause = [{pause:?}, \"host 1\"]\nresume = [{resume:?}, \"host 1\"]\ntimeout = {timeout:?}"
        )
    }

    /// What was called since.
    pub(super) fn take_calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.join("calls")).unwrap_or_default();
        let _ = std::fs::remove_file(self.0.join("calls"));
        text.lines().map(str::to_owned).collect()
    }
}

/// A rig with version 1 live, and its scripts.
fn rig(pause: &str, resume: &str, timeout: &str) -> (Rig, Scripts) {
    let mut rig = Rig::new();
    let scripts = Scripts::write(rig.folder(), &rig.current(), pause, resume);
    rig.client_settings = scripts.settings(timeout);
    stage(&rig, "production", "1");
    rig.commit();
    (rig, scripts)
}

fn stage(rig: &Rig, environment: &str, version: &str) {
    let dir = rig.staging().join("environments").join(environment);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("version"), version).unwrap();
}

fn live(rig: &Rig) -> Option<String> {
    std::fs::read_to_string(rig.current().join("environments/production/version")).ok()
}

#[test]
fn they_are_called_around_the_swap_and_told_what_it_is_about() {
    let (rig, scripts) = rig("", "", "20s");
    rig.deploy();
    scripts.take_calls();
    for environment in ["production", "development"] {
        stage(&rig, environment, "2");
    }
    let commit = rig.commit().commit;
    rig.deploy();
    let about =
        format!("host 1 repo=puppet-code commit={commit} scope=environments environments=[development production]");
    let at_start = "resume host 1 repo=puppet-code commit= scope=all environments=[] live=1".to_owned();
    assert_eq!(scripts.take_calls(), [at_start, format!("pause {about} live=1"), format!("resume {about} live=2")]);
    std::fs::write(rig.staging().join("beside"), "all environments may use it").unwrap();
    rig.commit();
    rig.deploy();
    assert!(scripts.take_calls()[1].contains("scope=all environments=[]"));
}

#[test]
fn where_pause_fails_nothing_is_deployed_and_resume_is_called_all_the_same() {
    let (rig, scripts) = rig("[ ! -e fail ] || exit 3", "", "20s");
    rig.deploy();
    scripts.take_calls();
    std::fs::write(rig.folder().join("fail"), "").unwrap();
    stage(&rig, "production", "2");
    rig.commit();
    let error = format!("{:?}", rig.try_deploy().unwrap_err());
    assert!(error.contains("pause") && error.contains("Failed"), "{error}");
    assert_eq!(live(&rig).as_deref(), Some("1"));
    let calls = scripts.take_calls();
    assert!(calls.len() == 3 && calls[1].starts_with("pause") && calls[2].starts_with("resume"), "{calls:?}");
    std::fs::remove_file(rig.folder().join("fail")).unwrap();
    rig.deploy();
    assert_eq!(live(&rig).as_deref(), Some("2"));
}

#[test]
fn a_pause_that_hangs_is_killed_with_what_it_started_and_resume_is_called() {
    let hang = "[ ! -e hang ] || { sleep 60 & echo $! > child; wait; }";
    let (rig, scripts) = rig(hang, "", "700ms");
    rig.deploy();
    scripts.take_calls();
    std::fs::write(rig.folder().join("hang"), "").unwrap();
    stage(&rig, "production", "2");
    rig.commit();
    let error = format!("{:?}", rig.try_deploy().unwrap_err());
    assert!(error.contains("TimedOut"), "{error}");
    assert_eq!(live(&rig).as_deref(), Some("1"));
    let calls = scripts.take_calls();
    assert!(calls.len() == 3 && calls[2].starts_with("resume"), "{calls:?}");
    let child = std::fs::read_to_string(rig.folder().join("child")).unwrap();
    until("its child is gone, too", SOON, || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        // Nobody may be there to bury it.
        (!stat.contains("(sleep)") || stat.contains(") Z ")).then_some(())
    });
}

#[test]
fn a_resume_that_fails_is_tried_again_until_it_works_and_shown_until_then() {
    let (rig, scripts) = rig("", "[ ! -e fail ] || exit 4", "20s");
    let config = rig.client_config_for(rig.address());
    let client = rig.start_client_with(config);
    let status = |rig: &Rig| rig.block_on(rig.socket().status()).ok()?.repos.into_values().next();
    until("version 1 is live", SOON, || status(&rig)?.deployed_at);
    std::fs::write(rig.folder().join("fail"), "").unwrap();
    scripts.take_calls();
    stage(&rig, "production", "2");
    rig.commit();
    until("the status shows it", SOON, || {
        let error = status(&rig)?.error?;
        (error.contains("resume") && error.contains("exit")).then_some(())
    });
    assert_eq!(live(&rig).as_deref(), Some("2"), "the code is live");
    let mut calls = scripts.take_calls();
    assert_eq!(calls.iter().filter(|call| call.starts_with("resume")).count(), 3, "{calls:?}");
    // Not forgotten by the next look at the head, where there is nothing to deploy.
    until("it is tried again later", SOON, || {
        calls = scripts.take_calls();
        calls.first().filter(|call| call.starts_with("resume")).map(drop)
    });
    assert!(status(&rig).unwrap().error.is_some(), "and is shown until it works");
    std::fs::remove_file(rig.folder().join("fail")).unwrap();
    until("it works", SOON, || status(&rig)?.error.is_none().then_some(()));
    rig.stop_client(client);
}

#[test]
fn a_daemon_that_was_killed_while_requests_were_kept_away_lets_them_flow_when_it_starts() {
    let mut site = Site::new();
    // Bounded: it outlives the daemon.
    let wait = "if [ -e block ]; then i=0; while [ -e block ] && [ $i -lt 3000 ]; do sleep 0.01; i=$((i+1)); done; fi";
    let scripts = Scripts::write(site.folder(), &site.current("client"), wait, "");
    site.client_settings = scripts.settings("60s");
    site.stage("environments/production/version", "1");
    let primary = site.start_primary();
    let client = site.start_client("client");
    let first = site.commit().commit;
    until("version 1 is live", SOON, || (site.status("client")?.deployed == Some(first)).then_some(()));
    until("requests flow", SOON, || scripts.take_calls().last().filter(|call| call.starts_with("resume")).map(drop));
    std::fs::write(site.folder().join("block"), "").unwrap();
    site.stage("environments/production/version", "2");
    let second = site.commit().commit;
    until("requests are kept away", SOON, || {
        scripts.take_calls().last().filter(|call| call.starts_with("pause")).map(drop)
    });
    client.kill();
    primary.kill();
    assert!(scripts.take_calls().is_empty(), "nobody lets them flow");
    let client = site.start_client_of("client", &site.address());
    until("resume is called, without a primary", SOON, || {
        scripts.take_calls().first().filter(|call| call.starts_with("resume")).map(drop)
    });
    std::fs::remove_file(site.folder().join("block")).unwrap();
    let primary = site.start_primary();
    until("version 2 is live", SOON, || (site.status("client")?.deployed == Some(second)).then_some(()));
    assert!(client.stop().success());
    primary.kill();
}

//! A rollback that does not come to its end. Hooks stand still where a test wants to look, or kill.

use std::fs;
use std::time::Duration;

use sceneshift::values::CommitId;
use sceneshift::wire::api::{PinRequest, PinTo};

use super::hooks::Scripts;
use crate::support::process::{Process, Site, assert_clean, sceneshift};
use crate::support::rig::Rig;
use crate::support::wait::until;

const SOON: Duration = Duration::from_secs(30);

/// A site whose client runs the second of two commits.
struct Stage {
    site: Site,
    scripts: Scripts,
    _primary: Process,
    client: Process,
    first: CommitId,
    second: CommitId,
}

/// A hook that waits as long as the file `name` is there. Bounded, for it outlives its daemon.
fn standing(name: &str) -> String {
    format!("i=0; while [ -e {name} ] && [ $i -lt 6000 ]; do sleep 0.01; i=$((i+1)); done")
}

impl Stage {
    fn new() -> Self {
        let mut site = Site::new();
        let (pause, resume) = (standing("stand-in-pause"), standing("stand-in-resume"));
        let scripts = Scripts::write(site.folder(), &site.current("client"), &pause, &resume);
        site.client_settings = scripts.settings("60s");
        site.stage("environments/production/version", "1");
        let primary = site.start_primary();
        let client = site.start_client("client");
        let first = site.commit().commit;
        until("version 1 is live", SOON, || (site.status("client")?.deployed == Some(first)).then_some(()));
        site.stage("environments/production/version", "2");
        let second = site.commit().commit;
        let stage = Self { site, scripts, _primary: primary, client, first, second };
        until("version 2 is live", SOON, || stage.is_idle_at(second));
        stage
    }

    fn is_idle_at(&self, commit: CommitId) -> Option<()> {
        let status = self.site.status("client")?;
        let is_idle = status.progress.phase == sceneshift::progress::Phase::Idle;
        (is_idle && status.deployed == Some(commit)).then_some(())
    }

    fn shown(&self) -> String {
        fs::read_to_string(self.site.current("client").join("environments/production/version")).unwrap()
    }

    /// Begins a rollback, and kills the client while a hook stands still.
    fn kill_in(mut self, hook: &str) -> Self {
        let file = self.site.folder().join(format!("stand-in-{hook}"));
        fs::write(&file, "").unwrap();
        self.scripts.take_calls();
        let mut command = sceneshift(&["rollback", "--data-dir"]);
        command.arg(self.site.client_data("client"));
        let mut rollback = Process::start("the rollback", command, self.site.folder().join("rollback.log"));
        until("the hook stands still", SOON, || {
            self.scripts.take_calls().last().filter(|call| call.starts_with(hook)).map(drop)
        });
        self.client.kill();
        assert!(!rollback.ended().success(), "nobody said that it is done");
        fs::remove_file(file).unwrap();
        self.client = self.site.start_client("client");
        self
    }

    /// The client has found back to the first commit, and stays there.
    fn ends_at_the_first(self) {
        until("the rollback is finished", SOON, || self.is_idle_at(self.first));
        // Whoever follows the head has asked for it by now, or does so at once.
        self.site.stage("environments/production/version", "3");
        let third = self.site.commit().commit;
        until("the newer head is known", SOON, || (self.site.status("client")?.head == Some(third)).then_some(()));
        let status = self.site.status("client").unwrap();
        assert_eq!((status.deployed, status.pinned), (Some(self.first), Some(self.first)));
        assert_eq!(self.shown(), "1");
        assert!(self.client.stop().success());
        assert_clean(&self.site.client_data("client"));
    }
}

#[test]
fn one_that_was_killed_before_the_swap_is_finished_at_the_next_start() {
    let stage = Stage::new();
    assert_eq!((stage.shown().as_str(), stage.second), ("2", stage.site.commit().commit));
    stage.kill_in("pause").ends_at_the_first();
}

#[test]
fn one_that_was_killed_after_the_swap_does_not_bring_back_what_it_got_rid_of() {
    let stage = Stage::new().kill_in("resume");
    stage.ends_at_the_first();
}

#[test]
fn one_that_fails_leaves_no_pin_and_keeps_the_one_before() {
    let mut rig = Rig::new();
    let scripts = Scripts::write(rig.folder(), &rig.current(), "[ ! -e fail ] || exit 3", "");
    rig.client_settings = scripts.settings("20s");
    let mut commits = Vec::new();
    let client = rig.start_client();
    let status = |rig: &Rig| rig.block_on(rig.socket().status()).ok()?.repos.into_values().next();
    for version in ["1", "2", "3"] {
        fs::create_dir_all(rig.staging().join("environments/production")).unwrap();
        fs::write(rig.staging().join("environments/production/version"), version).unwrap();
        let commit = rig.commit().commit;
        until("it is live", SOON, || (status(&rig)?.deployed == Some(commit)).then_some(()));
        commits.push(commit);
    }
    let roll_back = |to| rig.block_on(rig.socket().pin(&PinRequest { repo: rig.repo(), to: PinTo::Commit(to) }));
    let fail = rig.folder().join("fail");
    for (works, to, live, pinned) in
        [(false, 0, 2, None), (true, 1, 1, Some(1)), (false, 0, 1, Some(1)), (true, 0, 0, Some(0))]
    {
        let _ = fs::remove_file(&fail);
        if !works {
            fs::write(&fail, "").unwrap();
        }
        assert_eq!(roll_back(commits[to]).is_ok(), works);
        let found = status(&rig).unwrap();
        let expected = (Some(commits[live]), pinned.map(|at: usize| commits[at]));
        assert_eq!((found.deployed, found.pinned), expected, "to {to}, works: {works}");
    }
    rig.stop_client(client);
}

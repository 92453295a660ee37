//! The primary's sockets: users of its machine are let in by their accounts, without a certificate.

use std::path::PathBuf;
use std::process::{Command, Output};

use sceneshift::remote::Remote;
use sceneshift::wire::api::ClientReport;
use tokio::runtime::Runtime;

use crate::support::ca::{Ca, HOST};
use crate::support::folder;
use crate::support::process::{Process, sceneshift};
use crate::support::user::OtherUser;

/// A machine with a primary that asks other machines for certificates.
struct Machine {
    folder: tempfile::TempDir,
    access: String,
}

impl Machine {
    fn new(access: &str) -> Self {
        let folder = folder::fast();
        Ca::new(&folder.path().join("ssl"));
        for repo in ["puppet-code", "secrets"] {
            let staging = folder.path().join(repo).join("environments/production");
            std::fs::create_dir_all(&staging).unwrap();
            std::fs::write(staging.join("site.pp"), repo).unwrap();
        }
        Self { folder, access: access.to_owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn socket(&self) -> String {
        format!("unix:{}", self.path("primary.sock").display())
    }

    fn control(&self) -> String {
        format!("unix://{}", self.path("primary/control.sock").display())
    }

    fn settings(&self) -> String {
        format!(
            "data-dir = {:?}\nlisten = \"127.0.0.1:0\"\nsocket = {:?}\n[puppet]\nssl-dir = {:?}\ncertname = {HOST:?}\n[access]\n{}\n\
             [repos.puppet-code]\nstaging-dir = {:?}\n[repos.secrets]\nstaging-dir = {:?}\nlocal-read = []\nlocal-commit = [\"bin\"]\n",
            self.path("primary"),
            self.path("primary.sock"),
            self.path("ssl"),
            self.access,
            self.path("puppet-code"),
            self.path("secrets"),
        )
    }

    fn serve(&self) -> Command {
        let path = self.path("primary.toml");
        std::fs::write(&path, self.settings()).unwrap();
        let mut command = sceneshift(&["serve", "--config"]);
        command.arg(path);
        command
    }

    fn start(&self) -> Process {
        let log = self.path("primary.log");
        let _ = std::fs::remove_file(&log);
        let mut process = Process::start("the primary", self.serve(), log);
        process.listening();
        process
    }

    /// What `serve` says where it does not start.
    fn refusal(&self) -> String {
        let output = self.serve().output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    }
}

fn asked(server: &str, args: &[&str]) -> Output {
    sceneshift(args).env("SCENESHIFT_SERVER", server).output().unwrap()
}

#[track_caller]
fn assert_done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn assert_refused(output: &Output, words: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(words), "{words:?} is not in {errors}");
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

const COMMIT: [&str; 3] = ["commit", "-r", "puppet-code"];
const LOG: [&str; 3] = ["log", "-r", "puppet-code"];

#[test]
fn who_runs_the_primary_commits_and_reads_on_either_socket_and_needs_no_certificate() {
    let machine = Machine::new("");
    let primary = machine.start();
    for server in [machine.socket(), machine.control()] {
        assert_done(&asked(&server, &COMMIT));
        assert_done(&asked(&server, &LOG));
        assert_done(&asked(&server, &["clients"]));
    }
    // What the port answers is on both, the daemon's own only on its control socket.
    let runtime = runtime();
    runtime.block_on(async {
        let control = Remote::new(&machine.control()).unwrap();
        assert_eq!(control.primary_status().await.unwrap().repos.len(), 2);
        let socket = Remote::new(&machine.socket()).unwrap();
        assert_eq!(socket.primary_status().await.unwrap_err().status(), Some(404));
        socket.report("compile1", &ClientReport::default()).await.unwrap();
    });
    assert!(primary.stop().success());
    assert!(!machine.path("primary.sock").exists() && !machine.path("primary/control.sock").exists());
}

#[test]
fn others_commit_and_read_as_the_settings_say_and_nobody_else_does() {
    // Of `games`, the user's number is not the group's.
    let machine = Machine::new("local-commit = [\"daemon\"]\nlocal-read = [\"%games\"]");
    let users = ["daemon", "games", "bin", "sys"].map(|name| OtherUser::new(name, machine.folder.path()));
    let [Some(committer), Some(reader), Some(keeper), Some(stranger)] = users else { return };
    let primary = machine.start();
    let socket = machine.socket();

    assert_done(&committer.sceneshift(&socket, &COMMIT));
    assert_done(&committer.sceneshift(&socket, &["tag", "-r", "puppet-code", "first", "head"]));
    let log = assert_done(&reader.sceneshift(&socket, &LOG));
    assert!(log.contains("first"), "{log}");
    assert_eq!(assert_done(&reader.sceneshift(&socket, &["cat", "environments/production/site.pp"])), "puppet-code");
    assert_refused(&reader.sceneshift(&socket, &COMMIT), "user games is not in [access] local-commit");
    for args in [&COMMIT[..], &LOG, &["clients"]] {
        assert_refused(&stranger.sceneshift(&socket, args), "user sys is not in [access] local-");
    }

    // The repo with lists of its own.
    let unseen = "there is no repo \"secrets\" that user daemon may read";
    assert_refused(&committer.sceneshift(&socket, &["commit", "-r", "secrets"]), unseen);
    assert_done(&keeper.sceneshift(&socket, &["commit", "-r", "secrets"]));
    assert_refused(&keeper.sceneshift(&socket, &LOG), "that user bin may read");

    // A user's report would pass for a client's.
    let forged = "{\"version\":\"1\",\"repos\":{}}";
    let mut curl = committer.command("curl");
    curl.args(["--silent", "--unix-socket"]).arg(machine.path("primary.sock"));
    let answer = curl.args(["--data", forged, "http://x/v1/clients/compile1"]).output();
    match answer {
        Ok(answer) if answer.status.success() => {
            let answer = String::from_utf8(answer.stdout).unwrap();
            assert!(answer.contains("cannot report as"), "{answer}");
        }
        _ => println!("skipped: no curl to forge a report with"),
    }
    for user in [&committer, &reader, &stranger] {
        assert_refused(&user.sceneshift(&machine.control(), &LOG), "Permission denied");
    }
    assert!(primary.stop().success());
}

#[test]
fn a_socket_that_a_killed_primary_left_is_replaced_and_one_that_is_in_use_is_not() {
    let machine = Machine::new("");
    machine.start().kill();
    assert!(machine.path("primary.sock").exists(), "it left one");
    let primary = machine.start();
    assert_done(&asked(&machine.socket(), &COMMIT));

    // Another primary with the same socket.
    let other = Machine::new("");
    let text = other.settings().replace(&*other.path("primary.sock").to_string_lossy(), &machine.socket()[5..]);
    let config = other.path("other.toml");
    std::fs::write(&config, text).unwrap();
    let output = sceneshift(&["serve", "--config"]).arg(&config).output().unwrap();
    assert_refused(&output, "is answered by another daemon");
    assert_done(&asked(&machine.socket(), &LOG));
    assert!(primary.stop().success());
}

#[test]
fn settings_that_cannot_be_meant_stop_the_start_and_say_what_to_do() {
    let unknown = Machine::new("local-commit = [\"no-such-user\"]");
    let refusal = unknown.refusal();
    assert!(refusal.contains("[access] local-commit") && refusal.contains("no user \"no-such-user\""), "{refusal}");

    let taken = Machine::new("");
    std::fs::write(taken.path("primary.sock"), "somebody's file").unwrap();
    assert!(taken.refusal().contains("is no socket"));
    assert_eq!(std::fs::read_to_string(taken.path("primary.sock")).unwrap(), "somebody's file");

    let nowhere = Machine::new("local-read = [\"root\"]");
    let text = nowhere.settings().replace("primary.sock", "missing/primary.sock");
    let config = nowhere.path("nowhere.toml");
    std::fs::write(&config, text).unwrap();
    let output = sceneshift(&["serve", "--config"]).arg(&config).output().unwrap();
    assert_refused(&output, "does its directory exist");
}

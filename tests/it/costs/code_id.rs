//! `sceneshift-code-id`, which Puppet Server starts for every catalog.

use std::process::{Command, Stdio};

use super::{Client, SMALL, assert_at_most};
use crate::support::strace::{self, Calls, Trace};

/// More calls than `true` makes.
const MORE_THAN_TRUE: u64 = 40;

#[test]
fn the_program_that_is_started_for_every_catalog_calls_little_more_than_one_that_does_nothing() {
    if !strace::is_possible() {
        return;
    }
    let client = Client::start(SMALL);
    client.commit_and_deploy();
    let calls = |program: &str, args: &[&str]| -> Calls {
        let mut command = Command::new(program);
        command.args(args).env("SCENESHIFT_CLIENT_CONFIG", client.site.folder().join("client.toml"));
        let trace = Trace::of_all(client.site.folder().join("program.strace"));
        let mut output = None;
        let log = trace.during(|| output = Some(trace.of(&command).stdin(Stdio::null()).output().unwrap()));
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout.is_empty(), args.is_empty(), "{output:?}");
        log.all()
    };
    let nothing = calls("true", &[]);
    let found = calls(env!("CARGO_BIN_EXE_sceneshift-code-id"), &["env0"]);
    println!("a program that does nothing: {nothing}");
    assert_at_most("calls", found.all(), nothing.all() + MORE_THAN_TRUE, &found);
}

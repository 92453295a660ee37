//! The command line as a script sees it: what goes where, and with which status it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

/// An address at which nobody listens, and what holds it: a port that is bound but does not accept.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A primary that answers every request with this document, until the test ends.
fn primary(document: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while stream.read_line(&mut line).unwrap_or(0) > 2 {
                line.clear();
            }
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{document}", document.len());
            let _ = stream.get_mut().write_all(answer.as_bytes());
        }
    });
    address
}

fn sceneshift(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sceneshift"));
    command.args(args).env_remove("SCENESHIFT_SERVER").env_remove("SCENESHIFT_AUTHOR").env_remove("RUST_LOG");
    command.stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (Output, String) {
    let output = sceneshift(args).output().unwrap();
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    (output, errors)
}

/// The history of a repo, as many bytes as no pipe holds.
fn long_history() -> String {
    let id = "0123456789abcdef".repeat(4);
    let commit = serde_json::json!({
        "commit": id, "repo": "puppet-code", "tree": id, "parent": null, "sequence": 1, "time": "2026-11-24T12:00:00Z",
        "author": {"name": "Jane", "email": ""}, "message": "m".repeat(500), "environments-dir": "environments",
        "files": 1, "links": 0, "bytes": 1,
    });
    serde_json::json!({"commits": vec![commit; 1000]}).to_string()
}

#[test]
fn a_failure_leaves_standard_output_empty_and_says_what_to_do() {
    let (output, errors) = run(&["log", "-r", "puppet-code", "--server", &nobody()]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(errors.starts_with("sceneshift: error: cannot connect to the primary at http://127.0.0.1:"), "{errors}");
    assert!(
        errors.contains("is `sceneshift serve` running there") && errors.contains(": Connection refused"),
        "{errors}"
    );
}

#[test]
fn a_call_that_makes_no_sense_ends_with_2() {
    for args in [&["frobnicate"][..], &["rollback", "--fleet"], &["commit", "--wait", "soon"], &[]] {
        assert_eq!(run(args).0.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn fsck_that_could_not_check_ends_with_2_and_not_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let (output, errors) = run(&["fsck", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("is not a data directory of sceneshift"), "{errors}");
}

#[test]
fn a_wrong_setting_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("primary.toml");
    std::fs::write(&path, "data-dir = \"/d\"\n[repos.puppet-code]\nstaging-dri = \"/s\"").unwrap();
    let (output, errors) = run(&["serve", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("line 3") && errors.contains("did you mean `staging-dir`?"), "{errors}");
}

#[test]
fn json_is_one_document_that_reads_back() {
    let server = primary(long_history());
    let (output, errors) = run(&["log", "-n", "1000", "--json", "-r", "puppet-code", "--server", &server]);
    assert_eq!((output.status.code(), errors.as_str()), (Some(0), ""));
    let history: sceneshift::wire::api::History = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(history.commits.len(), 1000);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let server = primary(long_history());
    let args = ["log", "-n", "0", "-r", "puppet-code", "--server", &server];
    let mut child = sceneshift(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 1]).unwrap();
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}

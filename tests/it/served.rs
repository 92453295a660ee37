//! `sceneshift served`: what an agent was given, found in the gate's log and its rotated ones.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::support::process::sceneshift;

fn line(time: &str, certname: &str, path: &str, code_id: &str) -> String {
    format!(
        "{{\"time\":\"{time}\",\"certname\":\"{certname}\",\"method\":\"POST\",\"path\":\"{path}\",\"environment\":\"production\",\"status\":200,\"bytes\":9,\"held-ms\":41.5,\"upstream-ms\":900.0,\"total-ms\":950.0,\"commit\":\"c0ffee\",\"code-id\":\"{code_id}\"}}\n"
    )
}

/// A log that was rotated twice, once with compression, and whose last line is being written.
fn logs(folder: &Path) -> String {
    let catalog = "/puppet/v3/catalog/web1";
    let older = line("2026-11-24T01:00:00Z", "web1", catalog, "1111");
    let mut newer = line("2026-11-25T01:00:00Z", "web1", catalog, "2222");
    newer += &line("2026-11-25T01:00:01Z", "web1", "/puppet/v3/file_content/modules/a/b", "2222");
    newer += &line("2026-11-25T01:00:02Z", "web2", "/puppet/v3/catalog/web2", "2222");
    newer += "{\"time\":\"2026-11-25T01:00:03Z\",\"certname\":\"web1\",\"pa";
    std::fs::write(folder.join("access.log.2.gz"), "packed").unwrap();
    std::fs::write(folder.join("access.log.1"), older).unwrap();
    std::fs::write(folder.join("access.log"), newer).unwrap();
    let settings = folder.join("client.toml");
    let mut text = String::new();
    let _ = write!(
        text,
        "data-dir = \"/nowhere\"\nserver = \"http://127.0.0.1:1\"\n[puppet]\ncertname = \"c\"\n[gate]\nlisten = \"127.0.0.1:1\"\nupstream = \"http://127.0.0.1:1\"\naccess-log = {:?}\n[repos.a]\n",
        folder.join("access.log")
    );
    std::fs::write(&settings, text).unwrap();
    settings.to_str().unwrap().to_owned()
}

fn ids(output: &Output) -> Vec<String> {
    let found: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    found.iter().map(|served| served["code-id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_catalogs_of_one_agent_are_found_also_in_rotated_logs() {
    let folder = tempfile::tempdir().unwrap();
    let config = logs(folder.path());
    let served = |more: &[&str]| {
        let args = [&["served", "--certname", "web1", "--config", &config], more].concat();
        sceneshift(&args).output().unwrap()
    };
    let output = served(&["--json"]);
    assert_eq!(ids(&output), ["1111", "2222"], "oldest first, no other agent's, nothing half-written");
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 compressed"), "what was not searched is said");
    assert_eq!(ids(&served(&["--json", "--all"])), ["1111", "2222", "2222"]);
    assert_eq!(ids(&served(&["--json", "-n", "1"])), ["2222"]);
    let text = String::from_utf8(served(&[]).stdout).unwrap();
    assert!(text.contains("2026-11-25T01:00:00Z") && text.contains("production") && text.contains("41.5 ms"), "{text}");
}

#[test]
fn a_log_can_come_by_standard_input_and_a_missing_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = sceneshift(&["served", "--certname", "web1", "--log", "-", "--json"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(line("2026-11-25T01:00:00Z", "web1", "/puppet/v3/catalog/web1", "3333").as_bytes()).unwrap();
    drop(input);
    assert_eq!(ids(&child.wait_with_output().unwrap()), ["3333"]);

    let missing = folder.path().join("no.log");
    let output = sceneshift(&["served", "--certname", "web1", "--log", missing.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no.log"));

    let none = sceneshift(&["served", "--certname", "web9", "--config", &logs(folder.path())]).output().unwrap();
    assert_eq!(none.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&none.stdout).contains("no catalog"), "that there is none is an answer");
}

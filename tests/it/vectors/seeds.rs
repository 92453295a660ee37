//! What the fuzz targets begin with: the small vectors that are accepted, documents as the program writes them, and settings.

use std::collections::BTreeMap;

use sceneshift::values::{Author, BlobId, CommitId, TreeId};
use sceneshift::wire::api::{
    ClientReport, CommitRequest, FetchRequest, ObjectAt, ObjectId, ObjectsRequest, PinRequest, PinTo, Problem,
    RepoStatus, RollbackRequest, SyncRequest, TagRequest,
};
use serde::Serialize;

use super::{File, Outcome};

/// A longer one would only slow the fuzzer down.
const MOST: usize = 1024;

/// The seeds by path: the target's name, then one for the file.
pub(crate) fn seeds(files: &[File]) -> BTreeMap<String, Vec<u8>> {
    let mut seeds = BTreeMap::new();
    for file in files {
        let target = match file.name {
            "tree.txt" => "tree",
            "commit.txt" => "commit",
            "blob-record.txt" => "blob_record",
            "stream.txt" => "stream",
            "tree-delta.txt" => "tree_delta",
            _ => continue,
        };
        for case in file.cases.iter().filter(|case| matches!(case.outcome, Outcome::Accepted(_))) {
            // The target tells the inputs of one case apart by their lengths.
            let inputs: Vec<Vec<u8>> = case.inputs.iter().map(|(_, bytes)| bytes.concat()).collect();
            let seed = match inputs.as_slice() {
                [base, delta] => [&(base.len() as u16).to_le_bytes()[..], base, delta].concat(),
                _ => inputs.concat(),
            };
            if seed.len() <= MOST {
                seeds.insert(format!("{target}/{}", file_name(&case.name)), seed);
            }
        }
    }
    seeds.extend(documents());
    seeds.extend(settings());
    seeds.extend(patterns());
    seeds.extend(ignored());
    seeds.extend(asked());
    seeds.extend(spoken());
    seeds.extend(steps());
    seeds
}

fn file_name(text: &str) -> String {
    let plain = |sign: char| if sign.is_ascii_alphanumeric() { sign.to_ascii_lowercase() } else { '-' };
    text.chars().map(plain).collect::<String>().split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// The first byte chooses the kind of document.
fn documents() -> Vec<(String, Vec<u8>)> {
    let commit = CommitId::from_bytes([0xcc; 32]);
    let author = Some(Author { name: "Ada".into(), email: "ada@example.com".into() });
    let message = Some("why".to_owned());
    let objects = vec![
        ObjectAt { path: "a%20b".into(), id: ObjectId::Blob(BlobId::of(b"")) },
        ObjectAt { path: String::new(), id: ObjectId::Tree(TreeId::of(b"")) },
    ];
    let repo = "puppet-code".parse().expect("a good name");
    let status = RepoStatus { deployed: Some(commit), sequence: Some(7), ..RepoStatus::default() };
    let report = ClientReport {
        version: "0.1.0".into(),
        repos: [("r".parse().expect("a good name"), status)].into(),
        ..ClientReport::default()
    };
    let problem = Problem {
        kind: "about:blank".into(),
        title: "Conflict".into(),
        status: 409,
        detail: "staging changed".into(),
        paths: vec!["a/b".into()],
    };
    let environments = vec!["production".to_owned()];
    let request = CommitRequest {
        message: message.clone(),
        author: author.clone(),
        environments,
        expect_head: Some(commit),
        allow_empty: true,
    };
    vec![
        document("commit", 0, &request),
        document("fetch", 1, &FetchRequest { want: commit, have: vec![commit] }),
        document("objects", 2, &ObjectsRequest { commit, objects }),
        document("rollback", 3, &RollbackRequest { commit, message, author }),
        document("tag", 4, &TagRequest { commit: Some(commit) }),
        document("sync", 5, &SyncRequest { repo: None }),
        document("pin", 6, &PinRequest { repo, to: PinTo::Commit(commit) }),
        document("problem", 7, &problem),
        document("report", 8, &report),
    ]
}

fn document(name: &str, kind: u8, document: &impl Serialize) -> (String, Vec<u8>) {
    let text = serde_json::to_vec(document).expect("plain data is plain JSON");
    (format!("documents/{name}"), [&[kind], text.as_slice()].concat())
}

fn settings() -> [(String, Vec<u8>); 3] {
    [
        ("config/primary".into(), include_bytes!("../../../examples/primary.toml").to_vec()),
        ("config/client".into(), include_bytes!("../../../examples/client.toml").to_vec()),
        ("config/wrong-key".into(), b"data-dir = \"/d\"\n[repos.puppet-code]\nstaging-dri = \"/s\"\n".to_vec()),
    ]
}

/// A pattern and a path, a line each.
fn patterns() -> [(String, Vec<u8>); 3] {
    [
        ("shared_dirs/environments".into(), b"environments/*\nenvironments/production".to_vec()),
        ("shared_dirs/modules".into(), b"environments/*/*modules/*\nenvironments/a/site-modules/b".to_vec()),
        ("shared_dirs/many-stars".into(), b"a*b*c*\naXbYc".to_vec()),
    ]
}

/// Patterns, and a path in the last line.
fn ignored() -> [(String, Vec<u8>); 3] {
    [
        ("ignore/swap-files".into(), b"*.swp\nenvironments/production/.x.swp".to_vec()),
        ("ignore/taken-in-again".into(), b"*.log\n!keep.log\na/keep.log".to_vec()),
        ("ignore/anchored".into(), b"/top\nspec/\n[a-c]?\n**/doc\na/b/doc".to_vec()),
    ]
}

/// What agents ask: a path, a query and a form.
fn asked() -> [(String, Vec<u8>); 4] {
    let lines = |path: &str, query: &str, form: &str| format!("{path}\n{query}\n{form}").into_bytes();
    [
        (
            "agent_request/catalog".into(),
            lines("/puppet/v3/catalog/node1", "environment=production", "facts=%257B%257D&environment=production"),
        ),
        ("agent_request/report".into(), lines("/puppet/v3/report/node1", "environment=dev", "")),
        (
            "agent_request/hidden".into(),
            lines("/puppet/v3/report/%2e%2e/catalog/x", "%65nvironment=a&environment=b", ""),
        ),
        ("agent_request/certificate".into(), lines("/puppet-ca/v1/certificate/ca", "", "")),
    ]
}

/// What is said to a primary's port.
fn spoken() -> [(String, Vec<u8>); 7] {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes();
    let send = |method: &str, path: &str, body: &str| {
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    [
        ("request/head".into(), get("/v1/repos/puppet-code/head?wait=1&known=00")),
        ("request/file".into(), get("/v1/repos/puppet-code/commits/head/files/environments/production")),
        ("request/diff".into(), get("/v1/repos/puppet-code/diff?from=head&to=head")),
        ("request/status".into(), get("/status/v1/services?level=debug")),
        ("request/commit".into(), send("POST", "/v1/repos/puppet-code/commits", "{\"message\":\"x\"}")),
        ("request/pe-commit".into(), send("POST", "/file-sync/v1/commit", "{\"commit-all\":true}")),
        ("request/tag".into(), send("PUT", "/v1/repos/puppet-code/tags/t", "{\"commit\":null}")),
    ]
}

/// Bytes that stand for steps, or for a site and what is done to its stream.
fn steps() -> [(String, Vec<u8>); 4] {
    let deploys = [[0, 1, 13], [2, 0, 0], [4, 0, 0], [0, 6, 16], [2, 0, 0], [4, 0, 0], [6, 0, 0], [7, 0, 0], [8, 0, 0]];
    let faults = [[0, 1, 13], [2, 0, 0], [9, 7, 1], [4, 0, 0], [9, 9, 2], [0, 6, 16], [2, 0, 0], [4, 0, 0], [8, 0, 0]];
    let site = [2, 0, 0, 2, 1, 3, 65, 4, 2, 2, 1, 1, 4, 66, 7, 1, 3, 5, 66, 7];
    [
        ("model/deploys".into(), deploys.concat()),
        ("model/faults".into(), faults.concat()),
        ("receive/whole".into(), [&site[..], &[0, 2]].concat()),
        ("receive/tampered".into(), [&site[..], &[2, 1, 2, 1, 0, 2, 2, 1, 30, 3]].concat()),
    ]
}

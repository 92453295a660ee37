//! The server as its clients see it, over real connections.

mod bad_requests;
mod control;
pub(super) mod estate;
mod files;
mod keeping;
mod polls;
mod streams;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{ServeError, serve_on};
use crate::config::{PrimaryConfig, read_primary};

/// A primary that runs, with one repo `puppet-code` and an empty one `other`.
struct Running {
    url: String,
    http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServeError>>,
    folder: tempfile::TempDir,
}

impl Running {
    async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(folder: tempfile::TempDir) -> Self {
        for staging in ["staging", "other"] {
            std::fs::create_dir_all(folder.path().join(staging)).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { drop(stopped.await) };
        let task = tokio::spawn(serve_on(config(folder.path()), listener, stopped));
        let _chosen_before = rustls::crypto::ring::default_provider().install_default();
        let running = Self { url, http: reqwest::Client::new(), stop: Some(stop), task, folder };
        // The connection waits in the listener's queue until the server takes it.
        assert_eq!(running.get("/readyz").await.0, 200);
        running
    }

    /// Stops it and waits until it has returned; the data directory stays.
    async fn stop(mut self) -> tempfile::TempDir {
        drop(self.stop.take());
        tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("it stops").unwrap().unwrap();
        self.folder
    }

    fn stage(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.folder.path().join("staging").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// Commits what is staged; answers the id.
    async fn commit(&self) -> String {
        let (status, answer) = self.post("/v1/repos/puppet-code/commits", &json!({})).await;
        assert!(status == 200 || status == 201, "{status} {answer}");
        answer["commit"].as_str().unwrap().to_owned()
    }

    /// Stages this `site.pp` in production and commits.
    async fn commit_site(&self, content: &str) -> String {
        self.stage("environments/production/manifests/site.pp", content);
        self.commit().await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(format!("{}{path}", self.url)).send().await.unwrap()).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.http.post(format!("{}{path}", self.url)).json(body).send().await.unwrap()).await
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> reqwest::Response {
        let method = method.parse().unwrap();
        let request = self.http.request(method, format!("{}{path}", self.url)).body(body.to_owned());
        request.send().await.unwrap()
    }
}

/// The status, and the body as JSON, or as text where it is none.
async fn answer(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn config(folder: &Path) -> PrimaryConfig {
    let path = folder.join("primary.toml");
    let text = format!(
        "data-dir = {:?}\n[repos.puppet-code]\nstaging-dir = {:?}\nkeep-commits = 1\nkeep-age = \"0s\"\n\
         [repos.other]\nstaging-dir = {:?}\n",
        folder.join("data"),
        folder.join("staging"),
        folder.join("other")
    );
    std::fs::write(&path, text).unwrap();
    read_primary(&path).unwrap()
}

#[tokio::test]
async fn a_commit_is_created_once_and_becomes_the_head() {
    let primary = Running::start().await;
    primary.stage("environments/production/manifests/site.pp", "include ntp");
    let request = json!({"message": "first", "author": {"name": "A", "email": "a@example.com"}});
    let (status, first) = primary.post("/v1/repos/puppet-code/commits", &request).await;
    assert_eq!((status, &first["created"], &first["sequence"]), (201, &json!(true), &json!(1)));
    let (status, again) = primary.post("/v1/repos/puppet-code/commits", &request).await;
    assert_eq!((status, &again["created"], &again["commit"]), (200, &json!(false), &first["commit"]));
    let (status, head) = primary.get("/v1/repos/puppet-code/head").await;
    assert_eq!((status, &head["commit"], &head["message"]), (200, &first["commit"], &json!("first")));
    let (_, repos) = primary.get("/v1/repos").await;
    assert_eq!(repos["repos"][0], json!({"repo": "other", "head": null}));
    assert_eq!(repos["repos"][1]["head"]["commit"], first["commit"]);
}

#[tokio::test]
async fn a_commit_with_an_empty_body_takes_the_defaults() {
    let primary = Running::start().await;
    primary.stage("a", "a");
    let response = primary.send("POST", "/v1/repos/puppet-code/commits", "").await;
    assert_eq!(response.status(), 201);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(primary.get(&location).await.1["sequence"], 1);
}

#[tokio::test]
async fn history_comes_in_parts_newest_first() {
    let primary = Running::start().await;
    for content in ["1", "2", "3", "4", "5"] {
        primary.commit_site(content).await;
    }
    let mut sequences = Vec::new();
    let mut path = "/v1/repos/puppet-code/commits?limit=2".to_owned();
    loop {
        let (status, part) = primary.get(&path).await;
        assert_eq!(status, 200, "{part}");
        sequences.extend(part["commits"].as_array().unwrap().iter().map(|commit| commit["sequence"].as_u64().unwrap()));
        let Some(next) = part["next"].as_str() else { break };
        path = format!("/v1/repos/puppet-code/commits?limit=2&before={next}");
    }
    assert_eq!(sequences, [5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn a_commit_is_found_by_id_prefix_tag_and_head() {
    let primary = Running::start().await;
    let old = primary.commit_site("1").await;
    let new = primary.commit_site("2").await;
    let (status, tagged) = primary.send_json("PUT", "/v1/repos/puppet-code/tags/v1", &json!({"commit": old})).await;
    assert_eq!((status, &tagged["tags"]), (200, &json!(["v1"])));
    for (text, id) in [(old.as_str(), &old), (&old[..8], &old), ("v1", &old), ("head", &new)] {
        let (status, commit) = primary.get(&format!("/v1/repos/puppet-code/commits/{text}")).await;
        assert_eq!((status, commit["commit"].as_str()), (200, Some(id.as_str())), "{text}");
    }
    for wrong in [&old[..7], "nosuchtag", &old.replace(|_| true, "0"), "HEAD"] {
        assert_eq!(primary.get(&format!("/v1/repos/puppet-code/commits/{wrong}")).await.0, 404, "{wrong}");
    }
    assert_eq!(primary.get(&format!("/v1/repos/other/commits/{old}")).await.0, 404, "another repo's");
}

#[tokio::test]
async fn a_rollback_makes_an_old_tree_the_head_as_a_new_commit() {
    let primary = Running::start().await;
    let old = primary.commit_site("1").await;
    primary.commit_site("2").await;
    let (status, answer) = primary.post("/v1/repos/puppet-code/rollback", &json!({"commit": old})).await;
    assert_eq!((status, &answer["sequence"]), (201, &json!(3)));
    let (_, head) = primary.get("/v1/repos/puppet-code/head").await;
    assert_eq!(head["commit"], answer["commit"]);
    assert_eq!(
        primary.get("/v1/repos/puppet-code/commits/head/files/environments/production/manifests/site.pp").await.1,
        1
    );
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_tear_the_commit() {
    use tokio::io::AsyncWriteExt;
    let primary = Running::start().await;
    primary.stage("a", "a");
    let waiting = primary.get("/v1/repos/puppet-code/head?wait=30");
    let hang_up = async {
        let mut connection = tokio::net::TcpStream::connect(primary.url.trim_start_matches("http://")).await.unwrap();
        let request = "POST /v1/repos/puppet-code/commits HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
        connection.write_all(request.as_bytes()).await.unwrap();
    };
    let ((status, head), ()) = tokio::join!(waiting, hang_up);
    assert_eq!((status, &head["sequence"]), (200, &json!(1)));
    primary.stop().await;
}

#[tokio::test]
async fn changed_paths_are_listed_between_any_two_commits() {
    let primary = Running::start().await;
    primary.stage("gone", "1");
    let first = primary.commit_site("1").await;
    std::fs::remove_file(primary.folder.path().join("staging/gone")).unwrap();
    primary.stage("new", "1");
    let second = primary.commit_site("2").await;
    let (status, diff) = primary.get("/v1/repos/puppet-code/diff").await;
    assert_eq!((status, &diff["from"], &diff["to"]), (200, &json!(first), &json!(second)));
    let expected = json!([
        {"path": "environments/production/manifests/site.pp", "change": "modified"},
        {"path": "gone", "change": "removed"},
        {"path": "new", "change": "added"},
    ]);
    assert_eq!((&diff["changes"], &diff["truncated"]), (&expected, &json!(false)));
    let back = format!("/v1/repos/puppet-code/diff?from={second}&to={}", &first[..12]);
    assert_eq!(primary.get(&back).await.1["changes"][1]["change"], "added");
    assert_eq!(primary.get(&format!("/v1/repos/puppet-code/diff?to={first}")).await.0, 400, "it has no parent");
}

#[tokio::test]
async fn scripts_written_for_pe_commit_and_read_the_status() {
    let primary = Running::start().await;
    primary.stage("environments/production/a", "1");
    primary.stage("environments/staging/a", "1");
    std::fs::write(primary.folder.path().join("other/file"), "x").unwrap();
    let (status, all) = primary.post("/file-sync/v1/commit", &json!({"commit-all": true, "message": "all"})).await;
    assert_eq!(status, 200, "{all}");
    assert_eq!(all["puppet-code"]["message"], "all");
    assert_eq!(all["other"]["commit"].as_str().unwrap().len(), 64);
    let submodules = all["puppet-code"]["submodules"].clone();
    primary.stage("environments/production/a", "2");
    primary.stage("environments/staging/a", "2");
    let author = json!({"name": "N", "email": "n@example.com"});
    let one = json!({"repo-id": "puppet-code", "submodule-id": "production", "author": author});
    let (status, one) = primary.post("/file-sync/v1/commit", &one).await;
    assert_eq!((status, &one["puppet-code"]["identity"]), (200, &author), "{one}");
    assert_ne!(one["puppet-code"]["submodules"]["production"], submodules["production"]);
    assert_eq!(one["puppet-code"]["submodules"]["staging"], submodules["staging"], "only what was named");
    for wrong in [
        json!({}),
        json!({"commit-all": true, "repo-id": "puppet-code"}),
        json!({"commit-all": true, "submodule-id": "production"}),
        json!({"submodule-id": "production"}),
    ] {
        assert_eq!(primary.post("/file-sync/v1/commit", &wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(primary.post("/file-sync/v1/commit", &json!({"repo-id": "nope"})).await.0, 404);

    let old = all["puppet-code"]["commit"].clone();
    let report = json!({"version": "1", "repos": {"puppet-code": {"deployed": old}}});
    assert_eq!(primary.post("/v1/clients/compile1", &report).await.0, 200);
    let (_, services) = primary.get("/status/v1/services?level=debug").await;
    let status = &services["file-sync-storage-service"]["status"];
    assert_eq!(status["repos"]["puppet-code"]["latest_commit"]["commit"], one["puppet-code"]["commit"]);
    assert_eq!(status["clients"]["compile1"]["repos"]["puppet-code"]["status"], "new-commits");
    assert!(status["repos"]["puppet-code"]["submodules"]["staging"]["latest_commit"]["commit"].is_string());
    let (_, services) = primary.get("/status/v1/services").await;
    assert_eq!(services["file-sync-storage-service"]["status"], Value::Null);
    assert_eq!(services["file-sync-storage-service"]["state"], "running");
}

impl Running {
    async fn send_json(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        answer(self.send(method, path, &body.to_string()).await).await
    }
}

//! The control socket, starting and stopping.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Running, config};
use crate::server::{ServeError, serve};
use crate::store::{ReadStore, Store};
use crate::wire::api::FsckHold;

impl Running {
    fn socket(&self) -> reqwest::Client {
        reqwest::Client::builder().unix_socket(self.data().join("control.sock")).build().unwrap()
    }

    async fn fsck(&self) -> (reqwest::Response, FsckHold) {
        let mut response = self.socket().post("http://localhost/fsck").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let line = response.chunk().await.unwrap().unwrap();
        let hold = serde_json::from_slice(&line).unwrap();
        (response, hold)
    }
}

#[tokio::test]
async fn the_socket_tells_the_heads_and_is_for_its_owner_only() {
    let primary = Running::start().await;
    let id = primary.commit_site("1").await;
    let mode = std::fs::metadata(primary.data().join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let status: Value = primary.socket().get("http://localhost/status").send().await.unwrap().json().await.unwrap();
    assert_eq!(status["repos"], json!({"puppet-code": id, "other": null}));
    assert_eq!(primary.get("/fsck").await.0, 404, "only on the socket");
}

#[tokio::test]
async fn fsck_reads_a_copy_and_keeps_gc_away_until_it_hangs_up() {
    let primary = Running::start().await;
    let old = primary.commit_site("1").await;
    let id = primary.commit_site("2").await;
    let (response, hold) = primary.fsck().await;
    assert_eq!(primary.post("/v1/repos/puppet-code/gc", &json!({})).await.0, 409);
    let copy = Store::open_read_only(&hold.checkpoint).unwrap();
    let commit = copy.commit(&id.parse().unwrap()).unwrap().unwrap();
    assert!(copy.tree_is_there(&commit.root.id).unwrap());
    drop(copy);
    let (second, other) = primary.fsck().await;
    assert_ne!(other.checkpoint, hold.checkpoint, "each has its own");
    drop((response, second));
    for _ in 0..1000 {
        if !hold.checkpoint.exists() && !other.checkpoint.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!hold.checkpoint.exists(), "the copy goes when the connection does");
    assert_eq!(primary.post("/v1/repos/puppet-code/gc", &json!({})).await.0, 200);
    assert_eq!(primary.get(&format!("/v1/repos/puppet-code/commits/{old}")).await.0, 404);
}

#[tokio::test]
async fn a_stop_ends_a_hold() {
    let primary = Running::start().await;
    primary.commit_site("1").await;
    let (mut response, hold) = primary.fsck().await;
    assert!(hold.checkpoint.exists());
    let _folder = primary.stop().await;
    while response.chunk().await.unwrap().is_some() {}
    assert!(!hold.checkpoint.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Running::start_in(folder).await.stop().await;
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("data/control.sock")).unwrap());
    let primary = Running::start_in(folder).await;
    assert_eq!(primary.socket().get("http://localhost/status").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_port_in_use_and_a_data_directory_in_use_are_told_apart() {
    let primary = Running::start().await;
    let again = serve(config(primary.folder.path())).await;
    assert!(matches!(again, Err(ServeError::DataDir(_))), "{again:?}");
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.listen = primary.url.trim_start_matches("http://").parse().unwrap();
    let error = serve(config).await.unwrap_err();
    assert!(matches!(error, ServeError::AddressInUse { .. }), "{error:?}");
    assert!(error.to_string().contains("another `sceneshift serve`"));
}

#[tokio::test]
async fn it_is_alive_and_ready_while_it_runs() {
    let primary = Running::start().await;
    assert_eq!(primary.get("/healthz").await, (200, json!("ok\n")));
    assert_eq!(primary.get("/readyz").await, (200, json!("ok\n")));
}

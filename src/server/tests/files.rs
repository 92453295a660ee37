//! Files and directories as of a commit.

use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use super::Running;
use crate::values::BlobId;

const FILES: &str = "/v1/repos/puppet-code/commits/head/files";

#[tokio::test]
async fn a_file_comes_as_its_bytes() {
    let primary = Running::start().await;
    let content = b"\x00\xffbytes";
    primary.stage("environments/production/a file", content);
    primary.commit().await;
    let response = primary.send("GET", &format!("{FILES}/environments/production/a%20file"), "").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    assert_eq!(response.headers()["content-length"], "7");
    let etag = format!("\"{}\"", BlobId::of(content));
    assert_eq!(response.headers()["etag"], etag.as_str());
    assert_eq!(response.bytes().await.unwrap(), content.as_slice());
    let url = format!("{}{FILES}/environments/production/a%20file", primary.url);
    let known = primary.http.get(url).header("If-None-Match", etag).send().await.unwrap();
    assert_eq!(known.status(), 304);
}

#[tokio::test]
async fn a_name_that_is_not_utf8_can_be_asked_for() {
    let primary = Running::start().await;
    let staging = primary.folder.path().join("staging");
    std::fs::write(staging.join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "odd").unwrap();
    primary.commit().await;
    assert_eq!(primary.get(&format!("{FILES}/%ff%fe")).await, (200, json!("odd")));
}

#[tokio::test]
async fn a_large_file_is_streamed_whole() {
    let primary = Running::start().await;
    let content: Vec<u8> = (0..5_000_000u32).flat_map(u32::to_le_bytes).take(5_000_001).collect();
    primary.stage("large", &content);
    primary.commit().await;
    let response = primary.send("GET", &format!("{FILES}/large"), "").await;
    assert_eq!(response.headers()["content-length"], "5000001");
    assert!(response.bytes().await.unwrap() == content);
}

#[tokio::test]
async fn a_directory_is_listed_and_a_link_is_shown() {
    let primary = Running::start().await;
    primary.stage("environments/production/a", "123");
    std::os::unix::fs::symlink("../elsewhere", primary.folder.path().join("staging/environments/link")).unwrap();
    primary.commit().await;
    let link = json!({"name": "link", "kind": "symlink", "target": "../elsewhere"});
    for path in ["/environments", "/environments/"] {
        let (status, listing) = primary.get(&format!("{FILES}{path}")).await;
        assert_eq!((status, &listing["path"], &listing["entries"][0]), (200, &json!("environments"), &link));
        let directory = &listing["entries"][1];
        assert_eq!(
            (&directory["name"], &directory["kind"], &directory["size"]),
            (&json!("production"), &json!("directory"), &json!(3))
        );
    }
    for root in ["", "/"] {
        assert_eq!(primary.get(&format!("{FILES}{root}")).await.1["entries"].as_array().unwrap().len(), 1);
    }
    assert_eq!(primary.get(&format!("{FILES}/environments/link")).await, (200, link));
    assert_eq!(primary.get(&format!("{FILES}/environments/link/x")).await.0, 404, "no link is followed");
}

#[tokio::test]
async fn an_environments_tree_serves_its_files_and_no_other_tree_does() {
    let primary = Running::start().await;
    primary.stage("environments/production/modules/m/files/f", "old");
    primary.stage("secret/file", "x");
    primary.commit().await;
    let tree = primary.tree_of("environments", "production").await;
    primary.stage("environments/production/modules/m/files/f", "new");
    primary.commit().await;
    let of = |tree: &str, path: &str| format!("/v1/repos/puppet-code/trees/{tree}/files/{path}");
    assert_eq!(primary.get(&of(&tree, "modules/m/files/f")).await, (200, json!("old")), "a past one");
    let current = primary.tree_of("environments", "production").await;
    assert_eq!(primary.get(&of(&current, "modules/m/files/f")).await, (200, json!("new")));
    assert_eq!(primary.get(&of(&current, "modules/m/files/f")).await.1, json!("new"), "remembered");
    for (dir, name) in [("environments/production", "modules"), ("", "secret"), ("", "environments")] {
        let tree = primary.tree_of(dir, name).await;
        assert_eq!(primary.get(&of(&tree, "")).await.0, 404, "{dir}/{name}");
    }
    let elsewhere = format!("/v1/repos/other/trees/{tree}/files/modules/m/files/f");
    assert_eq!(primary.get(&elsewhere).await.0, 404, "of another repo");
    // GC takes the old commit, and with it the right to its trees.
    assert_eq!(primary.post("/v1/repos/puppet-code/gc", &json!({})).await.0, 200);
    assert_eq!(primary.get(&of(&tree, "modules/m/files/f")).await.0, 404);
    assert_eq!(primary.get(&of(&current, "modules/m/files/f")).await.0, 200);
}

#[tokio::test]
async fn links_are_followed_where_that_is_asked_for_as_far_as_they_stay_in_the_tree() {
    let primary = Running::start().await;
    primary.stage("environments/production/modules/m/files/f", "content");
    primary.stage("environments/dev/f", "another's");
    let link = |path: &str, target: &str| {
        std::os::unix::fs::symlink(
            target,
            primary.folder.path().join("staging").join("environments/production").join(path),
        )
        .unwrap();
    };
    link("modules/alias", "./m/");
    link("modules/m/files/l", "../../alias/files/f");
    link("out", "../dev/f");
    link("absolute", "/etc/passwd");
    link("round", "round");
    link("behind", "modules/m/files/f/.");
    primary.commit().await;
    let tree = primary.tree_of("environments", "production").await;
    let of = |path: &str| format!("/v1/repos/puppet-code/trees/{tree}/files/{path}");
    for path in ["modules/m/files/f", "modules/alias/files/f", "modules/m/files/l", "modules/alias/files/l"] {
        assert_eq!(primary.get(&of(&format!("{path}?follow=true"))).await, (200, json!("content")), "{path}");
    }
    assert_eq!(primary.get(&of("modules/alias/files/f")).await.0, 404, "not unless asked");
    assert_eq!(primary.get(&of("modules/alias?follow=true")).await.1["entries"][0]["name"], "files");
    for path in ["out", "absolute", "round", "behind", "gone", "modules/m/files/f/x"] {
        assert_eq!(primary.get(&of(&format!("{path}?follow=true"))).await.0, 404, "{path}");
    }
    assert_eq!(primary.get(&of("f?folow=true")).await.0, 400);
}

#[tokio::test]
async fn what_an_environment_that_is_a_link_leads_to_is_an_environments_tree() {
    let primary = Running::start().await;
    primary.stage("releases/one/f", "one");
    primary.stage("releases/two/f", "two");
    primary.stage("environments/dev/f", "dev");
    let link = primary.folder.path().join("staging").join("environments/production");
    std::os::unix::fs::symlink("../releases/live", &link).unwrap();
    std::os::unix::fs::symlink("one", primary.folder.path().join("staging").join("releases/live")).unwrap();
    primary.commit().await;
    let [one, two] = [primary.tree_of("releases", "one").await, primary.tree_of("releases", "two").await];
    // The directory of the environments stays the same.
    std::fs::remove_file(primary.folder.path().join("staging").join("releases/live")).unwrap();
    std::os::unix::fs::symlink("two", primary.folder.path().join("staging").join("releases/live")).unwrap();
    primary.stage("releases/three/f", "three");
    primary.commit().await;
    for (tree, content) in [(&one, "one"), (&two, "two")] {
        let file = format!("/v1/repos/puppet-code/trees/{tree}/files/f");
        assert_eq!(primary.get(&file).await, (200, json!(content)));
    }
    let three = primary.tree_of("releases", "three").await;
    assert_eq!(primary.get(&format!("/v1/repos/puppet-code/trees/{three}/files/f")).await.0, 404);
}

impl Running {
    async fn tree_of(&self, dir: &str, name: &str) -> String {
        let (_, listing) = self.get(&format!("{FILES}/{dir}")).await;
        let entries: Vec<Value> = listing["entries"].as_array().unwrap().clone();
        let entry = entries.iter().find(|entry| entry["name"] == name).unwrap();
        entry["id"].as_str().unwrap().to_owned()
    }
}

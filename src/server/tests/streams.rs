//! Fetch and objects over HTTP. What is sent in which order is tested beside `pack.rs`.

use serde_json::json;

use super::Running;
use crate::values::BlobId;
use crate::wire::{Frame, STREAM_MEDIA_TYPE, StreamReader};

async fn frames(response: reqwest::Response) -> Vec<Frame> {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], STREAM_MEDIA_TYPE);
    let body = response.bytes().await.unwrap();
    let mut reader = StreamReader::new(&body[..]).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        frames.push(frame);
    }
    frames
}

#[tokio::test]
async fn a_fetch_sends_what_is_missing_in_one_stream() {
    let primary = Running::start().await;
    let old = primary.commit_site("old").await;
    let new = primary.commit_site("new").await;
    let unknown = "0".repeat(64);
    let path = "/v1/repos/puppet-code/fetch";
    let all = frames(primary.send("POST", path, &json!({"want": new}).to_string()).await).await;
    assert_eq!(all.len(), 6, "the commit, four trees, a blob");
    let request = json!({"want": new, "have": [unknown, old]}).to_string();
    let missing = frames(primary.send("POST", path, &request).await).await;
    assert!(matches!(missing.last(), Some(Frame::Blob(content)) if content == b"new"), "{missing:?}");
    let same = frames(primary.send("POST", path, &json!({"want": old, "have": [old]}).to_string()).await).await;
    assert_eq!(same.len(), 1);
    let (_, metrics) = primary.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("sceneshift_fetches_total 3\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_the_same_is_sent_the_same_until_it_is_gone() {
    let primary = Running::start().await;
    primary.stage("environments/dev/manifests/site.pp", "the same in both");
    let old = primary.commit_site("old").await;
    let new = primary.commit_site("new").await;
    let path = "/v1/repos/puppet-code/fetch";
    let fetch = async |request: &serde_json::Value| {
        let response = primary.send("POST", path, &request.to_string()).await;
        (response.status().as_u16(), response.bytes().await.unwrap())
    };
    let change = json!({"want": new, "have": [old]});
    let (first, second, third) = tokio::join!(fetch(&change), fetch(&change), fetch(&change));
    assert_eq!((first.0, &first), (200, &second));
    assert_eq!(first, third);
    assert_ne!(fetch(&json!({"want": new})).await.1, first.1, "another lacks more");
    let (_, metrics) = primary.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("sceneshift_fetches_total 4\n"), "also those that were packed once");

    let other = primary.send("POST", "/v1/repos/other/fetch", &change.to_string()).await;
    assert_eq!(other.status(), 410, "it is another repo's secret");
    let all = json!({"want": old});
    assert_eq!((fetch(&all).await.0, fetch(&all).await.0), (200, 200));
    assert_eq!(primary.post("/v1/repos/puppet-code/gc", &json!({})).await.1["commits"], 1);
    assert_eq!(fetch(&all).await.0, 410, "what GC has removed is sent to nobody");
    assert_eq!(fetch(&change).await.0, 200);
}

/// Bytes that do not compress, so that a stream of them is larger than what may wait between the store and the receiver.
fn noise(seed: u32, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[tokio::test]
async fn a_fetch_under_way_is_finished_before_a_stop() {
    let primary = Running::start().await;
    for at in 0..32 {
        primary.stage(&format!("environments/production/files/{at}"), noise(at, 1_000_000));
    }
    let id = primary.commit().await;
    let response = primary.send("POST", "/v1/repos/puppet-code/fetch", &json!({"want": id}).to_string()).await;
    let (_folder, all) = tokio::join!(primary.stop(), frames(response));
    assert_eq!(all.iter().filter(|frame| matches!(frame, Frame::Blob(_))).count(), 32);
}

#[tokio::test]
async fn a_large_estate_is_fetched_whole_through_a_bounded_channel() {
    let primary = Running::start().await;
    for at in 0..40 {
        primary.stage(&format!("environments/production/files/{at}"), noise(at, 200_000));
    }
    primary.stage("large", noise(40, 4_000_000));
    let id = primary.commit().await;
    let request = json!({"want": id}).to_string();
    let all = frames(primary.send("POST", "/v1/repos/puppet-code/fetch", &request).await).await;
    assert_eq!(all.iter().filter(|frame| matches!(frame, Frame::Blob(_))).count(), 40);
    let chunks = all.iter().map(|frame| if let Frame::Chunk(bytes) = frame { bytes.len() } else { 0 });
    assert_eq!(chunks.sum::<usize>(), 4_000_000);
}

#[tokio::test]
async fn objects_are_served_where_they_stand_and_otherwise_named() {
    let primary = Running::start().await;
    let id = primary.commit_site("content").await;
    let path = "environments/production/manifests/site.pp";
    let blob = BlobId::of(b"content").to_string();
    let request = json!({"commit": id, "objects": [{"path": path, "blob": blob}]}).to_string();
    let found = frames(primary.send("POST", "/v1/repos/puppet-code/objects", &request).await).await;
    assert_eq!(found, [Frame::Blob(b"content".to_vec())]);
    let wrong = json!({"commit": id, "objects": [
        {"path": path, "blob": blob},
        {"path": "environments/production/manifests", "blob": blob},
        {"path": "else%77here", "tree": blob},
    ]});
    let (status, problem) = primary.post("/v1/repos/puppet-code/objects", &wrong).await;
    let paths = json!(["environments/production/manifests", "elsewhere"]);
    assert_eq!((status, &problem["paths"]), (404, &paths), "{problem}");
}

#[tokio::test]
async fn a_long_list_of_objects_is_taken_up_to_its_limit() {
    let primary = Running::start().await;
    let id = primary.commit_site("content").await;
    let object = |path: &str| json!({"path": path, "blob": BlobId::of(b"content").to_string()});
    let many: Vec<_> = (0..10_000).map(|_| object("environments/production/manifests/site.pp")).collect();
    let request = json!({"commit": id, "objects": many}).to_string();
    assert!(request.len() > 1 << 20);
    assert_eq!(frames(primary.send("POST", "/v1/repos/puppet-code/objects", &request).await).await.len(), 1, "once");
    let too_many: Vec<_> = (0..10_001).map(|_| object("a")).collect();
    let (status, problem) =
        primary.post("/v1/repos/puppet-code/objects", &json!({"commit": id, "objects": too_many})).await;
    assert_eq!(status, 400, "{problem}");
    let huge = format!("{{\"commit\": \"{id}\", \"objects\": [{}]}}", " ".repeat(17 << 20));
    assert_eq!(primary.send("POST", "/v1/repos/puppet-code/objects", &huge).await.status(), 413);
}

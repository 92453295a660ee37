//! The long poll: who waits is told at once, and a stop keeps nobody waiting.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Running;

#[tokio::test]
async fn a_poll_wakes_when_a_commit_is_made() {
    let primary = Running::start().await;
    let old = primary.commit_site("1").await;
    let path = format!("/v1/repos/puppet-code/head?known={old}&wait=60");
    let begun = Instant::now();
    let ((status, head), new) = tokio::join!(primary.get(&path), async {
        primary.wait_for_polls(1).await;
        primary.commit_site("2").await
    });
    assert_eq!((status, head["commit"].as_str()), (200, Some(new.as_str())));
    assert!(begun.elapsed() < Duration::from_secs(30));
    primary.wait_for_polls(0).await;
}

#[tokio::test]
async fn a_poll_for_a_first_commit_waits_for_it() {
    let primary = Running::start().await;
    let ((status, head), id) = tokio::join!(primary.get("/v1/repos/puppet-code/head?wait=60"), async {
        primary.wait_for_polls(1).await;
        primary.commit_site("1").await
    });
    assert_eq!((status, head["commit"].as_str()), (200, Some(id.as_str())));
}

#[tokio::test]
async fn another_head_than_the_known_one_is_answered_at_once() {
    let primary = Running::start().await;
    let id = primary.commit_site("1").await;
    let path = format!("/v1/repos/puppet-code/head?known={}&wait=60", "0".repeat(64));
    assert_eq!(primary.get(&path).await.1["commit"].as_str(), Some(id.as_str()));
    let response = primary.send("GET", &format!("/v1/repos/puppet-code/head?known={id}&wait=1"), "").await;
    assert_eq!(response.status(), 304);
    assert_eq!(response.headers()["etag"].to_str().unwrap(), format!("\"{id}\""));
    assert_eq!(response.text().await.unwrap(), "");
}

#[tokio::test]
async fn a_tag_wakes_nobody_but_is_shown_at_the_next_question() {
    let primary = Running::start().await;
    let id = primary.commit_site("1").await;
    let path = format!("/v1/repos/puppet-code/head?known={id}&wait=2");
    let ((status, _), ()) = tokio::join!(primary.get(&path), async {
        primary.wait_for_polls(1).await;
        assert_eq!(primary.send("PUT", "/v1/repos/puppet-code/tags/good", "").await.status(), 200);
    });
    assert_eq!(status, 304);
    assert_eq!(primary.get("/v1/repos/puppet-code/head").await.1["tags"], json!(["good"]));
}

#[tokio::test]
async fn a_stop_answers_polls_with_304_and_closes_the_store() {
    let primary = Running::start().await;
    let id = primary.commit_site("1").await;
    let http = primary.http.clone();
    let url = format!("{}/v1/repos/puppet-code/head?known={id}&wait=300", primary.url);
    let poll = tokio::spawn(async move { http.get(url).send().await.unwrap().status() });
    primary.wait_for_polls(1).await;
    let begun = Instant::now();
    let folder = primary.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "nobody was waited for");
    assert_eq!(poll.await.unwrap(), 304);
    assert!(!folder.path().join("data/control.sock").exists());
    // The lock is free and the data is there: a second start in this very process finds the head.
    let primary = Running::start_in(folder).await;
    assert_eq!(primary.get("/v1/repos/puppet-code/head").await.1["commit"].as_str(), Some(id.as_str()));
}

impl Running {
    /// Waits until so many polls wait, by the primary's own count.
    async fn wait_for_polls(&self, wanted: usize) {
        let line = format!("sceneshift_long_polls {wanted}\n");
        for _ in 0..1000 {
            let (_, metrics) = self.get("/metrics").await;
            if metrics.as_str().unwrap().contains(&line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("there never were {wanted} polls waiting");
    }
}

#[tokio::test]
async fn many_polls_wait_together_and_all_wake() {
    let primary = Running::start().await;
    let old = primary.commit_site("1").await;
    let url = format!("{}/v1/repos/puppet-code/head?known={old}&wait=60", primary.url);
    let poll = |_| {
        let (http, url) = (primary.http.clone(), url.clone());
        tokio::spawn(async move { super::answer(http.get(url).send().await.unwrap()).await })
    };
    let polls: Vec<_> = (0..200).map(poll).collect();
    primary.wait_for_polls(200).await;
    let new = primary.commit_site("2").await;
    for poll in polls {
        let (status, head) = poll.await.unwrap();
        assert_eq!((status, head["commit"].as_str()), (200, Some(new.as_str())));
    }
}

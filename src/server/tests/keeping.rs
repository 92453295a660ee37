//! What GC keeps, and what is known of the fleet.

use serde_json::json;

use super::Running;

#[tokio::test]
async fn gc_keeps_the_head_what_is_tagged_and_what_a_client_uses() {
    let primary = Running::start().await;
    let mut ids = Vec::new();
    for content in ["1", "2", "3", "4", "5"] {
        ids.push(primary.commit_site(content).await);
    }
    let tag = json!({"commit": ids[0]}).to_string();
    assert_eq!(primary.send("PUT", "/v1/repos/puppet-code/tags/good", &tag).await.status(), 200);
    let report = json!({"version": "1", "repos": {"puppet-code": {"deployed": ids[2], "generations": [ids[2]]}}});
    assert_eq!(primary.post("/v1/clients/compile1", &report).await.0, 200);
    let (status, answer) = primary.post("/v1/repos/puppet-code/gc", &json!({})).await;
    assert_eq!((status, &answer["commits"], &answer["kept-commits"]), (200, &json!(2), &json!(3)), "{answer}");
    let kept = [true, false, true, false, true];
    for (id, kept) in ids.iter().zip(kept) {
        let status = primary.get(&format!("/v1/repos/puppet-code/commits/{id}")).await.0;
        assert_eq!(status, if kept { 200 } else { 404 });
    }
    assert_eq!(primary.get(&format!("/v1/repos/puppet-code/commits/{}", &ids[0][..10])).await.0, 200, "beyond the gap");
    assert_eq!(primary.get("/v1/repos/puppet-code/tags").await.1, json!({"tags": {"good": ids[0]}}));
    assert_eq!(primary.send("DELETE", "/v1/repos/puppet-code/tags/good", "").await.status(), 204);
    assert_eq!(primary.post("/v1/repos/puppet-code/gc", &json!({})).await.1["commits"], 1);
}

#[tokio::test]
async fn the_fleet_survives_a_restart_and_is_counted() {
    let primary = Running::start().await;
    let old = primary.commit_site("1").await;
    let new = primary.commit_site("2").await;
    for (name, deployed) in [("behind", &old), ("current", &new)] {
        let report = json!({"version": "1", "repos": {"puppet-code": {"deployed": deployed}}});
        assert_eq!(primary.post(&format!("/v1/clients/{name}"), &report).await.0, 200);
    }
    let primary = Running::start_in(primary.stop().await).await;
    let (_, fleet) = primary.get("/v1/clients").await;
    assert_eq!(fleet["clients"][0]["name"], "behind");
    assert_eq!(fleet["clients"][0]["repos"]["puppet-code"]["deployed"].as_str(), Some(old.as_str()));
    assert!(fleet["clients"][1]["seen-seconds-ago"].as_u64().unwrap() < 60);
    let response = primary.send("GET", "/metrics", "").await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let metrics = response.text().await.unwrap();
    for line in [
        "sceneshift_clients_seen_lately 2",
        "sceneshift_clients_behind{repo=\"puppet-code\"} 1",
        "sceneshift_head_sequence{repo=\"puppet-code\"} 2",
        "sceneshift_http_requests_total{method=\"GET\",route=\"/v1/clients\",status=\"200\"} 1",
        "# EOF",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_path_that_no_route_has_makes_no_time_series_of_its_own() {
    let primary = Running::start().await;
    for at in 0..5 {
        primary.get(&format!("/nowhere/{at}")).await;
    }
    let (_, metrics) = primary.get("/metrics").await;
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains("route=\"none\",status=\"404\"} 5") && !metrics.contains("nowhere"), "{metrics}");
}

#[tokio::test]
async fn a_commit_that_failed_is_shown_over_a_restart_until_one_succeeds() {
    let primary = Running::start().await;
    primary.commit_site("1").await;
    let fleet = primary.get("/v1/clients").await.1;
    assert_eq!((&fleet["clients"], fleet.get("failed-commits")), (&json!([]), None), "{fleet}");

    let request = json!({"environments": ["nowhere else"]});
    for _ in 0..2 {
        assert_eq!(primary.post("/v1/repos/puppet-code/commits", &request).await.0, 422);
    }
    let primary = Running::start_in(primary.stop().await).await;
    let report = json!({"version": "1", "repos": {}});
    let (_, told) = primary.post("/v1/clients/compile1", &report).await;
    let failed = &told["failed-commits"]["puppet-code"];
    assert_eq!((&failed["failures"], &failed["environments"]), (&json!(2), &json!(["nowhere else"])), "{told}");
    assert!(failed["error"].as_str().unwrap().contains("environments/nowhere"), "{told}");
    assert_eq!(&primary.get("/v1/clients").await.1["failed-commits"]["puppet-code"], failed);
    assert_eq!(&primary.get("/v1/repos").await.1["repos"][1]["failed-commit"], failed);
    let status = primary.get("/status/v1/services?level=debug").await.1;
    assert_eq!(status["file-sync-storage-service"]["status"]["repos"]["puppet-code"]["status"], "error", "{status}");
    assert_failing(&primary, 1).await;

    // One that finds nothing new has looked at staging, and found it good.
    primary.commit().await;
    assert_eq!(primary.post("/v1/clients/compile1", &report).await.1, json!({"failed-commits": {}}));
    assert_failing(&primary, 0).await;
    let primary = Running::start_in(primary.stop().await).await;
    assert_failing(&primary, 0).await;
}

async fn assert_failing(primary: &Running, failing: u8) {
    let metrics = primary.send("GET", "/metrics", "").await.text().await.unwrap();
    for line in [
        format!("sceneshift_commit_failing{{repo=\"puppet-code\"}} {failing}"),
        "sceneshift_commit_failing{repo=\"other\"} 0".into(),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    assert!(metrics.contains("sceneshift_commits_total{repo=\"other\",result=\"refused\"} 0"), "{metrics}");
}

//! Whatever is wrong with a request, the answer is a problem document that names it.

use serde_json::json;

use super::Running;

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named_in_a_problem_document() {
    let primary = Running::start().await;
    let id = primary.commit_site("1").await;
    let repo = "/v1/repos/puppet-code";
    let none = "0".repeat(64);
    let large = format!("{{\"message\": \"{}\"}}", "x".repeat(1 << 20));
    let long_message = json!({"message": "x".repeat(70_000)}).to_string();
    let stale = json!({"expect-head": none}).to_string();
    let commit_none = json!({"commit": none}).to_string();
    let objects_of_none = json!({"commit": none, "objects": []}).to_string();
    let fetch_none = json!({"want": none}).to_string();
    let fetch_known = json!({"want": id}).to_string();
    let long_name = format!("/v1/clients/{}", "x".repeat(256));
    let table: Vec<(&str, String, &str, u16, &str)> = vec![
        ("GET", "/v1/nothing".into(), "", 404, "/v1/nothing"),
        ("GET", "/".into(), "", 404, "route"),
        ("DELETE", format!("{repo}/head"), "", 405, "DELETE"),
        ("GET", "/v1/repos/nope/head".into(), "", 404, "other, puppet-code"),
        ("GET", "/v1/repos/%ff/head".into(), "", 400, "UTF-8"),
        ("GET", "/v1/repos/..%2f/head".into(), "", 404, "no repo"),
        ("GET", "/v1/repos/other/head".into(), "", 404, "no commit yet"),
        ("GET", "/v1/repos/other/commits/head".into(), "", 404, "no commit yet"),
        ("GET", "/v1/repos/other/head?wait=0".into(), "", 404, "no commit yet"),
        ("GET", format!("{repo}/head?wait=301"), "", 400, "300"),
        ("GET", format!("{repo}/head?wait=soon"), "", 400, "wait"),
        ("GET", format!("{repo}/head?known=abc"), "", 400, "abc"),
        ("GET", format!("{repo}/head?knwon={id}"), "", 400, "knwon"),
        ("GET", format!("{repo}/commits?limit=0"), "", 400, "limit=0"),
        ("GET", format!("{repo}/commits?limit=1001"), "", 400, "1000"),
        ("GET", format!("{repo}/commits?before={none}"), "", 404, &none),
        ("GET", format!("{repo}/commits/head?x=1"), "", 400, "x"),
        ("GET", format!("{repo}/progress?x=1"), "", 400, "x"),
        ("GET", format!("{repo}/diff?from=nope"), "", 404, "nope"),
        ("GET", format!("{repo}/commits/head/files/nothing/here"), "", 404, "nothing/here"),
        ("GET", format!("{repo}/commits/head/files/a%00b"), "", 400, "NUL|byte"),
        ("GET", format!("{repo}/commits/head/files/environments/..%2fx"), "", 400, ".."),
        ("GET", format!("{repo}/commits/head/files/environments/production/manifests/site.pp/x"), "", 404, "site.pp/x"),
        ("GET", format!("{repo}/trees/xyz/files/a"), "", 400, "xyz"),
        ("GET", format!("{repo}/trees/{none}/files/a"), "", 404, &none),
        ("POST", format!("{repo}/commits"), "{\"mesage\": \"x\"}", 400, "mesage"),
        ("POST", format!("{repo}/commits"), "{\"message\": 1}", 400, "string"),
        ("POST", format!("{repo}/commits"), "{", 400, "EOF"),
        ("POST", format!("{repo}/commits"), "{} {}", 400, "trailing"),
        ("POST", format!("{repo}/commits"), &large, 413, "larger"),
        ("POST", format!("{repo}/commits"), &long_message, 400, "65536"),
        ("POST", format!("{repo}/commits"), &stale, 409, &id),
        ("POST", format!("{repo}/commits"), "{\"environments\": [\"nope\"]}", 422, "nope"),
        ("POST", format!("{repo}/commits"), "{\"environments\": [\"a/b\"]}", 422, "a/b"),
        ("POST", format!("{repo}/commits?x=1"), "", 400, "x"),
        ("POST", "/v1/repos/other/commits".into(), "{}", 409, "empty"),
        ("POST", format!("{repo}/rollback"), "{}", 400, "commit"),
        ("POST", format!("{repo}/rollback"), &commit_none, 404, &none),
        ("POST", format!("{repo}/fetch"), "", 400, "want"),
        ("POST", format!("{repo}/fetch"), &fetch_none, 410, "head"),
        ("POST", "/v1/repos/other/fetch".into(), &fetch_known, 410, "other"),
        ("POST", format!("{repo}/objects"), &objects_of_none, 410, "head"),
        ("PUT", format!("{repo}/tags/head"), "", 400, "head"),
        ("PUT", format!("{repo}/tags/abcdef01"), "", 400, "mistaken"),
        ("PUT", format!("{repo}/tags/-x"), "", 400, "-x"),
        ("PUT", format!("{repo}/tags/ok"), &commit_none, 404, &none),
        ("DELETE", format!("{repo}/tags/nope"), "", 404, "nope"),
        ("POST", "/v1/clients/a%2Fb".into(), "{}", 400, "a/b"),
        ("POST", "/v1/clients/a%20b".into(), "{}", 400, "a b"),
        ("POST", long_name, "{}", 400, "255"),
        ("POST", "/v1/clients/compile1".into(), "{}", 400, "version"),
        ("GET", "/status/v1/services?level=all".into(), "", 400, "all"),
        ("POST", "/file-sync/v1/commit".into(), "{\"commit_all\": true}", 400, "commit_all"),
        ("GET", "/metrics?x=1".into(), "", 400, "x"),
    ];
    for (method, path, body, status, word) in &table {
        let response = primary.send(method, path, body).await;
        let media_type = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
        let (found, problem) = super::answer(response).await;
        let what = format!("{method} {path} {body:.40}: {problem}");
        assert_eq!(found, *status, "{what}");
        assert_eq!(media_type.as_deref(), Some("application/problem+json"), "{what}");
        assert_eq!((&problem["status"], &problem["type"]), (&json!(status), &json!("about:blank")), "{what}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(word.split('|').any(|word| detail.contains(word)), "{what} should name {word}");
    }
    assert_eq!(primary.get("/v1/repos/puppet-code/head").await.1["commit"].as_str(), Some(id.as_str()), "unmoved");
}

#[tokio::test]
async fn a_lost_staging_directory_is_a_conflict_and_an_unrecordable_file_is_named() {
    let primary = Running::start().await;
    let head = primary.commit_site("1").await;
    let fifo = primary.folder.path().join("staging/fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (status, problem) = primary.post("/v1/repos/puppet-code/commits", &json!({})).await;
    assert_eq!((status, &problem["paths"]), (422, &json!(["fifo"])), "{problem}");
    std::fs::remove_dir_all(primary.folder.path().join("staging")).unwrap();
    let (status, problem) = primary.post("/v1/repos/puppet-code/commits", &json!({})).await;
    assert_eq!(status, 409, "{problem}");
    assert_eq!(primary.get("/v1/repos/puppet-code/head").await.1["commit"].as_str(), Some(head.as_str()));
    let (_, metrics) = primary.get("/metrics").await;
    let refused = "sceneshift_commits_total{repo=\"puppet-code\",result=\"refused\"} 2";
    assert!(metrics.as_str().unwrap().contains(refused), "{metrics}");
}

#[tokio::test]
async fn a_web_page_cannot_make_a_browser_commit() {
    let primary = Running::start().await;
    primary.stage("a", "a");
    let url = format!("{}/v1/repos/puppet-code/commits", primary.url);
    let response = primary.http.post(url).header("Origin", "http://example.com").send().await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(primary.get("/v1/repos/puppet-code/head").await.0, 404);
}

#[tokio::test]
async fn a_wrong_method_says_which_are_right() {
    let primary = Running::start().await;
    let response = primary.send("PATCH", "/v1/repos/puppet-code/commits", "").await;
    assert_eq!(response.status(), 405);
    let allowed = response.headers()["allow"].to_str().unwrap().to_owned();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
}

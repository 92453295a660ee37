//! Rights on single repos: who may read one repo learns nothing of another, not by any id that he guessed or was told.

use serde_json::{Value, json};

use super::*;
use crate::support::agent::Answer;

/// Two repos; `secrets` has lists of its own.
struct Two {
    primary: Primary,
    _staging: tempfile::TempDir,
    reader: Certificate,
    deployer: Certificate,
    /// What the ids of `secrets` are.
    secrets: Ids,
    code: Ids,
}

struct Ids {
    commit: String,
    root: String,
    environment: String,
    blob: String,
}

const FILE: &str = "environments/production/site.pp";

impl Two {
    fn start(monitor: &str) -> Self {
        let secrets_dir = folder::fast();
        let staging = secrets_dir.path().join("environments/production");
        std::fs::create_dir_all(&staging).unwrap();
        std::fs::write(staging.join("site.pp"), "the password").unwrap();
        let more = format!(
            "[repos.secrets]\nstaging-dir = {:?}\nread = [\"vault.example\"]\ncommit = [\"keeper.example\"]\n",
            secrets_dir.path()
        );
        let primary = Primary::start_with(&format!("{ACCESS}\n{monitor}"), &more);
        let reader = primary.ca.host("compile1.example", None);
        let deployer = primary.ca.host("ci.example", Some("deployer"));
        for name in ["vault.example", "keeper.example"] {
            primary.ca.host(name, None);
        }
        let ids = |host: &str, repo: &str| {
            let (remote, repo) = (primary.as_host(host), repo.parse::<RepoName>().unwrap());
            let commit = primary.block_on(remote.commit(&repo, &CommitRequest::default())).unwrap();
            let parts = ["", "environments", "environments/production"].map(|path| {
                let path = sceneshift::values::TreePath::new(path.as_bytes()).unwrap();
                match primary.block_on(remote.listing_or_file(&repo, "head", &path)).unwrap() {
                    sceneshift::remote::FileAnswer::Listing(listing) => listing,
                    other => panic!("{other:?}"),
                }
            });
            let [root, environments, production] = parts;
            Ids {
                commit: commit.commit.to_string(),
                root: root.tree.to_string(),
                environment: environments.entries[0].id.clone().unwrap(),
                blob: production.entries[0].id.clone().unwrap(),
            }
        };
        let (code, secrets) = (ids("ci.example", "puppet-code"), ids("keeper.example", "secrets"));
        let keeper = primary.as_host("keeper.example");
        let tag = sceneshift::wire::api::TagRequest { commit: None };
        primary.block_on(keeper.tag(&"secrets".parse().unwrap(), "sealed", &tag)).unwrap();
        Self { primary, _staging: secrets_dir, reader, deployer, secrets, code }
    }

    fn ask(&self, who: &Certificate, method: &str, target: &str, body: &Value) -> Answer {
        let address = ([127, 0, 0, 1], self.primary.port).into();
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        Agent::tls(address, &self.primary.ca, Some(who)).request(method, target, &[], &body).unwrap()
    }

    fn json(&self, who: &Certificate, target: &str) -> Value {
        let answer = self.ask(who, "GET", target, &Value::Null);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Asks twice, with `%` as what there is in `secrets` and as something that is nowhere: the answers must be the same.
    #[track_caller]
    fn assert_same(&self, who: &Certificate, method: &str, target: &str, body: &Value, there: &str, nowhere: &str) {
        let answers = [there, nowhere].map(|what| {
            let body: Value = serde_json::from_str(&body.to_string().replace('%', what)).unwrap();
            let answer = self.ask(who, method, &target.replace('%', what), &body);
            let shown = percent_encoding::percent_decode_str(what).decode_utf8().unwrap();
            let short = shown.get(..12).unwrap_or(&shown);
            (answer.status, answer.text().replace(&*shown, "%").replace(short, "%"))
        });
        let [(status, text), nowhere] = answers;
        assert!(matches!(status, 404 | 410), "{method} {target}: {status} {text}");
        assert_eq!((status, text), nowhere, "{method} {target}");
    }
}

fn nowhere() -> String {
    "0123456789abcdef".repeat(4)
}

#[test]
fn no_route_of_one_repo_gives_anything_of_another() {
    let two = Two::start("");
    let Ids { commit, root, environment, blob } = &two.secrets;
    let (repo, none) = ("/v1/repos/puppet-code", nowhere());
    let prefix = (&commit[..10], &none[..10]);
    for (target, (there, nowhere)) in [
        ("/commits/%", (&**commit, &*none)),
        ("/commits/%", prefix),
        ("/commits/%", ("sealed", "unsealed")),
        ("/commits/%/files/", (commit, &none)),
        ("/commits/%/files/environments/production/site.pp", (commit, &none)),
        ("/commits?before=%", (commit, &none)),
        ("/diff?from=%", (commit, &none)),
        ("/diff?to=%", (commit, &none)),
        ("/diff?from=%&to=head", prefix),
        ("/trees/%/files/", (environment, &none)),
        ("/trees/%/files/site.pp", (environment, &none)),
        ("/trees/%/files/site.pp?follow=true", (environment, &none)),
        ("/trees/%/files/", (root, &none)),
    ] {
        two.assert_same(&two.reader, "GET", &format!("{repo}{target}"), &Value::Null, there, nowhere);
    }
    let code = &two.code.commit;
    for (target, body, there) in [
        ("/fetch", json!({"want": "%"}), commit),
        ("/fetch", json!({"want": "%", "have": [code]}), commit),
        ("/objects", json!({"commit": "%", "objects": []}), commit),
        ("/objects", json!({"commit": "%", "objects": [{"path": "", "tree": root}]}), commit),
        ("/objects", json!({"commit": code, "objects": [{"path": FILE, "blob": "%"}]}), blob),
        (
            "/objects",
            json!({"commit": code, "objects": [{"path": "environments/production", "tree": "%"}]}),
            environment,
        ),
    ] {
        two.assert_same(&two.reader, "POST", &format!("{repo}{target}"), &body, there, &none);
    }
    for (method, target, body) in
        [("POST", "/rollback", json!({"commit": "%"})), ("PUT", "/tags/mine", json!({"commit": "%"}))]
    {
        two.assert_same(&two.deployer, method, &format!("{repo}{target}"), &body, commit, &none);
    }
    two.assert_same(&two.deployer, "DELETE", &format!("{repo}/tags/%"), &Value::Null, "sealed", "unsealed");
    assert_eq!(two.json(&two.reader, &format!("{repo}/tags"))["tags"], json!({}));

    // To say that one has it leaves nothing out of what one gets.
    let fetched = |have: &str| {
        let answer = two.ask(&two.reader, "POST", &format!("{repo}/fetch"), &json!({"want": code, "have": [have]}));
        assert_eq!(answer.status, 200);
        answer.body
    };
    assert_eq!(fetched(commit), fetched(&none));
}

#[test]
fn a_repo_that_one_may_not_read_is_not_there() {
    let two = Two::start("");
    let want = two.secrets.commit.clone();
    for (who, method, route, body) in [
        (&two.reader, "GET", "/head", Value::Null),
        (&two.reader, "GET", "/commits", Value::Null),
        (&two.reader, "GET", "/commits/head/files/", Value::Null),
        (&two.reader, "GET", "/tags", Value::Null),
        (&two.reader, "GET", "/progress", Value::Null),
        (&two.reader, "POST", "/fetch", json!({"want": want})),
        (&two.reader, "POST", "/objects", json!({"commit": want, "objects": []})),
        (&two.deployer, "POST", "/commits", json!({})),
        (&two.deployer, "POST", "/rollback", json!({"commit": want})),
        (&two.deployer, "POST", "/gc", Value::Null),
        (&two.deployer, "PUT", "/tags/x", json!({})),
        (&two.deployer, "DELETE", "/tags/sealed", Value::Null),
    ] {
        two.assert_same(who, method, &format!("/v1/repos/%{route}"), &body, "secrets", "nothing");
        two.assert_same(who, method, &format!("/v1/repos/%{route}"), &body, "%73ecrets", "%6eothing");
    }
    two.assert_same(&two.deployer, "POST", "/file-sync/v1/commit", &json!({"repo-id": "%"}), "secrets", "nothing");
    for who in [&two.reader, &two.deployer] {
        let repos = two.json(who, "/v1/repos");
        let names: Vec<&Value> = repos["repos"].as_array().unwrap().iter().map(|repo| &repo["repo"]).collect();
        assert_eq!(names, ["puppet-code"]);
    }
    let all = two.ask(&two.deployer, "POST", "/file-sync/v1/commit", &json!({"commit-all": true}));
    assert_eq!(all.status, 200, "{}", all.text());
    assert!(all.text().contains("puppet-code") && !all.text().contains("secrets"), "{}", all.text());
}

#[test]
fn who_may_read_one_repo_only_reads_that_and_commits_to_neither() {
    let two = Two::start("");
    let (code, secrets): (RepoName, RepoName) = (repo(), "secrets".parse().unwrap());
    two.primary.block_on(async {
        let request = CommitRequest::default();
        let vault = two.primary.as_host("vault.example");
        assert!(vault.commit_info(&secrets, "sealed").await.is_ok());
        assert_refused(vault.commit(&secrets, &request).await, "vault.example is not in [access] commit");
        assert_eq!(vault.commit_info(&code, "head").await.unwrap_err().status(), Some(404));
        let keeper = two.primary.as_host("keeper.example");
        assert!(keeper.commit(&secrets, &request).await.is_ok());
        assert!(keeper.commit_info(&secrets, "head").await.is_ok(), "who commits may read");
        assert_eq!(keeper.commit(&code, &request).await.unwrap_err().status(), Some(404));
    });
}

#[test]
fn the_fleet_and_the_status_show_each_reader_his_own_repos() {
    let two = Two::start("monitor = [\"watch.example\"]");
    let watch = two.primary.ca.host("watch.example", None);
    let vault = two.primary.ca.host("vault.example", None);
    let report = |repos: Value| json!({"version": "1", "repos": repos});
    let (code, secrets) = (json!({"deployed": two.code.commit}), json!({"deployed": two.secrets.commit}));
    let both = report(json!({"puppet-code": code, "secrets": secrets}));
    for (who, name, report) in
        [(&two.reader, "compile1.example", both), (&vault, "vault.example", report(json!({"secrets": secrets})))]
    {
        assert_eq!(two.ask(who, "POST", &format!("/v1/clients/{name}"), &report).status, 200);
    }
    let (short, word) = (&two.secrets.commit, "secrets");
    for who in [&two.reader, &two.deployer] {
        let text = two.json(who, "/v1/clients").to_string();
        assert!(text.contains("compile1.example") && !text.contains("vault.example"), "{text}");
        assert!(!text.contains(word) && !text.contains(short.as_str()), "{text}");
    }
    for who in [&two.reader, &two.deployer, &watch] {
        let text = two.json(who, "/status/v1/services?level=debug").to_string();
        assert!(text.contains(&two.code.commit), "{text}");
        assert!(!text.contains(word) && !text.contains(short.as_str()) && !text.contains("vault.example"), "{text}");
    }
    let text = two.json(&vault, "/v1/clients").to_string();
    assert!(text.contains("vault.example") && text.contains(short.as_str()) && !text.contains("puppet-code"), "{text}");
    let text = two.json(&vault, "/status/v1/services?level=debug").to_string();
    assert!(text.contains(short.as_str()) && !text.contains(&two.code.commit), "{text}");
}

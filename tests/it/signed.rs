//! Heads that are believed only where the right key has signed them, and only forwards.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use sceneshift::client::ClientError;
use sceneshift::remote::HeadAnswer;
use sceneshift::wire::api::{CommitInfo, PinRequest, PinTo, SyncRequest};

use crate::support::process::{Site, sceneshift};
use crate::support::rig::Rig;
use crate::support::shows::assert_shows;
use crate::support::wait::until;

const SOON: Duration = Duration::from_secs(30);

/// Key pairs in files.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new(names: &[&str]) -> Self {
        let keys = Self(tempfile::tempdir().unwrap());
        for name in names {
            let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
            // What RFC 8410 puts before the key's bytes.
            let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
            let public = [&prefix[..], pair.public_key().as_ref()].concat();
            write_pem(&keys.private(name), "PRIVATE KEY", private.as_ref());
            write_pem(&keys.public(name), "PUBLIC KEY", &public);
        }
        keys
    }

    fn private(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.pem"))
    }

    fn public(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.pub"))
    }

    fn signing(&self, name: &str) -> String {
        format!("[signing]\nkey = {:?}\n", self.private(name))
    }

    fn signed_by(&self, names: &[&str]) -> String {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.public(name)).collect();
        format!("signed-by = {paths:?}\n")
    }
}

fn write_pem(path: &Path, what: &str, bytes: &[u8]) {
    let text = format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", BASE64_STANDARD.encode(bytes));
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Whether the client has what was committed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Committed,
    Deployed,
}

/// A primary with two signed commits, and the answers that it gave for its heads.
fn signed(keys: &Keys, way: Way) -> (Rig, [CommitInfo; 2]) {
    let rig = Rig::with(&keys.signing("a"), &keys.signed_by(&["a"]));
    let heads = ["one", "two"].map(|text| {
        std::fs::create_dir_all(rig.staging().join("environments/production")).unwrap();
        std::fs::write(rig.staging().join("environments/production/site.pp"), text).unwrap();
        rig.commit();
        if way == Way::Deployed {
            rig.deploy();
        }
        head(&rig)
    });
    (rig, heads)
}

fn head(rig: &Rig) -> CommitInfo {
    match rig.block_on(rig.remote().head(&rig.repo(), None, Duration::ZERO)).unwrap() {
        HeadAnswer::Head(info) => info,
        other => panic!("{other:?}"),
    }
}

/// Somebody in the primary's place, who says that this is the head; and how often anything was fetched from him.
fn liar(rig: &Rig, info: CommitInfo) -> (String, Arc<AtomicU64>) {
    let fetched = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&fetched);
    let fetch = move || {
        counted.fetch_add(1, SeqCst);
        async { StatusCode::GONE }
    };
    let routes = Router::new()
        .route("/v1/repos/{repo}/head", get(async move || axum::Json(info)))
        .route("/v1/repos/{repo}/fetch", post(fetch.clone()))
        .route("/v1/repos/{repo}/objects", post(fetch))
        .route("/v1/clients/{name}", post(async || StatusCode::NO_CONTENT));
    let listener = rig.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    rig.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (address, fetched)
}

fn nothing_came(rig: &Rig) {
    let blobs = std::fs::read_dir(rig.client_data().join("blobs")).unwrap();
    assert_eq!(blobs.count(), 0, "nothing is fetched of a head that is not believed");
    assert!(!rig.current().exists());
}

#[test]
fn a_signed_head_is_deployed_and_its_signature_stands_only_on_heads() {
    let keys = Keys::new(&["a"]);
    let (rig, [one, two]) = signed(&keys, Way::Committed);
    rig.deploy();
    assert_shows(&rig.staging(), &rig.current());
    assert_ne!(one.signature, two.signature);
    assert_eq!(head(&rig).signature, two.signature, "the same head, the same signature");
    let shown = rig.block_on(rig.remote().commit_info(&rig.repo(), two.commit)).unwrap();
    assert_eq!(shown.signature, None);
}

#[test]
fn an_unsigned_head_is_refused_before_anything_is_fetched() {
    let keys = Keys::new(&["a"]);
    let rig = Rig::with("", &keys.signed_by(&["a"]));
    std::fs::write(rig.staging().join("a"), "a").unwrap();
    let commit = rig.commit().commit;
    let error = rig.try_deploy().unwrap_err();
    assert!(matches!(&error, ClientError::Unsigned { commit: refused, .. } if *refused == commit), "{error}");
    assert!(error.to_string().contains("add [signing] with a key to the primary"), "{error}");
    nothing_came(&rig);
}

#[test]
fn a_head_that_another_key_signed_is_refused_and_a_second_key_is_how_keys_are_replaced() {
    let keys = Keys::new(&["a", "b"]);
    let (mut rig, _) = signed(&keys, Way::Committed);
    rig.client_settings = keys.signed_by(&["b"]);
    let error = rig.try_deploy().unwrap_err();
    assert!(matches!(error, ClientError::WronglySigned { .. }), "{error}");
    nothing_came(&rig);
    // First the clients learn the new key, then the primary uses it.
    rig.client_settings = keys.signed_by(&["a", "b"]);
    rig.deploy();
    rig.stop_primary();
    rig.primary_settings = keys.signing("b");
    rig.start_primary();
    std::fs::write(rig.staging().join("more"), "more").unwrap();
    rig.commit();
    rig.deploy();
    assert_shows(&rig.staging(), &rig.current());
    rig.client_settings = keys.signed_by(&["b"]);
    rig.deploy();
}

#[test]
fn a_signature_is_worth_nothing_on_anything_else() {
    let keys = Keys::new(&["a"]);
    let (rig, [one, two]) = signed(&keys, Way::Committed);
    let mut cut = two.signature.clone().unwrap();
    cut.replace_range(0..1, if cut.starts_with('A') { "B" } else { "A" });
    let lies = [
        ("another commit's", CommitInfo { signature: one.signature.clone(), ..two.clone() }),
        ("another commit", CommitInfo { commit: one.commit, ..two.clone() }),
        ("another sequence", CommitInfo { sequence: 9, ..two.clone() }),
        ("a changed one", CommitInfo { signature: Some(cut), ..two.clone() }),
        ("an empty one", CommitInfo { signature: Some(String::new()), ..two.clone() }),
    ];
    for (what, lie) in lies {
        let (address, fetched) = liar(&rig, lie);
        let error = rig.try_deploy_from(&address).unwrap_err();
        assert!(matches!(error, ClientError::WronglySigned { .. }), "{what}: {error}");
        assert_eq!(fetched.load(SeqCst), 0, "{what}");
    }
    nothing_came(&rig);
    // Another repo's: the same key signs for all of them.
    let other = CommitInfo { repo: "other".parse().unwrap(), ..two };
    let (address, _) = liar(&rig, other);
    let error = rig.try_deploy_from(&address).unwrap_err();
    assert!(
        !matches!(error, ClientError::WronglySigned { .. }),
        "what the answer says of its repo is not believed anyway: {error}"
    );
}

#[test]
fn an_older_head_is_a_replay_also_after_a_restart_until_somebody_here_says_to_go_back() {
    let keys = Keys::new(&["a"]);
    let (rig, [one, two]) = signed(&keys, Way::Deployed);
    let (address, fetched) = liar(&rig, one.clone());
    let error = rig.try_deploy_from(&address).unwrap_err();
    let ClientError::Replayed { commit, sequence, accepted, .. } = &error else { panic!("{error}") };
    assert_eq!((*commit, *sequence, *accepted), (one.commit, 1, 2));
    assert!(error.to_string().contains(&format!("sceneshift rollback {}", one.commit)), "{error}");
    assert_eq!(fetched.load(SeqCst), 0);
    assert_shows(&rig.staging(), &rig.current());

    // The commit that was named by its id needs no signature: it is what was named, or nothing.
    let client = rig.start_client_of(&address);
    let status = || rig.block_on(rig.socket().status()).ok();
    until("the client runs", SOON, status);
    pin(&rig, PinTo::Commit(one.commit));
    assert_eq!(std::fs::read(rig.current().join("environments/production/site.pp")).unwrap(), b"one");
    pin(&rig, PinTo::Released);
    assert_eq!(status().unwrap().repos[&rig.repo()].deployed, Some(one.commit), "no replay any more");
    rig.stop_client(client);
    rig.deploy();
    assert_eq!(head(&rig).commit, two.commit);
    assert!(rig.try_deploy_from(&address).is_err(), "the mark has risen again");
}

fn pin(rig: &Rig, to: PinTo) {
    rig.block_on(rig.socket().pin(&PinRequest { repo: rig.repo(), to })).unwrap();
}

#[test]
fn a_daemon_tells_everywhere_that_it_does_not_believe_the_head() {
    let keys = Keys::new(&["a", "b"]);
    let (mut rig, _) = signed(&keys, Way::Committed);
    rig.client_settings = keys.signed_by(&["b"]);
    let client = rig.start_client();
    let told = |error: Option<String>| error.filter(|error| error.contains("signed by none of the keys"));
    until("its status says so", SOON, || {
        let report = rig.block_on(rig.socket().status()).ok()?;
        told(report.repos[&rig.repo()].error.clone())
    });
    until("the fleet says so", SOON, || {
        rig.block_on(rig.socket().sync(&SyncRequest::default())).unwrap_err();
        let fleet = rig.block_on(rig.remote().clients()).unwrap();
        told(fleet.clients.first()?.report.repos[&rig.repo()].error.clone())
    });
    nothing_came(&rig);
    rig.stop_client(client);
}

#[test]
fn keys_that_cannot_be_used_are_told_at_the_start() {
    let keys = Keys::new(&["a"]);
    let mut site = Site::new();
    for (settings, said) in [
        (format!("[signing]\nkey = {:?}\n", keys.0.path().join("none")), "cannot read the key"),
        (format!("[signing]\nkey = {:?}\n", keys.public("a")), "holds no private Ed25519 key"),
    ] {
        site.primary_settings = settings;
        let output = sceneshift(&["serve", "--config"]).arg(site.primary_settings_file()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && errors.contains(said), "{errors}");
    }
    site.client_settings = format!("signed-by = [{:?}]\n", keys.private("a"));
    let file = site.client_settings_file("compile1", "http://127.0.0.1:1");
    let output = sceneshift(&["client", "--config"]).arg(file).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        errors.contains("signed-by of [repos.puppet-code]") && errors.contains("holds no public Ed25519 key"),
        "{errors}"
    );
}

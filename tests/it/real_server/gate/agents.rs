//! Real agents: certificates, plugins, files, static files; and who is turned away.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::header::HeaderMap;
use sceneshift::gate::Served;
use tokio::runtime::Runtime;

use super::{Gated, Told, is_catalog, runs};
use crate::real_server::master::{Master, agents};
use crate::support::process::sceneshift;
use crate::support::puppet::agent::Agent;
use crate::support::puppet::ca::SERVER;
use crate::support::puppet::connection::{Answer, Connection, Target, get, get_once, headers_of};
use crate::support::wait::until;

const SOON: Duration = Duration::from_secs(60);

/// Old versions go from the client at once, so that their files must be asked of the primary.
const FORGETFUL: &str = "keep-generations = 1\nkeep-age = \"0s\"";

/// Far more than sockets hold between them.
const LENGTH: usize = 48 << 20;

#[test]
#[ignore = "needs Debian's puppetserver: make test-puppet"]
fn behind_the_gate_real_agents_run_and_nobody_is_whom_he_only_says_he_is() {
    let agents = agents(4);
    let mut gated = Gated::start(&agents, &Told { repo: FORGETFUL, ..Told::default() }, |master| {
        stage(master, "v1");
        stage_large(master, b'o');
        runs::stage(master, "v1");
    });
    let runtime = Runtime::new().unwrap();
    let fresh = Agent::new(gated.master.site.folder(), "fresh", gated.gate.port());
    a_real_agent_gets_all_that_it_asks_for(&gated, &fresh);
    a_static_file_is_of_the_version_of_its_catalog(&gated, &fresh);
    a_file_under_way_stays_the_old_one(&gated, &runtime);
    headers_from_outside_gain_nothing(&gated, &runtime);
    a_revoked_certificate_is_refused(&gated, &runtime);
    runs::runs_are_of_one_version_only_where_they_are_drained(&mut gated, &["agent1", "agent3", "agent4"]);
    runs::a_real_run_is_of_one_version(&gated, &fresh);
}

/// Where the agent puts its file, and the two that the exec before it makes and waits for.
fn place(master: &Master, name: &str) -> PathBuf {
    master.site.folder().join(name)
}

/// A fact with its manifest, and a file that an agent comes to fetch only when it is let.
fn stage(master: &Master, version: &str) {
    let code = master.code("production", Duration::ZERO);
    code.write_fact(version);
    code.file("modules/f/files/wanted.txt", format!("content {version}\n"));
    let [wanted, begun, go] = ["wanted.txt", "begun", "go"].map(|name| place(master, name).display().to_string());
    code.file(
        "manifests/file.pp",
        format!(
            "exec {{ 'wait':\n  command => '/bin/sh -c \"touch {begun}; while [ ! -e {go} ]; do sleep 0.1; done\"',\n  \
             timeout => 120,\n}}\n-> file {{ '{wanted}': source => 'puppet:///modules/f/wanted.txt' }}\n"
        ),
    );
}

fn a_real_agent_gets_all_that_it_asks_for(gated: &Gated, agent: &Agent) {
    let master = &gated.master;
    std::fs::write(place(master, "go"), "").unwrap();
    let run = agent.run(&[]);
    println!("a real agent's first run, its certificate included: {:.1?}", run.took);
    assert_eq!(run.status, 2, "{}", run.output);
    assert!(run.output.contains("fact v1 manifest v1"), "{}", run.output);
    assert!(agent.certificate().is_file(), "it asked for a certificate and got it");
    assert_eq!(std::fs::read_to_string(place(master, "wanted.txt")).unwrap(), "content v1\n");
    let reports = master.site.folder().join("server/var/reports/fresh");
    assert_eq!(std::fs::read_dir(reports).unwrap().count(), 1, "it reported");

    let served = until("the run is in the log", SOON, || {
        let served = served_to("fresh", gated);
        served.iter().any(|served| served.path.contains("/report/")).then_some(served)
    });
    for part in ["/file_metadatas/plugins", "/file_content/plugins/", "/catalog/fresh", "/static_file_content/"] {
        assert!(served.iter().any(|served| served.path.contains(part) && served.status == 200), "{part}: {served:#?}");
    }
    let catalogs: Vec<&Served> = served.iter().filter(|served| is_catalog(served)).collect();
    let [catalog] = catalogs.as_slice() else { panic!("not one catalog: {catalogs:#?}") };
    assert_eq!(catalog.code_id.as_deref(), Some(gated.code_id("production").as_str()));
    assert_eq!(catalog.environment.as_deref(), Some("production"));
}

/// What `sceneshift served` says of an agent.
fn served_to(certname: &str, gated: &Gated) -> Vec<Served> {
    let mut command = sceneshift(&["served", "--all", "--json", "--limit", "0", "--certname", certname, "--config"]);
    let output = command.arg(gated.settings()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The agent has its catalog, and a new version goes live before it comes for the file.
fn a_static_file_is_of_the_version_of_its_catalog(gated: &Gated, agent: &Agent) {
    let master = &gated.master;
    let wanted = place(master, "wanted.txt");
    for name in ["go", "begun", "wanted.txt"] {
        std::fs::remove_file(place(master, name)).unwrap();
    }
    let old = gated.code_id("production");
    let run = thread::scope(|scope| {
        let run = scope.spawn(|| agent.run(&[]));
        until("the agent has its catalog", Duration::from_secs(120), || place(master, "begun").exists().then_some(()));
        stage(master, "v2");
        master.deploy();
        until("the old version is gone from here", SOON, || (generations(gated) == 1).then_some(()));
        std::fs::write(place(master, "go"), "").unwrap();
        run.join().unwrap()
    });
    println!("a real agent's later run: {:.1?}", run.took);
    assert_eq!(run.status, 2, "{}", run.output);
    assert!(run.output.contains("fact v1 manifest v1"), "{}", run.output);
    assert_eq!(std::fs::read_to_string(&wanted).unwrap(), "content v1\n", "as its catalog says");
    let served = served_to("fresh", gated);
    let catalog = served.iter().rfind(|served| is_catalog(served)).unwrap();
    assert_eq!(catalog.code_id.as_ref(), Some(&old));
    let run = agent.run(&[]);
    assert_eq!(run.status, 2, "{}", run.output);
    assert_eq!(std::fs::read_to_string(&wanted).unwrap(), "content v2\n");
}

fn generations(gated: &Gated) -> usize {
    std::fs::read_dir(gated.master.repo().join("generations")).unwrap().count()
}

fn stage_large(master: &Master, byte: u8) {
    master.code("files", Duration::ZERO).file("modules/big/files/large.bin", vec![byte; LENGTH]);
    master.code("files", Duration::ZERO).file("manifests/site.pp", "");
}

fn a_file_under_way_stays_the_old_one(gated: &Gated, runtime: &Runtime) {
    const PATH: &str = "/puppet/v3/file_content/modules/big/large.bin?environment=files";
    let target = gated.target("agent1");
    let answer = runtime.block_on(async {
        let mut connection = Connection::open(&target).await.unwrap();
        let answer = connection.send(get(PATH)).await.unwrap();
        (connection, answer)
    });
    assert_eq!(answer.1.status(), StatusCode::OK);
    let old = gated.code_id("files");
    assert_eq!(answer.1.headers()["x-sceneshift-code-id"], old.as_str());
    stage_large(&gated.master, b'n');
    let (_, took) = gated.master.deploy();
    assert_ne!(gated.code_id("files"), old);
    let is_open = gated.master.puppet.open_files().iter().any(|path| path.to_string_lossy().contains("large.bin"));
    let (length, strange) = runtime.block_on(async {
        let (_connection, mut answer) = answer;
        let (mut length, mut strange) = (0, 0);
        while let Some(frame) = answer.body_mut().frame().await {
            let data = frame.expect("the body is sent to its end").into_data().unwrap_or_default();
            length += data.len();
            strange += data.iter().filter(|byte| **byte != b'o').count();
        }
        (length, strange)
    });
    println!(
        "file_content of {LENGTH} bytes, deployed over in {took:.1?} while its body was under way: {length} bytes came, {strange} of them not the old ones"
    );
    assert!(is_open, "the server had read it whole before the deploy: this proves nothing");
    assert_eq!((length, strange), (LENGTH, 0));
    let new = runtime.block_on(get_once(&target, PATH)).unwrap();
    assert!(new.body.len() == LENGTH && new.body.iter().all(|byte| *byte == b'n'), "the next one is the new file");
}

/// Also under names that some servers take for the same.
fn claims(gated: &Gated, certname: &str) -> HeaderMap {
    let told = headers_of(&gated.master.ca.identity(certname));
    let mut claims = told.clone();
    for (name, value) in &told {
        let name = name.as_str().replace('-', "_");
        claims.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.clone());
    }
    claims
}

fn headers_from_outside_gain_nothing(gated: &Gated, runtime: &Runtime) {
    let ask = |target: &Target, claims: &HeaderMap, method: Method, path: &str| -> Answer {
        runtime.block_on(async {
            let mut request = get(path);
            *request.method_mut() = method;
            request.headers_mut().extend(claims.clone());
            Connection::open(target).await.unwrap().ask(request).await.unwrap()
        })
    };
    const FLUSH: &str = "/puppet-admin-api/v1/environment-cache";
    let catalog = |name: &str| format!("/puppet/v3/catalog/{name}?environment=production");
    let (nobody, agent1) = (Target::tls(gated.gate, &gated.master.ca, None), gated.target("agent1"));
    let (agent2, admin) = (claims(gated, "agent2"), claims(gated, SERVER));

    // What is claimed is worth something to whoever is believed.
    let straight = gated.master.puppet.target("agent1");
    assert_eq!(ask(&gated.master.puppet.target(SERVER), &HeaderMap::new(), Method::DELETE, FLUSH).status, 204);
    assert_eq!(ask(&gated.target(SERVER), &HeaderMap::new(), Method::DELETE, FLUSH).status, 204);
    assert_eq!(ask(&straight, &HeaderMap::new(), Method::GET, &catalog("agent1")).status, 200);

    for target in [&nobody, &agent1] {
        assert_eq!(ask(target, &agent2, Method::GET, &catalog("agent2")).status, 403);
        assert_eq!(ask(target, &admin, Method::DELETE, FLUSH).status, 403);
    }
    // Not as agent1: for whom `Ca::make` makes a certificate, he may ask that himself.
    assert_eq!(ask(&nobody, &admin, Method::PUT, "/puppet-ca/v1/certificate_status/agent3").status, 403);
    let own = ask(&agent1, &agent2, Method::GET, &catalog("agent1"));
    assert_eq!((own.status, own.headers.contains_key("x-sceneshift-commit")), (StatusCode::OK, true));
    let noted = || served_to("agent1", gated).into_iter().find(|served| served.path.ends_with("/catalog/agent1"));
    until("the log names whom the certificate names", SOON, noted);
    assert!(served_to("agent2", gated).is_empty(), "nothing was noted as another's");
}

/// Revoked by the authority while the gate runs, which reads the authority's own list.
fn a_revoked_certificate_is_refused(gated: &Gated, runtime: &Runtime) {
    let path = "/puppet/v3/catalog/agent2?environment=production";
    let target = gated.target("agent2");
    let mut connection = runtime.block_on(Connection::open(&target)).unwrap();
    assert_eq!(runtime.block_on(connection.get(path)).unwrap().status, StatusCode::OK);
    runtime.block_on(gated.master.ca.revoke(&gated.target(SERVER), "agent2"));
    let refused = until("the revoked certificate is refused, over the open connection too", SOON, || {
        let answer = runtime.block_on(connection.get(path)).unwrap();
        (answer.status != StatusCode::OK).then_some(answer)
    });
    let text = String::from_utf8_lossy(&refused.body);
    assert!(refused.status == StatusCode::FORBIDDEN && text.contains("revoked"), "{text}");
    assert!(runtime.block_on(get_once(&target, path)).is_err(), "a new connection does not come about");
    let other = "/puppet/v3/catalog/agent1?environment=production";
    assert_eq!(runtime.block_on(get_once(&gated.target("agent1"), other)).unwrap().status, StatusCode::OK);
}

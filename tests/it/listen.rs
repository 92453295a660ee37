//! What a client answers over TCP: Prometheus, load balancers, and tools written for Puppet Enterprise's file sync client.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::Value;

use crate::support::rig::{Rig, http_client};
use crate::support::wait::until;

const SOON: Duration = Duration::from_secs(20);

/// A port that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn get(rig: &Rig, address: SocketAddr, path: &str) -> Option<(u16, String)> {
    rig.block_on(async {
        let answer = http_client().get(format!("http://{address}{path}")).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    })
}

fn services(rig: &Rig, address: SocketAddr) -> Value {
    let (status, body) = get(rig, address, "/status/v1/services?level=debug").unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["file-sync-client-service"].take()
}

#[test]
fn a_client_says_over_tcp_what_it_runs_and_syncs_when_told_as_pe_does() {
    let rig = Rig::new();
    let address = free_address();
    let mut config = rig.client_config_for(rig.address());
    config.listen = address;
    let daemon = rig.start_client_with(config);

    until("it answers", SOON, || get(&rig, address, "/healthz").filter(|(status, _)| *status == 200));
    let (status, problem) = get(&rig, address, "/readyz").unwrap();
    assert_eq!(status, 503, "nothing is deployed yet: {problem}");
    assert!(problem.contains("puppet-code"), "{problem}");

    let site = rig.staging().join("environments/production/site.pp");
    std::fs::create_dir_all(site.parent().unwrap()).unwrap();
    std::fs::write(&site, "one").unwrap();
    let commit = rig.commit().commit.to_string();
    let forced = rig.block_on(async {
        let forced = http_client().post(format!("http://{address}/file-sync/v1/force-sync")).send().await.unwrap();
        serde_json::from_str::<Value>(&forced.text().await.unwrap()).unwrap()
    });
    let repo = &forced["puppet-code"];
    assert_eq!((&repo["status"], &repo["latest_commit"]["commit"]), (&"ok".into(), &commit.clone().into()), "{forced}");
    assert_eq!(std::fs::read_to_string(rig.current().join("environments/production/site.pp")).unwrap(), "one");

    let service = services(&rig, address);
    assert_eq!(service["state"], "running");
    let repo = &service["status"]["repos"]["puppet-code"];
    assert_eq!(repo["latest_commit"]["commit"], commit.as_str());
    assert!(repo["submodules"]["production"].is_string(), "an environment is a submodule: {repo}");
    assert_eq!(get(&rig, address, "/readyz").unwrap().0, 200);
    let (_, metrics) = get(&rig, address, "/metrics").unwrap();
    assert!(metrics.contains("sceneshift_client_deployed_sequence{repo=\"puppet-code\"} 1"), "{metrics}");

    let (status, _) = get(&rig, address, "/nothing").unwrap();
    assert_eq!(status, 404);
    rig.stop_client(daemon);
}

//! Certificates that are renewed and revoked while daemons run: nobody needs a restart, and nobody goes on with what is no longer valid.

use sceneshift::client;
use sceneshift::config::{ClientConfig, read_client};
use sceneshift::datadir::CONTROL_SOCKET;
use sceneshift::values::CommitId;
use sceneshift::wire::api::SyncRequest;
use tokio_util::sync::CancellationToken;

use super::*;

/// A client of the primary that runs within this process.
struct Client {
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
    socket: Remote,
}

impl Client {
    fn start(primary: &Primary, certname: &str) -> Self {
        let data = primary.folder.path().join("client");
        let settings = format!(
            "data-dir = {data:?}\nserver = {:?}\nlisten = \"127.0.0.1:0\"\n[puppet]\nssl-dir = {:?}\ncertname = {certname:?}\n[repos.puppet-code]\n",
            primary.url(),
            primary.ca.dir(),
        );
        let config: ClientConfig = read_client(&write(primary.folder.path(), "client.toml", &settings)).unwrap();
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let task = primary.runtime.spawn(async move { client::run_until(config, stopping).await.unwrap() });
        Self { stop, task: Some(task), socket: Remote::unix(&data.join(CONTROL_SOCKET)).unwrap() }
    }

    fn wait_deployed(&self, primary: &Primary, commit: CommitId) {
        until("the client has deployed it", SOON, || {
            let report = primary.block_on(self.socket.status()).ok()?;
            (report.repos[&repo()].deployed == Some(commit)).then_some(())
        });
    }

    fn stop(mut self, primary: &Primary) {
        self.stop.cancel();
        primary.block_on(self.task.take().unwrap()).unwrap();
    }
}

fn commit(primary: &Primary, text: &str) -> CommitId {
    std::fs::write(primary.folder.path().join("staging/environments/production/site.pp"), text).unwrap();
    primary.block_on(primary.as_host("ci.example").commit(&repo(), &CommitRequest::default())).unwrap().commit
}

#[test]
fn a_client_whose_certificate_is_renewed_and_the_old_one_revoked_goes_on_without_a_restart() {
    let primary = Primary::start(ACCESS);
    primary.ca.host("ci.example", Some("deployer"));
    let old = primary.ca.host("compile1.example", None);
    let client = Client::start(&primary, "compile1.example");
    client.wait_deployed(&primary, commit(&primary, "one"));

    let stale = primary.as_host("compile1.example");
    primary.ca.host("compile1.example", None);
    primary.ca.revoke(&old);
    until("the old one is refused", SOON, || primary.block_on(stale.repos()).is_err().then_some(()));
    client.wait_deployed(&primary, commit(&primary, "two"));
    client.wait_deployed(&primary, commit(&primary, "three"));
    until("it reports with the new one", SOON, || {
        let fleet = primary.block_on(primary.as_host("compile1.example").clients()).unwrap();
        let report = &fleet.clients.first()?.report.repos[&repo()];
        (report.sequence == Some(3) && report.error.is_none()).then_some(())
    });
    client.stop(&primary);
}

#[test]
fn a_primary_whose_certificate_is_revoked_is_believed_by_nobody_any_more() {
    let primary = Primary::start(ACCESS);
    primary.ca.host("ci.example", Some("deployer"));
    primary.ca.host("compile1.example", None);
    let client = Client::start(&primary, "compile1.example");
    let first = commit(&primary, "one");
    client.wait_deployed(&primary, first);

    primary.ca.revoke(&primary.certificate);
    let refused = until("it is refused", SOON, || {
        let sync = primary.block_on(client.socket.sync(&SyncRequest::default()));
        sync.err().filter(|error| error.status() == Some(502))
    });
    assert!(refused.to_string().to_lowercase().contains("revoked"), "{refused}");
    // Nor by the command line, or by anybody who comes anew.
    let error = primary.block_on(primary.as_host("ci.example").repos()).unwrap_err();
    assert!(format!("{error:?}").to_lowercase().contains("revoked"), "{error:?}");
    let report = primary.block_on(client.socket.status()).unwrap();
    assert_eq!(report.repos[&repo()].deployed, Some(first), "what is live stays live");
    client.stop(&primary);
}

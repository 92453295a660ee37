//! Without a gate and without a client: a real agent straight at a Puppet Server that ends TLS itself. What the other tests build on.

use std::time::Duration;

use http::StatusCode;

use crate::support::folder;
use crate::support::puppet::agent::Agent;
use crate::support::puppet::ca::{Ca, SERVER};
use crate::support::puppet::code::Code;
use crate::support::puppet::connection::{Target, get_once};
use crate::support::puppet::load::{Load, Style, Worker};
use crate::support::puppet::server::PuppetServer;
use crate::support::puppet::settings::{Listener, Settings};
use crate::support::wait::until;

#[test]
#[ignore = "needs Debian's puppetserver: make test-puppet"]
fn a_real_agent_gets_a_certificate_plugins_a_catalog_and_files() {
    let folder = folder::on_disk();
    let environments = folder.path().join("environments");
    let ca = Ca::make(folder.path(), &["agent1".to_owned()]);
    let code = Code::new(&environments, "production", Duration::ZERO);
    code.write_fact("v1");
    let wanted = folder.path().join("wanted.txt");
    code.file("modules/f/files/wanted.txt", "content v1\n");
    code.file(
        "manifests/file.pp",
        format!("file {{ '{}': source => 'puppet:///modules/f/wanted.txt' }}\n", wanted.display()),
    );
    Code::new(&environments, "parts", Duration::ZERO).write("v1");

    let mut settings = Settings::new(&environments);
    settings.listener = Listener::Tls;
    let mut puppet = PuppetServer::new(folder.path(), &ca, settings);
    puppet.start();

    let agent = Agent::new(folder.path(), "fresh", puppet.address().port());
    let run = agent.run(&[]);
    assert_eq!(run.status, 2, "{}", run.output);
    assert!(run.output.contains("fact v1 manifest v1"), "{}", run.output);
    assert!(agent.certificate().is_file(), "it asked for a certificate and got it");
    assert_eq!(std::fs::read_to_string(wanted).unwrap(), "content v1\n");
    let reports = folder.path().join("server/var/reports/fresh");
    assert_eq!(std::fs::read_dir(reports).unwrap().count(), 1, "it reported");

    // What was killed comes back at the same port.
    puppet.kill();
    puppet.start();
    let style = Style::Post { check_environment: true };
    let target = puppet.target("agent1");
    let load = Load::start(vec![Worker { target, environment: "parts".into(), style }]);
    until("some catalogs came", Duration::from_secs(60), || (load.answered() >= 10).then_some(()));
    let report = load.stop();
    report.print("one agent, straight over mutual TLS");
    assert_eq!((report.torn().count(), report.failed().count(), report.lost.len(), report.connections), (0, 0, 0, 1));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let nobody = Target::tls(puppet.address(), &ca, None);
    let catalog = "/puppet/v3/catalog/agent1?environment=parts";
    assert_eq!(runtime.block_on(get_once(&nobody, catalog)).unwrap().status, StatusCode::FORBIDDEN);
    assert_eq!(runtime.block_on(get_once(&puppet.target("agent1"), catalog)).unwrap().status, StatusCode::OK);
    let before = std::fs::read(ca.crl()).unwrap();
    runtime.block_on(ca.revoke(&puppet.target(SERVER), "agent1"));
    assert_ne!(std::fs::read(ca.crl()).unwrap(), before, "the list of what was revoked is written anew");
    until("the revoked certificate is refused", Duration::from_secs(60), || {
        runtime.block_on(get_once(&puppet.target("agent1"), catalog)).is_err().then_some(())
    });
}

//! A file that Puppet Server sends is open by the time that the head of its answer arrives. The gate's notion of what is running rests
//! on that: from then on a deploy may take the old file away.

use std::os::unix::fs::symlink;
use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt;

use crate::support::folder;
use crate::support::puppet::ca::Ca;
use crate::support::puppet::connection::{Connection, get, get_once};
use crate::support::puppet::server::PuppetServer;
use crate::support::puppet::settings::Settings;

/// Far more than sockets hold between them.
const LENGTH: usize = 96 << 20;

const PATH: &str = "/puppet/v3/file_content/modules/big/file?environment=production";

#[test]
#[ignore = "needs Debian's puppetserver: make test-puppet"]
fn a_file_is_open_when_the_head_of_its_answer_arrives() {
    let folder = folder::on_disk();
    let ca = Ca::make(folder.path(), &["agent1".to_owned()]);
    let at = |name: &str| folder.path().join(name);
    for version in ["old", "new"] {
        std::fs::create_dir_all(at(version).join("modules/big/files")).unwrap();
        std::fs::write(at(version).join("modules/big/files/file"), vec![version.as_bytes()[0]; LENGTH]).unwrap();
    }
    std::fs::create_dir(at("environments")).unwrap();
    symlink(at("old"), at("environments/production")).unwrap();
    let mut settings = Settings::new(at("environments"));
    settings.versioned_environment_dirs = true;
    let mut puppet = PuppetServer::new(folder.path(), &ca, settings);
    puppet.start();
    let target = puppet.target("agent1");

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (open_at_head, length, strange) = runtime.block_on(async {
        let mut connection = Connection::open(&target).await.unwrap();
        let answer = connection.send(get(PATH)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let open_at_head = puppet.open_files().contains(&at("old/modules/big/files/file"));
        // The deploy: another tree in its place, the flush, and the old one pruned at once.
        symlink(at("new"), at("environments/next")).unwrap();
        std::fs::rename(at("environments/next"), at("environments/production")).unwrap();
        std::fs::remove_dir_all(at("old")).unwrap();

        let (mut length, mut strange, mut body) = (0, 0, answer.into_body());
        while let Some(frame) = body.frame().await {
            let data = frame.expect("the body is sent to its end").into_data().unwrap_or_default();
            length += data.len();
            strange += data.iter().filter(|byte| **byte != b'o').count();
            // Slowly, as over a thin line: half a second in all.
            tokio::time::sleep(Duration::from_micros(50)).await;
        }
        (open_at_head, length, strange)
    });
    println!(
        "file_content of {LENGTH} bytes, its file replaced and removed once the head was there: {length} bytes came, {strange} of them not the old ones; open at the head: {open_at_head}"
    );
    assert_eq!((length, strange), (LENGTH, 0));
    assert!(open_at_head, "it was read whole before, or is opened later");

    let gone = runtime.block_on(get_once(&target, PATH)).unwrap();
    assert_ne!(gone.status, StatusCode::OK, "without a flush the server still looks where the old tree was");
}

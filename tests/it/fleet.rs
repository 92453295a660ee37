//! Real processes on loopback: a primary and clients that follow it, also when one of them is away, and a wire that breaks.

use std::time::{Duration, Instant};

use crate::support::process::Site;
use crate::support::proxy::Proxy;
use crate::support::random::Random;
use crate::support::shows::assert_shows;
use crate::support::wait::until;

const CLIENTS: [&str; 3] = ["compile1", "compile2", "compile3"];

/// How long a commit may take to be live.
const SOON: Duration = Duration::from_secs(30);

impl Site {
    /// Stages so many small files that differ, in modules of ten.
    fn stage_files(&self, files: usize, length: usize) {
        let mut random = Random::new(1);
        for at in 0..files {
            self.stage(&format!("environments/production/modules/m{}/files/f{at}", at / 10), random.bytes(length));
        }
    }

    /// Waits until `current` of a client is this commit.
    fn wait_for(&self, client: &str, commit: sceneshift::values::CommitId) {
        let target = format!("generations/{commit}/root");
        until("the commit is live", SOON, || {
            let found = std::fs::read_link(self.current(client)).ok()?;
            (found.to_str() == Some(&target)).then_some(())
        });
    }
}

#[test]
fn a_commit_is_live_on_three_clients_that_wait_for_it() {
    let site = Site::new();
    site.stage_files(200, 300);
    let _primary = site.start_primary();
    let clients = CLIENTS.map(|name| site.start_client(name));
    let first = site.commit();
    CLIENTS.iter().for_each(|name| site.wait_for(name, first.commit));

    let mut times = Vec::new();
    for round in 0..5 {
        site.stage("environments/production/modules/m3/files/f30", format!("round {round}"));
        let begun = Instant::now();
        let commit = site.commit().commit;
        CLIENTS.iter().for_each(|name| site.wait_for(name, commit));
        times.push(begun.elapsed());
    }
    times.sort();
    println!("from the call of commit to live on three clients: {:?} in the middle, {:?} at most", times[2], times[4]);
    CLIENTS.iter().for_each(|name| assert_shows(&site.staging(), &site.current(name)));
    // They were told: a client that asks now and then would take longer than its question.
    assert!(times[2] < Duration::from_secs(5), "{times:?}");

    let fleet: sceneshift::wire::api::Fleet = until("the primary knows", SOON, || {
        let fleet = serde_json::from_slice(&site.run(&["clients", "--json"]).stdout).unwrap();
        let sceneshift::wire::api::Fleet { clients, .. } = &fleet;
        let there = |member: &sceneshift::wire::api::FleetMember| {
            member.report.repos.values().all(|status| status.sequence == Some(6) && status.error.is_none())
        };
        clients.iter().all(there).then_some(fleet)
    });
    assert_eq!(fleet.clients.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), CLIENTS);
    for client in clients {
        assert!(client.stop().success());
    }
}

#[test]
fn a_client_that_starts_while_the_primary_is_away_serves_what_it_has_and_follows_when_it_returns() {
    let site = Site::new();
    site.stage("environments/production/manifests/site.pp", "old");
    let primary = site.start_primary();
    let client = site.start_client("compile1");
    let old = site.commit().commit;
    site.wait_for("compile1", old);
    assert!(client.stop().success());
    assert!(primary.stop().success());

    let mut client = site.start_client("compile1");
    let status = until("it has noticed", SOON, || site.status("compile1").filter(|status| status.error.is_some()));
    assert_eq!(status.deployed, Some(old));
    assert!(status.error.as_ref().unwrap().contains("cannot connect to the primary"), "{status:?}");
    assert_shows(&site.staging(), &site.current("compile1"));
    assert!(client.is_running());

    let primary = site.start_primary();
    site.stage("environments/production/manifests/site.pp", "new");
    let new = site.commit().commit;
    site.wait_for("compile1", new);
    assert_shows(&site.staging(), &site.current("compile1"));
    until("the error is forgotten", SOON, || site.status("compile1").filter(|status| status.error.is_none()));

    // The primary goes and comes while the client waits for the next commit.
    primary.kill();
    let _primary = site.start_primary();
    site.stage("environments/production/manifests/site.pp", "newest");
    let newest = site.commit().commit;
    site.wait_for("compile1", newest);
}

#[test]
fn a_fetch_that_is_cut_again_and_again_sends_nothing_of_substance_twice() {
    let site = Site::new();
    site.stage_files(400, 20_000);
    let _primary = site.start_primary();
    let commit = site.commit().commit;
    let proxy = Proxy::before(site.listen());

    let undisturbed = site.start_client_of("compile1", proxy.address());
    site.wait_for("compile1", commit);
    assert!(undisturbed.stop().success());
    let whole = proxy.take_received();
    assert!(whole > 400 * 20_000, "what is sent cannot be compressed: {whole} bytes");

    // The first time among the trees, then among the files.
    let cuts = [2_500, whole / 5, whole / 4, whole / 3];
    proxy.cut(&cuts);
    let _client = site.start_client_of("compile2", proxy.address());
    site.wait_for("compile2", commit);
    assert_eq!(proxy.cuts_left(), 0, "it was cut each time");
    let in_pieces = proxy.take_received();
    println!("{whole} bytes at once, {in_pieces} bytes in five pieces");
    // Each cut may cost what was under way: a block of the compression, some buffers, and the head asked for again.
    assert!(in_pieces < whole + cuts.len() as u64 * 200_000, "{in_pieces} bytes for {whole}");
    assert_shows(&site.staging(), &site.current("compile2"));
}

//! Damage that nobody looks for is found and healed by the daemons themselves, and told.

use std::fs;
use std::time::Duration;

use sceneshift::wire::api::{ClientReport, ScrubStatus};

use crate::support::process::{Site, sceneshift};
use crate::support::rot::flip;
use crate::support::shows::assert_shows;
use crate::support::wait::until;

/// Everything is read over and over again.
const ALWAYS: &str = "[scrub]\nper-day = \"100000000%\"\n";

/// How long a pass may take here: it is a few seconds on an idle machine.
const A_PASS: Duration = Duration::from_secs(120);

const SITE: &str = "environments/production/manifests/site.pp";

fn staged() -> Site {
    let site = Site::new();
    site.stage(SITE, "node default {}");
    site.stage("environments/production/modules/ntp/manifests/init.pp", "class ntp {}");
    site
}

/// How the scrub of the client does; `None` while it does not answer.
fn on_client(site: &Site) -> Option<ScrubStatus> {
    let data = site.client_data("compile1");
    let output = sceneshift(&["status", "--json", "--data-dir"]).arg(data).output().unwrap();
    serde_json::from_slice::<ClientReport>(&output.stdout).ok()?.scrub
}

fn wait_for_code(site: &Site) {
    until("the commit is live", A_PASS, || site.current("compile1").join(SITE).exists().then_some(()));
}

/// Waits until a scrub has begun and ended a pass after now, and gives how it does then.
fn whole_pass(status: impl Fn() -> Option<ScrubStatus>) -> ScrubStatus {
    let mut seen = status().and_then(|status| status.last_pass);
    // One may be under way already.
    for _ in 0..2 {
        let next = until("everything was read once", A_PASS, || {
            status()?.last_pass.filter(|pass| seen.as_ref() != Some(pass))
        });
        seen = Some(next);
    }
    status().unwrap()
}

#[test]
fn a_flipped_byte_on_a_client_is_healed_from_the_primary_and_told_everywhere() {
    let mut site = staged();
    site.client_settings = ALWAYS.to_owned();
    let _primary = site.start_primary();
    site.commit();
    let client = site.start_client("compile1");
    wait_for_code(&site);
    let damaged = fs::canonicalize(site.current("compile1").join(SITE)).unwrap();
    flip(&damaged);
    until("it is healed", A_PASS, || {
        (fs::read(site.current("compile1").join(SITE)).ok()? == b"node default {}").then_some(())
    });
    let told = until("its status says so", A_PASS, || on_client(&site).filter(|scrub| scrub.findings > 0));
    assert_eq!((told.unrepaired, &told.first_unrepaired), (0, &None), "{told:?}");
    until("the fleet says so", A_PASS, || {
        let member = site.fleet().clients.into_iter().find(|member| member.name == "compile1")?;
        member.report.scrub.filter(|scrub| scrub.findings > 0 && scrub.unrepaired == 0)
    });
    assert!(client.log().contains("damage found and repaired"), "{}", client.log());
    assert!(client.log().contains("holds other bytes than its name says"), "{}", client.log());
    assert_shows(&site.staging(), &site.current("compile1"));
    // At once, in the midst of it.
    assert!(client.stop().success());
}

#[test]
fn what_a_client_cannot_heal_is_told_until_the_primary_returns() {
    let mut site = staged();
    site.client_settings = ALWAYS.to_owned();
    let primary = site.start_primary();
    site.commit();
    let _client = site.start_client("compile1");
    wait_for_code(&site);
    assert!(primary.stop().success());
    flip(&site.current("compile1").join(SITE));
    let told = until("it is found", A_PASS, || on_client(&site).filter(|scrub| scrub.unrepaired > 0));
    assert!(told.first_unrepaired.is_some_and(|text| text.contains("holds other bytes")));
    let _primary = site.start_primary();
    until("it is healed", A_PASS, || on_client(&site).filter(|scrub| scrub.unrepaired == 0));
    assert_shows(&site.staging(), &site.current("compile1"));
}

#[test]
fn a_damaged_record_on_the_primary_is_healed_from_staging_and_what_staging_lacks_is_told() {
    let mut site = staged();
    site.primary_settings = ALWAYS.to_owned();
    let primary = site.start_primary();
    site.commit();
    assert!(primary.stop().success());
    damage(&site, b"class ntp {}", b"\0class NTP {}");
    let primary = site.start_primary();
    let metrics = || site.metrics();
    until("it is found and healed", A_PASS, || {
        site.fleet().scrub.filter(|scrub| scrub.findings > 0 && scrub.unrepaired == 0)
    });
    assert!(metrics().contains("sceneshift_scrub_findings_total 1\n"), "{}", metrics());
    assert!(metrics().contains("sceneshift_scrub_unrepaired 0\n"), "{}", metrics());
    assert!(primary.log().contains("damage found and repaired"), "{}", primary.log());
    assert!(primary.stop().success());

    // What only the history has is nowhere else.
    fs::remove_file(site.staging().join("environments/production/modules/ntp/manifests/init.pp")).unwrap();
    damage(&site, b"class ntp {}", b"\0class NTP {}");
    let _primary = site.start_primary();
    let told = until("it is found", A_PASS, || site.fleet().scrub.filter(|scrub| scrub.unrepaired > 0));
    assert!(told.first_unrepaired.is_some_and(|text| text.contains("holds other bytes")));
    let shown = site.run(&["clients"]).stdout;
    assert!(String::from_utf8_lossy(&shown).starts_with("primary: 1 finding of damage not repaired: blob "));
    assert!(metrics().contains("sceneshift_scrub_unrepaired 1\n"), "{}", metrics());
    site.stage("environments/production/modules/ntp/manifests/init.pp", "class ntp {}");
    until("it is healed", A_PASS, || site.fleet().scrub.filter(|scrub| scrub.unrepaired == 0));
}

/// Writes another record for a content. No primary may run.
fn damage(site: &Site, content: &[u8], record: &[u8]) {
    let (options, path) = (rocksdb::Options::default(), site.primary_data().join("store"));
    let families = rocksdb::DB::list_cf(&options, &path).unwrap();
    let database = rocksdb::DB::open_cf(&options, &path, families).unwrap();
    let blobs = database.cf_handle("blobs").unwrap();
    database.put_cf(blobs, blake3::hash(content).as_bytes(), record).unwrap();
}

#[test]
fn a_sound_site_is_read_whole_without_a_finding_and_deploys_go_on_meanwhile() {
    let mut site = staged();
    (site.primary_settings, site.client_settings) = (ALWAYS.to_owned(), ALWAYS.to_owned());
    let primary = site.start_primary();
    site.commit();
    let client = site.start_client("compile1");
    for round in 0..20 {
        site.stage(SITE, format!("round {round}"));
        site.commit();
    }
    let text = b"round 19";
    until("the last commit is live", A_PASS, || {
        (fs::read(site.current("compile1").join(SITE)).ok()? == text).then_some(())
    });
    let of_client = whole_pass(|| on_client(&site));
    let of_primary = whole_pass(|| site.fleet().scrub);
    for status in [of_client, of_primary] {
        assert_eq!((status.findings, status.unrepaired), (0, 0), "{status:?}");
        assert!(status.objects > 0 && status.bytes > 0, "{status:?}");
    }
    assert!(client.stop().success());
    assert!(primary.stop().success());
    let client = site.start_client("compile1");
    assert!(on_client(&site).unwrap().last_pass.is_some(), "it is known over a restart");
    assert!(client.stop().success());
}

//! How long commits of a large estate take; run by hand: `SCENESHIFT_ESTATE=<directory> cargo test --lib estate -- --ignored --nocapture`.

use std::time::Instant;

use super::*;

#[test]
#[ignore = "needs a large staging tree and measures only"]
fn commits_of_a_large_estate() {
    let staging = PathBuf::from(std::env::var_os("SCENESHIFT_ESTATE").expect("SCENESHIFT_ESTATE names a staging tree"));
    let mut site = site_in(tempfile::tempdir_in(staging.parent().unwrap()).unwrap());
    site.repo.staging_dir = staging;
    let measured = |what: &str| {
        let begun = Instant::now();
        let answer = site.commit();
        println!("{what}: {:?}, {} files, {:?}", begun.elapsed(), answer.files, answer.changes);
        answer
    };
    measured("cold");
    assert!(!measured("no change").created);
    assert!(!measured("no change").created);
    let environment = fs::read_dir(site.at("environments")).unwrap().next().unwrap().unwrap().path();
    fs::write(environment.join("manifests/site.pp"), format!("# {:?}\n", Instant::now())).unwrap();
    assert_eq!(measured("one file").changes.modified, 1);
    assert!(!measured("no change").created);
}

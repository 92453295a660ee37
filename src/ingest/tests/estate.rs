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
        // Linux counts the peak anew from here.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let begun = Instant::now();
        let answer = site.commit();
        let seconds = begun.elapsed().as_secs_f64();
        println!("{what}: {seconds:.3} s, {} files, {:?}, at most {}", answer.files, answer.changes, peak());
        answer
    };
    measured("cold");
    assert!(!measured("no change").created);
    assert!(!measured("no change").created);
    let environment = fs::read_dir(site.at("environments")).unwrap().next().unwrap().unwrap().path();
    fs::write(environment.join("manifests/site.pp"), format!("# {:?}\n", Instant::now())).unwrap();
    assert!(measured("one file").created);
    assert!(!measured("no change").created);
}

/// The most memory that the process held.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned()
}

//! Large files: one of 2 GiB goes all the way, and no process grows with it; of one that changed a little, little is sent.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::folder;
use crate::support::process::{Process, Site};
use crate::support::random::Random;
use crate::support::rig::Rig;
use crate::support::shows::assert_shows;
use crate::support::wait::until;

const SIZE: u64 = 2 << 30;

/// What no process may exceed.
const MEMORY: u64 = 256 << 20;

/// The file, its store, and its blob, with something to spare.
const ROOM: u64 = 3 * SIZE + (1 << 30);

/// Mostly bytes that no compression makes smaller, and that come only once; some runs of zeros, as images of disks have them.
fn write_file(path: &Path) {
    let (mut file, mut random, mut piece) = (File::create(path).unwrap(), Random::new(3), vec![0; 8 << 20]);
    for at in 0..SIZE / piece.len() as u64 {
        if at % 4 == 3 {
            piece.fill(0);
        } else {
            random.fill(&mut piece);
        }
        file.write_all(&piece).unwrap();
    }
}

#[test]
fn a_file_of_two_gibibytes_passes_in_less_than_256_mebibytes_of_memory() {
    let folder = folder::fast();
    if folder::room(folder.path()) < ROOM {
        println!("skipped: it needs {} GiB in /dev/shm or the temporary folder", ROOM >> 30);
        return;
    }
    let site = Site::in_folder(folder);
    site.stage("environments/production/manifests/site.pp", "small");
    write_file(&site.staging().join("environments/production/image"));
    let primary = site.start_primary();
    let client = site.start_client("compile1");

    let begun = Instant::now();
    let commit = site.commit().commit;
    println!("committed after {:?}", begun.elapsed());
    let target = format!("generations/{commit}/root");
    until("it is live", Duration::from_secs(180), || {
        let found = std::fs::read_link(site.current("compile1")).ok()?;
        (found.to_str() == Some(&target)).then_some(())
    });
    println!("live after {:?}", begun.elapsed());
    for (name, process) in [("primary", &primary), ("client", &client)] {
        let peak = Process::peak_memory(process);
        println!("the most memory of the {name}: {} MiB", peak >> 20);
        assert!(peak < MEMORY, "{peak} bytes");
    }
    assert_shows(&site.staging(), &site.current("compile1"));
}

#[test]
fn a_small_edit_of_a_large_file_sends_a_small_part_of_it() {
    let rig = Rig::new();
    let path = rig.staging().join("image");
    let mut content = Random::new(4).bytes(24 << 20);
    std::fs::write(&path, &content).unwrap();
    rig.commit();
    rig.deploy();
    // Longer than before: what follows moves, and is recognised all the same.
    let middle = content.len() / 2;
    content.splice(middle..middle, *b"a few bytes more");
    std::fs::write(&path, &content).unwrap();
    rig.commit();
    let report = rig.deploy();
    assert_shows(&rig.staging(), &rig.current());
    let received = report.repos[&rig.repo()].last_deploy.unwrap().received_bytes;
    println!("{received} bytes were sent of {}", content.len());
    assert!(received < 4 << 20, "{received} bytes");
    rig.assert_clean();
}

//! More files with the same content than ext4 allows links to one inode, in one generation and over two.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::on_disk::{CLIENT, OnDisk};
use crate::support::image::Image;

/// ext4 allows 65,000 links.
const FILES: u64 = 66_000;

const CONTENT: &str = "the same in all of them";

fn stage(on: &OnDisk, environment: &str) {
    let dir = on.site.staging().join(format!("environments/{environment}/modules/m/files"));
    fs::create_dir_all(&dir).unwrap();
    // A name of its own, so that the two directories are two trees.
    fs::write(dir.join(environment), CONTENT).unwrap();
    for file in 0..FILES {
        fs::write(dir.join(file.to_string()), CONTENT).unwrap();
    }
}

/// How many files of a directory are links to each inode.
fn links(dir: &Path) -> BTreeMap<u64, u64> {
    let mut links = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        *links.entry(entry.unwrap().metadata().unwrap().ino()).or_default() += 1;
    }
    links
}

#[test]
fn more_files_of_one_content_than_a_file_may_have_links_are_all_there() {
    // Names of 132,000 files, and hardly any content.
    let Some(disk) = Image::ext4(400, &[], "rw") else { return };
    let on = OnDisk::new(disk);
    let (primary, client) = (on.site.start_primary(), on.site.start_client(CLIENT));
    let mut all = BTreeMap::new();
    for environment in ["production", "testing"] {
        stage(&on, environment);
        on.commit().unwrap();
        on.sync().unwrap();
        let dir = on.current().join(format!("environments/{environment}/modules/m/files"));
        for (inode, count) in links(&dir) {
            *all.entry(inode).or_insert(0) += count;
        }
    }
    println!("{} files with the same content are links to {} inodes", 2 * (FILES + 1), all.len());
    assert_eq!(all.values().sum::<u64>(), 2 * (FILES + 1));
    assert!((3..10).contains(&all.len()), "few inodes, each with many links: {all:?}");
    on.assert_shows_staging();
    on.assert_clean();

    // And none is left when nobody shows them any more.
    fs::remove_dir_all(on.site.staging().join("environments/testing")).unwrap();
    on.commit().unwrap();
    on.sync().unwrap();
    on.assert_shows_staging();
    for process in [client, primary] {
        assert!(process.stop().success());
    }
    on.assert_clean();
}

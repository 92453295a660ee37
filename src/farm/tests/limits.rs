//! What the file system allows, and what happens beyond.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::codec::encode_tree;
use crate::farm::BlobKey;
use crate::farm::testing::TestFarm;
use crate::progress::Progress;
use crate::values::{BlobId, Entry, Name, Subtree, Tree, TreeId};

/// ext4 allows 65,000 links to one inode; xfs, btrfs and tmpfs practically any number.
const BEYOND_EXT4: usize = 65_100;

const CONTENT: &[u8] = b"the same content";

/// A directory of `count` files, all with the same content.
fn directory(farm: &TestFarm, count: usize) -> Subtree {
    let file = || Entry::File { id: BlobId::of(CONTENT), executable: false, size: CONTENT.len() as u64 };
    let name = |at: usize| Name::new(format!("f{at}").as_bytes()).unwrap();
    let tree = Tree::from_entries((0..count).map(|at| (name(at), file())).collect()).unwrap();
    Subtree { id: put(farm, &tree), totals: tree.totals() }
}

fn put(farm: &TestFarm, tree: &Tree) -> TreeId {
    let canonical = encode_tree(tree);
    let id = TreeId::of(&canonical);
    farm.farm().put_trees(&[(id, canonical)]).unwrap();
    id
}

fn inodes(farm: &TestFarm, commit: crate::values::CommitId) -> BTreeSet<u64> {
    let root = farm.farm().root_path(&TestFarm::repo(), &commit);
    fs::read_dir(root).unwrap().map(|entry| entry.unwrap().metadata().unwrap().ino()).collect()
}

#[test]
fn a_file_with_more_links_than_the_file_system_allows_goes_on_in_a_fresh_inode() {
    let (farm, repo) = (TestFarm::new(), TestFarm::repo());
    let key = BlobKey { id: BlobId::of(CONTENT), executable: false };
    let mut writer = farm.farm().blob_writer().unwrap();
    writer.write(CONTENT).unwrap();
    writer.finish(key.id, &BTreeSet::from([false])).unwrap();

    let build = |count: usize| {
        let commit = farm.commit_root(&repo, directory(&farm, count));
        farm.farm().build(&farm.plan(&repo, commit), &Progress::default()).unwrap();
        commit
    };
    let first = inodes(&farm, build(BEYOND_EXT4));
    let record = farm.farm().index().blob(key).unwrap().expect("the blob is vouched for");
    assert_eq!(first, record.inodes.iter().copied().collect(), "every link is to an inode that is known");
    if first.len() == 1 {
        println!("skipped: this file system allows {BEYOND_EXT4} links to one file");
        return;
    }
    assert!(farm.farm().blob_is_good(key).unwrap());
    // The next generation links to the inode that took over.
    assert_eq!(inodes(&farm, build(10)), BTreeSet::from([record.inodes[1]]));
}

//! Syncs and deploys.

use super::{Client, Estate, LARGE, SMALL, assert_at_most, assert_flat, edit};
use crate::support::strace::{self, LINKS, SYMLINKS, SYNCFS, SYNCS};

/// Of a first sync: for each distinct content, for each link, for each directory and symbolic link made; and whatever is synced.
const FIRST_PER_BLOB: u64 = 7;
const FIRST_PER_LINK: u64 = 1;
const FIRST_PER_DIR: u64 = 6;
const FIRST_OF_ANY: u64 = 250;

/// Directories that hold blobs are made at their first use.
const BLOB_DIRS: u64 = 256;

/// Syncs of single files and directories, whatever is deployed.
const SYNCS_OF_ANY: u64 = 5;

/// Symbolic links that any generation has; for each environment; for each module in an environment. A deploy makes no others anew than those on the
/// way to what changed: the environment's two, and its module's. The rest are other names of those that are live.
const SYMLINKS_OF_ANY: u64 = 2;
const SYMLINKS_PER_ENVIRONMENT: u64 = 2;
const SYMLINKS_PER_MODULE: u64 = 1;

/// Looks for each environment.
const LOOKS_PER_ENVIRONMENT: u64 = 2;

/// Calls of a kind by which two deploys of the same may differ: a client reports when it gets to it.
const CHANCE: u64 = 8;

#[test]
fn a_first_sync_makes_each_file_once_and_each_link_once() {
    if !strace::is_possible() {
        return;
    }
    // Enough files for one more call for each of them to show.
    let estate = Estate { files: 40, ..LARGE };
    let client = Client::start(estate);
    let calls = client.commit_and_deploy();
    // The modules are the same everywhere, and built once.
    let (blobs, links, dirs) = (estate.blobs(), estate.blobs(), estate.modules * 2 + estate.environments * 3);
    let symlinks = estate.environments * (estate.modules + SYMLINKS_PER_ENVIRONMENT) + SYMLINKS_OF_ANY;
    let bound = blobs * FIRST_PER_BLOB
        + links * FIRST_PER_LINK
        + dirs * FIRST_PER_DIR
        + symlinks
        + 2 * BLOB_DIRS.min(blobs)
        + FIRST_OF_ANY;
    assert_at_most("calls", calls.all(), bound, &calls);
    assert_at_most("symbolic links", calls.of(SYMLINKS), symlinks, &calls);
    assert_at_most("links", calls.of(LINKS), links, &calls);
    assert_at_most("syncs of a whole file system", calls.of(SYNCFS), 1, &calls);
    assert_at_most("syncs", calls.of(SYNCS), SYNCS_OF_ANY, &calls);
}

#[test]
fn a_changed_file_costs_its_module_however_large_the_rest_is() {
    if !strace::is_possible() {
        return;
    }
    let [small, large] = [SMALL, LARGE].map(|estate| {
        let client = Client::start(estate);
        client.commit_and_deploy();
        edit(&client.site, "class edited { }\n");
        client.commit_and_deploy()
    });
    let more_environments = LARGE.environments - SMALL.environments;
    let more_looks = CHANCE + LOOKS_PER_ENVIRONMENT * more_environments;
    let flat = [
        (strace::LOOKS, more_looks),
        (strace::OPENS, CHANCE),
        (strace::LISTS, CHANCE),
        (strace::READS, CHANCE),
        (strace::WRITES, CHANCE),
        (strace::RENAMES, 0),
        (strace::REMOVES, 0),
        (SYNCS, 0),
        (SYNCFS, 0),
    ];
    for (names, more) in flat {
        assert_flat(&format!("calls like {}", names[0]), names, &small, &large, more);
    }
    let symlinks = SYMLINKS_OF_ANY + SYMLINKS_PER_ENVIRONMENT + SYMLINKS_PER_MODULE;
    assert_at_most("symbolic links", large.of(SYMLINKS), symlinks, &large);
    let kept = LARGE.environments * SYMLINKS_PER_ENVIRONMENT + LARGE.modules * SYMLINKS_PER_MODULE;
    // Those of the module's files, and the environment's manifest.
    assert_at_most("links", large.of(LINKS), LARGE.files + 1 + kept, &large);
    assert_at_most("syncs of a whole file system", large.of(SYNCFS), 1, &large);
    assert_at_most("syncs", large.of(SYNCS), SYNCS_OF_ANY, &large);
}

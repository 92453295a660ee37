//! Commits.

use super::{LARGE, Primary, SMALL, assert_at_most, assert_flat, edit};
use crate::support::strace::{self, OPENS, READS, SYNCS, WRITES};

/// Of a commit where nothing changed: for each file in staging, for each directory there.
const UNCHANGED_PER_FILE: u64 = 1;
const UNCHANGED_PER_DIR: u64 = 8;
const UNCHANGED_WRITES: u64 = 2;

/// What a commit of one changed file may write to the store, and what any commit may sync.
const WRITES_OF_ONE: u64 = 4;
const SYNCS_OF_ANY: u64 = 2;

/// Of a first commit: for each file in staging, for each directory there; in the store for each distinct content, and for all trees and
/// what is remembered of staging.
const FIRST_PER_FILE: u64 = 6;
const FIRST_PER_DIR: u64 = 12;
const FIRST_WRITES_PER_BLOB: u64 = 1;
const FIRST_WRITES_OF_TREES: u64 = 84;

/// How many more calls of a kind a commit of one environment may make in the store where there are six times as many environments: the
/// list of them is longer.
const MORE_FOR_MORE_ENVIRONMENTS: u64 = 4;

#[test]
fn a_commit_of_what_did_not_change_looks_at_each_entry_and_reads_and_writes_nothing() {
    if !strace::is_possible() {
        return;
    }
    let primary = Primary::start(LARGE);
    primary.commit(None);
    let again = primary.commit(None);
    assert!(!again.answer.created);
    let bound = LARGE.files() * UNCHANGED_PER_FILE + LARGE.dirs() * UNCHANGED_PER_DIR;
    assert_at_most("calls in staging", again.staging.all(), bound, &again.staging);
    assert_at_most("reads in staging", again.staging.of(READS), 0, &again.staging);
    assert_at_most("writes to the store", again.store.of(WRITES), UNCHANGED_WRITES, &again.store);
    assert_at_most("syncs of the store", again.store.of(SYNCS), 0, &again.store);
}

#[test]
fn a_commit_of_one_environment_costs_the_same_however_many_there_are() {
    if !strace::is_possible() {
        return;
    }
    let [small, large] = [SMALL, super::Estate { environments: LARGE.environments, ..SMALL }].map(|estate| {
        let primary = Primary::start(estate);
        primary.commit(None);
        edit(&primary.site, "class edited { }\n");
        let committed = primary.commit(Some("env0"));
        assert!(committed.answer.created);
        committed
    });
    for names in [strace::LOOKS, OPENS, strace::LISTS, READS, WRITES, SYNCS] {
        let what = format!("calls like {}", names[0]);
        assert_flat(&format!("{what} in staging"), names, &small.staging, &large.staging, 0);
        assert_flat(&format!("{what} in the store"), names, &small.store, &large.store, MORE_FOR_MORE_ENVIRONMENTS);
    }
    assert_at_most("manifests opened", large.manifests_opened, 1, &large.staging);
    assert_at_most("writes to the store", large.store.of(WRITES), WRITES_OF_ONE, &large.store);
    assert_at_most("syncs of the store", large.store.of(SYNCS), SYNCS_OF_ANY, &large.store);
}

#[test]
fn a_first_commit_reads_each_file_once_and_syncs_a_few_times() {
    if !strace::is_possible() {
        return;
    }
    let primary = Primary::start(LARGE);
    let first = primary.commit(None);
    assert_eq!(first.answer.files, LARGE.files());
    let bound = LARGE.files() * FIRST_PER_FILE + LARGE.dirs() * FIRST_PER_DIR;
    assert_at_most("calls in staging", first.staging.all(), bound, &first.staging);
    assert_at_most("manifests opened", first.manifests_opened, LARGE.files(), &first.staging);
    let bound = LARGE.blobs() * FIRST_WRITES_PER_BLOB + FIRST_WRITES_OF_TREES;
    assert_at_most("writes to the store", first.store.of(WRITES), bound, &first.store);
    assert_at_most("syncs of the store", first.store.of(SYNCS), SYNCS_OF_ANY, &first.store);
}

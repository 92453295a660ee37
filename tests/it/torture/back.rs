//! The machine comes back after a power cut: what it finds is read before anything runs, and then everything is started and goes on.
//!
//! This is a process of its own, in a mount namespace of its own, started by `cuts.rs`.

use std::path::{Path, PathBuf};

use sceneshift::values::CommitId;
use serde::{Deserialize, Serialize};

use super::SOON;
use super::load::Asking;
use super::model;
use crate::support::process::{Site, assert_clean};
use crate::support::wait::until;

/// The test below.
pub(super) const NAME: &str = "torture::back::a_machine_comes_back_after_a_power_cut";

/// Names the file with what is expected.
pub(super) const EXPECTED: &str = "SCENESHIFT_CUT_EXPECTED";

/// What had been acknowledged before the power failed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Expected {
    /// The site's folder.
    pub(super) folder: PathBuf,
    /// The number of the commit that the client had said is deployed; 0 for none.
    pub(super) deployed: u64,
    pub(super) acknowledged: Vec<(u64, CommitId)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Known {
    expected: Expected,
    /// The highest number that may have been committed.
    sent: u64,
}

impl Expected {
    /// Writes it down, for the process that looks.
    pub(super) fn write(self, path: &Path, sent: u64) {
        let known = Known { expected: self, sent };
        std::fs::write(path, serde_json::to_vec(&known).unwrap()).unwrap();
    }
}

#[test]
#[ignore = "started by the tests of power cuts, with the copy of a disk mounted"]
fn a_machine_comes_back_after_a_power_cut() {
    let path = std::env::var_os(EXPECTED).expect("this is started by the tests of power cuts");
    let Known { expected, sent } = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    // In memory: the copy of a disk is not the place for it.
    let scratch = crate::support::folder::fast();
    let scratch = scratch.path();
    let site = Site::at(&expected.folder);
    let current = site.current("c");

    let shown = model::shown_whole(&current, scratch).unwrap_or(0);
    assert!(shown >= expected.deployed, "{} was deployed, and {shown} is live", expected.deployed);
    assert!(shown <= sent, "{shown} was never committed");

    let primary = site.start_primary();
    let asking = Asking::new(&site.address());
    asking.assert_history(&expected.acknowledged);
    let last = expected.acknowledged.last().map_or(0, |(number, _)| *number);
    let (head, number) = (asking.head(), asking.number(asking.head().commit));
    assert!(number >= last && number <= sent, "the head is {number}, acknowledged was {last}");

    let client = site.start_client("c");
    let is_live = |commit: CommitId| {
        let status = site.status("c")?;
        (status.deployed == Some(commit) && status.error.is_none()).then_some(())
    };
    until("the client shows the head", SOON, || is_live(head.commit));
    assert_eq!(model::shown_whole(&current, scratch), Some(number));
    // And it goes on.
    model::write(sent + 1, &site.staging());
    let next = site.commit();
    assert!(next.created && next.parent == Some(head.commit), "{next:?}");
    until("the client follows", SOON, || is_live(next.commit));
    assert_eq!(model::shown_whole(&current, scratch), Some(sent + 1));
    let data = [site.primary_data(), site.client_data("c")];
    data.iter().for_each(|data| assert_clean(data));
    for process in [client, primary] {
        assert!(process.stop().success());
    }
    data.iter().for_each(|data| assert_clean(data));
}

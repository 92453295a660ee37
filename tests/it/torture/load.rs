//! One commit after the other, and what was acknowledged.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use sceneshift::remote::{FileAnswer, Remote, RemoteError};
use sceneshift::values::{CommitId, RepoName, TreePath};
use sceneshift::wire::api::{CommitInfo, CommitRequest};
use tokio::runtime::Runtime;

use super::model;

pub(super) fn repo() -> RepoName {
    "puppet-code".parse().unwrap()
}

/// Who commits, to a primary that may be away at any moment. Each number is committed once at most, and no number after a higher one.
pub(super) struct Load {
    address: String,
    staging: PathBuf,
    acknowledged: Mutex<Vec<(u64, CommitId)>>,
    /// The highest number that was ever sent.
    sent: AtomicU64,
    paused: AtomicBool,
    working: Mutex<()>,
    done: AtomicBool,
}

impl Load {
    /// Nothing is committed yet.
    pub(super) fn new(address: String, staging: PathBuf) -> Self {
        Self {
            address,
            staging,
            acknowledged: Mutex::default(),
            sent: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            working: Mutex::new(()),
            done: AtomicBool::new(false),
        }
    }

    /// Commits until it is told to end.
    pub(super) fn run(&self) {
        let (runtime, remote) = (super::runtime(), Remote::new(&self.address).unwrap());
        while !self.done.load(SeqCst) {
            let working = self.working.lock().unwrap();
            if self.paused.load(SeqCst) {
                drop(working);
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            if !self.commit(&runtime, &remote) {
                // Nobody answers; it need not be asked all the time.
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Whether the next number's commit was acknowledged.
    fn commit(&self, runtime: &Runtime, remote: &Remote) -> bool {
        let number = self.sent.load(SeqCst) + 1;
        model::write(number, &self.staging);
        self.sent.store(number, SeqCst);
        match runtime.block_on(remote.commit(&repo(), &CommitRequest::default())) {
            Ok(answer) => {
                assert!(answer.created, "no two numbers are the same: {answer:?}");
                self.acknowledged.lock().unwrap().push((number, answer.commit));
                true
            }
            Err(RemoteError::Unreachable { .. } | RemoteError::Broken { .. }) => false,
            Err(error) => panic!("commit {number} was refused: {error:?}"),
        }
    }

    /// Nothing is committed until this goes, nor under way unless the primary was killed meanwhile.
    pub(super) fn pause(&self) -> Pause<'_> {
        self.paused.store(true, SeqCst);
        drop(self.working.lock().unwrap());
        Pause(self)
    }

    pub(super) fn end(&self) {
        self.done.store(true, SeqCst);
    }

    pub(super) fn acknowledged(&self) -> MutexGuard<'_, Vec<(u64, CommitId)>> {
        self.acknowledged.lock().unwrap()
    }

    /// How many commits were acknowledged.
    pub(super) fn count(&self) -> usize {
        self.acknowledged().len()
    }

    /// The highest number that was acknowledged; 0 before the first.
    pub(super) fn last(&self) -> u64 {
        self.acknowledged().last().map_or(0, |(number, _)| *number)
    }

    /// The highest number that may have been committed.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(SeqCst)
    }
}

/// See [`Load::pause`].
pub(super) struct Pause<'a>(&'a Load);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.paused.store(false, SeqCst);
    }
}

/// Asks a primary for what it holds.
pub(super) struct Asking {
    pub(super) runtime: Runtime,
    remote: Remote,
}

impl Asking {
    pub(super) fn new(address: &str) -> Self {
        Self { runtime: super::runtime(), remote: Remote::new(address).unwrap() }
    }

    pub(super) fn head(&self) -> CommitInfo {
        self.runtime.block_on(self.remote.commit_info(&repo(), "head")).expect("the primary runs and has a head")
    }

    /// The number that a commit holds.
    pub(super) fn number(&self, commit: CommitId) -> u64 {
        let path = TreePath::new(model::a_numbered_path().as_bytes()).unwrap();
        let answer = self.runtime.block_on(self.remote.listing_or_file(&repo(), commit, &path)).unwrap();
        let FileAnswer::File(mut content) = answer else { panic!("{answer:?}") };
        let mut text = String::new();
        content.read_to_string(&mut text).unwrap();
        text.parse().unwrap()
    }

    /// Fails the test unless the head's history holds each of these, in this order, with the content that was committed.
    #[track_caller]
    pub(super) fn assert_history(&self, acknowledged: &[(u64, CommitId)]) {
        let mut history: BTreeMap<CommitId, u64> = BTreeMap::new();
        let mut next = Some(self.head());
        // From the head by each commit's parent: what is only in the store and not before the head is lost all the same.
        let wanted = acknowledged.first().map(|(_, commit)| *commit);
        while let Some(info) = next {
            history.insert(info.commit, info.sequence);
            let parent = info.parent.filter(|_| Some(info.commit) != wanted);
            next = parent.map(|parent| self.runtime.block_on(self.remote.commit_info(&repo(), parent)).unwrap());
        }
        let mut before = 0;
        for (number, commit) in acknowledged {
            let sequence =
                *history.get(commit).unwrap_or_else(|| panic!("commit {number}, {commit}, was acknowledged"));
            assert!(sequence > before, "commit {number} follows those before it");
            before = sequence;
            assert_eq!(self.number(*commit), *number, "{commit} holds what was committed");
        }
    }
}

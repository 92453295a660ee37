//! Damage of a store that staging can put right, and damage that it cannot.

use super::*;
use crate::datadir::{DataDir, Kind};
use crate::findings::{At, Outcome, PrimaryFinding};
use crate::store::Family;
use crate::store::tests::{Fixture, repo_name};
use crate::values::{BlobId, MAX_WHOLE_BLOB};

/// A committed staging directory, and the store that it was committed to.
struct Primary {
    store: Fixture,
    repo: Repo,
    commit: CommitId,
}

impl Primary {
    fn new() -> Self {
        let store = Fixture::new();
        let staging_dir = store.folder.path().join("staging");
        fs::create_dir_all(staging_dir.join("environments/production")).unwrap();
        fs::write(staging_dir.join("environments/production/site.pp"), "site").unwrap();
        fs::write(staging_dir.join("environments/production/left-out.swp"), "x").unwrap();
        symlink("site.pp", staging_dir.join("environments/production/link")).unwrap();
        fs::write(staging_dir.join("large"), large()).unwrap();
        let repo = Repo {
            name: repo_name("code"),
            staging_dir,
            environments_dir: path("environments"),
            ignore: vec!["*.swp".into()],
            skip_special: false,
        };
        let commit = commit(&store, &repo, &CommitRequest::default(), &Progress::default()).unwrap().commit;
        Self { store, repo, commit }
    }

    fn heal(&self, finding: PrimaryFinding) -> Outcome {
        let repos = std::slice::from_ref(&self.repo);
        let mut outcomes = heal(&self.store, repos, vec![finding], &Progress::default());
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }

    fn at(&self) -> At {
        At { repo: self.repo.name.clone(), commit: self.commit, path: TreePath::root() }
    }

    fn tree(&self, at: &str) -> TreeId {
        let root = self.store.commit(&self.commit).unwrap().unwrap().root.id;
        path(at).names().fold(root, |id, name| match self.store.tree(&id).unwrap().unwrap().get(name.as_bytes()) {
            Some(Entry::Tree(subtree)) => subtree.id,
            other => panic!("{other:?}"),
        })
    }

    fn ends_clean(mut self) -> bool {
        let data = self.store.close();
        let report = crate::fsck::check(&data, &crate::fsck::Access::Locked, &Progress::default()).unwrap();
        report.findings.is_empty()
    }
}

fn large() -> Vec<u8> {
    crate::store::tests::noise(3, 3 * MAX_WHOLE_BLOB)
}

#[test]
fn blobs_come_back_from_staging() {
    let id = BlobId::of(b"site");
    let primary = Primary::new();
    primary.store.put_raw(Family::Blobs, id.as_bytes(), b"\0Site");
    assert!(primary.heal(PrimaryFinding::BlobDamaged { id }).repaired);
    assert!(primary.ends_clean());

    let primary = Primary::new();
    primary.store.put_raw(Family::Blobs, id.as_bytes(), b"\x09");
    assert!(primary.heal(PrimaryFinding::BlobUnreadable { id }).repaired);
    assert!(primary.ends_clean());

    let primary = Primary::new();
    primary.store.remove_raw(Family::Blobs, id.as_bytes());
    assert!(primary.heal(PrimaryFinding::BlobMissing { id, at: primary.at() }).repaired);
    assert!(primary.ends_clean());
}

#[test]
fn chunks_come_back_from_staging() {
    let primary = Primary::new();
    let blob = BlobId::of(&large());
    let Some(crate::store::StoredBlob::Chunked(list)) = primary.store.blob(&blob).unwrap() else { panic!() };
    let chunk = list.chunks()[1].id;
    primary.store.remove_raw(Family::Blobs, chunk.as_bytes());
    assert!(primary.heal(PrimaryFinding::ChunkMissing { blob, chunk }).repaired);
    primary.store.put_raw(Family::Blobs, chunk.as_bytes(), b"\0wrong");
    assert!(primary.heal(PrimaryFinding::BlobDamaged { id: chunk }).repaired);
    assert!(primary.ends_clean());
}

#[test]
fn trees_come_back_from_staging_without_what_is_left_out() {
    for at in ["environments/production", "environments", ""] {
        let primary = Primary::new();
        let id = primary.tree(at);
        primary.store.put_raw(Family::Trees, id.as_bytes(), b"rubbish");
        assert!(primary.heal(PrimaryFinding::TreeDamaged { id }).repaired, "{at:?}");
        primary.store.remove_raw(Family::Trees, id.as_bytes());
        assert!(primary.heal(PrimaryFinding::TreeMissing { id, at: primary.at() }).repaired, "{at:?}");
        assert!(primary.ends_clean(), "{at:?}");
    }
}

#[test]
fn what_staging_no_longer_has_remains_and_says_what_to_do() {
    let primary = Primary::new();
    let (id, tree) = (BlobId::of(b"site"), primary.tree("environments/production"));
    primary.store.remove_raw(Family::Blobs, id.as_bytes());
    primary.store.remove_raw(Family::Trees, tree.as_bytes());
    fs::write(primary.repo.staging_dir.join("environments/production/site.pp"), "newer").unwrap();
    let outcome = primary.heal(PrimaryFinding::BlobMissing { id, at: primary.at() });
    assert!(!outcome.repaired && outcome.detail.contains("put it back"), "{outcome:?}");
    let outcome = primary.heal(PrimaryFinding::TreeMissing { id: tree, at: primary.at() });
    assert!(!outcome.repaired && outcome.detail.contains("put it back"), "{outcome:?}");
    fs::write(primary.repo.staging_dir.join("environments/production/site.pp"), "site").unwrap();
    assert!(primary.heal(PrimaryFinding::BlobMissing { id, at: primary.at() }).repaired);
    assert!(primary.heal(PrimaryFinding::TreeMissing { id: tree, at: primary.at() }).repaired);
    assert!(primary.ends_clean());
}

#[test]
fn a_repair_moves_no_head_and_makes_no_commit() {
    let primary = Primary::new();
    fs::write(primary.repo.staging_dir.join("not-committed"), "x").unwrap();
    let id = primary.tree("");
    primary.store.remove_raw(Family::Trees, id.as_bytes());
    primary.heal(PrimaryFinding::TreeMissing { id, at: primary.at() });
    assert_eq!(primary.store.head(&primary.repo.name).unwrap(), Some(primary.commit));
    assert!(!primary.store.blob_is_there(&BlobId::of(b"x")).unwrap(), "what was not asked for is not stored");
}

#[test]
fn after_a_lie_of_the_stat_cache_the_next_commit_is_whole() {
    let primary = Primary::new();
    let dir = path("environments/production");
    let id = BlobId::of(b"newer");
    fs::write(primary.repo.staging_dir.join("environments/production/site.pp"), "newer").unwrap();
    // As if a commit had been cut short on a disk that lies: the cache is there, the blob is not.
    let wait = || commit(&primary.store, &primary.repo, &CommitRequest::default(), &Progress::default()).unwrap();
    wait();
    while primary.store.stat_record(&primary.repo.name, &dir).unwrap().is_none_or(|record| record.files().is_empty()) {
        wait();
    }
    primary.store.remove_raw(Family::Blobs, id.as_bytes());
    let lie = PrimaryFinding::StatCacheLies { repo: primary.repo.name.clone(), dir };
    assert!(primary.heal(lie).repaired);
    assert!(primary.heal(PrimaryFinding::BlobMissing { id, at: primary.at() }).repaired);
    assert!(primary.ends_clean());
}

#[test]
fn names_of_nothing_are_removed_and_others_stay() {
    let primary = Primary::new();
    let (repo, commit) = (primary.repo.name.clone(), CommitId::of(b"nowhere"));
    primary.store.set_tag(&repo, &"good".parse().unwrap(), &primary.commit).unwrap();
    primary.store.put_raw(Family::Tags, b"code\0gone", commit.as_bytes());
    primary.store.put_raw(Family::Tags, b"code\0none", b"x");
    primary.store.put_raw(Family::Trees, b"\xab", b"x");
    for finding in [
        PrimaryFinding::TagMissingCommit { repo: repo.clone(), tag: "gone".parse().unwrap(), commit },
        PrimaryFinding::TagUnreadable { key: "code:none".into() },
        PrimaryFinding::TagUnreadable { key: "code:good".into() },
        PrimaryFinding::ForeignRecord { family: "trees".into(), key: "ab".into() },
    ] {
        let outcome = primary.heal(finding);
        assert!(outcome.repaired, "{outcome:?}");
    }
    assert_eq!(primary.store.tags(&repo).unwrap(), [("good".parse().unwrap(), primary.commit)]);
    assert!(primary.ends_clean());
}

#[test]
fn a_commit_that_exists_nowhere_else_remains() {
    let primary = Primary::new();
    primary.store.put_raw(Family::Commits, primary.commit.as_bytes(), b"rubbish");
    let outcome = primary.heal(PrimaryFinding::CommitDamaged { id: primary.commit });
    assert!(!outcome.repaired && outcome.detail.contains("stop the primary and repair again"), "{outcome:?}");
}

#[test]
fn a_head_whose_commit_is_lost_is_told_also_where_no_client_ever_reported() {
    let mut primary = Primary::new();
    let gone = CommitId::of(b"gone");
    primary.store.put_raw(Family::Heads, b"code", gone.as_bytes());
    let data = DataDir::open_existing(&primary.store.close(), Kind::Primary).unwrap();
    let rebuilt = rebuild(&data, &Progress::default()).unwrap();
    let (repo, survivor) = (primary.repo.name.clone(), Some(primary.commit));
    assert_eq!(rebuilt.lost_heads, [LostHead { repo, lost: Some(gone), survivor, sequence: Some(1) }]);
    drop(data);
    primary.store.reopen();
    // What is named is taken from staging as a whole: what survived is too old to take the rest from.
    let request = CommitRequest { environments: vec!["production".into()], ..CommitRequest::default() };
    fs::write(primary.repo.staging_dir.join("large"), "changed").unwrap();
    let next = commit(&primary.store, &primary.repo, &request, &Progress::default()).unwrap();
    assert_eq!((next.parent, next.changes.modified), (Some(primary.commit), 1));
    assert!(crate::store::lost_heads(&**primary.store).unwrap().is_empty());
}

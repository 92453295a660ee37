//! What a commit follows and says; going back; repairing.

use std::collections::BTreeSet;

use super::*;
use crate::values::{Author, BlobId};
use crate::wire::api::RollbackRequest;

#[test]
fn commits_follow_each_other() {
    let site = site();
    site.write("x", "1");
    let first = site.commit();
    site.write("x", "2");
    let second = site.commit();
    assert_eq!((second.parent, second.sequence), (Some(first.commit), 2));
    assert_eq!(site.head(), Some(second.commit));
}

#[test]
fn a_commit_on_another_head_than_expected_is_refused() {
    let site = site();
    site.write("x", "1");
    let expecting = |expect_head| CommitRequest { expect_head, ..CommitRequest::default() };
    let never = CommitId::of(b"");
    let error = site.request(&expecting(Some(never))).unwrap_err();
    assert!(matches!(error, IngestError::HeadMoved { head: None, .. }), "{error}");
    let first = site.commit();
    site.write("x", "2");
    assert!(matches!(site.request(&expecting(Some(never))), Err(IngestError::HeadMoved { .. })));
    assert!(site.request(&expecting(Some(first.commit))).unwrap().created);
}

#[test]
fn the_message_names_what_r10k_deployed_where_none_is_given() {
    let site = site();
    let deploy = |environment: &str, signature: &str| {
        let text = format!("{{\"signature\":\"{signature}\"}}");
        site.write(&format!("environments/{environment}/.r10k-deploy.json"), text);
    };
    let message = || site.store.commit(&site.head().unwrap()).unwrap().unwrap().message;
    site.write("environments/production/x", "1");
    site.write("environments/test/x", "1");
    deploy("production", "1a2b3c4d5e6f7a8b");
    deploy("test", "ffffffffffffffff");
    site.commit();
    assert_eq!(message(), "production 1a2b3c4d5e6f, test ffffffffffff");
    site.write("environments/test/x", "2");
    deploy("production", "000000000000");
    site.commit();
    assert_eq!(message(), "test ffffffffffff", "only what changed");
    site.write("environments/test/x", "3");
    let author = Author { name: "Ada".into(), email: "ada@example.com".into() };
    let request = CommitRequest { message: Some("why".into()), author: Some(author), ..CommitRequest::default() };
    site.request(&request).unwrap();
    assert_eq!(message(), "why");
}

#[test]
fn a_message_that_no_commit_can_hold_is_refused_at_once() {
    let site = site();
    site.write("x", "1");
    let request = CommitRequest { message: Some("x".repeat(65_537)), ..CommitRequest::default() };
    assert!(matches!(site.request(&request), Err(IngestError::Commit(_))));
    assert_eq!(site.head(), None);
}

fn back_to(commit: CommitId) -> RollbackRequest {
    RollbackRequest { commit, message: None, author: None }
}

#[test]
fn a_rollback_is_a_new_commit_with_the_old_tree() {
    let site = site();
    site.write("x", "1");
    let first = site.commit();
    site.write("x", "2");
    site.write("y", "2");
    site.commit();
    let back = rollback(&site.store, &site.repo.name, &back_to(first.commit)).unwrap();
    assert_eq!((back.tree, back.sequence, back.created), (first.tree, 3, true));
    assert_eq!(back.changes, Changes { added: 0, modified: 1, removed: 1 });
    assert_eq!(site.content("x").as_deref(), Some("1"));
    assert!(!rollback(&site.store, &site.repo.name, &back_to(first.commit)).unwrap().created);
    assert_eq!(site.commit().changes, Changes { added: 1, modified: 1, removed: 0 }, "staging was not touched");
}

#[test]
fn a_rollback_to_what_is_not_there_is_refused() {
    let site = site();
    site.write("x", "1");
    let first = site.commit();
    let unknown = rollback(&site.store, &site.repo.name, &back_to(CommitId::of(b"")));
    assert!(matches!(unknown, Err(IngestError::UnknownCommit { .. })));
    let other = rollback(&site.store, &"other".parse().unwrap(), &back_to(first.commit));
    assert!(matches!(other, Err(IngestError::UnknownCommit { .. })), "a commit of another repo");
}

#[test]
fn a_damaged_blob_is_repaired_from_staging() {
    let site = site();
    let large: Vec<u8> = (0..700_000u32).flat_map(u32::to_le_bytes).collect();
    site.write("a/small", "content");
    site.write("large", &large);
    site.commit();
    let Ok(Some(crate::store::StoredBlob::Chunked(list))) = site.store.blob(&BlobId::of(&large)) else {
        panic!("a large file is stored in chunks")
    };
    let (small, chunk) = (BlobId::of(b"content"), list.chunks()[1].id);
    let wanted = BTreeSet::from([small, chunk, BlobId::of(b"nowhere")]);
    let repaired = repair(&site.store, &site.repo, &wanted, &Progress::default()).unwrap();
    assert_eq!(repaired, BTreeSet::from([small, chunk]));
}

//! Which commit a text in a request means: `head`, an id, a tag, or the beginning of an id.

use super::state::RepoState;
use crate::http::Refusal;
use crate::store::{Family, Key, ReadStore, Store, StoreError};
use crate::values::{Commit, CommitId, TagName, Tree, TreeId};

/// The fewest digits that stand for an id. With fewer, a word that somebody mistyped could mean a commit.
const SHORTEST_PREFIX: usize = 8;

/// The digits of a whole id.
const ID_DIGITS: usize = 64;

/// The commit of this repo that `text` means, or 404.
pub(super) fn resolve(store: &Store, repo: &RepoState, text: &str) -> Result<(CommitId, Commit), Refusal> {
    let name = repo.name();
    let shown: String = text.chars().take(100).collect();
    let unknown = || {
        Refusal::not_found(format!(
            "{shown:?} is no commit of {name} that is kept: give \"head\", a tag, an id, or at least {SHORTEST_PREFIX} of its first digits"
        ))
    };
    let id = if text == "head" {
        store.head(name)?.ok_or_else(|| repo.no_commit_yet())?
    } else if let Ok(id) = text.parse() {
        id
    } else if let Some(id) = tagged(store, repo, text)? {
        id
    } else if looks_like_id(text) {
        let found = beginning_with(store, repo, text)?;
        match found.as_slice() {
            [] => return Err(unknown()),
            [id] => *id,
            [first, second, ..] => {
                return Err(Refusal::conflict(format!(
                    "{text} is the beginning of {} commits of {name}, among them {first} and {second}; give more digits",
                    found.len()
                )));
            }
        }
    } else {
        return Err(unknown());
    };
    commit_of(store, repo, &id)?.map(|commit| (id, commit)).ok_or_else(unknown)
}

/// The commit with this id, where it belongs to this repo and is kept.
pub(super) fn commit_of(source: &impl ReadStore, repo: &RepoState, id: &CommitId) -> Result<Option<Commit>, Refusal> {
    Ok(source.commit(id)?.filter(|commit| commit.repo == *repo.name()))
}

/// A tree that a commit or another tree names.
pub(super) fn named_tree(source: &impl ReadStore, id: &TreeId) -> Result<Tree, StoreError> {
    let family = Family::Trees;
    source.tree(id)?.ok_or_else(|| StoreError::Missing { family, key: Key::new(family, id.as_bytes()) })
}

/// Whether a text could be an id or the beginning of one; no tag may look so.
pub(super) fn looks_like_id(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    digits && (SHORTEST_PREFIX..=ID_DIGITS).contains(&text.len())
}

fn tagged(store: &Store, repo: &RepoState, text: &str) -> Result<Option<CommitId>, Refusal> {
    let Ok(tag) = text.parse::<TagName>() else { return Ok(None) };
    let tags = store.tags(repo.name())?;
    Ok(tags.into_iter().find(|(name, _)| *name == tag).map(|(_, id)| id))
}

/// All kept commits whose id begins so, also those beyond a gap that GC left in the history.
fn beginning_with(store: &Store, repo: &RepoState, prefix: &str) -> Result<Vec<CommitId>, Refusal> {
    let mut candidates = Vec::new();
    store.each_record(Family::Commits, &mut |key, _| {
        let id = <[u8; 32]>::try_from(key).ok().map(CommitId::from_bytes);
        candidates.extend(id.filter(|id| id.to_string().starts_with(prefix)));
        Ok(())
    })?;
    let mut found = Vec::new();
    for id in candidates {
        if commit_of(store, repo, &id)?.is_some() {
            found.push(id);
        }
    }
    Ok(found)
}

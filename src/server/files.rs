//! Files and directories as of a commit, or of one environment's tree.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::access::Allowed;
use super::extract::Repo;
use super::follow::Led;
use super::resolve::{named_tree, resolve};
use super::state::{Primary, RepoState, Shared, lock};
use super::{environments, follow, stream};
use crate::http::{FilePath, Item, Nothing, Query, Refusal, chain};
use crate::store::{Family, Key, ReadStore, Store, StoreError, StoredBlob};
use crate::values::{BlobId, Commit, Entry, Name, TreeId, TreePath};
use crate::wire::api::{EntryKind, ListedEntry, Listing};

/// `GET /v1/repos/{repo}/commits/{id}/files/{path}`: a file's bytes (`application/octet-stream`), or JSON: a [`Listing`] for a
/// directory, a [`ListedEntry`] for a symbolic link.
pub(super) async fn of_commit(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    Allowed(rights): Allowed,
    Item(text): Item,
    FilePath(path): FilePath,
    _: Query<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let job = move |primary: &Primary| {
        let (_, commit) = resolve(&primary.store, &repo, &text)?;
        find(&primary.store, commit.root.id, &path)
    };
    let found = primary.blocking(job).await?;
    respond(&primary, rights.known_as(), found, &headers).await
}

/// What may be asked of a tree's files.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Following {
    /// Whether symbolic links are followed, as far as they stay in the tree.
    #[serde(default)]
    follow: bool,
}

/// `GET /v1/repos/{repo}/trees/{tree-id}/files/{path}`: likewise, of a tree that is or was an environment's.
pub(super) async fn of_tree(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    Allowed(rights): Allowed,
    Item(text): Item,
    FilePath(path): FilePath,
    Query(Following { follow }): Query<Following>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let tree: TreeId =
        text.parse().map_err(|error: crate::values::ParseIdError| Refusal::bad_request(error.to_string()))?;
    let job = move |primary: &Primary| {
        if !is_environment(&primary.store, &repo, tree)? || !primary.store.tree_is_there(&tree)? {
            let name = repo.name();
            return Err(Refusal::not_found(format!(
                "{tree} is no environment's tree in a commit of {name} that is kept"
            )));
        }
        let path = if follow { follow::real_path(&primary.store, tree, &path)? } else { path };
        find(&primary.store, tree, &path)
    };
    let found = primary.blocking(job).await?;
    respond(&primary, rights.known_as(), found, &headers).await
}

/// What stands at a path.
enum Found {
    Listing(Listing),
    Link(ListedEntry),
    Small(BlobId, Vec<u8>),
    Large(BlobId, u64),
}

fn find(store: &Store, root: TreeId, path: &TreePath) -> Result<Found, Refusal> {
    let nothing = || Refusal::not_found(format!("there is nothing at {path}")).about([path.to_string()]);
    let mut tree = (root, named_tree(store, &root)?);
    let names: Vec<Name> = path.names().collect();
    for (at, name) in names.iter().enumerate() {
        let is_last = at + 1 == names.len();
        match tree.1.get(name.as_bytes()) {
            Some(Entry::Tree(subtree)) => tree = (subtree.id, named_tree(store, &subtree.id)?),
            Some(entry @ Entry::Symlink(_)) if is_last => return Ok(Found::Link(listed(name, entry))),
            Some(Entry::File { id, size, .. }) if is_last => return content(store, *id, *size),
            _ => return Err(nothing()),
        }
    }
    let (id, tree) = tree;
    let entries = tree.entries().iter().map(|(name, entry)| listed(name, entry)).collect();
    Ok(Found::Listing(Listing { path: path.to_string(), tree: id, entries }))
}

fn content(store: &Store, id: BlobId, size: u64) -> Result<Found, Refusal> {
    match store.blob(&id)? {
        Some(StoredBlob::Whole(content)) => Ok(Found::Small(id, content)),
        Some(StoredBlob::Chunked(_)) => Ok(Found::Large(id, size)),
        None => Err(StoreError::Missing { family: Family::Blobs, key: Key::new(Family::Blobs, id.as_bytes()) }.into()),
    }
}

fn listed(name: &Name, entry: &Entry) -> ListedEntry {
    let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
    match entry {
        Entry::File { id, executable, size } => {
            let kind = if *executable { EntryKind::Executable } else { EntryKind::File };
            ListedEntry { name, kind, id: Some(id.to_string()), size: Some(*size), target: None }
        }
        Entry::Symlink(target) => {
            let target = Some(String::from_utf8_lossy(target.as_bytes()).into_owned());
            ListedEntry { name, kind: EntryKind::Symlink, id: None, size: None, target }
        }
        Entry::Tree(subtree) => ListedEntry {
            name,
            kind: EntryKind::Directory,
            id: Some(subtree.id.to_string()),
            size: Some(subtree.totals.bytes),
            target: None,
        },
    }
}

async fn respond(
    primary: &Shared,
    caller: Option<&str>,
    found: Found,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let (id, size, body) = match found {
        Found::Listing(listing) => return Ok(axum::Json(listing).into_response()),
        Found::Link(entry) => return Ok(axum::Json(entry).into_response()),
        Found::Small(id, _) | Found::Large(id, _) if is_known(headers, id) => {
            return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(id))]).into_response());
        }
        Found::Small(id, content) => (id, content.len() as u64, Body::from(content)),
        Found::Large(id, size) => (id, size, large(primary, caller, id).await),
    };
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::ETAG, etag(id)),
        // What was committed was written by many hands: no browser may take it for a page of this server.
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, body).into_response())
}

fn etag(id: BlobId) -> String {
    format!("\"{id}\"")
}

fn is_known(headers: &HeaderMap, id: BlobId) -> bool {
    headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag(id).as_bytes())
}

/// A body with the content of a large blob. What goes wrong on the way breaks it before its announced length.
async fn large(primary: &Shared, caller: Option<&str>, id: BlobId) -> Body {
    let turn = primary.turns.take(caller).await;
    let (mut writer, body) = stream::body(primary.cut.clone(), None, |_| ());
    let shared = Arc::clone(primary);
    primary.jobs.spawn_blocking(move || {
        let _turn = turn;
        match shared.store.snapshot().copy_blob(&id, &mut writer) {
            Ok(Some(_)) => drop(writer.finish()),
            Ok(None) => tracing::error!(blob = %id, "a blob is gone from the store while it is read"),
            Err(StoreError::Output(_)) => tracing::debug!(blob = %id, "the receiver of a file went away"),
            Err(error) => tracing::error!(blob = %id, error = chain(&error), "a file cannot be sent"),
        }
    });
    body
}

/// Whether a tree is an environment's in some kept commit of this repo: of a repo without environments, its root. What was found once
/// is remembered until the next GC.
fn is_environment(store: &Store, repo: &RepoState, tree: TreeId) -> Result<bool, Refusal> {
    if lock(&repo.environment_trees).contains(&tree) {
        return Ok(true);
    }
    let mut found = false;
    let mut seen = HashSet::new();
    store.each_record(Family::Commits, &mut |_, bytes| {
        // A damaged commit is for fsck to find; it makes no tree an environment's.
        let Ok(commit) = crate::codec::decode_commit(bytes) else { return Ok(()) };
        if !found && commit.repo == *repo.name() {
            found = has_environment(store, &commit, tree, &mut seen)?;
        }
        Ok(())
    })?;
    if found {
        lock(&repo.environment_trees).insert(tree);
    }
    Ok(found)
}

/// `seen` holds the directories of environments that were looked at, and the roots where links of theirs were followed: commits of other
/// environments, and rollbacks, share theirs.
fn has_environment(
    store: &Store,
    commit: &Commit,
    wanted: TreeId,
    seen: &mut HashSet<TreeId>,
) -> Result<bool, StoreError> {
    if commit.environments_dir.is_root() {
        return Ok(commit.root.id == wanted);
    }
    let Some(directory) = environments::directory(store, commit)? else { return Ok(false) };
    let tree = named_tree(store, &directory)?;
    if seen.insert(directory) && environments::in_directory(&tree).any(|(_, id)| id == wanted) {
        return Ok(true);
    }
    // What a link in it leads to may lie elsewhere in the commit, and differ while the directory does not.
    if tree.entries().iter().all(|(_, entry)| !matches!(entry, Entry::Symlink(_))) || !seen.insert(commit.root.id) {
        return Ok(false);
    }
    for (name, _) in tree.entries().iter().filter(|(_, entry)| matches!(entry, Entry::Symlink(_))) {
        let led = follow::follow(store, commit.root.id, &commit.environments_dir.join(name))?;
        if matches!(led, Led::Directory(_, id) if id == wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

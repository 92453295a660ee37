//! The routes of a primary.

use std::fmt::Display;
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;

use super::{LONG, ObjectStream, ProtocolError, QUICK, READ_TIMEOUT, Remote, RemoteError, media_type};
use crate::progress::Snapshot;
use crate::values::{CommitId, RepoName, TreeId, TreePath};
use crate::wire::STREAM_MEDIA_TYPE;
use crate::wire::api::{
    ClientReport, CommitAnswer, CommitInfo, CommitRequest, Diff, FetchRequest, Fleet, GcAnswer, History, ListedEntry,
    Listing, ObjectsRequest, ReportAnswer, Repos, RollbackRequest, TagRequest, Tags,
};

/// How much longer than it was asked to wait a primary may take to answer a long poll.
const POLL_GRACE: Duration = Duration::from_secs(15);

/// A 404 for a repo that has no commit yet has these words in its detail; a 404 for a repo that is not configured has not.
pub const NO_COMMIT_YET: &str = "has no commit yet";

/// What a repo's head is.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is made and matched on; a box would only spoil the patterns"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadAnswer {
    /// Still the one that the caller knows.
    Same,
    /// This one.
    Head(CommitInfo),
    /// There is none: nothing was ever committed.
    NoCommitYet,
}

/// What stands at a path.
#[derive(Debug)]
pub enum FileAnswer {
    /// A directory.
    Listing(Listing),
    /// A symbolic link.
    Link(ListedEntry),
    /// A file: its content.
    File(ObjectStream),
}

/// The documents among these answers.
#[derive(Deserialize)]
#[serde(untagged)]
enum ListingOrLink {
    Listing(Listing),
    Link(ListedEntry),
}

impl Remote {
    /// The primary's repos.
    pub async fn repos(&self) -> Result<Repos, RemoteError> {
        self.json(self.get(&["v1", "repos"])?, QUICK).await
    }

    /// The head. With `known`, waits up to `wait` for another one; a repo without a commit waits for its first.
    pub async fn head(
        &self,
        repo: &RepoName,
        known: Option<CommitId>,
        wait: Duration,
    ) -> Result<HeadAnswer, RemoteError> {
        let mut query = Vec::new();
        query.extend(known.map(|id| ("known", id.to_string())));
        query.extend((!wait.is_zero()).then(|| ("wait", wait.as_secs().max(1).to_string())));
        let request = self.get(&["v1", "repos", repo.as_str(), "head"])?.query(&query).timeout(wait + POLL_GRACE);
        match self.send(request).await {
            Ok(response) if response.status() == StatusCode::NOT_MODIFIED => Ok(HeadAnswer::Same),
            Ok(response) => Ok(HeadAnswer::Head(self.document(response).await?)),
            Err(RemoteError::Problem { status: 404, detail, .. }) if detail.contains(NO_COMMIT_YET) => {
                Ok(HeadAnswer::NoCommitYet)
            }
            Err(error) => Err(error),
        }
    }

    /// Commits what stands in staging.
    pub async fn commit(&self, repo: &RepoName, request: &CommitRequest) -> Result<CommitAnswer, RemoteError> {
        self.json(self.post(&["v1", "repos", repo.as_str(), "commits"], request)?, LONG).await
    }

    /// How far the commit (or GC) under way has come.
    pub async fn progress(&self, repo: &RepoName) -> Result<Snapshot, RemoteError> {
        self.json(self.get(&["v1", "repos", repo.as_str(), "progress"])?, QUICK).await
    }

    /// Up to `limit` commits, newest first, from the head or from `before` on, as [`History::next`] says.
    pub async fn history(
        &self,
        repo: &RepoName,
        before: Option<CommitId>,
        limit: usize,
    ) -> Result<History, RemoteError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(before.map(|id| ("before", id.to_string())));
        self.json(self.get(&["v1", "repos", repo.as_str(), "commits"])?.query(&query), QUICK).await
    }

    /// One commit, named by its id, the beginning of it, a tag, or `head`.
    pub async fn commit_info(&self, repo: &RepoName, commit: impl Display) -> Result<CommitInfo, RemoteError> {
        self.json(self.get(&["v1", "repos", repo.as_str(), "commits", &commit.to_string()])?, QUICK).await
    }

    /// What stands at `path` in a commit, named likewise.
    pub async fn listing_or_file(
        &self,
        repo: &RepoName,
        commit: impl Display,
        path: &TreePath,
    ) -> Result<FileAnswer, RemoteError> {
        let route = ["v1", "repos", repo.as_str(), "commits", &commit.to_string(), "files"];
        self.file_answer(self.client().get(self.place.url_with_path(&route, path)?)).await
    }

    /// What `path` leads to in a tree that is or was an environment's; symbolic links are followed as far as they stay in the tree.
    pub async fn tree_file(&self, repo: &RepoName, tree: TreeId, path: &TreePath) -> Result<FileAnswer, RemoteError> {
        let route = ["v1", "repos", repo.as_str(), "trees", &tree.to_string(), "files"];
        let request = self.client().get(self.place.url_with_path(&route, path)?).query(&[("follow", "true")]);
        self.file_answer(request).await
    }

    async fn file_answer(&self, request: RequestBuilder) -> Result<FileAnswer, RemoteError> {
        let response = self.send_bounded(request).await?;
        match media_type(&response) {
            "application/json" => Ok(match self.document(response).await? {
                ListingOrLink::Listing(listing) => FileAnswer::Listing(listing),
                ListingOrLink::Link(entry) => FileAnswer::Link(entry),
            }),
            _ => Ok(FileAnswer::File(ObjectStream::new(response, &self.place))),
        }
    }

    /// What changed from one commit to another, named likewise; where `from` is absent, from the parent of `to`.
    pub async fn diff(
        &self,
        repo: &RepoName,
        from: Option<impl Display>,
        to: impl Display,
    ) -> Result<Diff, RemoteError> {
        let mut query = vec![("to", to.to_string())];
        query.extend(from.map(|from| ("from", from.to_string())));
        self.json(self.get(&["v1", "repos", repo.as_str(), "diff"])?.query(&query), LONG).await
    }

    /// Everything that a commit needs and the caller has not.
    pub async fn fetch(&self, repo: &RepoName, request: &FetchRequest) -> Result<ObjectStream, RemoteError> {
        self.stream(self.post(&["v1", "repos", repo.as_str(), "fetch"], request)?).await
    }

    /// Single objects, at most [`ObjectsRequest::MAX`].
    pub async fn objects(&self, repo: &RepoName, request: &ObjectsRequest) -> Result<ObjectStream, RemoteError> {
        self.stream(self.post(&["v1", "repos", repo.as_str(), "objects"], request)?).await
    }

    /// Tells the primary how the client of this name does.
    pub async fn report(&self, name: &str, report: &ClientReport) -> Result<ReportAnswer, RemoteError> {
        self.json(self.post(&["v1", "clients", name], report)?, QUICK).await
    }

    /// Every client that ever reported.
    pub async fn clients(&self) -> Result<Fleet, RemoteError> {
        self.json(self.get(&["v1", "clients"])?, QUICK).await
    }

    /// Makes an old commit's tree the head again, by a new commit, for everybody.
    pub async fn rollback(&self, repo: &RepoName, request: &RollbackRequest) -> Result<CommitAnswer, RemoteError> {
        self.json(self.post(&["v1", "repos", repo.as_str(), "rollback"], request)?, LONG).await
    }

    /// The repo's tags.
    pub async fn tags(&self, repo: &RepoName) -> Result<Tags, RemoteError> {
        self.json(self.get(&["v1", "repos", repo.as_str(), "tags"])?, QUICK).await
    }

    /// Sets a tag, or moves it.
    pub async fn tag(&self, repo: &RepoName, tag: &str, request: &TagRequest) -> Result<(), RemoteError> {
        let route = ["v1", "repos", repo.as_str(), "tags", tag];
        self.nothing(self.request(Method::PUT, &route)?.json(request)).await
    }

    /// Removes a tag.
    pub async fn untag(&self, repo: &RepoName, tag: &str) -> Result<(), RemoteError> {
        self.nothing(self.request(Method::DELETE, &["v1", "repos", repo.as_str(), "tags", tag])?).await
    }

    /// Removes old commits and what only they need.
    pub async fn gc(&self, repo: &RepoName) -> Result<GcAnswer, RemoteError> {
        self.json(self.request(Method::POST, &["v1", "repos", repo.as_str(), "gc"])?, LONG).await
    }

    async fn nothing(&self, request: RequestBuilder) -> Result<(), RemoteError> {
        self.send(request.timeout(QUICK)).await?;
        Ok(())
    }

    async fn stream(&self, request: RequestBuilder) -> Result<ObjectStream, RemoteError> {
        let response = self.send_bounded(request.header(ACCEPT, STREAM_MEDIA_TYPE)).await?;
        match media_type(&response) {
            STREAM_MEDIA_TYPE => Ok(ObjectStream::new(response, &self.place)),
            other => {
                let found = other.chars().take(100).collect();
                Err(self.protocol(ProtocolError::MediaType { found, expected: STREAM_MEDIA_TYPE }))
            }
        }
    }

    /// Only the answer's beginning is bounded here; its body's pauses are bounded by its reader.
    async fn send_bounded(&self, request: RequestBuilder) -> Result<reqwest::Response, RemoteError> {
        match tokio::time::timeout(READ_TIMEOUT, self.send(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(RemoteError::TimedOut { place: self.place.clone() }),
        }
    }
}

//! The JSON documents of the HTTP routes. Keys are kebab-case; an unknown key in a request is an error.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::progress::Snapshot;
use crate::values::{Author, BlobId, Commit, CommitId, RepoName, Totals, TreeId};

/// Asks for a commit: `POST /v1/repos/{repo}/commits`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CommitRequest {
    /// Why; where absent, the signatures of `.r10k-deploy.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// Only these environments, and those that are gone from staging; where absent or an empty list, everything. Each text may hold
    /// several names, separated by white space, or none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// Refuse (409) where the head is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_head: Option<CommitId>,
    /// Allow a commit that would remove every environment, or that finds staging empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_empty: bool,
}

/// How many entries differ from the commit before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Changes {
    /// New files and links.
    pub added: u64,
    /// Files and links that differ.
    pub modified: u64,
    /// Files and links that are gone.
    pub removed: u64,
}

/// Answers a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CommitAnswer {
    /// The repo.
    pub repo: RepoName,
    /// The head now.
    pub commit: CommitId,
    /// Its root tree.
    pub tree: TreeId,
    /// The commit before it.
    pub parent: Option<CommitId>,
    /// Its place in the history.
    pub sequence: u64,
    /// Whether this request created it.
    pub created: bool,
    /// What it changed.
    pub changes: Changes,
    /// Files in it.
    pub files: u64,
    /// Bytes of all files in it.
    pub bytes: u64,
    /// How long the commit took.
    pub seconds: f64,
    /// What may surprise the one who committed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A commit as people and programs read it: the head, one of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CommitInfo {
    /// Its id.
    pub commit: CommitId,
    /// The repo.
    pub repo: RepoName,
    /// Its root tree.
    pub tree: TreeId,
    /// The commit before it.
    pub parent: Option<CommitId>,
    /// Its place in the history.
    pub sequence: u64,
    /// When, RFC 3339, UTC.
    pub time: String,
    /// Who.
    pub author: Author,
    /// Why.
    pub message: String,
    /// Where environments lie, "" for a repo that has none. Bytes that are not UTF-8 are replaced.
    pub environments_dir: String,
    /// What lies in it.
    #[serde(flatten)]
    pub totals: Totals,
    /// Tags that name it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// That it is a head of its repo, signed by the primary's key, in base64. Only heads have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

impl CommitInfo {
    /// How `commit` is shown.
    pub fn of(id: CommitId, commit: &Commit, tags: Vec<String>) -> Self {
        Self {
            commit: id,
            repo: commit.repo.clone(),
            tree: commit.root.id,
            parent: commit.parent,
            sequence: commit.sequence,
            time: rfc3339(commit.time),
            author: commit.author.clone(),
            message: commit.message.clone(),
            environments_dir: commit.environments_dir.to_string(),
            totals: commit.root.totals,
            tags,
            signature: None,
        }
    }
}

/// Milliseconds since 1970 as RFC 3339, UTC; what no calendar holds is shown as the number.
pub fn rfc3339(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map_or_else(|_| milliseconds.to_string(), |time| time.to_string())
}

/// Part of the history, newest first: `GET /v1/repos/{repo}/commits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct History {
    /// The commits.
    pub commits: Vec<CommitInfo>,
    /// Give this as `before` for the next part; absent at the end of what is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<CommitId>,
}

/// One repo of the primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RepoInfo {
    /// Its name.
    pub repo: RepoName,
    /// Its newest commit; absent where it has none yet.
    #[serde(default)]
    pub head: Option<CommitInfo>,
    /// The last commit, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_commit: Option<FailedCommit>,
}

/// A commit that was refused or failed, and after which none has succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailedCommit {
    /// When, RFC 3339, UTC.
    pub time: String,
    /// What was wrong.
    pub error: String,
    /// The environments that it was about, as they were given; none for everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// How many have failed since one succeeded, this one too.
    pub failures: u64,
}

/// The repos of the primary: `GET /v1/repos`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Repos {
    /// Every configured repo, by name.
    pub repos: Vec<RepoInfo>,
}

/// The tags of a repo: `GET /v1/repos/{repo}/tags`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tags {
    /// The commit that each tag names.
    pub tags: BTreeMap<String, CommitId>,
}

/// What an entry of a listing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A file.
    File,
    /// An executable file.
    Executable,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
}

/// One entry of a listing. Bytes that are not UTF-8 are replaced in `name` and `target`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ListedEntry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// The blob's or tree's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Bytes of the file, or of all files below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Where the link points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// A directory as of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listing {
    /// Its path.
    pub path: String,
    /// Its tree.
    pub tree: TreeId,
    /// Its entries, by name.
    pub entries: Vec<ListedEntry>,
}

/// How one path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It differs.
    Modified,
}

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChangedPath {
    /// The path. Bytes that are not UTF-8 are replaced.
    pub path: String,
    /// How it differs.
    pub change: ChangeKind,
}

/// What differs between two commits: `GET /v1/repos/{repo}/diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Diff {
    /// The older side.
    pub from: CommitId,
    /// The newer side.
    pub to: CommitId,
    /// Files and links that differ, by path.
    pub changes: Vec<ChangedPath>,
    /// Whether there are more than are listed.
    pub truncated: bool,
}

/// Asks for what a client lacks: `POST /v1/repos/{repo}/fetch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FetchRequest {
    /// The commit that the client wants.
    pub want: CommitId,
    /// Commits that it holds whole, the nearest first. At most 16 are looked at.
    #[serde(default)]
    pub have: Vec<CommitId>,
}

/// One object, by where it stands in a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ObjectAt {
    /// The path's bytes, percent-encoded where they are not plain ASCII; "" is the root.
    pub path: String,
    /// The id that the client expects there.
    #[serde(flatten)]
    pub id: ObjectId,
}

/// The id of a blob or a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectId {
    /// A file's content.
    Blob(BlobId),
    /// A directory, without what is below it.
    Tree(TreeId),
}

/// Asks for single objects: `POST /v1/repos/{repo}/objects`. At most [`ObjectsRequest::MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ObjectsRequest {
    /// The commit in which they stand.
    pub commit: CommitId,
    /// The objects.
    pub objects: Vec<ObjectAt>,
}

impl ObjectsRequest {
    /// The most objects that one request may ask for.
    pub const MAX: usize = 10_000;
}

/// How a client does with one repo.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RepoStatus {
    /// What `current` shows.
    #[serde(default)]
    pub deployed: Option<CommitId>,
    /// Its sequence.
    #[serde(default)]
    pub sequence: Option<u64>,
    /// When it was deployed, RFC 3339.
    #[serde(default)]
    pub deployed_at: Option<String>,
    /// The newest head that the client has heard of.
    #[serde(default)]
    pub head: Option<CommitId>,
    /// The commit that the client is pinned to.
    #[serde(default)]
    pub pinned: Option<CommitId>,
    /// Commits whose generations are kept.
    #[serde(default)]
    pub generations: Vec<CommitId>,
    /// Whether a flush of Puppet Server's cache is owed.
    #[serde(default)]
    pub unflushed: bool,
    /// What went wrong last, and has not gone well since.
    #[serde(default)]
    pub error: Option<String>,
    /// The last commit on the primary, where it failed: what is deployed is the newest that there is, but not what was meant to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_commit: Option<FailedCommit>,
    /// How the last deploy went.
    #[serde(default)]
    pub last_deploy: Option<DeployFigures>,
    /// What it is doing now.
    #[serde(default)]
    pub progress: Snapshot,
}

/// What one sync and deploy cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeployFigures {
    /// Bytes received from the primary.
    pub received_bytes: u64,
    /// Blobs received.
    pub blobs: u64,
    /// Hard links made.
    pub linked: u64,
    /// Shared trees built.
    pub trees_built: u64,
    /// Fetching, in seconds.
    pub fetch_seconds: f64,
    /// Building, in seconds.
    pub build_seconds: f64,
    /// From the beginning of the pause until requests flowed again, in seconds.
    pub paused_seconds: f64,
    /// How much of the pause was waiting for what ran, in seconds.
    #[serde(default)]
    pub drain_seconds: f64,
    /// How much of it was the flush, in seconds.
    #[serde(default)]
    pub flush_seconds: f64,
    /// Everything, in seconds.
    pub seconds: f64,
}

/// A client's report: `POST /v1/clients/{name}`. Also the answer of its own status.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClientReport {
    /// The version of its program.
    pub version: String,
    /// Its repos.
    pub repos: BTreeMap<RepoName, RepoStatus>,
    /// Its gate, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateStatus>,
    /// What it reads again in the background, unless that is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrub: Option<ScrubStatus>,
}

/// What a daemon has read again in the background, and found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScrubStatus {
    /// Records and files read, ever.
    pub objects: u64,
    /// Bytes of contents read and hashed, ever.
    pub bytes: u64,
    /// What was found damaged, ever, each thing once.
    pub findings: u64,
    /// How many of these could not be repaired yet.
    pub unrepaired: u64,
    /// The first of those, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_unrepaired: Option<String>,
    /// When everything had been read once more, RFC 3339; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pass: Option<String>,
}

/// What goes on in a gate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GateStatus {
    /// Requests that are held.
    pub held: u64,
    /// Requests that read code, and run.
    pub running: u64,
}

/// One client of the fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FleetMember {
    /// Its name.
    pub name: String,
    /// When it last reported, RFC 3339.
    pub seen: String,
    /// Seconds since then.
    pub seen_seconds_ago: u64,
    /// What it reported.
    #[serde(flatten)]
    pub report: ClientReport,
}

/// The fleet: `GET /v1/clients`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fleet {
    /// Every client that ever reported, by name.
    pub clients: Vec<FleetMember>,
    /// The repos whose last commit failed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed_commits: BTreeMap<RepoName, FailedCommit>,
    /// What the primary itself reads again in the background, unless that is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrub: Option<ScrubStatus>,
}

/// Answers a client's report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReportAnswer {
    /// The repos whose last commit failed.
    #[serde(default)]
    pub failed_commits: BTreeMap<RepoName, FailedCommit>,
}

/// A client has been "seen lately" within this many seconds.
pub const SEEN_LATELY_SECONDS: u64 = 300;

/// Makes an old commit's tree the head again, as a new commit: `POST /v1/repos/{repo}/rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RollbackRequest {
    /// Whose tree.
    pub commit: CommitId,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
}

/// Gives a commit a name that GC respects: `PUT /v1/repos/{repo}/tags/{tag}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TagRequest {
    /// The commit; where absent, the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
}

/// What GC removed: `POST /v1/repos/{repo}/gc`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GcAnswer {
    /// Commits removed.
    pub commits: u64,
    /// Trees removed.
    pub trees: u64,
    /// Blobs (and chunks) removed.
    pub blobs: u64,
    /// Their bytes, uncompressed.
    pub bytes: u64,
    /// Commits that stay.
    pub kept_commits: u64,
    /// How long it took.
    pub seconds: f64,
}

/// A problem document, RFC 9457: the body of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Problem {
    /// Always "about:blank": the status says what kind it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong, and what to do about it.
    pub detail: String,
    /// Paths that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

// ---- the control socket, HTTP over `control.sock` in a data directory ----

/// How a primary does: `GET /status` on its control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PrimaryStatus {
    /// The version of its program.
    pub version: String,
    /// The head of each repo; null where it has no commit yet.
    pub repos: BTreeMap<RepoName, Option<CommitId>>,
    /// What it reads again in the background, unless that is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrub: Option<ScrubStatus>,
}

/// Which repos to sync now: `POST /sync` on a client's control socket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SyncRequest {
    /// The repo; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoName>,
}

/// Makes a client deploy an older commit and stay there: `POST /rollback` on its control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PinRequest {
    /// The repo.
    pub repo: RepoName,
    /// What to do.
    pub to: PinTo,
}

/// Where a rollback goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinTo {
    /// The generation that was current before this one.
    Previous,
    /// This commit.
    Commit(CommitId),
    /// No pin any more: the newest head is deployed again.
    Released,
}

/// First line of the answer to `POST /fsck` on a control socket; blank lines follow for as long as the hold lasts. Closing the
/// connection ends the hold: pruning and GC go on, the checkpoint is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FsckHold {
    /// Path of a copy of the database, for fsck to open.
    pub checkpoint: std::path::PathBuf,
}

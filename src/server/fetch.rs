//! The two routes that send objects: `fetch` and `objects`. What is sent is [`super::pack`]'s affair; here it becomes a response.
//!
//! A response begins only when the request was found good, so that a refusal is a status; what fails later is said in the stream.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use super::access::Allowed;
use super::extract::Repo;
use super::pack::{self, Fetch, PackError, Sent};
use super::resolve::commit_of;
use super::shared::{Asked, Lead, Way};
use super::state::{Primary, RepoState, Shared};
use super::stream::{self, BodyWriter};
use super::turns::Turn;
use crate::http::{Json, Nothing, Query, Refusal, chain, tree_path};
use crate::store::Snapshot;
use crate::values::{Commit, CommitId, TreePath};
use crate::wire::api::{FetchRequest, ObjectId, ObjectsRequest};
use crate::wire::{STREAM_MEDIA_TYPE, StreamWriter};

/// How many of the commits that a client says it has are looked at.
const MOST_HAVES: usize = 16;

/// `POST /v1/repos/{repo}/fetch`.
pub(super) async fn fetch(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    Allowed(rights): Allowed,
    _: Query<Nothing>,
    Json(FetchRequest { want, mut have }): Json<FetchRequest>,
) -> Result<Response, Refusal> {
    have.truncate(MOST_HAVES);
    let asked = Asked { want, have, repo: repo.name().clone() };
    // Without a turn: it costs neither a thread nor memory.
    if let Some(bytes) = primary.streams.find(&asked) {
        return Ok(shared(&primary, bytes));
    }
    let turn = primary.turns.take(rights.known_as()).await;
    let lead = match primary.streams.join(&asked).await {
        Way::Shared(bytes) => return Ok(shared(&primary, bytes)),
        Way::Lead(lead) => Some(lead),
        Way::Alone => None,
    };
    let counted = primary.metrics.fetches.clone();
    let job = move |snapshot: &Snapshot<'_>, begin: Begin| {
        let checked = wanted(snapshot, &repo, &asked.want)
            .and_then(|want| Ok(Fetch::new(snapshot, want, &known(snapshot, &repo, &asked.have)?)));
        begin.with(checked, |fetch, stream| {
            counted.inc();
            fetch.send(stream)
        });
    };
    send(&primary, turn, lead, job).await
}

/// A fetch that somebody else was sent already.
fn shared(primary: &Primary, bytes: Bytes) -> Response {
    primary.metrics.fetches.inc();
    primary.metrics.sent_bytes.inc_by(bytes.len() as u64);
    ([(header::CONTENT_TYPE, STREAM_MEDIA_TYPE)], bytes).into_response()
}

/// `POST /v1/repos/{repo}/objects`.
pub(super) async fn objects(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    Allowed(rights): Allowed,
    _: Query<Nothing>,
    Json(request): Json<ObjectsRequest>,
) -> Result<Response, Refusal> {
    if request.objects.len() > ObjectsRequest::MAX {
        let given = request.objects.len();
        return Err(Refusal::bad_request(format!(
            "{given} objects; {} are the limit of one request",
            ObjectsRequest::MAX
        )));
    }
    let mut objects = Vec::with_capacity(request.objects.len());
    for object in &request.objects {
        objects.push((tree_path(&object.path)?, object.id));
    }
    let counted = primary.metrics.object_requests.clone();
    let job = move |snapshot: &Snapshot<'_>, begin: Begin| {
        let checked = wanted(snapshot, &repo, &request.commit)
            .and_then(|commit| all_in_place(snapshot, &request.commit, &commit, &objects));
        begin.with(checked, |(), stream| {
            counted.inc();
            pack::send_objects(snapshot, &objects, stream)
        });
    };
    let turn = primary.turns.take(rights.known_as()).await;
    send(&primary, turn, None, job).await
}

/// A commit of this repo. One that is not stored is gone for good as far as anybody can tell: 410, so that the client asks for the head
/// again. One of another repo gets the same answer: whether there is such a one is that repo's secret.
fn wanted(source: &Snapshot<'_>, repo: &RepoState, id: &CommitId) -> Result<Commit, Refusal> {
    let gone = || {
        let detail = format!("the commit {id} of {} is not kept, or not any more; ask for the head", repo.name());
        Refusal::new(StatusCode::GONE, detail)
    };
    commit_of(source, repo, id)?.ok_or_else(gone)
}

/// The commits that a client has, as far as they are known here.
fn known(source: &Snapshot<'_>, repo: &RepoState, ids: &[CommitId]) -> Result<Vec<Commit>, Refusal> {
    let mut commits = Vec::new();
    for id in ids {
        commits.extend(commit_of(source, repo, id)?);
    }
    Ok(commits)
}

fn all_in_place(
    source: &Snapshot<'_>,
    id: &CommitId,
    commit: &Commit,
    objects: &[(TreePath, ObjectId)],
) -> Result<(), Refusal> {
    let wrong = pack::misplaced(source, commit, objects)?;
    if wrong.is_empty() {
        return Ok(());
    }
    let paths = wrong.iter().map(|at| objects[*at].0.to_string());
    let detail = format!("{} of the objects do not stand at their paths in the commit {id}", wrong.len());
    Err(Refusal::not_found(detail).about(paths))
}

/// Runs `job` on a thread of its own; answers when it begins to send, or refuses.
async fn send(
    primary: &Shared,
    turn: Turn,
    lead: Option<Lead>,
    job: impl FnOnce(&Snapshot<'_>, Begin) + Send + 'static,
) -> Result<Response, Refusal> {
    let sent = primary.metrics.sent_bytes.clone();
    let (writer, body) = stream::body(primary.cut.clone(), lead, move |bytes| {
        sent.inc_by(bytes);
    });
    let (answer, answered) = oneshot::channel();
    let shared = Arc::clone(primary);
    primary.jobs.spawn_blocking(move || {
        let _turn = turn;
        job(&shared.store.snapshot(), Begin { answer, writer });
    });
    match answered.await {
        Ok(Ok(())) => Ok(([(header::CONTENT_TYPE, STREAM_MEDIA_TYPE)], body).into_response()),
        Ok(Err(refusal)) => Err(refusal),
        Err(panicked) => Err(Refusal::internal(&panicked)),
    }
}

/// A response that has not begun yet.
struct Begin {
    answer: oneshot::Sender<Result<(), Refusal>>,
    writer: BodyWriter,
}

impl Begin {
    /// Refuses, or begins the response and sends its stream to the end.
    fn with<T>(
        self,
        checked: Result<T, Refusal>,
        send: impl FnOnce(T, &mut StreamWriter<BodyWriter>) -> Result<Sent, PackError>,
    ) {
        let (refusal, checked) = match checked {
            Ok(checked) => (Ok(()), Some(checked)),
            Err(refusal) => (Err(refusal), None),
        };
        let heard = self.answer.send(refusal).is_ok();
        if let (true, Some(checked)) = (heard, checked) {
            let written = write(self.writer, |stream| send(checked, stream));
            if let Err(error) = written {
                tracing::debug!(%error, "the receiver of a stream went away");
            }
        }
    }
}

fn write(
    writer: BodyWriter,
    send: impl FnOnce(&mut StreamWriter<BodyWriter>) -> Result<Sent, PackError>,
) -> std::io::Result<()> {
    let mut stream = StreamWriter::new(writer)?;
    let writer = match send(&mut stream) {
        Ok(sent) => {
            tracing::debug!(trees = sent.trees, blobs = sent.blobs, "stream sent");
            stream.finish()?
        }
        Err(PackError::Receiver(error)) => return Err(error),
        Err(error) => {
            tracing::error!(error = chain(&error), "a stream cannot be finished");
            let mut writer = stream.fail(&told(&error))?;
            writer.share_nothing();
            writer
        }
    };
    writer.finish()
}

/// What the receiver is told: which object is missing, but not what the store's own errors say.
fn told(error: &PackError) -> String {
    match error {
        PackError::NoTree(_) | PackError::NoBlob(_) | PackError::NoChunk { .. } => error.to_string(),
        PackError::Store(_) | PackError::Receiver(_) => {
            "the primary cannot read its store; its log says why".to_owned()
        }
    }
}

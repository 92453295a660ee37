//! From a commit's id to a generation on disk: fetch, plan, fill the gaps, build.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::ClientError;
use super::receive::{Received, Wanted, receive};
use super::state::Client;
use crate::farm::{Farm, FarmError, MissingBlob, MissingTree, Plan, SharedDirs};
use crate::progress::{Phase, Progress};
use crate::remote::{ObjectStream, encode_path};
use crate::values::{BlobId, CommitId, MAX_DEPTH, RepoName};
use crate::wire::api::{DeployFigures, FetchRequest, ObjectAt, ObjectId, ObjectsRequest};

/// The most commits that are named as held: the primary looks at no more.
const MOST_HAVE: usize = 16;

/// What a commit still needs.
enum Needs {
    Trees(Vec<MissingTree>),
    Blobs(Vec<(BlobId, MissingBlob)>),
    Nothing(Box<Plan>),
}

impl Client {
    /// Makes a whole generation of `commit`. What was received stays, also when this fails half-way.
    pub(super) async fn sync(
        &self,
        name: &RepoName,
        commit: CommitId,
        figures: &mut DeployFigures,
    ) -> Result<(), ClientError> {
        let repo = self.repo(name)?;
        let repo_name = name.clone();
        if self.blocking(move |farm| farm.has_generation(&repo_name, &commit)).await? {
            return Ok(());
        }
        let (began, received) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let fetched = self.fill(name, commit, &repo.shared, &repo.progress, &received, figures).await;
        figures.received_bytes = received.load(Relaxed);
        figures.fetch_seconds = began.elapsed().as_secs_f64();
        let plan = fetched?;
        let (began, progress) = (Instant::now(), Arc::clone(&repo.progress));
        let built = self.blocking(move |farm| farm.build(&plan, &progress)).await?;
        figures.build_seconds = began.elapsed().as_secs_f64();
        (figures.linked, figures.trees_built) = (built.linked, built.trees);
        Ok(())
    }

    /// Gets everything that `commit` needs, and plans it.
    async fn fill(
        &self,
        name: &RepoName,
        commit: CommitId,
        shared: &SharedDirs,
        progress: &Arc<Progress>,
        received: &Arc<AtomicU64>,
        figures: &mut DeployFigures,
    ) -> Result<Box<Plan>, ClientError> {
        progress.begin(Phase::Fetching, 0, 0);
        if self.blocking(move |farm| farm.index().commit(&commit)).await?.is_none() {
            let have = self.held(name).await?;
            let stream = self.remote.fetch(name, &FetchRequest { want: commit, have }).await?;
            let came = self.take(stream, Wanted::everything(commit), progress, received).await?;
            figures.blobs += came.blobs;
        }
        // After a whole fetch nothing is missing. After a broken one, level by level, what had not arrived; and blobs that turned out
        // damaged, or that the primary took for held.
        for _ in 0..MAX_DEPTH + 16 {
            let (repo, patterns) = (name.clone(), shared.clone());
            let needs = self.blocking(move |farm| needs(farm, &repo, commit, &patterns)).await?;
            let came = match needs {
                Needs::Nothing(plan) => {
                    let progress = Arc::clone(progress);
                    let rebuilt = self.blocking(move |farm| farm.rebuild_replaced(&progress)).await?;
                    if rebuilt > 0 {
                        tracing::warn!(rebuilt, "blobs that had been changed in place were fetched again");
                    }
                    return Ok(plan);
                }
                Needs::Trees(trees) => {
                    let objects = trees.iter().map(|tree| (encode_path(&tree.at), ObjectId::Tree(tree.subtree.id)));
                    let objects: Vec<_> = objects.take(ObjectsRequest::MAX).collect();
                    let wanted = Wanted::trees(&trees[..objects.len()]);
                    self.ask(name, commit, objects, wanted, progress, received).await?
                }
                Needs::Blobs(blobs) => {
                    let blobs = &blobs[..blobs.len().min(ObjectsRequest::MAX)];
                    let objects = blobs.iter().map(|(id, blob)| (encode_path(&blob.at), ObjectId::Blob(*id))).collect();
                    let wanted = Wanted::blobs(blobs.iter().map(|(id, blob)| (id, blob)));
                    self.ask(name, commit, objects, wanted, progress, received).await?
                }
            };
            figures.blobs += came.blobs;
            if came == Received::default() {
                return Err(ClientError::Stuck(commit));
            }
        }
        Err(ClientError::Stuck(commit))
    }

    async fn ask(
        &self,
        name: &RepoName,
        commit: CommitId,
        objects: Vec<(String, ObjectId)>,
        wanted: Wanted,
        progress: &Arc<Progress>,
        received: &Arc<AtomicU64>,
    ) -> Result<Received, ClientError> {
        let objects = objects.into_iter().map(|(path, id)| ObjectAt { path, id }).collect();
        let stream = self.remote.objects(name, &ObjectsRequest { commit, objects }).await?;
        self.take(stream, wanted, progress, received).await
    }

    async fn take(
        &self,
        stream: ObjectStream,
        wanted: Wanted,
        progress: &Arc<Progress>,
        received: &Arc<AtomicU64>,
    ) -> Result<Received, ClientError> {
        let stream = stream.counting_on(Arc::clone(received)).until(self.stop.clone());
        let progress = Arc::clone(progress);
        self.blocking(move |farm| receive(farm, stream, wanted, &progress)).await
    }

    /// Commits that are here whole, the nearest first.
    async fn held(&self, name: &RepoName) -> Result<Vec<CommitId>, ClientError> {
        let name = name.clone();
        let generations = self.blocking(move |farm| farm.generations(&name)).await?;
        Ok(generations.into_iter().map(|generation| generation.commit).take(MOST_HAVE).collect())
    }
}

/// Looks at what `commit` needs: trees first, for without them nothing can be planned.
fn needs(farm: &Farm, name: &RepoName, id: CommitId, shared: &SharedDirs) -> Result<Needs, ClientError> {
    let commit = farm.index().commit(&id)?.ok_or(FarmError::CommitMissing(id))?;
    if &commit.repo != name {
        return Err(ClientError::OtherRepo { commit: id, found: commit.repo, wanted: name.clone() });
    }
    let before = farm.generations(name)?.into_iter().next();
    let trees = farm.missing_trees(&id, before.as_ref().map(|generation| &generation.commit))?;
    if !trees.is_empty() {
        return Ok(Needs::Trees(trees));
    }
    let before = match before {
        Some(before) => farm.index().generation(name, &before.commit)?,
        None => None,
    };
    let plan = farm.plan(id, &commit, shared, before.as_ref())?;
    let mut missing = Vec::new();
    for (id, mut blob) in farm.missing_blobs(&plan)? {
        let mut lacking = std::collections::BTreeSet::new();
        for executable in &blob.executable {
            if blob.damaged || !farm.copy_variant(crate::farm::BlobKey { id, executable: *executable })? {
                lacking.insert(*executable);
            }
        }
        if !lacking.is_empty() {
            blob.executable = lacking;
            missing.push((id, blob));
        }
    }
    match missing.is_empty() {
        true => Ok(Needs::Nothing(Box::new(plan))),
        false => Ok(Needs::Blobs(missing)),
    }
}

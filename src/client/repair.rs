//! What `fsck` found, put right: from what is here, else from the primary; then every finding is looked at again.
//!
//! ```text
//! repair.rs   the order of things: index, objects, blobs, then what is built of them
//! build.rs    what is made of objects and blobs
//! verify.rs   whether a finding still holds
//! ```
//!
//! Nothing is believed of a finding but where to look: only what is still wrong is touched. What Puppet reads changes in whole steps,
//! a file's place or a tree at a time, and to the content that the commit has.
//!
//! Deliberately absent: looking for damage, which is `fsck`'s.

mod build;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio_util::sync::CancellationToken;

use super::ClientError;
use super::receive::{Received, Wanted, receive};
use super::state::{Client, SERVER_NOTE, primary_at};
use crate::config::Puppet;
use crate::farm::{BlobKey, Farm, FarmError, FarmSettings, Index, MissingBlob};
use crate::findings::{BlobFile, ClientFinding, Outcome};
use crate::http::chain;
use crate::pause::{Paused, Scope};
use crate::progress::{Phase, Progress};
use crate::puppet::Certificates;
use crate::remote::{ObjectStream, Remote, encode_path};
use crate::telling::telling;
use crate::values::{BlobId, CommitId, MAX_DEPTH, RepoName};
use crate::wire::api::{FetchRequest, ObjectAt, ObjectId, ObjectsRequest};
use build::Builder;
use verify::Verdicts;

impl Client {
    /// Repairs what is still wrong, and says of each finding what became of it.
    pub(super) async fn repair(&self, findings: Vec<ClientFinding>) -> Result<Vec<Outcome>, ClientError> {
        let progress = &self.repair_progress;
        let outcomes = telling(None, progress, self.repair_all(findings)).await;
        progress.begin(Phase::Idle, 0, 0);
        outcomes
    }

    async fn repair_all(&self, findings: Vec<ClientFinding>) -> Result<Vec<Outcome>, ClientError> {
        let medic = Medic {
            farm: Arc::clone(&self.farm),
            remote: Some(self.remote.clone()),
            stop: self.stop.clone(),
            progress: Arc::clone(&self.repair_progress),
        };
        let mut troubles = {
            let _working = self.work.lock().await;
            medic.mend(&findings).await?
        };
        for repo in to_deploy(&findings) {
            if let Err(error) = self.deploy_again(&repo).await {
                troubles.push(chain(&error));
            }
        }
        self.news.notify_one();
        medic.outcomes(findings, troubles).await
    }

    /// Makes a repo's `current` anew, by a deploy like any other.
    async fn deploy_again(&self, name: &RepoName) -> Result<(), ClientError> {
        let repo = name.clone();
        let pinned = self.blocking(move |farm| farm.state(&repo)).await?.pinned;
        match pinned {
            Some(commit) => {
                let _working = self.work.lock().await;
                self.bring_pinned(name, commit).await
            }
            None => self.sync_now(name).await,
        }
    }
}

/// Repairs a data directory without a daemon. `server` is the primary's address where it is not the one that was last configured. `progress` tells
/// how far it is and can end it; `stop` ends waiting for the primary.
pub async fn repair_offline(
    data_dir: &Path,
    server: Option<&str>,
    puppet: Option<Puppet>,
    findings: Vec<ClientFinding>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Vec<Outcome>, ClientError> {
    let path = data_dir.to_owned();
    let index_is_damaged = findings.iter().any(|finding| matches!(finding, ClientFinding::IndexBlocksDamaged { .. }));
    let opened = tokio::task::spawn_blocking(move || {
        let certificates = puppet.as_ref().map(Certificates::open).transpose()?;
        let (farm, noted) = open_offline(&path, index_is_damaged)?;
        Ok::<_, ClientError>((farm, noted, certificates))
    });
    let (farm, noted, certificates) = opened.await??;
    let server = server.map(str::to_owned).or(noted);
    let remote = server.map(|server| primary_at(&server, certificates.as_ref())).transpose()?;
    let medic = Medic { farm: Arc::new(farm), remote, stop, progress };
    let mut troubles = medic.mend(&findings).await?;
    for repo in to_deploy(&findings) {
        if let Err(error) = medic.blocking(move |farm| show_again(farm, &repo)).await {
            troubles.push(chain(&error));
        }
    }
    medic.outcomes(findings, troubles).await
}

/// Puts an empty index in the place of one that RocksDB refuses. The next sync fills it. Blocks; no daemon may run.
pub fn forget_index(data_dir: &Path) -> Result<(), ClientError> {
    let data =
        crate::datadir::DataDir::open_existing(data_dir, crate::datadir::Kind::Client).map_err(FarmError::from)?;
    Farm::set_index_aside(&data)?;
    Ok(())
}

/// Opens a farm as its daemon would, and gives the primary's address that was noted.
fn open_offline(path: &Path, index_is_damaged: bool) -> Result<(Farm, Option<String>), FarmError> {
    let data = crate::datadir::DataDir::open_existing(path, crate::datadir::Kind::Client)?;
    let index = match index_is_damaged {
        true => Farm::set_index_aside(&data)?,
        false => Index::open(&data.path.join("index"))?,
    };
    // A farm whose index has unreadable records does not open.
    let survey = index.survey(&Progress::default())?;
    index.forget_flaws(&survey.flaws)?;
    let server = index.meta(SERVER_NOTE)?.and_then(|bytes| String::from_utf8(bytes).ok());
    drop((index, data));
    let defaults = FarmSettings::default();
    let settings = FarmSettings { file_mode: survey.file_mode.unwrap_or(defaults.file_mode), reader_group: None };
    Ok((Farm::open_existing(path, settings)?, server))
}

/// Without a daemon nobody pauses and flushes: where nothing is shown at all, what was shown last is shown again, and a flush is owed.
fn show_again(farm: &Farm, repo: &RepoName) -> Result<(), FarmError> {
    if farm.current(repo)?.is_some() {
        return Ok(());
    }
    let last = farm.generations(repo)?.into_iter().find(|generation| generation.deployed > 0);
    let Some(last) = last else { return Ok(()) };
    farm.owe_flush(repo, Scope::Everything)?;
    farm.prepare_swap(repo, &last.commit)?.make(&Paused::nothing())?;
    farm.confirm(repo, last.commit)
}

/// The repos whose `current` is to be made anew.
fn to_deploy(findings: &[ClientFinding]) -> BTreeSet<RepoName> {
    let repos = findings.iter().filter_map(|finding| match finding {
        ClientFinding::CurrentMissing { repo }
        | ClientFinding::CurrentOdd { repo }
        | ClientFinding::CurrentUnknown { repo, .. } => Some(repo.clone()),
        _ => None,
    });
    repos.collect()
}

/// Repairs one farm.
struct Medic {
    farm: Arc<Farm>,
    /// The primary, where its address is known.
    remote: Option<Remote>,
    stop: CancellationToken,
    progress: Arc<Progress>,
}

impl Medic {
    async fn blocking<T: Send + 'static, E: Into<ClientError> + Send + 'static>(
        &self,
        work: impl FnOnce(&Farm) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ClientError> {
        let farm = Arc::clone(&self.farm);
        tokio::task::spawn_blocking(move || work(&farm)).await?.map_err(Into::into)
    }

    /// Does what can be done. Gives what could not, in words: one failure does not keep the rest from being repaired.
    async fn mend(&self, findings: &[ClientFinding]) -> Result<Vec<String>, ClientError> {
        let mut troubles = Vec::new();
        let progress = Arc::clone(&self.progress);
        self.blocking(move |farm| {
            let survey = farm.index().survey(&progress)?;
            farm.index().forget_flaws(&survey.flaws)
        })
        .await?;
        if findings.iter().any(concerns_objects) {
            note(self.fetch_objects().await, &mut troubles);
        }
        let suspects: BTreeSet<BlobKey> = findings.iter().filter_map(blob_in_doubt).collect();
        if !suspects.is_empty() {
            note(self.mend_blobs(suspects).await, &mut troubles);
        }
        let (findings, built, progress) = (findings.to_vec(), troubles, Arc::clone(&self.progress));
        self.blocking(move |farm| {
            let mut troubles = built;
            Builder::new(farm, &progress, &mut troubles).build(&findings);
            Ok::<_, ClientError>(troubles)
        })
        .await
    }

    // ---- objects ----

    /// Fetches the commits and trees that generations need and the index lacks.
    async fn fetch_objects(&self) -> Result<(), ClientError> {
        let generations = self.blocking(|farm| farm.index().generations()).await?;
        self.progress.begin(Phase::Fetching, 0, 0);
        for (repo, commit, _) in generations {
            if self.blocking(move |farm| farm.index().commit(&commit)).await?.is_none() {
                let stream = self.remote()?.fetch(&repo, &FetchRequest { want: commit, have: Vec::new() }).await?;
                self.take(stream, Wanted::everything(commit)).await?;
            }
            // Level by level: what a missing tree names is known once it is here.
            for _ in 0..=MAX_DEPTH {
                let missing = self.blocking(move |farm| farm.missing_trees(&commit, None)).await?;
                if missing.is_empty() {
                    break;
                }
                let asked = &missing[..missing.len().min(ObjectsRequest::MAX)];
                let objects = asked.iter().map(|tree| (encode_path(&tree.at), ObjectId::Tree(tree.subtree.id)));
                let came = self.ask(&repo, commit, objects.collect(), Wanted::trees(asked)).await?;
                if came == Received::default() {
                    return Err(ClientError::Stuck(commit));
                }
            }
        }
        Ok(())
    }

    // ---- blobs ----

    /// Writes blob files anew, from what is here or else from the primary, and builds anew what links to them.
    async fn mend_blobs(&self, suspects: BTreeSet<BlobKey>) -> Result<(), ClientError> {
        let progress = Arc::clone(&self.progress);
        let (lacking, mended) = self.blocking(move |farm| mend_here(farm, &suspects, &progress)).await?;
        let wanted = lacking.clone();
        let places = self.blocking(move |farm| farm.places_of(&wanted)).await?;
        let mut outcome = Ok(());
        self.progress.begin(Phase::Fetching, lacking.len() as u64, 0);
        for ((repo, commit), blobs) in places {
            for some in in_parts(blobs) {
                let objects = some.iter().map(|(id, blob)| (encode_path(&blob.at), ObjectId::Blob(*id)));
                let came = self.ask(&repo, commit, objects.collect(), Wanted::blobs(some.iter())).await;
                outcome = outcome.and(came.map(drop));
            }
        }
        let progress = Arc::clone(&self.progress);
        self.blocking(move |farm| {
            farm.settle()?;
            let mut right: BTreeSet<BlobId> = mended.into_iter().map(|key| key.id).collect();
            for key in lacking {
                if farm.blob_is_good(key)? {
                    right.insert(key.id);
                }
            }
            if !right.is_empty() {
                farm.rebuild_holders(&right, &progress)?;
            }
            Ok::<_, FarmError>(())
        })
        .await?;
        outcome
    }

    fn remote(&self) -> Result<&Remote, ClientError> {
        self.remote.as_ref().ok_or(ClientError::NoServer)
    }

    async fn ask(
        &self,
        repo: &RepoName,
        commit: CommitId,
        objects: Vec<(String, ObjectId)>,
        wanted: Wanted,
    ) -> Result<Received, ClientError> {
        let objects = objects.into_iter().map(|(path, id)| ObjectAt { path, id }).collect();
        let stream = self.remote()?.objects(repo, &ObjectsRequest { commit, objects }).await?;
        self.take(stream, wanted).await
    }

    async fn take(&self, stream: ObjectStream, wanted: Wanted) -> Result<Received, ClientError> {
        let stream = stream.counting_on(Arc::new(AtomicU64::new(0))).until(self.stop.clone());
        let progress = Arc::clone(&self.progress);
        self.blocking(move |farm| receive(farm, stream, wanted, &progress)).await
    }

    // ---- what became of it ----

    async fn outcomes(&self, findings: Vec<ClientFinding>, troubles: Vec<String>) -> Result<Vec<Outcome>, ClientError> {
        let progress = Arc::clone(&self.progress);
        progress.begin(Phase::Checking, findings.len() as u64, 0);
        self.blocking(move |farm| {
            let mut verdicts = Verdicts::new(farm);
            let mut verdict = |finding: &ClientFinding| {
                if progress.is_cancelled() {
                    return Err(FarmError::Cancelled);
                }
                progress.advance(1, 0);
                verdicts.holds(finding)
            };
            let outcome = |finding: ClientFinding| match verdict(&finding) {
                Ok(false) => Outcome::repaired(finding, "all is well there now"),
                Ok(true) => {
                    let why = if troubles.is_empty() { advice(&finding).to_owned() } else { troubles.join("; ") };
                    Outcome::remains(finding, why)
                }
                Err(error) => Outcome::remains(finding, chain(&error)),
            };
            Ok::<_, ClientError>(findings.into_iter().map(outcome).collect())
        })
        .await
    }
}

fn note(outcome: Result<(), ClientError>, troubles: &mut Vec<String>) {
    if let Err(error) = outcome {
        troubles.push(chain(&error));
    }
}

/// Mends what can be mended without the primary. Gives what cannot, and what was.
fn mend_here(
    farm: &Farm,
    suspects: &BTreeSet<BlobKey>,
    progress: &Progress,
) -> Result<(BTreeSet<BlobKey>, BTreeSet<BlobKey>), FarmError> {
    let (mut lacking, mut mended) = (BTreeSet::new(), BTreeSet::new());
    progress.begin(Phase::Checking, suspects.len() as u64, 0);
    for key in suspects {
        if progress.is_cancelled() {
            return Err(FarmError::Cancelled);
        }
        progress.advance(1, 0);
        if farm.blob_is_sound(*key)? {
            continue;
        }
        let list = if farm.mend_blob(*key)? { &mut mended } else { &mut lacking };
        list.insert(*key);
    }
    farm.settle()?;
    Ok((lacking, mended))
}

/// As many as one request may ask for, at a time.
fn in_parts(mut blobs: BTreeMap<BlobId, MissingBlob>) -> Vec<BTreeMap<BlobId, MissingBlob>> {
    let mut parts = Vec::new();
    while let Some(border) = blobs.keys().nth(ObjectsRequest::MAX).copied() {
        let rest = blobs.split_off(&border);
        parts.push(std::mem::replace(&mut blobs, rest));
    }
    parts.push(blobs);
    parts
}

fn key(file: &BlobFile) -> BlobKey {
    BlobKey { id: file.id, executable: file.executable }
}

/// The blob file that must be written anew where it is still wrong.
fn blob_in_doubt(finding: &ClientFinding) -> Option<BlobKey> {
    match finding {
        ClientFinding::BlobFileDamaged { file }
        | ClientFinding::BlobFileMissing { file }
        | ClientFinding::BlobFileReplaced { file }
        | ClientFinding::IndexBlobMissing { file, .. }
        | ClientFinding::IndexBlobSize { file } => Some(key(file)),
        ClientFinding::IndexRecordUnreadable { family, key } if family == "blobs" => BlobKey::from_index_key(key),
        _ => None,
    }
}

fn concerns_objects(finding: &ClientFinding) -> bool {
    matches!(
        finding,
        ClientFinding::IndexTreeDamaged { .. }
            | ClientFinding::IndexTreeMissing { .. }
            | ClientFinding::IndexCommitDamaged { .. }
            | ClientFinding::IndexCommitMissing { .. }
    )
}

/// What to do about what no repair puts right.
fn advice(finding: &ClientFinding) -> &'static str {
    match finding {
        ClientFinding::IndexBlocksDamaged { .. } => {
            "stop the client and start it again, or repair without it: the index is made anew from the primary, and what is live stays live"
        }
        ClientFinding::IndexTreeTotals { .. } => "the commit itself is wrong; make a new one on the primary",
        ClientFinding::CurrentMissing { .. }
        | ClientFinding::CurrentOdd { .. }
        | ClientFinding::CurrentUnknown { .. } => "`sceneshift sync` deploys the newest commit",
        _ => "it could not be repaired; `sceneshift fsck` shows what is in its way",
    }
}

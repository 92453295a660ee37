//! How a data directory is got at: with the help of the daemon that uses it, or without a daemon.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::cli::error::CliError;
use crate::cli::place::client_puppet;
use crate::client;
use crate::datadir::{CONTROL_SOCKET, DataDir, Kind};
use crate::findings::{ClientFinding, Finding, Outcome, PrimaryFinding};
use crate::fsck::{self, Access, FsckError, Report};
use crate::ingest::{self, Rebuilt};
use crate::progress::{Phase, Progress, Snapshot};
use crate::remote::{Hold, Remote, RemoteError};
use crate::store::Store;
use crate::values::TreePath;

/// What becomes of a repair that is no longer waited for.
const GOES_ON: &str = "the daemon goes on with the repair; fsck shows later what is left";

/// A data directory.
pub(super) struct Place {
    data_dir: PathBuf,
    /// Cancelled when a daemon is to be waited for no longer.
    stop: CancellationToken,
}

impl Place {
    pub(super) fn new(data_dir: &Path, stop: CancellationToken) -> Self {
        Self { data_dir: data_dir.to_owned(), stop }
    }

    /// Checks it.
    pub(super) async fn check(&self, progress: &Arc<Progress>) -> Result<Report, CliError> {
        // A wrong directory is told as one, before anybody is asked.
        crate::datadir::kind_to_read(&self.data_dir)?;
        match self.hold().await? {
            None => Ok(self.start(Access::Locked, progress).await??),
            Some(mut hold) => {
                let access = Access::Checkpoint(hold.hold.checkpoint.clone());
                let check = self.start(access, progress);
                tokio::select! {
                    checked = check => Ok(checked??),
                    () = hold.ended() => {
                        progress.cancel();
                        Err(CliError::DaemonStopped { data_dir: self.data_dir.clone() })
                    }
                }
            }
        }
    }

    fn start(&self, access: Access, progress: &Arc<Progress>) -> tokio::task::JoinHandle<Result<Report, FsckError>> {
        let (data_dir, progress) = (self.data_dir.clone(), Arc::clone(progress));
        tokio::task::spawn_blocking(move || fsck::check(&data_dir, &access, &progress))
    }

    /// Asks the daemon to hold still; `None` where nobody answers.
    async fn hold(&self) -> Result<Option<Hold>, CliError> {
        let Some(daemon) = self.daemon()? else { return Ok(None) };
        let held = tokio::select! {
            () = self.stop.cancelled() => return Err(FsckError::Cancelled.into()),
            held = daemon.fsck_hold() => held,
        };
        match held {
            Ok(hold) => Ok(Some(hold)),
            // A socket that a killed daemon left behind, or one that this user may not use: the lock tells which.
            Err(RemoteError::Unreachable { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn daemon(&self) -> Result<Option<Remote>, CliError> {
        let socket = self.data_dir.join(CONTROL_SOCKET);
        if socket.exists() { Ok(Some(Remote::unix(&socket)?)) } else { Ok(None) }
    }

    /// Has what was found repaired.
    pub(super) async fn repair(
        &self,
        report: &Report,
        server: Option<&str>,
        progress: &Arc<Progress>,
    ) -> Result<Vec<Outcome>, CliError> {
        if let Some(daemon) = self.daemon()? {
            let repaired = tokio::select! {
                () = self.stop.cancelled() => return Err(CliError::Interrupted { then: GOES_ON }),
                repaired = daemon.repair(&report.findings) => repaired,
            };
            match repaired {
                Err(RemoteError::Unreachable { .. }) => {}
                answered => return Ok(answered?),
            }
        }
        match report.kind {
            Kind::Primary => self.repair_primary(report, progress).await,
            Kind::Client => {
                let findings = report.findings.iter().filter_map(as_client).collect();
                let (puppet, progress, stop) = (client_puppet()?, Arc::clone(progress), self.stop.clone());
                Ok(client::repair_offline(&self.data_dir, server, puppet, findings, progress, stop).await?)
            }
        }
    }

    /// How far the daemon's repair is; `None` where no daemon repairs.
    pub(super) async fn repair_progress(&self) -> Option<Snapshot> {
        let progress = self.daemon().ok()??.repair_progress().await.ok()?;
        (progress.phase != Phase::Idle).then_some(progress)
    }

    /// Checks it. Where its database is damaged itself, and no daemon runs, what can be read of it is saved into a new one first.
    pub(super) async fn check_or_rebuild(
        &self,
        progress: &Arc<Progress>,
    ) -> Result<(Report, Option<Rebuilt>), CliError> {
        match self.check(progress).await {
            Ok(report) if !report.findings.iter().any(needs_rebuild) || self.is_served().await? => Ok((report, None)),
            Ok(_) => self.rebuild_and_check(progress).await,
            Err(CliError::Fsck(FsckError::Store(error))) if error.is_refusal() && !self.is_served().await? => {
                self.rebuild_and_check(progress).await
            }
            Err(CliError::Fsck(FsckError::Index(error))) if error.is_index_damage() && !self.is_served().await? => {
                let data_dir = self.data_dir.clone();
                tokio::task::spawn_blocking(move || client::forget_index(&data_dir)).await??;
                Ok((self.check(progress).await?, None))
            }
            Err(error) => Err(error),
        }
    }

    async fn rebuild_and_check(&self, progress: &Arc<Progress>) -> Result<(Report, Option<Rebuilt>), CliError> {
        let (data_dir, job) = (self.data_dir.clone(), Arc::clone(progress));
        let rebuilt = tokio::task::spawn_blocking(move || rebuild(&data_dir, &job)).await??;
        Ok((self.check(progress).await?, Some(rebuilt)))
    }

    /// Whether a daemon uses it.
    async fn is_served(&self) -> Result<bool, CliError> {
        Ok(self.hold().await?.is_some())
    }

    async fn repair_primary(&self, report: &Report, progress: &Arc<Progress>) -> Result<Vec<Outcome>, CliError> {
        let findings = report.findings.iter().filter_map(as_primary).collect();
        let (data_dir, progress) = (self.data_dir.clone(), Arc::clone(progress));
        tokio::task::spawn_blocking(move || repair_primary(&data_dir, findings, &progress)).await?
    }
}

/// Repairs a primary's store from the staging directories that its daemon last had. What its settings leave out is not known here; it may
/// only keep a directory from being recognised.
fn repair_primary(
    data_dir: &Path,
    findings: Vec<PrimaryFinding>,
    progress: &Progress,
) -> Result<Vec<Outcome>, CliError> {
    let data = DataDir::open_existing(data_dir, Kind::Primary)?;
    let store = Store::open(&data)?;
    let repo = |(name, staging_dir)| ingest::Repo {
        name,
        staging_dir,
        environments_dir: TreePath::root(),
        ignore: Vec::new(),
        skip_special: true,
    };
    let repos: Vec<_> = store.staging_dirs()?.into_iter().map(repo).collect();
    Ok(ingest::heal(&store, &repos, findings, progress))
}

/// Makes a primary's store anew of what can be read of it.
fn rebuild(data_dir: &Path, progress: &Progress) -> Result<Rebuilt, CliError> {
    let data = DataDir::open_existing(data_dir, Kind::Primary)?;
    Ok(ingest::rebuild(&data, progress)?)
}

/// What a new database puts right, and nothing else.
fn needs_rebuild(finding: &Finding) -> bool {
    matches!(
        finding,
        Finding::Primary(
            PrimaryFinding::BlocksDamaged { .. }
                | PrimaryFinding::CommitDamaged { .. }
                | PrimaryFinding::HeadMissingCommit { .. }
                | PrimaryFinding::HeadOtherRepo { .. }
                | PrimaryFinding::HeadUnreadable { .. }
        )
    )
}

fn as_client(finding: &Finding) -> Option<ClientFinding> {
    match finding {
        Finding::Client(finding) => Some(finding.clone()),
        Finding::Primary(_) => None,
    }
}

fn as_primary(finding: &Finding) -> Option<PrimaryFinding> {
    match finding {
        Finding::Primary(finding) => Some(finding.clone()),
        Finding::Client(_) => None,
    }
}

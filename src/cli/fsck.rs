//! `fsck`: verifies a data directory, and has it repaired.
//!
//! ```text
//! fsck.rs    what happens, and the exit status
//!   access.rs  with a running daemon's help, or without a daemon
//!   show.rs    findings and outcomes for people
//! ```

mod access;
mod show;

use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::args::FsckArgs;
use super::error::CliError;
use super::{interrupt, output, progress};
use crate::findings::{Finding, Outcome};
use crate::fsck::Report;
use crate::ingest::Rebuilt;
use crate::progress::{Phase, Progress};
use access::Place;

/// What is printed with `--json`.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Answer<'a> {
    /// The database itself was damaged, and was made anew before the check.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuilt: Option<&'a Rebuilt>,
    #[serde(flatten)]
    report: &'a Report,
    /// What became of each finding, where a repair was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<&'a [Outcome]>,
    /// What a second check found after the repair.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<&'a [Finding]>,
}

pub(super) async fn run(args: &FsckArgs) -> Result<ExitCode, CliError> {
    let (jobs, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    interrupt::stop_by({
        let (jobs, stop) = (Arc::clone(&jobs), stop.clone());
        move || {
            jobs.cancel();
            stop.cancel();
        }
    })?;
    let place = Place::new(&args.data_dir, stop);
    let (report, rebuilt) = match args.repair {
        true => progress::watch(place.check_or_rebuild(&jobs), async || Some(jobs.snapshot())).await?,
        false => (progress::watch(place.check(&jobs), async || Some(jobs.snapshot())).await?, None),
    };
    let mut answer = Answer { rebuilt: rebuilt.as_ref(), report: &report, repair: None, remaining: None };
    let anew = rebuilt.as_ref().map(|rebuilt| show::rebuilt(rebuilt, &args.data_dir)).unwrap_or_default();
    if !args.repair || report.findings.is_empty() {
        output::answer(args.json, &answer, || anew + &show::report(&report))?;
        return Ok(exit(&report.findings));
    }
    jobs.begin(Phase::Idle, 0, 0);
    let work = place.repair(&report, args.server.as_deref(), &jobs);
    let look = async || Some(place.repair_progress().await.unwrap_or_else(|| jobs.snapshot()));
    let outcomes = match progress::watch(work, look).await {
        Ok(outcomes) => outcomes,
        Err(error) => {
            // That there is damage is the answer, also where nothing could be done about it.
            output::answer(args.json, &answer, || anew + &show::report(&report))?;
            output::complain(&error);
            return Ok(ExitCode::FAILURE);
        }
    };
    // What the repair says of itself is not taken for granted.
    let again = progress::watch(place.check(&jobs), async || Some(jobs.snapshot())).await?;
    answer.repair = Some(&outcomes);
    answer.remaining = Some(&again.findings);
    output::answer(args.json, &answer, || anew + &show::repaired(&report, &outcomes, &again))?;
    Ok(exit(&again.findings))
}

fn exit(remaining: &[Finding]) -> ExitCode {
    if remaining.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

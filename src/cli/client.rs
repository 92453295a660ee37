//! `client`: the daemon of a compile master, and one sync and deploy without it.

use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::args::ClientArgs;
use super::error::CliError;
use super::logging::{self, Wanted};
use super::{interrupt, limits, local, progress};
use crate::client;
use crate::config::{self, ClientConfig};
use crate::datadir::CONTROL_SOCKET;
use crate::progress::{Phase, Progress};
use crate::remote::Remote;

/// Runs until a signal ends it, or once.
pub(super) async fn run(args: &ClientArgs, verbose: u8) -> Result<ExitCode, CliError> {
    let config = config::read_client(&args.config)?;
    if args.once {
        logging::start(verbose, Wanted::ForCommand);
        once(config, args.json).await?;
    } else {
        logging::start(verbose, Wanted::ForDaemon(config.log_format));
        limits::raise_open_files();
        client::run(config).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn once(config: ClientConfig, json: bool) -> Result<(), CliError> {
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    interrupt::stop_by({
        let stop = stop.clone();
        move || stop.cancel()
    })?;
    // Where a daemon runs, it does the work.
    let daemon = Remote::unix(&config.data_dir.join(CONTROL_SOCKET))?;
    let look = async || match progress.snapshot() {
        idle if idle.phase == Phase::Idle => local::look(&daemon).await,
        snapshot => Some(snapshot),
    };
    match progress::watch(client::once(config, &progress, stop.clone()), look).await {
        Err(_) if stop.is_cancelled() => {
            Err(CliError::Interrupted { then: "what has arrived is kept, and the next try goes on from there" })
        }
        done => local::conclude(&done?, json),
    }
}

//! `client`: the daemon of a compile master, and one sync and deploy without it.

use std::process::ExitCode;
use std::sync::Arc;

use super::args::ClientArgs;
use super::error::CliError;
use super::logging::{self, Wanted};
use super::{limits, local, progress};
use crate::progress::Progress;
use crate::{client, config};

/// Runs until a signal ends it, or once.
pub(super) async fn run(args: &ClientArgs, verbose: u8) -> Result<ExitCode, CliError> {
    let config = config::read_client(&args.config)?;
    if args.once {
        logging::start(verbose, Wanted::ForCommand);
        let progress = Arc::new(Progress::default());
        let report = progress::watch(client::once(config, &progress), async || Some(progress.snapshot())).await?;
        local::conclude(&report, args.json)?;
    } else {
        logging::start(verbose, Wanted::ForDaemon(config.log_format));
        limits::raise_open_files();
        client::run(config).await?;
    }
    Ok(ExitCode::SUCCESS)
}

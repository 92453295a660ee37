//! `serve`: the primary.

use std::process::ExitCode;

use super::args::ServeArgs;
use super::error::CliError;
use super::limits;
use super::logging::{self, Wanted};
use crate::{config, server};

/// Runs until a signal ends it.
pub(super) async fn run(args: &ServeArgs, verbose: u8) -> Result<ExitCode, CliError> {
    let config = config::read_primary(&args.config)?;
    logging::start(verbose, Wanted::ForDaemon(config.log_format));
    limits::raise_open_files();
    server::serve(config).await?;
    Ok(ExitCode::SUCCESS)
}

//! `fsck`: verifies a data directory.

use std::process::ExitCode;

use super::args::FsckArgs;
use super::error::CliError;
use crate::datadir::{self, Kind};

pub(super) async fn run(args: &FsckArgs) -> Result<ExitCode, CliError> {
    match datadir::kind_of(&args.data_dir)? {
        Kind::Primary => Err(CliError::NotBuiltIn("the check of a primary")),
        Kind::Client => Err(CliError::NotBuiltIn("the check of a client")),
    }
}

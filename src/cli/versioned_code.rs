//! `code-id`, `code-content`: what Puppet Server's two commands print, for people to try.

use std::process::ExitCode;

use super::args::{CodeContentArgs, CodeIdArgs};
use super::error::CliError;
use crate::versioned_code::{self, Settings};

pub(super) fn code_id(args: &CodeIdArgs) -> Result<ExitCode, CliError> {
    let id = versioned_code::code_id(&Settings::read(&args.config)?, &args.environment)?;
    versioned_code::answer(id.as_deref(), &mut std::io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn code_content(args: &CodeContentArgs) -> Result<ExitCode, CliError> {
    let settings = Settings::read(&args.config)?;
    let out = &mut std::io::stdout().lock();
    versioned_code::code_content(&settings, &args.environment, &args.code_id, &args.path, out)?;
    Ok(ExitCode::SUCCESS)
}

//! What Puppet Server's `versioned-code` commands do: which version of an environment is live, and files as of a version.
//!
//! ```text
//! versioned_code/settings.rs   the client's settings, as far as they matter here
//! versioned_code/here.rs       what this machine's generations hold
//! versioned_code/ask.rs        what the client daemon is asked for
//! versioned_code/error.rs      what can go wrong
//! ```
//!
//! - Self-contained: `std`, `serde` and `toml`, and no other module of the crate, for the two small programs `sceneshift-code-id` and
//!   `sceneshift-code-content` take it in by its path. They are started for every catalog and every file, and link no database.
//! - Runs as Puppet Server's user, who may read the farm (`storage-format.md` §8) and nothing else. No database is opened.
//! - A version is an environment's tree id. Content is never that of another version: what cannot be found is an error, and then nothing
//!   was written.
//! - Puppet Server waits for the answer with a JRuby in hand: nothing waits without a bound.
//!
//! Deliberately absent: the command line's own words; any write to the disk.

// By their paths, so that the programs find them from where they are.
#[path = "versioned_code/ask.rs"]
mod ask;
#[path = "versioned_code/error.rs"]
mod error;
#[path = "versioned_code/here.rs"]
mod here;
#[path = "versioned_code/settings.rs"]
mod settings;

use std::error::Error;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

pub use error::VersionedCodeError;
pub use settings::{Settings, settings_file};

/// How many hexadecimal digits an id has.
const ID_DIGITS: usize = 64;

/// The id of the environment's tree as it is live; `None` where no repo has such an environment, or nothing is deployed yet.
pub fn code_id(settings: &Settings, environment: &OsStr) -> Result<Option<String>, VersionedCodeError> {
    if !is_name(environment.as_bytes()) {
        return Ok(None);
    }
    for repo in settings.repos() {
        if let Some(id) = here::live_id(settings, repo, environment)? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Writes the file at `path` in the environment to `out`, as of the version `code_id`. What this machine has no more, its client daemon
/// asks the primary for.
pub fn code_content(
    settings: &Settings,
    environment: &OsStr,
    code_id: &OsStr,
    path: &OsStr,
    out: &mut dyn Write,
) -> Result<(), VersionedCodeError> {
    let id = code_id.to_str().filter(|text| is_id(text)).ok_or_else(|| VersionedCodeError::NoId(code_id.into()))?;
    if !is_name(environment.as_bytes()) {
        return Err(VersionedCodeError::NoEnvironment(environment.into()));
    }
    if path.is_empty() || !path.as_bytes().split(|byte| *byte == b'/').all(is_name) {
        return Err(VersionedCodeError::NoPath(path.into()));
    }
    match here::open(settings, environment, id, path)? {
        Some((mut file, at)) => {
            io::copy(&mut file, out).map_err(|source| VersionedCodeError::Copy { path: at, source })?;
        }
        None => ask::copy(settings, id, path, out)?,
    }
    out.flush().map_err(VersionedCodeError::Output)
}

/// Writes the answer of `code_id` as Puppet Server takes it.
pub fn answer(id: Option<&str>, out: &mut dyn Write) -> Result<(), VersionedCodeError> {
    let Some(id) = id else { return Ok(()) };
    writeln!(out, "{id}").and_then(|()| out.flush()).map_err(VersionedCodeError::Output)
}

/// The status to exit with. What went wrong is said on standard error, which Puppet Server logs.
pub fn conclude(program: &str, outcome: Result<(), VersionedCodeError>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let mut text = format!("{program}: error: {error}");
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    let escape = |character: char| match character {
        '\n' => character.to_string(),
        _ if character.is_control() => character.escape_default().to_string(),
        _ => character.to_string(),
    };
    let text: String = text.trim_end().chars().map(escape).collect();
    // Where even that cannot be written there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::FAILURE
}

/// A single step down: nothing that stays or leads up.
fn is_name(bytes: &[u8]) -> bool {
    !matches!(bytes, b"" | b"." | b"..") && !bytes.iter().any(|byte| matches!(byte, b'/' | 0))
}

fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

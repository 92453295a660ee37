//! Puppet Server's `code-id-command`: prints the version of an environment that is live. Started for every catalog, so it links no database.

use std::process::ExitCode;

#[path = "../versioned_code.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the library, and with the other program")]
mod versioned_code;

use versioned_code::{Settings, VersionedCodeError, answer, code_id, conclude, settings_file};

fn main() -> ExitCode {
    conclude("sceneshift-code-id", run())
}

fn run() -> Result<(), VersionedCodeError> {
    let mut args = std::env::args_os().skip(1);
    let (Some(environment), None) = (args.next(), args.next()) else {
        return Err(VersionedCodeError::Usage("sceneshift-code-id ENVIRONMENT"));
    };
    let id = code_id(&Settings::read(&settings_file())?, &environment)?;
    answer(id.as_deref(), &mut std::io::stdout().lock())
}

//! Puppet Server's `code-content-command`: prints a file as of a version of its environment. Links no database.

use std::process::ExitCode;

#[path = "../versioned_code.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the library, and with the other program")]
mod versioned_code;

use versioned_code::{Settings, VersionedCodeError, code_content, conclude, settings_file};

fn main() -> ExitCode {
    conclude("sceneshift-code-content", run())
}

fn run() -> Result<(), VersionedCodeError> {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let [environment, id, path] = args.as_slice() else {
        return Err(VersionedCodeError::Usage("sceneshift-code-content ENVIRONMENT CODE-ID PATH"));
    };
    let settings = Settings::read(&settings_file())?;
    code_content(&settings, environment, id, path, &mut std::io::stdout().lock())
}

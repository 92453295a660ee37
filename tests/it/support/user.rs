//! The program, and commands, as another user of this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::unistd::User;

/// Somebody else than who runs the tests.
pub struct OtherUser {
    name: String,
    program: PathBuf,
}

impl OtherUser {
    /// `None`, with the reason printed, where tests may not become others, or there is no such user. The program is copied into `folder`, which
    /// everybody may enter from then on: where it was built, others may not.
    pub fn new(name: &str, folder: &Path) -> Option<Self> {
        use std::os::unix::fs::PermissionsExt;
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: only root can become {name}");
            return None;
        }
        if User::from_name(name).unwrap().is_none() {
            println!("skipped: there is no user {name}");
            return None;
        }
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = folder.join("sceneshift");
        if !program.exists() {
            std::fs::copy(env!("CARGO_BIN_EXE_sceneshift"), &program).unwrap();
        }
        Some(Self { name: name.to_owned(), program })
    }

    /// A command as this user, in his groups.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let user = User::from_name(&self.name).unwrap().unwrap();
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid), "--init-groups".into()]);
        command.arg("--").arg(program).current_dir("/").stdin(Stdio::null());
        command
    }

    /// Calls the command line with this address of the primary.
    pub fn sceneshift(&self, server: &str, args: &[&str]) -> Output {
        let mut command = self.command(&self.program);
        command.args(args).env("SCENESHIFT_SERVER", server).env_remove("RUST_LOG").env("NO_COLOR", "1");
        command.output().unwrap()
    }
}

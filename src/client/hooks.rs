//! `pause = "hooks"`: commands of the site that keep requests away, and let them flow again.
//!
//! They see what it is about in their environment: `SCENESHIFT_REPO`, `SCENESHIFT_COMMIT`, `SCENESHIFT_SCOPE` (`all` or `environments`) and
//! `SCENESHIFT_ENVIRONMENTS`, names with spaces between. What they print goes to the daemon's log.
//!
//! Invariant: once `pause` was called, `resume` is called, whatever became of `pause` and of the deploy, and again at the daemon's next start,
//! should it be killed in between.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::config::HooksConfig;
use crate::http::chain;
use crate::pause::{Paused, Scope};
use crate::values::{CommitId, RepoName};

/// How often `resume` is tried: a machine that is left drained serves nobody.
const TRIES: u32 = 3;

/// How often it is looked whether a command has ended.
const LOOK: Duration = Duration::from_millis(2);

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It cannot be started.
    #[error("the {which} hook {program} cannot be started")]
    Start {
        /// `pause` or `resume`.
        which: &'static str,
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It failed.
    #[error("the {which} hook {program} failed: {status}")]
    Failed {
        /// `pause` or `resume`.
        which: &'static str,
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It took too long, and was killed.
    #[error("the {which} hook {program} did not end within {timeout:?} (setting timeout), and was killed")]
    TimedOut {
        /// `pause` or `resume`.
        which: &'static str,
        /// The program.
        program: String,
        /// The limit.
        timeout: Duration,
    },
}

/// The commands of one repo.
#[derive(Debug, Clone)]
pub(super) struct Hooks {
    settings: HooksConfig,
    resumed: Arc<Mutex<Resumed>>,
}

/// What became of the last `resume`.
#[derive(Debug, Default)]
struct Resumed {
    /// It failed: requests may be kept away still.
    is_owed: bool,
    /// Why, until somebody has asked.
    failure: Option<HookError>,
}

/// What a deploy is about.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) repo: RepoName,
    pub(super) commit: Option<CommitId>,
    pub(super) scope: Scope,
}

impl Hooks {
    pub(super) fn new(settings: &HooksConfig) -> Self {
        Self { settings: settings.clone(), resumed: Arc::default() }
    }

    /// Keeps requests away. Blocking.
    pub(super) fn pause(&self, about: &About) -> Result<Paused, HookError> {
        let (hooks, told) = (self.clone(), about.clone());
        // Before the command: one that fails half-way has perhaps drained already.
        let paused = Paused::new(move || hooks.resume(&told));
        self.run("pause", &self.settings.pause, about)?;
        Ok(paused)
    }

    /// Lets requests flow. Blocking.
    pub(super) fn resume(&self, about: &About) {
        let mut outcome = self.run("resume", &self.settings.resume, about);
        for _ in 1..TRIES {
            let Err(error) = &outcome else { break };
            tracing::error!(error = chain(error), "requests may still be kept away; trying again");
            std::thread::sleep(Duration::from_secs(1));
            outcome = self.run("resume", &self.settings.resume, about);
        }
        let mut resumed = self.resumed.lock().expect("no holder of this lock panics");
        *resumed = Resumed { is_owed: outcome.is_err(), failure: outcome.err() };
    }

    /// Why the last `resume` failed, if it did. Asking takes it away.
    pub(super) fn failure(&self) -> Option<HookError> {
        self.resumed.lock().expect("no holder of this lock panics").failure.take()
    }

    /// Whether the last `resume` failed, whoever has asked why.
    pub(super) fn owes_resume(&self) -> bool {
        self.resumed.lock().expect("no holder of this lock panics").is_owed
    }

    fn run(&self, which: &'static str, command: &[String], about: &About) -> Result<(), HookError> {
        let program = command.first().cloned().unwrap_or_default();
        let start = |source| HookError::Start { which, program: program.clone(), source };
        let (kind, environments) = match &about.scope {
            Scope::Everything => ("all", String::new()),
            Scope::Environments(names) => ("environments", names.join(" ")),
        };
        let mut child = Command::new(&program)
            .args(command.iter().skip(1))
            .env("SCENESHIFT_REPO", about.repo.as_str())
            .env("SCENESHIFT_COMMIT", about.commit.map(|commit| commit.to_string()).unwrap_or_default())
            .env("SCENESHIFT_SCOPE", kind)
            .env("SCENESHIFT_ENVIRONMENTS", environments)
            .stdin(Stdio::null())
            // A group of its own: a Ctrl-C for the daemon is none for the hook, and a kill reaches what it started.
            .process_group(0)
            .spawn()
            .map_err(start)?;
        let until = Instant::now() + self.settings.timeout;
        loop {
            match child.try_wait().map_err(start)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(HookError::Failed { which, program, status }),
                None if Instant::now() >= until => break,
                None => std::thread::sleep(LOOK),
            }
        }
        if let Ok(group) = i32::try_from(child.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = child.wait();
        Err(HookError::TimedOut { which, program, timeout: self.settings.timeout })
    }
}

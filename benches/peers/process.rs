//! Processes: commands that are timed, daemons that run beside them, and an end of both when the user wants one.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a daemon may take to start, and to stop.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);

/// Those who run. A process is reaped only while this is held, so that no other process has its number.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn running() -> MutexGuard<'static, Vec<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends all that was started, and lets nothing start any more.
pub(crate) fn interrupt() {
    let running = running();
    INTERRUPTED.store(true, SeqCst);
    for pid in running.iter() {
        let _ = kill(*pid, Signal::SIGTERM);
    }
}

/// An error once the user wants an end.
pub(crate) fn check() -> Result<(), String> {
    if INTERRUPTED.load(SeqCst) { Err("interrupted".into()) } else { Ok(()) }
}

fn spawn(command: &mut Command) -> Result<(Child, Pid), String> {
    let mut running = running();
    check()?;
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.spawn().map_err(|error| format!("cannot run {name}: {error}"))?;
    let pid = Pid::from_raw(child.id().cast_signed());
    running.push(pid);
    Ok((child, pid))
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) time: Duration,
    pub(crate) stdout: Vec<u8>,
}

/// Runs a command to its end. One that fails is an error, with what it said.
pub(crate) fn run(command: &mut Command) -> Result<Ran, String> {
    let mut errors = tempfile::tempfile().map_err(|error| format!("cannot make a temporary file: {error}"))?;
    let copy = errors.try_clone().map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(copy);
    let begun = Instant::now();
    let (mut child, pid) = spawn(command)?;
    let mut stdout = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut stdout).map_err(|error| error.to_string())?;
    }
    let status = reap(&mut child, pid)?;
    let time = begun.elapsed();
    if status.success() {
        return Ok(Ran { time, stdout });
    }
    check()?;
    let mut said = String::new();
    let _ = errors.rewind().and_then(|()| errors.read_to_string(&mut said));
    Err(format!("{} ended with {status}: {}", shown(command), said.trim()))
}

fn reap(child: &mut Child, pid: Pid) -> Result<std::process::ExitStatus, String> {
    let mut running = running();
    let status = child.wait().map_err(|error| error.to_string());
    running.retain(|other| *other != pid);
    status
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A process that runs until this goes.
pub(crate) struct Daemon {
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Daemon {
    /// Starts it, and waits until it says where it listens.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<(Self, String), String> {
        let file = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let (child, pid) = spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file))?;
        let mut daemon = Self { child, pid, log: log.to_owned() };
        let begun = Instant::now();
        loop {
            let text = daemon.log();
            let said = text.rsplit_once('\n').and_then(|(whole, _)| whole.rsplit_once("listening on "));
            if let Some(address) = said.and_then(|(_, rest)| rest.split_whitespace().next()) {
                return Ok((daemon, address.to_owned()));
            }
            check()?;
            if begun.elapsed() > START || daemon.has_ended() {
                return Err(format!("{} does not start:\n{text}", shown(command)));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn has_ended(&mut self) -> bool {
        let mut running = running();
        let ended = !matches!(self.child.try_wait(), Ok(None));
        if ended {
            running.retain(|other| *other != self.pid);
        }
        ended
    }

    /// A figure of its memory in bytes, as the kernel names it: `VmRSS`, `VmHWM`.
    pub(crate) fn memory(&self, field: &str) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.pid);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        number.map(|kibibytes| kibibytes << 10).ok_or_else(|| format!("{path}: no {field}"))
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        let _ = kill(self.pid, Signal::SIGTERM);
        let begun = Instant::now();
        while !self.has_ended() {
            if begun.elapsed() > STOP {
                return Err(format!("a daemon does not stop:\n{}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = reap(&mut self.child, self.pid);
        }
    }
}

//! System calls of real processes, counted by `strace`: what a program asks of the kernel is the same on every machine, where seconds are not.
//!
//! Counted are calls that name a file or hold one open, by the directory that the file is in. What else a daemon does (waiting, sockets,
//! memory) hangs on chance, and is left out. The log is written line by line while a call is held: what was done before an answer came
//! stands in it when the answer is here.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names of calls, by what they do.
pub const LOOKS: &[&str] =
    &["stat", "lstat", "fstat", "newfstatat", "statx", "readlink", "readlinkat", "access", "faccessat", "faccessat2"];
pub const OPENS: &[&str] = &["open", "openat", "openat2", "creat"];
pub const LISTS: &[&str] = &["getdents", "getdents64"];
pub const READS: &[&str] = &["read", "pread64", "readv", "preadv", "preadv2", "mmap", "sendfile", "copy_file_range"];
pub const WRITES: &[&str] = &["write", "pwrite64", "writev", "pwritev", "pwritev2"];
pub const LINKS: &[&str] = &["link", "linkat"];
pub const SYMLINKS: &[&str] = &["symlink", "symlinkat"];
pub const RENAMES: &[&str] = &["rename", "renameat", "renameat2"];
pub const REMOVES: &[&str] = &["unlink", "unlinkat", "rmdir"];
pub const SYNCS: &[&str] = &["fsync", "fdatasync", "sync_file_range"];
pub const SYNCFS: &[&str] = &["syncfs", "sync"];

/// What the standard library asks before each `close`, unless a program is optimised.
const ONLY_WHEN_DEBUGGING: &str = "F_GETFD";

/// Whether calls can be counted here; says why not.
pub fn is_possible() -> bool {
    let output = Command::new("strace").args(["-D", "-f", "-qq", "-o", "/dev/null", "true"]).output();
    let reason = match output {
        // The status is that of `true`, also where nothing could be traced.
        Ok(output) if output.status.success() && output.stderr.is_empty() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    println!("skipped: strace cannot count system calls here: {reason}");
    false
}

/// The calls of one process and its threads.
pub struct Trace {
    log: PathBuf,
    what: &'static str,
}

impl Trace {
    /// Calls about files, kept in this one.
    pub fn new(log: PathBuf) -> Self {
        Self { log, what: "trace=%file,%desc" }
    }

    /// Each call that there is.
    pub fn of_all(log: PathBuf) -> Self {
        Self { log, what: "trace=all" }
    }

    /// The same command, its calls noted. The process that is started is the command's own: `strace` stands aside.
    pub fn of(&self, command: &Command) -> Command {
        let mut traced = Command::new("strace");
        traced.args(["-D", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "0", "-e", "signal=none", "-e", self.what]);
        traced.arg("-o").arg(&self.log).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => traced.env(name, value),
                None => traced.env_remove(name),
            };
        }
        traced
    }

    /// What is called while `work` runs.
    pub fn during(&self, work: impl FnOnce()) -> Log {
        let before = self.read().len();
        work();
        Log(self.read().split_off(before))
    }

    fn read(&self) -> String {
        // Names of files in tests may be any bytes, but not those of the directories that are asked for.
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

/// What was called, a line each.
pub struct Log(String);

impl Log {
    /// The calls about files at and below this directory.
    pub fn below(&self, place: &Path) -> Calls {
        self.count(|line| path(line).is_some_and(|path| Path::new(path).starts_with(place)))
    }

    /// All calls.
    pub fn all(&self) -> Calls {
        self.count(|_| true)
    }

    /// How often a file whose name ends like this was opened.
    pub fn opened(&self, ending: &str) -> u64 {
        let ending = format!("{ending}\"");
        self.count(|line| line.contains(&ending)).of(OPENS)
    }

    fn count(&self, counts: impl Fn(&str) -> bool) -> Calls {
        let mut calls = BTreeMap::new();
        for line in self.0.lines().filter(|line| !line.contains(ONLY_WHEN_DEBUGGING) && counts(line)) {
            if let Some(name) = name(line) {
                *calls.entry(name.to_owned()).or_insert(0) += 1;
            }
        }
        Calls(calls)
    }
}

/// How often each call was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls(BTreeMap<String, u64>);

impl Calls {
    /// How many there were of these.
    pub fn of(&self, names: &[&str]) -> u64 {
        names.iter().filter_map(|name| self.0.get(*name)).sum()
    }

    pub fn all(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self.0.iter().map(|(name, count)| format!("{name} {count}")).collect();
        write!(f, "{} calls: {}", self.all(), each.join(", "))
    }
}

/// The name of the call that a line begins; `None` for one that ends a call, or tells of something else.
fn name(line: &str) -> Option<&str> {
    let call = line.trim_start_matches(|character: char| character.is_ascii_digit()).trim_start();
    let (name, _) = call.split_once('(')?;
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(name)
}

/// The path that a call is about: the one it names from the root, else that of the first descriptor it has.
fn path(line: &str) -> Option<&str> {
    let between = |begin: &str, end: char| line[line.find(begin)? + 1..].split(end).next();
    between("\"/", '"').or_else(|| between("</", '>'))
}

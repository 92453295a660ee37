//! A real `puppet agent`, with all its files in a folder of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::wait::until;

/// How long one run may take: a loaded machine takes its time.
const RUN: Duration = Duration::from_secs(180);

/// An agent that may run again and again.
pub struct Agent {
    folder: PathBuf,
    certname: String,
    port: u16,
}

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// With `--detailed-exitcodes`: 0 nothing to do, 2 something done, 4 and 6 something failed, 1 the run failed.
    pub status: i32,
    /// What the agent said.
    pub output: String,
    pub took: Duration,
}

/// A child that does not outlive the test.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Agent {
    /// One that has no certificate yet, and asks for one at its first run.
    pub fn new(folder: &Path, certname: &str, port: u16) -> Self {
        let folder = folder.join("agents").join(certname);
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, certname: certname.to_owned(), port }
    }

    /// One run to its end, against `localhost`.
    pub fn run(&self, args: &[&str]) -> Run {
        let (begun, mut child) = (Instant::now(), self.start(args));
        let status = until("the agent's run ends", RUN, || child.0.try_wait().unwrap());
        let output = std::fs::read_to_string(self.output()).unwrap();
        Run { status: status.code().unwrap_or(-1), output, took: begun.elapsed() }
    }

    /// The certificate that it was given.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join(format!("ssl/certs/{}.pem", self.certname))
    }

    fn output(&self) -> PathBuf {
        self.folder.join("output.txt")
    }

    fn start(&self, args: &[&str]) -> Reaped {
        let place = |name: &str| self.folder.join(name);
        let output = File::create(self.output()).unwrap();
        let mut command = Command::new("puppet");
        command.args(["agent", "--onetime", "--no-daemonize", "--verbose", "--detailed-exitcodes", "--color", "false"]);
        command.args(["--waitforcert", "2", "--no-usecacheonfailure", "--no-splay"]);
        for dir in ["confdir", "vardir", "rundir", "logdir", "ssldir", "codedir", "publicdir"] {
            command.arg(format!("--{dir}")).arg(place(dir.trim_end_matches("dir")));
        }
        command.args(["--certname", &self.certname, "--server", "localhost"]);
        command.args(["--serverport", &self.port.to_string(), "--ca_port", &self.port.to_string()]);
        command.args(args).env("HOME", place("home"));
        command.stdin(Stdio::null()).stderr(output.try_clone().unwrap()).stdout(output);
        Reaped(command.spawn().expect("puppet is installed: make test-puppet installs it"))
    }
}

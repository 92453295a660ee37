//! The log, on standard error. `RUST_LOG` says which parts say how much; else `-v` and `-vv` do.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What the log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A daemon tells what it does, in this form.
    ForDaemon(LogFormat),
    /// A command tells only what is wrong.
    ForCommand,
}

/// Starts the log. Only the first call has an effect.
pub(super) fn start(verbose: u8, wanted: Wanted) {
    let filter = match std::env::var("RUST_LOG") {
        Ok(set) if !set.is_empty() => EnvFilter::new(set),
        _ => EnvFilter::new(default_filter(verbose, wanted)),
    };
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    let _ = match wanted {
        Wanted::ForDaemon(LogFormat::Json) => log.json().flatten_event(true).try_init(),
        Wanted::ForDaemon(LogFormat::Text) | Wanted::ForCommand => log.try_init(),
    };
}

fn default_filter(verbose: u8, wanted: Wanted) -> &'static str {
    match (wanted, verbose) {
        (Wanted::ForCommand, 0) => "warn",
        (Wanted::ForCommand, 1) | (Wanted::ForDaemon(_), 0) => "warn,sceneshift=info",
        (Wanted::ForCommand, 2) | (Wanted::ForDaemon(_), 1) => "info,sceneshift=debug",
        _ => "debug,sceneshift=trace",
    }
}

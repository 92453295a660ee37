//! Ctrl-C, and being told to end.
//!
//! - Work of this program's own is asked to stop where it can go on later; whoever asks twice ends it at once.
//! - Work that a daemon does is no longer waited for, and the caller is told what becomes of it.
//! - All else ends as every program does.

use std::future::Future;

use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

use super::error::CliError;

/// What a shell says of a program that Ctrl-C ended.
pub(super) const STATUS: u8 = 130;

/// Calls `stop` at the first signal, and ends the program at the second.
pub(super) fn stop_by(stop: impl FnOnce() + Send + 'static) -> Result<(), CliError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
    tokio::spawn(async move {
        let mut told = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        told().await;
        stop();
        told().await;
        std::process::exit(STATUS.into());
    });
    Ok(())
}

/// Waits for work of a daemon's, until Ctrl-C. `then` says what becomes of the work without a waiter.
pub(super) async fn waiting<T>(
    work: impl Future<Output = Result<T, CliError>>,
    then: &'static str,
) -> Result<T, CliError> {
    tokio::select! {
        biased;
        done = work => done,
        Ok(()) = ctrl_c() => Err(CliError::Interrupted { then }),
    }
}

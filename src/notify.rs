//! What the service manager is told: that the daemon is ready, stops, and is alive (systemd's `Type=notify` and `WatchdogSec=`).
//!
//! Where nobody asked to be told, as on a terminal, nothing is said. A message that cannot be delivered is logged, and changes nothing.
//!
//! "Alive" is what a daemon does for every request, done once more: its runtime's timer fires, it gives blocking work a thread, and its database
//! answers. Whether the answer is good is not asked: a restart would not make it better. A daemon in which one of these is stuck says nothing, and
//! is started anew by the manager.
//!
//! Deliberately absent: what work shows that a daemon is alive, which the daemons say.

use std::time::Duration;

use sd_notify::NotifyState;

/// Says that requests are answered from now on, and what the daemon does, in a few words.
pub async fn ready(status: String) {
    tell(move || sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)])).await;
}

/// Says that the daemon was told to stop, and finishes what is under way.
pub async fn stopping() {
    tell(|| sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("finishing what is under way")])).await;
}

/// Says at half the interval that the manager asked for that the daemon is alive, each time after `work` was done, for ever. Where the manager did
/// not ask, nothing is done.
pub async fn keep_alive<F: Future>(work: impl Fn() -> F) {
    match sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero()) {
        Some(interval) => every(interval / 2, work, || tell(|| sd_notify::notify(&[NotifyState::Watchdog]))).await,
        None => std::future::pending().await,
    }
}

/// Says so after each time that `work` was done, and waits.
async fn every<F: Future, S: Future>(pause: Duration, work: impl Fn() -> F, say: impl Fn() -> S) {
    loop {
        work().await;
        say().await;
        tokio::time::sleep(pause.max(Duration::from_millis(1))).await;
    }
}

/// On a thread that may block: the manager's queue may be full.
async fn tell(message: impl FnOnce() -> std::io::Result<()> + Send + 'static) {
    if let Ok(Err(error)) = tokio::task::spawn_blocking(message).await {
        tracing::warn!(%error, "the service manager could not be told how the daemon does");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    #[tokio::test]
    async fn a_daemon_whose_work_is_stuck_is_not_said_to_be_alive() {
        let (done, said) = (AtomicU32::new(0), AtomicU32::new(0));
        let work = || async {
            if done.fetch_add(1, SeqCst) == 3 {
                std::future::pending::<()>().await;
            }
        };
        let say = || async {
            said.fetch_add(1, SeqCst);
        };
        let _ = tokio::time::timeout(Duration::from_millis(200), every(Duration::from_millis(1), work, say)).await;
        assert_eq!((done.load(SeqCst), said.load(SeqCst)), (4, 3));
    }
}

//! What a daemon's log is told of work that takes long: how far it is, now and then.
//!
//! Deliberately absent: the counters, which the work keeps ([`crate::progress`]), and what people see who ask (`cli`).

use std::future::Future;
use std::time::Duration;

use crate::progress::{Phase, Progress, Snapshot};
use crate::values::RepoName;

/// Nothing is told of what is done within this time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The time between two lines.
const BETWEEN: Duration = Duration::from_secs(30);

/// Does `work`, which counts in `progress`, and meanwhile tells the log how far it is. `repo` is whose work it is, where it is one repo's.
pub async fn telling<T>(repo: Option<&RepoName>, progress: &Progress, work: impl Future<Output = T>) -> T {
    let repo = repo.map(tracing::field::display);
    let tell = || {
        let Snapshot { phase, files, total_files, bytes, total_bytes } = progress.snapshot();
        if phase != Phase::Idle {
            tracing::info!(repo, ?phase, files, total_files, bytes, total_bytes, "under way");
        }
    };
    between(work, PATIENCE, BETWEEN, tell).await
}

async fn between<T>(work: impl Future<Output = T>, first: Duration, later: Duration, tell: impl Fn()) -> T {
    let telling = async {
        let mut pause = first;
        loop {
            tokio::time::sleep(pause).await;
            tell();
            pause = later;
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        never = telling => never,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn work_is_told_of_until_it_is_done_and_not_at_all_where_it_is_quick() {
        let (told, enough) = (Cell::new(0), tokio::sync::Notify::new());
        let tell = || {
            told.set(told.get() + 1);
            if told.get() == 3 {
                enough.notify_one();
            }
        };
        // It ends because somebody tells of it: were the two not done side by side, this would hang.
        let work = async { enough.notified().await };
        let millisecond = Duration::from_millis(1);
        let done = between(work, millisecond, millisecond, tell);
        tokio::time::timeout(Duration::from_secs(10), done).await.unwrap();
        assert_eq!(told.get(), 3);
        assert_eq!(between(async { 7 }, Duration::ZERO, Duration::ZERO, || panic!("it is done already")).await, 7);
    }
}

//! How far a long job has come: a bar on a terminal, else a line now and then. Both on standard error, and only where it takes a while.

use std::future::Future;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{note, number, size};
use crate::progress::{Phase, Snapshot};

/// How often the job is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// No bar is shown for what is done within this time.
const PATIENCE_ON_TERMINAL: Duration = Duration::from_millis(400);

/// No line is written for what is done within this time, and none sooner after another.
const PATIENCE_ELSEWHERE: Duration = Duration::from_secs(2);
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Does `work`, and meanwhile shows what `look` sees of it. What cannot be seen is not shown.
pub(super) async fn watch<T>(work: impl Future<Output = T>, look: impl AsyncFn() -> Option<Snapshot>) -> T {
    let looking = async {
        let mut display = Display::new();
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Some(snapshot) = look().await {
                display.show(&snapshot);
            }
        }
    };
    tokio::select! {
        // The work first, so that what is done is never shown as unfinished.
        biased;
        done = work => done,
        never = looking => never,
    }
}

struct Display {
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Option<(Instant, Phase)>,
    /// The phase on the bar, and whether its end is known.
    drawn: Option<(Phase, bool)>,
}

impl Display {
    fn new() -> Self {
        let target = ProgressDrawTarget::stderr();
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::with_draw_target(None, target));
        Self { bar, started: Instant::now(), last_line: None, drawn: None }
    }

    fn show(&mut self, snapshot: &Snapshot) {
        if snapshot.phase == Phase::Idle {
            return;
        }
        let now = Instant::now();
        if let Some(bar) = &self.bar {
            if now - self.started >= PATIENCE_ON_TERMINAL {
                draw(bar, &mut self.drawn, snapshot);
            }
        } else if self.is_line_due(now, snapshot.phase) {
            self.last_line = Some((now, snapshot.phase));
            note(&format!("sceneshift: {}", describe(snapshot)));
        }
    }

    fn is_line_due(&self, now: Instant, phase: Phase) -> bool {
        match self.last_line {
            None => now - self.started >= PATIENCE_ELSEWHERE,
            Some((last, shown)) => now - last >= if shown == phase { BETWEEN_LINES } else { PATIENCE_ELSEWHERE },
        }
    }
}

/// The bar leaves the terminal with its job: what stays there is the answer.
impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn draw(bar: &ProgressBar, drawn: &mut Option<(Phase, bool)>, snapshot: &Snapshot) {
    // Bytes tell the time better than files, where their total is known.
    let (done, total) = match *snapshot {
        Snapshot { bytes, total_bytes, .. } if total_bytes > 0 => (bytes, total_bytes),
        Snapshot { files, total_files, .. } => (files, total_files),
    };
    let look = (snapshot.phase, total > 0);
    if *drawn != Some(look) {
        *drawn = Some(look);
        let with_end = "{spinner} {msg} [{wide_bar}] {percent:>3} % {eta:>4}";
        if let Ok(style) = ProgressStyle::with_template(if total > 0 { with_end } else { "{spinner} {msg}" }) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.reset_eta();
    }
    bar.set_message(describe(snapshot));
    bar.update(|state| {
        state.set_len(total.max(1));
        state.set_pos(done.min(total));
    });
}

/// "scanning staging: 12,000 of 97,012 files, 31.0 MiB of 240.1 MiB".
pub(super) fn describe(snapshot: &Snapshot) -> String {
    let of = |done: u64, total: u64, show: fn(u64) -> String| match total {
        // Not known, or estimated too low.
        total if total < done || total == 0 => show(done),
        total => format!("{} of {}", show(done), show(total)),
    };
    let mut parts = Vec::new();
    if snapshot.files > 0 || snapshot.total_files > 0 {
        parts.push(format!("{} {}", of(snapshot.files, snapshot.total_files, number), things(snapshot.phase)));
    }
    if snapshot.bytes > 0 || snapshot.total_bytes > 0 {
        parts.push(of(snapshot.bytes, snapshot.total_bytes, size));
    }
    let doing = doing(snapshot.phase);
    if parts.is_empty() { doing.to_owned() } else { format!("{doing}: {}", parts.join(", ")) }
}

fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Scanning => "scanning staging",
        Phase::Comparing => "looking at staging again",
        Phase::Writing => "writing",
        Phase::Fetching => "fetching",
        Phase::Building => "building",
        Phase::Deploying => "deploying",
        Phase::Checking => "checking",
        Phase::Pruning => "pruning",
        Phase::Compacting => "giving space back",
        Phase::Recovering => "putting right what was left behind",
        Phase::Reading => "reading",
        Phase::Waiting => "waiting for clients",
    }
}

fn things(phase: Phase) -> &'static str {
    match phase {
        Phase::Fetching | Phase::Writing | Phase::Checking | Phase::Pruning => "objects",
        Phase::Building => "links",
        Phase::Reading => "commits",
        Phase::Waiting => "run it",
        Phase::Idle | Phase::Scanning | Phase::Comparing | Phase::Deploying => "files",
        Phase::Compacting | Phase::Recovering => "files",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_told() {
        let snapshot =
            Snapshot { phase: Phase::Scanning, files: 12_000, total_files: 97_012, bytes: 2048, total_bytes: 0 };
        assert_eq!(describe(&snapshot), "scanning staging: 12,000 of 97,012 files, 2.0 KiB");
        assert_eq!(describe(&Snapshot { phase: Phase::Deploying, ..Snapshot::default() }), "deploying");
    }

    #[test]
    fn without_a_terminal_nothing_is_said_of_what_is_quick_and_little_of_what_is_long() {
        let started = Instant::now();
        let after = |seconds| started + Duration::from_secs(seconds);
        let mut display = Display { bar: None, started, last_line: None, drawn: None };
        assert!(!display.is_line_due(after(1), Phase::Scanning));
        assert!(display.is_line_due(after(2), Phase::Scanning));
        display.last_line = Some((after(2), Phase::Scanning));
        assert!(!display.is_line_due(after(11), Phase::Scanning));
        assert!(display.is_line_due(after(12), Phase::Scanning));
        assert!(display.is_line_due(after(4), Phase::Writing), "another phase is told sooner");
    }

    #[tokio::test]
    async fn the_work_goes_on_while_it_is_looked_at_and_its_result_is_given() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let sender = std::sync::Mutex::new(Some(sender));
        // The work ends only because somebody looks: were the two not run side by side, this would hang.
        let look = async || {
            sender.lock().unwrap().take().map(|sender| sender.send(7));
            None
        };
        let done = tokio::time::timeout(Duration::from_secs(10), watch(receiver, look)).await;
        assert_eq!(done.unwrap(), Ok(7));
    }
}

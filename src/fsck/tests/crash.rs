//! The power fails after every single call: what is left is opened, is clean, is the old state or the new one, and goes on.
//!
//! `cargo test` tries a part of the states, the same each time. `SCENESHIFT_SWEEP=full` tries them all, and says how many there were.

mod client;
mod origin;
mod primary;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{findings, is_full};
use crate::disk::crash::{self, Deaf, Recording, Variant};

/// How many states of each run `cargo test` tries.
const SAMPLED: usize = 14;

/// A folder with the data directory that is worked on, and the vault that keeps what was ever in it.
struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        // In memory, where there is such a place: a sweep syncs thousands of times.
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
        std::fs::create_dir(folder.path().join("vault")).unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        Self { folder }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn record(&self, run: impl FnOnce(&Path) + Send) -> Recording {
        self.record_deaf(None, run)
    }

    fn record_deaf(&self, deaf: Option<Deaf>, run: impl FnOnce(&Path) + Send) -> Recording {
        let (data, vault) = (self.data(), self.folder.path().join("vault"));
        // One thread builds, so that a run is the same each time.
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        one.install(|| crash::record(&data, &vault, deaf, || run(&data)))
    }
}

/// Puts back every state that a cut in this run could leave, and checks it; `stage` is how far the run had come.
fn sweep(name: &str, recording: &Recording, check: impl Fn(usize)) {
    let wrong = wrong_states(name, recording, check);
    let shown = wrong.iter().take(8).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    assert!(wrong.is_empty(), "{name}: {} states:\n{shown}", wrong.len());
}

/// The states that do not pass the check, and why.
fn wrong_states(name: &str, recording: &Recording, check: impl Fn(usize)) -> Vec<String> {
    let began = Instant::now();
    let variants = Variant::all(if is_full() { 6 } else { 1 });
    let mut states = recording.states(&variants);
    let possible = states.len();
    if !is_full() {
        // Far apart, and another variant each time.
        let step = (possible / SAMPLED).max(1) | 1;
        states = states.into_iter().step_by(step).collect();
    }
    let mut wrong = Vec::new();
    for (point, variant, state) in &states {
        let tried = catch_unwind(AssertUnwindSafe(|| {
            recording.put(state);
            check(point.stage);
        }));
        if let Err(panic) = tried {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".into());
            wrong.push(format!("{variant:?} after {:?} (stage {}): {text}", point.label, point.stage));
        }
    }
    println!(
        "{name}: {} operations, {} points, {} of {possible} distinct states tried in {:.1} s, {} wrong",
        recording.operations,
        recording.points.len(),
        states.len(),
        began.elapsed().as_secs_f64(),
        wrong.len()
    );
    wrong
}

//! How long requests are held for a swap alone: `make window`.
//!
//! Printed are the middle, the 99th percentile and the longest; a middle above ten times the bare one's is a failure (exit status 1). The 99th percentile may wait for
//! the file system's journal.

mod window;

use window::{ROUNDS, measure};

const MOST: f64 = 10.0;

fn main() {
    // Where the build is, so on a disk rather than in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the folder of the build can be written");
    let (bare, window) = measure(folder.path());
    println!("{:<42} {:>10} {:>10} {:>10}", format!("{ROUNDS} rounds, microseconds"), "p50", "p99", "max");
    for (name, [p50, p99, max]) in [("symlink and rename, bare", &bare), ("hold, exchange, resume", &window)] {
        println!("{name:<42} {p50:>10.1} {p99:>10.1} {max:>10.1}");
    }
    let ratio = window[0] / bare[0];
    println!("p50 of the window is {ratio:.1} times that of the bare swap (at most {MOST} are allowed)");
    std::process::exit(i32::from(ratio > MOST));
}

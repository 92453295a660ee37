//! What the steps of a deploy cost, each by itself, beside a floor where there is one: `make bench`, or `cargo bench -- NAME`.
//!
//! ```text
//! estate.rs   a staging tree of 2,000 files, and a primary's store
//! codec.rs    trees to bytes and back
//! stream.rs   frames to a compressed stream and back
//! ingest.rs   a commit: nothing changed, one file changed
//! fetch.rs    what a primary packs and sends, over loopback: everything, one file changed
//! farm.rs     building a generation after one file changed; the swap, beside a bare symlink and rename
//! ```
//!
//! Everything is written below `TMPDIR`; on a disk the figures swing with what was deleted before, so name a place in memory to compare
//! (`TMPDIR=/dev/shm make bench`; syncing costs nothing there). For whole journeys there is the demo.

#![allow(missing_docs, reason = "criterion's macros make functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on should stop where it stands")]

mod codec;
mod estate;
mod farm;
mod fetch;
mod ingest;
mod stream;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

fn short() -> Criterion {
    Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3))
}

criterion_group! {
    name = benches;
    config = short();
    targets = codec::tree, stream::blobs, ingest::commits, fetch::fetches, farm::builds, farm::swaps
}
criterion_main!(benches);

//! What the steps of a deploy cost, each by itself, beside a floor where there is one: `make bench`, or `cargo bench -- NAME`.
//!
//! ```text
//! estate.rs   a staging tree of 2,000 files, and a primary's store
//! client.rs   a client's farm beside it
//! codec.rs    trees to bytes and back
//! stream.rs   frames to a compressed stream and back
//! store.rs    blobs and trees written, read, and looked for in vain
//! ingest.rs   a commit: the first one, nothing changed, one file changed
//! fetch.rs    what a primary packs and sends, over loopback: everything, one file changed
//! farm.rs     building a generation after one file changed; the swap, beside a bare symlink and rename
//! deploy.rs   from a commit that was received until it is durably live: one file changed
//! fsck.rs     a check of the primary and of the client, beside reading and hashing the same bytes
//! ```
//!
//! Everything is written below `TMPDIR`; on a disk the figures swing with what was deleted before, so name a place in memory to compare
//! (`TMPDIR=/dev/shm make bench`; syncing costs nothing there). For whole journeys there is the demo.

#![allow(missing_docs, reason = "criterion's macros make functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on should stop where it stands")]

mod client;
mod codec;
mod deploy;
mod estate;
mod farm;
mod fetch;
mod fsck;
mod ingest;
mod store;
mod stream;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

fn short() -> Criterion {
    Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3))
}

criterion_group! {
    name = benches;
    config = short();
    targets = codec::tree, stream::blobs, store::objects, ingest::commits, fetch::fetches, farm::builds, farm::swaps, deploy::deploys, fsck::checks
}
criterion_main!(benches);

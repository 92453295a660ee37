//! What a primary packs and sends, over loopback and read to its end, but not kept.

use std::sync::atomic::Ordering::Relaxed;

use criterion::{BatchSize, Criterion, Throughput};
use sceneshift::config::read_primary;
use sceneshift::remote::{ObjectStream, Remote};
use sceneshift::server::serve_on;
use sceneshift::values::CommitId;
use sceneshift::wire::StreamReader;
use sceneshift::wire::api::{CommitRequest, FetchRequest};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::estate::{Estate, primary_settings, repo_name};

pub(crate) fn fetches(criterion: &mut Criterion) {
    let mut estate = Estate::new();
    let settings = estate.beside("primary.toml");
    std::fs::write(&settings, primary_settings(&estate.beside("primary"), &estate.staging())).unwrap();
    let config = read_primary(&settings).unwrap();
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let remote = Remote::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = runtime.spawn(serve_on(config, listener, async {
        let _ = stopped.await;
    }));

    let commit = || runtime.block_on(remote.commit(&repo_name(), &CommitRequest::default())).unwrap().commit;
    let fetch = |want: CommitId, have: Vec<CommitId>| {
        let stream = runtime.block_on(remote.fetch(&repo_name(), &FetchRequest { want, have })).unwrap();
        runtime.block_on(runtime.spawn_blocking(move || read(stream))).unwrap()
    };
    let first = commit();
    let (bytes, frames) = fetch(first, Vec::new());
    estate.edit();
    let second = commit();
    let (bytes_again, frames_again) = fetch(second, vec![first]);
    println!(
        "everything is {frames} frames in {bytes} bytes; one changed file is {frames_again} frames in {bytes_again} bytes"
    );
    let mut group = criterion.benchmark_group("fetch, 2000 files");
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("everything", |bencher| {
        bencher.iter_batched(|| (), |()| fetch(first, Vec::new()), BatchSize::PerIteration);
    });
    group.throughput(Throughput::Bytes(bytes_again));
    group.bench_function("one file changed", |bencher| bencher.iter(|| fetch(second, vec![first])));
    group.finish();

    let _ = stop.send(());
    runtime.block_on(server).unwrap().unwrap();
}

/// Bytes and frames of the stream.
fn read(stream: ObjectStream) -> (u64, usize) {
    let received = stream.received();
    let mut reader = StreamReader::new(stream).unwrap();
    let frames = std::iter::from_fn(|| reader.next_frame().unwrap()).count();
    (received.load(Relaxed), frames)
}

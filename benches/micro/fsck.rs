//! A check of everything, beside reading and hashing the same contents from staging, each once.

use std::path::Path;

use criterion::{Criterion, Throughput};
use sceneshift::fsck::{Access, check};
use sceneshift::progress::Progress;
use sceneshift::values::BlobId;

use crate::client::Client;

pub(crate) fn checks(criterion: &mut Criterion) {
    let mut client = Client::new();
    let plan = client.receive();
    client.build(&plan);
    // What is closed can be checked; the folder stays.
    let estate = client.close();
    let report = |name: &str| check(&estate.beside(name), &Access::Locked, &Progress::default()).unwrap();
    let mut group = criterion.benchmark_group("fsck, 2000 files");
    for name in ["primary", "client"] {
        let first = report(name);
        assert!(first.findings.is_empty(), "{:?}", first.findings);
        group.throughput(Throughput::Bytes(first.counts.bytes));
        group.bench_function(name, |bencher| bencher.iter(|| report(name)));
    }
    let modules = estate.staging().join("environments/env0/modules");
    group.bench_function("read and hash, one thread", |bencher| bencher.iter(|| hash_below(&modules)));
    group.finish();
}

fn hash_below(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            hash_below(&path);
        } else {
            std::hint::black_box(BlobId::of(&std::fs::read(path).unwrap()));
        }
    }
}

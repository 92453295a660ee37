//! Trees to bytes and back.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use sceneshift::codec::{decode_tree, encode_tree};
use sceneshift::values::{BlobId, Entry, Name, Tree, TreeId};

/// A directory of 1,000 files; a module's largest one rarely has more.
fn sample() -> Tree {
    let entry = |at: u32| {
        let name = Name::new(format!("file-{at:04}.pp").as_bytes()).unwrap();
        (name, Entry::File { id: BlobId::of(&at.to_le_bytes()), executable: false, size: 1_300 })
    };
    Tree::from_entries((0..1_000).map(entry).collect()).unwrap()
}

pub(crate) fn tree(criterion: &mut Criterion) {
    let tree = sample();
    let bytes = encode_tree(&tree);
    let mut group = criterion.benchmark_group("codec, a tree of 1000 files");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("encode", |bencher| bencher.iter(|| encode_tree(black_box(&tree))));
    group.bench_function("decode", |bencher| bencher.iter(|| decode_tree(black_box(&bytes)).unwrap()));
    group.bench_function("hash, the floor of both", |bencher| bencher.iter(|| TreeId::of(black_box(&bytes))));
    group.finish();
}

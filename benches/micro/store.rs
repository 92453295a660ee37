//! Single objects in a primary's store, beside those of an estate.

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use sceneshift::codec::encode_tree;
use sceneshift::store::ReadStore;
use sceneshift::values::{BlobId, Entry, Name, Tree, TreeId};

use crate::estate::{Estate, Primary, manifest, repo_name};

/// A directory of 25 manifests, another one for each number.
fn tree(number: u64) -> (TreeId, Vec<u8>) {
    let entry = |at: u64| {
        let name = Name::new(format!("file{at}.pp").as_bytes()).unwrap();
        (name, Entry::File { id: BlobId::of(&at.to_le_bytes()), executable: false, size: number })
    };
    let mut entries: Vec<_> = (0..25).map(entry).collect();
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    let bytes = encode_tree(&Tree::from_entries(entries).unwrap());
    (TreeId::of(&bytes), bytes)
}

pub(crate) fn objects(criterion: &mut Criterion) {
    let estate = Estate::new();
    let primary = Primary::new(&estate);
    primary.commit(true);
    let (store, repo) = (&primary.store, repo_name());
    let guard = store.begin_commit(&repo);
    let mut group = criterion.benchmark_group("store");

    let content = manifest(0, 0);
    let mut number = 0;
    let mut next = || {
        number += 1;
        number
    };
    group.bench_function("write a blob of 1,100 bytes", |bencher| {
        let setup = || format!("{content}{}", next());
        bencher.iter_batched(
            setup,
            |content| guard.write_blob(&mut content.as_bytes()).unwrap(),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("write a blob that is there", |bencher| {
        bencher.iter(|| guard.write_blob(&mut black_box(content.as_bytes())).unwrap());
    });
    group.bench_function("write a tree of 25 entries", |bencher| {
        bencher.iter_batched(|| tree(next()), |tree| guard.write_trees([tree]).unwrap(), BatchSize::SmallInput);
    });

    let blob = BlobId::of(content.as_bytes());
    let mut out = Vec::new();
    group.bench_function("read a blob of 1,100 bytes", |bencher| {
        bencher.iter(|| {
            out.clear();
            store.copy_blob(black_box(&blob), &mut out).unwrap().unwrap()
        });
    });
    let (id, bytes) = tree(0);
    guard.write_trees([(id, bytes)]).unwrap();
    group.bench_function("read a tree of 25 entries", |bencher| {
        bencher.iter(|| store.tree(black_box(&id)).unwrap().unwrap());
    });
    group.bench_function("look for a blob that is not there", |bencher| {
        let setup = || BlobId::of(&next().to_le_bytes());
        bencher.iter_batched(setup, |id| assert!(!store.blob_is_there(&id).unwrap()), BatchSize::SmallInput);
    });
    group.bench_function("look for a tree that is not there", |bencher| {
        let setup = || TreeId::of(&next().to_le_bytes());
        bencher.iter_batched(setup, |id| assert!(!store.tree_is_there(&id).unwrap()), BatchSize::SmallInput);
    });
    group.finish();
}

//! A commit of 2,000 files.

use criterion::{BatchSize, Criterion, Throughput};

use crate::estate::{Estate, Primary};

pub(crate) fn commits(criterion: &mut Criterion) {
    let mut estate = Estate::new();
    let primary = Primary::new(&estate);
    primary.commit(true);
    let mut group = criterion.benchmark_group("ingest, 2000 files");
    group.throughput(Throughput::Elements(2_000));
    group.bench_function("nothing changed", |bencher| bencher.iter(|| primary.commit(false)));
    group.bench_function("one file changed", |bencher| {
        bencher.iter_batched(|| estate.edit(), |()| primary.commit(true), BatchSize::PerIteration);
    });
    group.finish();
}

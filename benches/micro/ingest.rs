//! A commit of 2,000 files.

use criterion::{BatchSize, Criterion, Throughput};

use crate::estate::{Estate, Primary};

pub(crate) fn commits(criterion: &mut Criterion) {
    let mut estate = Estate::new();
    let primary = Primary::new(&estate);
    primary.commit(true);
    let mut group = criterion.benchmark_group("ingest, 2000 files");
    group.throughput(Throughput::Elements(2_000));
    let mut stores = 0;
    group.bench_function("the first one", |bencher| {
        let setup = || {
            stores += 1;
            Primary::at(&estate, &format!("primary{stores}"))
        };
        // The store is given back, so that closing it is not measured.
        let routine = |primary: Primary| {
            primary.commit(true);
            primary
        };
        bencher.iter_batched(setup, routine, BatchSize::PerIteration);
    });
    group.bench_function("nothing changed", |bencher| bencher.iter(|| primary.commit(false)));
    group.bench_function("one file changed", |bencher| {
        bencher.iter_batched(|| estate.edit(), |()| primary.commit(true), BatchSize::PerIteration);
    });
    group.finish();
}

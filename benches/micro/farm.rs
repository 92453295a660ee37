//! What a client does with a commit that it has received: build a generation, make it current.

use std::cell::RefCell;
use std::os::unix::fs::symlink;

use criterion::{BatchSize, Criterion};
use sceneshift::pause::Paused;

use crate::client::Client;
use crate::estate::repo_name;

/// From a plan to a durable generation: two shared trees of 25 links and 20 links to modules, `syncfs`, one synced write of the index.
pub(crate) fn builds(criterion: &mut Criterion) {
    let mut client = Client::new();
    let plan = client.receive();
    client.build(&plan);
    // The client is lent to the setup and to the routine by turns.
    let client = RefCell::new(client);
    let mut group = criterion.benchmark_group("farm, 2000 files");
    group.bench_function("build after one file changed", |bencher| {
        let setup = || client.borrow_mut().receive_edit();
        bencher.iter_batched(setup, |plan| client.borrow().build(&plan), BatchSize::PerIteration);
    });
    group.finish();
}

/// The only step that requests wait for, to and fro between two generations.
pub(crate) fn swaps(criterion: &mut Criterion) {
    let mut client = Client::new();
    let mut group = criterion.benchmark_group("swap");
    let plans = [client.receive(), client.receive_edit()];
    plans.iter().for_each(|plan| client.build(plan));
    let [first, second] = plans.map(|plan| plan.commit);
    client.farm.prepare_swap(&repo_name(), &first).unwrap().make(&Paused::nothing()).unwrap();
    // What it puts in place of the other it puts back when it is made again.
    let swap = client.farm.prepare_swap(&repo_name(), &second).unwrap();
    group.bench_function("of current", |bencher| bencher.iter(|| swap.make(&Paused::nothing()).unwrap()));
    let (link, temporary) = (client.beside("link"), client.beside("temporary"));
    // ext4 keeps a target of up to 59 bytes in the link's inode, and a longer one, like that of `current`, in a block of its own.
    let targets = ["a target as long", "a target of 59 bytes"].into_iter().zip([81, 59]);
    for (what, length) in targets {
        let target = "g".repeat(length);
        group.bench_function(format!("bare symlink and rename, {what}"), |bencher| {
            bencher.iter(|| {
                symlink(&target, &temporary).unwrap();
                std::fs::rename(&temporary, &link).unwrap();
            });
        });
    }
    group.finish();
}

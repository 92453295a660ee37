//! What a client does from a commit that it has received until that is durably live, without a pause or a server to flush.

use std::cell::RefCell;

use criterion::{BatchSize, Criterion};
use sceneshift::farm::Plan;
use sceneshift::pause::Paused;

use crate::client::Client;
use crate::estate::repo_name;

fn deploy(client: &Client, plan: &Plan) {
    let (farm, name) = (&client.farm, repo_name());
    client.build(plan);
    let swap = farm.prepare_swap(&name, &plan.commit).unwrap();
    farm.scope_between(swap.before(), plan.commit).unwrap();
    swap.make(&Paused::nothing()).unwrap();
    farm.confirm(&name, plan.commit).unwrap();
}

pub(crate) fn deploys(criterion: &mut Criterion) {
    let mut client = Client::new();
    let plan = client.receive();
    deploy(&client, &plan);
    // The client is lent to the setup and to the routine by turns.
    let client = RefCell::new(client);
    let mut group = criterion.benchmark_group("deploy, 2000 files");
    group.bench_function("one file changed", |bencher| {
        let setup = || client.borrow_mut().receive_edit();
        bencher.iter_batched(setup, |plan| deploy(&client.borrow(), &plan), BatchSize::PerIteration);
    });
    group.finish();
}

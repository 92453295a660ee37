//! A primary under load, as a process of its own on loopback: `make load`.
//!
//! ```text
//! site.rs     the primary and its staging
//! fleet.rs    clients: long poll, fetch of the real stream, report
//! idle.rs     connections that only wait
//! crowd.rs    clients that are slow, silent, or wrong
//! ```
//!
//! 1. A fleet, and a commit every two seconds: how long until a client, and until the last client, has reported the commit.
//! 2. Idle long polls: what each costs the primary in memory, and whether all of them hear of the next commit.
//! 3. A smaller fleet alone, then with a crowd beside it: whether the good ones notice.
//!
//! The clients build no trees: all of them together share two cores with the primary. Exit status 1 where a client fails or does not converge. The
//! figures are printed, and nothing is asserted of them. Smaller by the environment: `SCENESHIFT_LOAD_CLIENTS` (1,000), `SCENESHIFT_LOAD_SECONDS` (60),
//! `SCENESHIFT_LOAD_IDLE` (10,000).

mod crowd;
mod fleet;
mod idle;
mod site;

use std::process::ExitCode;
use std::time::Duration;

use fleet::Fleet;
use site::Site;

/// How often a commit comes.
const EVERY: Duration = Duration::from_secs(2);

/// How many good clients stand in the crowd, how many commits they see without it and with it, and how often one comes.
const GOOD: usize = 100;
const COMMITS: usize = 15;
const GOOD_EVERY: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let number = |name: &str, usual: usize| {
        std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
    };
    let clients = number("SCENESHIFT_LOAD_CLIENTS", 1000);
    let seconds = number("SCENESHIFT_LOAD_SECONDS", 60);
    let idle = number("SCENESHIFT_LOAD_IDLE", 10_000);
    site::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(run(clients, seconds, idle)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(clients: usize, seconds: usize, idle: usize) -> Result<(), String> {
    let mut site = Site::start().await?;
    println!("{} files in staging; resident memory of the primary at first: {}", site::FILES, mib(site.memory()));

    let mut fleet = Fleet::start(&site, clients).await?;
    println!("\n{clients} clients, each with the first commit: {}", mib(site.memory()));
    let commits = (seconds / EVERY.as_secs() as usize).max(1);
    let figures = fleet.commits(&mut site, commits, EVERY).await?;
    fleet.stop().await?;
    println!("{commits} commits, one every {EVERY:?}; no client failed, all converged");
    figures.print();
    println!("memory of the primary: {} now, {} at most", mib(site.memory()), mib(site.most_memory()));

    println!();
    idle::run(&mut site, idle).await?;

    println!("\n{GOOD} clients, {COMMITS} commits, one every {GOOD_EVERY:?}, alone:");
    let mut fleet = Fleet::start(&site, GOOD).await?;
    let alone = fleet.commits(&mut site, COMMITS, GOOD_EVERY).await?;
    alone.print();
    let crowd = crowd::Crowd::start(&site).await?;
    println!("and beside {}:", crowd.describe());
    let beside = fleet.commits(&mut site, COMMITS, GOOD_EVERY).await?;
    beside.print();
    let refused = crowd.stop().await?;
    fleet.stop().await?;
    println!("{refused} bad requests were refused meanwhile; no good client failed, all converged");
    println!("with the crowd the middle is {:.1} times as long", beside.middle() / alone.middle());
    println!("memory of the primary: {} now, {} at most", mib(site.memory()), mib(site.most_memory()));
    Ok(())
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

//! sceneshift beside what users could take instead, and beside what cannot be less: `make bench-peers`.
//!
//! ```text
//! main.rs       which rounds are played, and what is said of them
//! options.rs    what the environment asks for
//! estate.rs     a staging tree of any number of environments; modules.rs what lies in each, random.rs what differs
//! place.rs      a fresh ext4 in memory, or the disk
//! process.rs    commands that are timed, daemons, an end of both
//! ours.rs       a primary and its clients
//! peers.rs      git, ostree, rsync, casync, restic, borg, as a table of commands
//! floor.rs      what cannot be less; what a tree takes up
//! stage.rs      who takes turns, and how a figure is taken
//! round.rs      what is done in a round
//! window.rs     (of `make window`) how long a swap holds requests
//! compare.rs    whether what was delivered is right
//! results.rs    what was measured, kept below the build; machine.rs on what
//! report.rs     the tables of docs/performance.md; verdicts.rs what was aimed at, show.rs figures for people
//! chart.rs      docs/performance.svg
//! ```
//!
//! Everything is a process as a user starts it, from its start to its end. A round has a new file system; in it everybody does the same thing, one after another, then
//! everybody does the next. Little things are done several times in a round. Nothing is deleted while anything is measured.
//!
//! A full run takes half an hour, memory and two cores; root, for the file systems in memory. Smaller by the environment: `SCENESHIFT_PEERS_SIZES` (numbers of environments:
//! 1,4,16,64,160), `SCENESHIFT_PEERS_ROUNDS` (3), `SCENESHIFT_PEERS_PEERS` (git,ostree,rsync,casync,restic,borg), `SCENESHIFT_PEERS_DISK=0` leaves out the round on the disk,
//! `SCENESHIFT_PEERS_SEED` (1), `SCENESHIFT_PEERS_DOCS` (a copy of `docs/` to write into). With `--report-only` the report is made again from the last figures.

mod chart;
mod compare;
mod estate;
mod floor;
mod machine;
mod modules;
mod options;
mod ours;
mod peers;
mod place;
mod process;
mod random;
mod report;
mod results;
mod round;
mod show;
mod stage;
mod verdicts;
#[path = "../window/window.rs"]
mod window;

use std::process::ExitCode;
use std::time::Instant;

use estate::Estate;
use modules::Modules;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use options::Options;
use peers::Peer;
use place::{Medium, Place};
use results::Results;
use stage::{Context, Stage};
use tokio::signal::unix::{SignalKind, signal};

/// How many times the room of staging a primary and three clients take at most.
const OUR_ROOM: f64 = 0.7;

/// With more environments than this, fewer rounds are made.
const MANY: usize = 16;

/// With how many environments the slow peers are measured.
const FOR_THE_SLOW: std::ops::RangeInclusive<usize> = 4..=16;

/// Memory that is left to the processes, in bytes.
const FOR_PROCESSES: u64 = 2 << 30;

fn main() -> ExitCode {
    match Options::read().and_then(|options| bench(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<(), String> {
    if !options.report_only {
        measure(options)?;
    }
    report::write(&Results::load()?, &options.docs)
}

fn measure(options: &Options) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    end_on_signals(&runtime)?;
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(floor::THREADS).build().map_err(|error| error.to_string())?;
    let context = Context { runtime, pool, begun: Instant::now() };
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(|error| error.to_string())?;

    let mut results = Results {
        machine: machine::Machine::here(&place::disk()),
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        version: machine::version(),
        main: options.main,
        rounds: options.rounds,
        ..Results::default()
    };
    let peers = installed(options, &mut results);
    let medium = match place::memory_works() {
        Ok(()) => Medium::Memory,
        Err(error) => {
            results.note(format!("Everything was measured on the disk, where figures swing: {error}"));
            Medium::Disk
        }
    };
    grow(options, &context, medium, &peers, &mut results)?;
    if options.disk && medium != Medium::Disk {
        on_disk(options, &context, &peers, &mut results)?;
    }
    results.save()
}

/// SIGINT and SIGTERM end what runs; the rest of the way out removes what was made.
fn end_on_signals(runtime: &tokio::runtime::Runtime) -> Result<(), String> {
    let _inside = runtime.enter();
    let listen = |kind| signal(kind).map_err(|error| error.to_string());
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    runtime.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        process::interrupt();
    });
    Ok(())
}

/// The peers that can be run here.
fn installed(options: &Options, results: &mut Results) -> Vec<&'static Peer> {
    let mut here = Vec::new();
    for peer in &options.peers {
        match peer.version() {
            Some(version) => {
                results.peers.insert(peer.name.to_owned(), version);
                here.push(*peer);
            }
            None => results.note(format!("{} is not installed", peer.name)),
        }
    }
    here
}

/// One size after another, in one estate that grows.
fn grow(
    options: &Options,
    context: &Context,
    medium: Medium,
    peers: &[&'static Peer],
    results: &mut Results,
) -> Result<(), String> {
    let (home, mut estate) = new_estate(options, medium)?;
    (results.estate, results.edited) = (estate.1, estate.0.edited());
    let estate = &mut estate.0;
    let slow: Vec<&str> = peers.iter().filter(|peer| peer.slow).map(|peer| peer.name).collect();
    let without: Vec<String> =
        options.sizes.iter().filter(|size| !for_the_slow(**size, options)).map(ToString::to_string).collect();
    if !slow.is_empty() && !without.is_empty() {
        results.note(format!(
            "{}: not measured where the number of environments is {}, to save time",
            slow.join(", "),
            without.join(", ")
        ));
    }
    for size in &options.sizes {
        let used = extend(context, &home, estate, *size)?;
        results.sizes.push(estate.size());
        let mut here: Vec<&Peer> =
            peers.iter().copied().filter(|peer| !peer.slow || for_the_slow(*size, options)).collect();
        let rounds = if *size > MANY { options.rounds.min(2) } else { options.rounds };
        for round in 0..rounds {
            if medium == Medium::Memory && !fits(used, &mut here, results, *size) {
                break;
            }
            println!("{}, round {} of {rounds}", show::environments(*size), round + 1);
            let mut stage = Stage::new(context, medium, false, estate, &here, results)?;
            stage.play(round == 0)?;
            if *size == options.main {
                stage.play_the_rest()?;
            }
            drop(stage);
            results.save()?;
        }
        if *size == options.main && (medium == Medium::Disk || fits(used, &mut here, results, *size)) {
            with_cold_caches(context, medium, estate, &here, results)?;
        }
    }
    Ok(())
}

/// Whether slow peers are measured with so many environments, too.
fn for_the_slow(environments: usize, options: &Options) -> bool {
    environments == options.main || FOR_THE_SLOW.contains(&environments)
}

/// The commits, with caches that are empty before each turn. Only who is fast.
fn with_cold_caches(
    context: &Context,
    medium: Medium,
    estate: &mut Estate,
    peers: &[&'static Peer],
    results: &mut Results,
) -> Result<(), String> {
    if let Err(error) = place::drop_caches() {
        results.note(error);
        return Ok(());
    }
    println!("{}, cold caches", show::environments(estate.size().environments));
    let fast: Vec<&Peer> = peers.iter().copied().filter(|peer| !peer.slow).collect();
    Stage::new(context, medium, true, estate, &fast, results)?.commits()
}

/// The same once, on the disk, with one size.
fn on_disk(options: &Options, context: &Context, peers: &[&'static Peer], results: &mut Results) -> Result<(), String> {
    let (home, (mut estate, _)) = new_estate(options, Medium::Disk)?;
    extend(context, &home, &mut estate, options.main)?;
    println!("{}, on the disk", show::environments(options.main));
    Stage::new(context, Medium::Disk, false, &mut estate, peers, results)?.play(true)?;
    results.save()?;
    with_cold_caches(context, Medium::Disk, &mut estate, peers, results)
}

/// An empty estate in a place of its own, and where its modules come from.
fn new_estate(options: &Options, medium: Medium) -> Result<(Place, (Estate, String)), String> {
    let home = Place::new(medium)?;
    let modules = Modules::load(options.seed)?;
    let origin = modules.origin.clone();
    let estate = Estate::new(home.path().join("staging"), modules, options.seed)?;
    Ok((home, (estate, origin)))
}

/// Lets it grow, says how large it is, and warms the caches. Gives what it takes up, in bytes.
fn extend(context: &Context, home: &Place, estate: &mut Estate, environments: usize) -> Result<u64, String> {
    estate.grow(&context.pool, environments)?;
    home.settle()?;
    floor::hash(&context.pool, estate.staging())?;
    let (size, used) = (estate.size(), floor::usage(&context.pool, estate.staging())?);
    println!(
        "[{:7.1} s] {}: {} files, {} directories, {} in {} distinct contents, {} on the disk",
        context.begun.elapsed().as_secs_f64(),
        show::environments(size.environments),
        show::number(size.files as f64),
        show::number(size.directories as f64),
        show::shown(show::Unit::Bytes, size.bytes as f64),
        show::number(size.distinct as f64),
        show::shown(show::Unit::Bytes, used.allocated as f64),
    );
    Ok(used.allocated)
}

/// Leaves out peers until the rest fits into the memory that is free; false where not even we do.
fn fits(used: u64, peers: &mut Vec<&'static Peer>, results: &mut Results, environments: usize) -> bool {
    loop {
        let room: f64 = OUR_ROOM + peers.iter().map(|peer| peer.room).sum::<f64>();
        let need = (used as f64 * room) as u64 + FOR_PROCESSES;
        let free = place::free_memory();
        if need <= free {
            return true;
        }
        let what = |who: &str| {
            let [need, free] = [need, free].map(|bytes| show::shown(show::Unit::Bytes, bytes as f64));
            let size = show::environments(environments);
            format!("{who} is left out with {size}: {need} are needed, and {free} of memory are free")
        };
        match peers.pop() {
            Some(peer) => results.note(what(peer.name)),
            None => {
                results.note(what("everything"));
                return false;
            }
        }
    }
}

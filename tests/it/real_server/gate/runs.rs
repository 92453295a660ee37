//! Whole runs: between its plugin sync and its catalog an agent has the plugins of one version, and must get manifests of the same.
//!
//! Runs here are imitated, request by request on one kept-alive connection: a real one takes ten seconds of a core. What the plugin says is
//! posted as the fact that it would make.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::runtime::Runtime;

use super::{Gated, Told};
use crate::real_server::master::Master;
use crate::support::puppet::agent::Agent;
use crate::support::puppet::catalog::notified;
use crate::support::puppet::connection::{Connection, Failure, Target};
use crate::support::puppet::figures::Figures;
use crate::support::puppet::load::{Style, Worker};
use crate::support::wait::until;

/// Deploys, for each way to drain.
const DEPLOYS: usize = 20;

/// How long an agent collects its facts.
const FACTS: Duration = Duration::from_millis(250);

const ENVIRONMENT: &str = "runs";

/// An environment with a custom fact and a manifest that goes with it.
pub fn stage(master: &Master, version: &str) {
    master.code(ENVIRONMENT, Duration::ZERO).write_fact(version);
}

/// What came of runs: how often which plugin met which manifest, and how long runs took.
#[derive(Default)]
struct Seen {
    pairs: BTreeMap<(String, String), usize>,
    times: Vec<Duration>,
    failed: Vec<String>,
}

impl Seen {
    fn runs(&self) -> usize {
        self.pairs.values().sum()
    }

    fn mixed(&self) -> usize {
        self.pairs.iter().filter(|((plugin, manifest), _)| plugin != manifest).map(|(_, count)| count).sum()
    }
}

pub fn runs_are_of_one_version_only_where_they_are_drained(gated: &mut Gated, agents: &[&str]) {
    let mut version = 1;
    let requests = while_deployed(gated, agents, &mut version);
    print("drain = \"requests\"", &requests);
    gated.start_client(&Told { repo: "drain = \"runs\"", ..Told::default() });
    let runs = while_deployed(gated, agents, &mut version);
    print("drain = \"runs\"", &runs);
    for seen in [&requests, &runs] {
        assert!(seen.failed.is_empty(), "{:?}", seen.failed);
    }
    assert!(requests.mixed() > 0, "this test does not see mixed runs, or there are none");
    assert_eq!(runs.mixed(), 0, "{:?}", runs.pairs);
}

fn print(what: &str, seen: &Seen) {
    println!(
        "{what}: {} runs under {DEPLOYS} deploys, in {} plugin and manifest are of different versions; a run takes {}",
        seen.runs(),
        seen.mixed(),
        Figures::of(seen.times.iter().copied())
    );
}

/// A real agent's run, while new versions are deployed without a break.
pub fn a_real_run_is_of_one_version(gated: &Gated, agent: &Agent) {
    let (run, deploys) = thread::scope(|scope| {
        let run = scope.spawn(|| agent.run(&["--environment", ENVIRONMENT]));
        let mut deploys = 0;
        while !run.is_finished() {
            deploys += 1;
            stage(&gated.master, &format!("during{deploys}"));
            gated.master.deploy();
        }
        (run.join().unwrap(), deploys)
    });
    println!("a real agent's run of {:.1?}, {deploys} deploys meanwhile", run.took);
    assert_eq!(run.status, 2, "{}", run.output);
    let said = run.output.split("fact ").nth(1).and_then(|rest| rest.split_once(" manifest "));
    let (fact, rest) = said.unwrap_or_else(|| panic!("{}", run.output));
    let manifest: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    assert_eq!(fact, manifest, "{}", run.output);
    assert!(deploys > 1, "nothing was deployed meanwhile: this proves nothing");
}

/// Runs without a break, while one version after the other is deployed.
fn while_deployed(gated: &Gated, agents: &[&str], version: &mut usize) -> Seen {
    let runtime = Runtime::new().unwrap();
    let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let tasks: Vec<_> = agents
        .iter()
        .map(|agent| runtime.spawn(keep_running(gated.target(agent), Arc::clone(&stop), Arc::clone(&done))))
        .collect();
    let mut paused = Vec::new();
    for _ in 0..DEPLOYS {
        *version += 1;
        stage(&gated.master, &format!("v{version}"));
        gated.master.deploy();
        paused.extend(gated.status().last_deploy.map(|deploy| Duration::from_secs_f64(deploy.paused_seconds)));
        let before = done.load(SeqCst);
        until("runs go on", Duration::from_secs(60), || (done.load(SeqCst) >= before + agents.len()).then_some(()));
    }
    println!("paused {}", Figures::of(paused));
    stop.store(true, SeqCst);
    let mut seen = Seen::default();
    for task in tasks {
        let one = runtime.block_on(task).expect("it does not panic");
        for (pair, count) in one.pairs {
            *seen.pairs.entry(pair).or_default() += count;
        }
        seen.times.extend(one.times);
        seen.failed.extend(one.failed);
    }
    seen
}

async fn keep_running(target: Target, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> Seen {
    let mut seen = Seen::default();
    let most = Instant::now() + Duration::from_secs(300);
    while !stop.load(SeqCst) && Instant::now() < most && seen.failed.len() < 10 {
        let begun = Instant::now();
        match run(&target).await {
            Ok(pair) => {
                *seen.pairs.entry(pair).or_default() += 1;
                seen.times.push(begun.elapsed());
            }
            Err(error) => seen.failed.push(error.to_string()),
        }
        done.fetch_add(1, SeqCst);
    }
    seen
}

/// One run: the version of its plugin, and of its manifest.
async fn run(target: &Target) -> Result<(String, String), Failure> {
    let mut connection = Connection::open(target).await?;
    let mut get = async |path: &str| {
        let answer = connection.get(path).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status == StatusCode::OK { Ok(text) } else { Err(Failure::from(format!("{path}: {text}"))) }
    };
    let list = "recurse=true&ignore=.svn&links=manage&checksum_type=sha256&source_permissions=ignore";
    let plugins = get(&format!("/puppet/v3/file_metadatas/plugins?environment={ENVIRONMENT}&{list}")).await?;
    if !plugins.contains("code_version.rb") {
        return Err("the plugin is not among all plugins".into());
    }
    let plugin = "/puppet/v3/file_content/plugins/facter/code_version.rb";
    let plugin = get(&format!("{plugin}?environment={ENVIRONMENT}")).await?;
    let fact = plugin.split('\'').nth(1).ok_or("a plugin without a version")?.to_owned();
    tokio::time::sleep(FACTS).await;
    let worker = Worker {
        target: target.clone(),
        environment: ENVIRONMENT.to_owned(),
        style: Style::Post { check_environment: true },
    };
    let answer = connection.ask(worker.request_with(&[("code_version", &fact)])).await?;
    let titles = notified(&answer.body).map_err(|_| format!("catalog: {}", answer.status))?;
    let title = titles.first().ok_or("an empty catalog")?;
    let manifest = title.strip_prefix(&format!("fact {fact} manifest ")).ok_or("another fact than was posted")?;
    Ok((fact, manifest.to_owned()))
}

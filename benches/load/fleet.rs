//! Good clients.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sceneshift::remote::{HeadAnswer, Remote};
use sceneshift::values::CommitId;
use sceneshift::wire::api::{ClientReport, FetchRequest, RepoStatus};
use sceneshift::wire::{Frame, StreamReader};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::site::{Committed, Site, repo};

/// How long a client waits for a head at a time.
const WAIT: Duration = Duration::from_secs(60);

/// How long the last client may take.
const CONVERGE: Duration = Duration::from_secs(120);

/// What one client has reported: sequences, and when.
type Reported = Vec<(u64, Instant)>;

pub(crate) struct Fleet {
    clients: JoinSet<Result<(), String>>,
    reported: Arc<Vec<Mutex<Reported>>>,
    stop: CancellationToken,
}

impl Fleet {
    /// Starts so many clients, and waits until each has the head.
    pub(crate) async fn start(site: &Site, count: usize) -> Result<Self, String> {
        let reported: Arc<Vec<Mutex<Reported>>> = Arc::new((0..count).map(|_| Mutex::default()).collect());
        let (mut clients, stop) = (JoinSet::new(), CancellationToken::new());
        for at in 0..count {
            let (reported, stop, address) = (Arc::clone(&reported), stop.clone(), site.address.clone());
            clients.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => Ok(()),
                    outcome = client(at, &address, &reported[at]) => outcome.map_err(|error| format!("client {at}: {error}")),
                }
            });
        }
        let mut fleet = Self { clients, reported, stop };
        fleet.converged(1).await?;
        Ok(fleet)
    }

    /// Waits until every client has reported this sequence or a later one.
    async fn converged(&mut self, sequence: u64) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            if let Some(ended) = self.clients.try_join_next() {
                return Err(ended.map_or_else(|error| error.to_string(), |outcome| format!("{outcome:?}")));
            }
            let behind =
                self.reported.iter().filter(|reported| last(reported).is_none_or(|newest| newest < sequence)).count();
            if behind == 0 {
                return Ok(());
            }
            if begun.elapsed() > CONVERGE {
                return Err(format!("{behind} clients do not come to commit {sequence}"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Makes so many commits, and answers how long each took to come to each client.
    pub(crate) async fn commits(&mut self, site: &mut Site, count: usize, every: Duration) -> Result<Figures, String> {
        self.reported.iter().for_each(|reported| reported.lock().expect("nobody panics").clear());
        let mut commits: Vec<Committed> = Vec::new();
        let mut tick = tokio::time::interval(every);
        for _ in 0..count {
            tick.tick().await;
            commits.push(site.commit().await?);
        }
        self.converged(commits.last().map_or(0, |commit| commit.sequence)).await?;
        Ok(Figures::of(&commits, &self.reported))
    }

    pub(crate) async fn stop(mut self) -> Result<(), String> {
        self.stop.cancel();
        while let Some(ended) = self.clients.join_next().await {
            ended.map_err(|error| error.to_string())??;
        }
        Ok(())
    }
}

fn last(reported: &Mutex<Reported>) -> Option<u64> {
    reported.lock().expect("nobody panics").last().map(|(sequence, _)| *sequence)
}

async fn client(
    at: usize,
    address: &str,
    reported: &Mutex<Reported>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (remote, name) = (Remote::new(address)?, format!("client{at:05}.example.com"));
    let mut known: Option<CommitId> = None;
    loop {
        let HeadAnswer::Head(head) = remote.head(&repo(), known, WAIT).await? else { continue };
        let request = FetchRequest { want: head.commit, have: known.into_iter().collect() };
        let stream = remote.fetch(&repo(), &request).await?;
        let bytes: Vec<_> = stream.pieces().try_collect().await?;
        check(&bytes.concat(), head.commit)?;
        let status = RepoStatus {
            deployed: Some(head.commit),
            sequence: Some(head.sequence),
            head: Some(head.commit),
            ..RepoStatus::default()
        };
        let report = ClientReport { version: "load".into(), repos: [(repo(), status)].into(), gate: None, scrub: None };
        remote.report(&name, &report).await?;
        reported.lock().expect("nobody panics").push((head.sequence, Instant::now()));
        known = Some(head.commit);
    }
}

/// Reads a stream to its end: it is whole, and of this commit.
fn check(bytes: &[u8], commit: CommitId) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut reader = StreamReader::new(bytes)?;
    let mut found = None;
    while let Some(frame) = reader.next_frame()? {
        if let Frame::Commit(commit) = frame {
            found = Some(CommitId::of(&sceneshift::codec::encode_commit(&commit)));
        }
    }
    if found == Some(commit) { Ok(()) } else { Err(format!("{commit} was asked for, and {found:?} came").into()) }
}

/// From the request to commit until a client's report was taken, in seconds.
pub(crate) struct Figures {
    each: Vec<f64>,
    last: Vec<f64>,
}

impl Figures {
    fn of(commits: &[Committed], reported: &[Mutex<Reported>]) -> Self {
        let (mut each, mut last) = (Vec::new(), Vec::new());
        for commit in commits {
            let times: Vec<f64> = reported
                .iter()
                .filter_map(|reported| {
                    let reported = reported.lock().expect("nobody panics");
                    let first = reported.iter().find(|(sequence, _)| *sequence >= commit.sequence)?;
                    Some(first.1.duration_since(commit.asked).as_secs_f64())
                })
                .collect();
            last.push(times.iter().copied().fold(0.0, f64::max));
            each.extend(times);
        }
        each.sort_by(f64::total_cmp);
        last.sort_by(f64::total_cmp);
        Self { each, last }
    }

    /// The middle of all clients and commits.
    pub(crate) fn middle(&self) -> f64 {
        share(&self.each, 0.5)
    }

    pub(crate) fn print(&self) {
        println!("{:<46} {:>9} {:>9} {:>9}", "from the commit's request to a report, ms", "p50", "p99", "max");
        for (name, times) in [("of any client", &self.each), ("of the last client", &self.last)] {
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| share(times, part) * 1e3);
            println!("{name:<46} {p50:>9.1} {p99:>9.1} {max:>9.1}");
        }
    }
}

fn share(sorted: &[f64], part: f64) -> f64 {
    sorted.get(((sorted.len().max(1) - 1) as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}

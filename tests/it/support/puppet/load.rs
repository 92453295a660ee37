//! Catalog requests without a break over kept-alive connections, and what came of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::catalog::{self, Verdict};
use super::connection::{Answer, Connection, Failure, Target, body};
use super::figures::Figures;

/// How long one request may take: far more than any hold allows.
const REQUEST: Duration = Duration::from_secs(300);

/// Load ends by itself after this, whatever becomes of the test.
const MOST: Duration = Duration::from_secs(1200);

/// A worker that cannot connect tries again after this.
const AGAIN: Duration = Duration::from_millis(20);

/// How a catalog is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// By `GET`, as tools do.
    Get,
    /// By `POST` with facts, as a real agent does; with or without the check that the node is still in the environment asked for, which
    /// a real agent asks for.
    Post { check_environment: bool },
}

/// One who asks, again and again, over a connection of its own.
#[derive(Clone)]
pub struct Worker {
    pub target: Target,
    pub environment: String,
    pub style: Style,
}

/// How many facts are posted: some 12 KiB, as by an ordinary agent.
const FACTS: usize = 200;

/// One answered request.
#[derive(Debug)]
pub struct Answered {
    pub worker: usize,
    /// When it was asked.
    pub begun: Instant,
    pub took: Duration,
    pub status: StatusCode,
    /// What the catalog is; `None` where the answer was none.
    pub verdict: Option<Verdict>,
    /// The version that a proxy on the way said, by its header.
    pub stamp: Option<String>,
    /// The version that the catalog says itself.
    pub code_id: Option<String>,
}

/// The header by which a gate says which version of an environment an answer was made of.
const STAMP: &str = "x-sceneshift-code-id";

/// What came of a load.
#[derive(Debug, Default)]
pub struct Report {
    pub answers: Vec<Answered>,
    /// Requests that got no answer, each with its reason.
    pub lost: Vec<String>,
    /// Connections that were opened.
    pub connections: usize,
    pub styles: Vec<Style>,
    pub took: Duration,
}

/// A load under way.
pub struct Load {
    runtime: Runtime,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    begun: Instant,
    workers: Vec<JoinHandle<Report>>,
    styles: Vec<Style>,
}

impl Load {
    pub fn start(workers: Vec<Worker>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let styles = workers.iter().map(|worker| worker.style).collect();
        let begin = |(number, worker): (usize, Worker)| {
            runtime.spawn(work(number, worker, Arc::clone(&stop), Arc::clone(&answered)))
        };
        let workers = workers.into_iter().enumerate().map(begin).collect();
        Self { runtime, stop, answered, begun: Instant::now(), workers, styles }
    }

    /// How many answers there are by now.
    pub fn answered(&self) -> usize {
        self.answered.load(SeqCst)
    }

    /// Lets every worker end its request, and counts.
    pub fn stop(self) -> Report {
        self.stop.store(true, SeqCst);
        let mut report = Report { styles: self.styles, ..Report::default() };
        for worker in self.workers {
            let part = self.runtime.block_on(worker).expect("a worker does not panic");
            report.answers.extend(part.answers);
            report.lost.extend(part.lost);
            report.connections += part.connections;
        }
        report.took = self.begun.elapsed();
        report
    }
}

impl Report {
    /// Catalogs that are not of one version.
    pub fn torn(&self) -> impl Iterator<Item = &Answered> {
        self.answers.iter().filter(|answer| answer.verdict.as_ref().is_some_and(Verdict::is_torn))
    }

    /// Answers that are no catalog.
    pub fn failed(&self) -> impl Iterator<Item = &Answered> {
        self.answers.iter().filter(|answer| answer.verdict.is_none())
    }

    pub fn latencies(&self) -> Figures {
        Figures::of(self.answers.iter().map(|answer| answer.took))
    }

    /// How often each kind of catalog came, torn ones only.
    pub fn kinds(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for answer in self.torn() {
            *kinds.entry(answer.verdict.as_ref().unwrap().kind()).or_default() += 1;
        }
        kinds
    }

    pub fn empty(&self) -> usize {
        self.torn().filter(|answer| answer.verdict == Some(Verdict::Empty)).count()
    }

    /// Prints the figures, to be cited.
    pub fn print(&self, what: &str) {
        let (all, torn) = (self.answers.len(), self.torn().count());
        println!(
            "{what}: {all} catalogs in {:.0} s ({:.0}/s) over {} connections; torn {torn} ({:.1} %), of them empty {}; failed {}; lost {}; {}",
            self.took.as_secs_f64(),
            all as f64 / self.took.as_secs_f64(),
            self.connections,
            100.0 * torn as f64 / all.max(1) as f64,
            self.empty(),
            self.failed().count(),
            self.lost.len(),
            self.latencies(),
        );
        for style in [Style::Get, Style::Post { check_environment: false }, Style::Post { check_environment: true }] {
            let of_style = |answer: &&Answered| self.styles[answer.worker] == style;
            let all = self.answers.iter().filter(of_style).count();
            let torn = self.torn().filter(of_style).count();
            let empty = self.torn().filter(of_style).filter(|answer| answer.verdict == Some(Verdict::Empty)).count();
            if all > 0 {
                println!("  {style:?}: {all} catalogs, torn {torn}, of them empty {empty}");
            }
        }
        for (kind, count) in self.kinds() {
            println!("  {count:5}  {kind}");
        }
        let failed = self.failed().map(|answer| format!("failed: {}", answer.status));
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for reason in failed.chain(self.lost.iter().map(|reason| format!("lost: {reason}"))) {
            *reasons.entry(reason).or_default() += 1;
        }
        for (reason, count) in reasons {
            println!("  {count:5}  {reason}");
        }
    }
}

async fn work(number: usize, worker: Worker, stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>) -> Report {
    let (mut report, mut connection, begun) = (Report::default(), None, Instant::now());
    while !stop.load(SeqCst) && begun.elapsed() < MOST {
        let asked = Instant::now();
        let answer = tokio::time::timeout(REQUEST, ask(&worker, &mut connection, &mut report.connections)).await;
        match answer.unwrap_or_else(|_| Err("no answer in time".into())) {
            Ok(answer) => {
                report.answers.push(judge(number, asked, &answer));
                answered.fetch_add(1, SeqCst);
            }
            Err(error) => {
                connection = None;
                report.lost.push(told(&*error));
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
    report
}

async fn ask(worker: &Worker, open: &mut Option<Connection>, opened: &mut usize) -> Result<Answer, Failure> {
    let connection = match open {
        Some(connection) => connection,
        None => {
            *opened += 1;
            open.insert(Connection::open(&worker.target).await?)
        }
    };
    let answer = connection.ask(worker.request()).await?;
    // A server may end a connection after an answer, and says so.
    if answer.headers.get("connection").is_some_and(|value| value == "close") {
        *open = None;
    }
    Ok(answer)
}

fn judge(worker: usize, begun: Instant, answer: &Answer) -> Answered {
    let verdict = (answer.status == StatusCode::OK).then(|| Verdict::of(&answer.body).ok()).flatten();
    let stamp = answer.headers.get(STAMP).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let code_id = catalog::code_id(&answer.body);
    Answered { worker, begun, took: begun.elapsed(), status: answer.status, verdict, stamp, code_id }
}

/// An error with its causes.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Worker {
    /// One request for the catalog of the caller itself.
    pub fn request(&self) -> Request<Full<Bytes>> {
        self.request_with(&[])
    }

    /// The same, with more facts where facts are posted.
    pub fn request_with(&self, facts: &[(&str, &str)]) -> Request<Full<Bytes>> {
        let (name, environment) = (&self.target.certname, &self.environment);
        let path = format!("/puppet/v3/catalog/{name}?environment={environment}");
        let builder =
            Request::builder().uri(path).header("accept", "application/json").header("x-puppet-version", "7.23.0");
        let Style::Post { check_environment } = self.style else {
            return builder.body(body("")).unwrap();
        };
        let builder = builder.method("POST").header("content-type", "application/x-www-form-urlencoded");
        builder.body(body(self.form(check_environment, facts))).unwrap()
    }

    /// What an agent posts: facts as JSON, encoded once for themselves and once more as a field of the form.
    fn form(&self, check_environment: bool, more: &[(&str, &str)]) -> String {
        let name = &self.target.certname;
        let others = (0..FACTS).map(|number| (format!("mountpoint_{number:08}"), json!("ext4 /dev/sda rw,relatime")));
        let others: Map<String, Value> = others.collect();
        let mut facts = json!({
            "name": name,
            "values": { "clientcert": name, "clientversion": "7.23.0", "os": { "family": "Debian" }, "others": others },
        });
        for (fact, value) in more {
            facts["values"][fact] = json!(value);
        }
        let facts = encode(&facts.to_string());
        let fields = [
            ("facts_format", "application/json".to_owned()),
            ("facts", facts),
            ("environment", self.environment.clone()),
            ("configured_environment", self.environment.clone()),
            ("check_environment", check_environment.to_string()),
            ("transaction_uuid", "2b1f0c9e-7a53-4a0e-9f53-0d6c2a5f7e11".to_owned()),
            ("job_uuid", String::new()),
            ("static_catalog", "true".to_owned()),
            ("checksum_type", "sha256.sha384.sha512.sha224.md5".to_owned()),
        ];
        fields.map(|(name, value)| format!("{name}={}", encode(&value))).join("&")
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

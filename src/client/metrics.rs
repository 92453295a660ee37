//! What Prometheus reads from a client.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::progress::{Phase, Snapshot};
use crate::scrub;
use crate::values::RepoName;
use crate::wire::api::{ClientReport, DeployFigures};

/// Upper borders for whole deploys, in seconds.
const DEPLOY_SECONDS: [f64; 9] = [0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

/// Upper borders for the paused window, in seconds: a rename takes microseconds, a flush milliseconds, a drain up to minutes.
const PAUSED_SECONDS: [f64; 9] = [0.0001, 0.001, 0.01, 0.05, 0.1, 0.5, 2.0, 10.0, 60.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRepo {
    repo: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeployLabels {
    repo: String,
    result: &'static str,
}

type Seconds = Family<OfRepo, Histogram, fn() -> Histogram>;
type PerRepo = Family<OfRepo, Gauge<u64, AtomicU64>>;

/// The counters of one client.
pub(super) struct Metrics {
    registry: Registry,
    deploys: Family<DeployLabels, Counter>,
    failures: Family<OfRepo, Counter>,
    received: Family<OfRepo, Counter>,
    seconds: Seconds,
    paused: Seconds,
    window: Seconds,
    flush: Seconds,
    sequence: PerRepo,
    pinned: PerRepo,
    unflushed: PerRepo,
    failing: PerRepo,
    working: PerRepo,
    work_done: PerRepo,
    work_total: PerRepo,
    refused: Family<OfRepo, Counter>,
    scrub: scrub::Metrics,
}

impl Metrics {
    /// All counters at zero.
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("sceneshift_client");
        let mut metrics = Self {
            scrub: scrub::Metrics::register(&mut registry),
            registry,
            deploys: Family::default(),
            failures: Family::default(),
            received: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(DEPLOY_SECONDS)),
            paused: Family::new_with_constructor(|| Histogram::new(PAUSED_SECONDS)),
            window: Family::new_with_constructor(|| Histogram::new(PAUSED_SECONDS)),
            flush: Family::new_with_constructor(|| Histogram::new(PAUSED_SECONDS)),
            sequence: Family::default(),
            pinned: Family::default(),
            unflushed: Family::default(),
            failing: Family::default(),
            working: Family::default(),
            work_done: Family::default(),
            work_total: Family::default(),
            refused: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("deploys", "Deploys by result", metrics.deploys.clone());
        registry.register("sync_failures", "Syncs and deploys that failed", metrics.failures.clone());
        registry.register("received_bytes", "Bytes received from the primary", metrics.received.clone());
        registry.register("deploy_seconds", "From a new head to its code live", metrics.seconds.clone());
        registry.register("paused_seconds", "From the beginning of a pause to its end", metrics.paused.clone());
        registry.register(
            "window_seconds",
            "The part of a pause after the drain: swap and flush",
            metrics.window.clone(),
        );
        registry.register("flush_seconds", "The part of a pause that was the flush", metrics.flush.clone());
        registry.register("deployed_sequence", "Sequence number of what is live", metrics.sequence.clone());
        registry.register("pinned", "1 while the repo is pinned", metrics.pinned.clone());
        registry.register("unflushed", "1 while a flush is owed", metrics.unflushed.clone());
        registry.register("refused_heads", "Heads refused for their signature or age", metrics.refused.clone());
        registry.register("failing", "1 while the last sync or deploy failed", metrics.failing.clone());
        registry.register("working", "1 while the repo is synced, deployed or pruned", metrics.working.clone());
        registry.register("work_done", "Objects or links done in the phase under way", metrics.work_done.clone());
        registry.register("work_total", "How many there are in it, 0 where unknown", metrics.work_total.clone());
        metrics
    }

    /// Where parts of the daemon register counters of their own.
    pub(super) fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Counts how a head was dealt with: deployed, failed, or live already (not counted).
    pub(super) fn count_deploy(&self, name: &RepoName, deployed: bool, failed: bool) {
        let result = match (deployed, failed) {
            (true, _) => "deployed",
            (false, true) => "failed",
            (false, false) => return,
        };
        self.deploys.get_or_create(&DeployLabels { repo: name.to_string(), result }).inc();
    }

    /// Counts a sync or deploy that failed.
    pub(super) fn count_failure(&self, name: &RepoName) {
        self.failures.get_or_create(&of(name)).inc();
    }

    /// Counts a head that was not believed.
    pub(super) fn count_refused(&self, name: &RepoName) {
        self.refused.get_or_create(&of(name)).inc();
    }

    /// Takes the figures of a deploy.
    pub(super) fn observe_deploy(&self, name: &RepoName, figures: &DeployFigures) {
        self.received.get_or_create(&of(name)).inc_by(figures.received_bytes);
        self.seconds.get_or_create(&of(name)).observe(figures.seconds);
        self.paused.get_or_create(&of(name)).observe(figures.paused_seconds);
        self.window.get_or_create(&of(name)).observe(figures.paused_seconds - figures.drain_seconds);
        self.flush.get_or_create(&of(name)).observe(figures.flush_seconds);
    }

    /// The text that Prometheus reads; `report` says how the repos do now.
    pub(super) fn text(&self, report: &ClientReport) -> Result<String, std::fmt::Error> {
        for (name, status) in &report.repos {
            self.sequence.get_or_create(&of(name)).set(status.sequence.unwrap_or(0));
            self.pinned.get_or_create(&of(name)).set(status.pinned.is_some().into());
            self.unflushed.get_or_create(&of(name)).set(status.unflushed.into());
            self.failing.get_or_create(&of(name)).set(status.error.is_some().into());
            let Snapshot { phase, files, total_files, .. } = status.progress;
            self.working.get_or_create(&of(name)).set((phase != Phase::Idle).into());
            self.work_done.get_or_create(&of(name)).set(files);
            self.work_total.get_or_create(&of(name)).set(total_files);
        }
        self.scrub.set(report.scrub.as_ref());
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn of(name: &RepoName) -> OfRepo {
    OfRepo { repo: name.to_string() }
}

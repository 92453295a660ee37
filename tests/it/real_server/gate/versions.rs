//! Versions of an environment, in the order of their deploys, and what a load saw of them.

use std::time::{Duration, Instant};

use sceneshift::values::CommitId;
use sceneshift::wire::api::DeployFigures;

use super::{Gated, SLOW};
use crate::real_server::master::Master;
use crate::support::puppet::catalog::Verdict;
use crate::support::puppet::figures::Figures;
use crate::support::puppet::load::{Answered, Report};
use crate::support::wait::until;

/// The versions of one environment.
pub struct Versions {
    environment: &'static str,
    all: Vec<Version>,
}

struct Version {
    name: String,
    /// When it was written; no catalog of before can be of it.
    staged: Instant,
    commit: Option<CommitId>,
    live: Option<Live>,
}

/// What is known of a version once it is live.
struct Live {
    since: Instant,
    code_id: String,
}

impl Versions {
    /// An environment that has its first version in staging.
    pub fn new(master: &Master, environment: &'static str) -> Self {
        let mut versions = Self { environment, all: Vec::new() };
        versions.write_next(master);
        versions
    }

    /// Writes the next version into staging.
    pub fn write_next(&mut self, master: &Master) {
        let (name, staged) = (format!("v{}", self.all.len() + 1), Instant::now());
        master.code(self.environment, SLOW).write(&name);
        self.all.push(Version { name, staged, commit: None, live: None });
    }

    /// Commits what stands in staging.
    pub fn commit(&mut self, gated: &Gated) {
        self.last().commit = Some(gated.master.site.commit().commit);
    }

    /// Waits until the last version is live, as an operator may know it.
    pub fn wait(&mut self, gated: &Gated) {
        gated.master.wait_for(self.last().commit.expect("it is committed"));
        self.is_live(gated);
    }

    /// Notes that the last version is live from now on.
    pub fn is_live(&mut self, gated: &Gated) {
        let live = Live { since: Instant::now(), code_id: gated.code_id(self.environment) };
        self.last().live = Some(live);
    }

    /// Brings the next version live, and says what that took.
    pub fn deploy_next(&mut self, gated: &Gated) -> DeployFigures {
        let before = gated.status().last_deploy;
        self.write_next(&gated.master);
        self.commit(gated);
        self.wait(gated);
        until("the client knows its figures", Duration::from_secs(10), || {
            gated.status().last_deploy.filter(|now| Some(now.seconds) != before.map(|before| before.seconds))
        })
    }

    /// Fails unless each catalog for this environment is whole, of a version that was to be had when it was asked for, and says of which.
    pub fn assert_seen_by<'a>(&self, answers: impl IntoIterator<Item = &'a Answered>) {
        for answer in answers {
            let Some(Verdict::Whole(name)) = &answer.verdict else { panic!("{answer:?}") };
            let at = self.all.iter().position(|version| version.name == *name).expect("a version that was written");
            let next = self.all.get(at + 1).and_then(|next| next.live.as_ref());
            let late = next.and_then(|next| answer.begun.checked_duration_since(next.since));
            assert!(late.is_none(), "stale: the next version had been live for {late:?}: {answer:?}");
            assert!(answer.begun + answer.took >= self.all[at].staged, "before its time: {answer:?}");
            assert_eq!(answer.stamp, answer.code_id, "what the gate says, and what Puppet Server says: {answer:?}");
            let id = self.all[at].live.as_ref().map(|live| &live.code_id);
            assert!(id.is_none() || id == answer.stamp.as_ref(), "not the id of what is in it, {id:?}: {answer:?}");
        }
    }

    /// Of how many versions that were deployed under this load the first catalog was theirs: one that was asked for once the version was
    /// live, and before the next was written.
    pub fn with_a_first_catalog(&self, report: &Report) -> usize {
        let Some(begun) = report.answers.iter().map(|answer| answer.begun).min() else { return 0 };
        let ends = self.all.iter().skip(1).map(|next| Some(next.staged)).chain([None]);
        let first = |(version, end): (&Version, Option<Instant>)| {
            let since = version.live.as_ref()?.since;
            let since = (since >= begun).then_some(since)?;
            let within = |answer: &&Answered| answer.begun >= since && end.is_none_or(|end| answer.begun < end);
            let first = report.answers.iter().filter(within).min_by_key(|answer| answer.begun)?;
            (first.verdict.as_ref()? == &Verdict::Whole(version.name.clone())).then_some(())
        };
        self.all.iter().zip(ends).filter_map(first).count()
    }

    fn last(&mut self) -> &mut Version {
        self.all.last_mut().expect("there is one")
    }
}

/// Prints of what deploys were made.
pub fn print_deploys(deploys: &[DeployFigures]) {
    let part =
        |of: fn(&DeployFigures) -> f64| Figures::of(deploys.iter().map(|deploy| Duration::from_secs_f64(of(deploy))));
    println!("  {} deploys: paused {}", deploys.len(), part(|deploy| deploy.paused_seconds));
    println!("    of that the drain {}", part(|deploy| deploy.drain_seconds));
    println!("    of that the flush {}", part(|deploy| deploy.flush_seconds));
    println!(
        "    and the swap {}",
        part(|deploy| (deploy.paused_seconds - deploy.drain_seconds - deploy.flush_seconds).max(0.0))
    );
}

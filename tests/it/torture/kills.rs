//! kill -9 of the primary, of clients, and of all at once, at random moments and above all between rename and flush.
//!
//! A primary, a client with a gate before a scripted Puppet Server, and a client without: real processes, under a stream of commits and an
//! agent that asks for catalogs. After each kill what is live is whole, and everything is started again at once, at the same ports; then
//! the head is what was acknowledged last or later, and, with nobody's help, all clients come to show it, with no old cache before it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use sceneshift::remote::Remote;
use sceneshift::wire::api::RepoStatus;

use super::agents::{self, Seen};
use super::load::{Asking, Load};
use super::model::{self, ENVIRONMENTS};
use super::{SOON, TIMES};
use crate::support::gated_site::{GatedSite, NAME};
use crate::support::process::{Process, assert_clean};
use crate::support::random::Random;
use crate::support::wait::until;

const PLAIN: &str = "plain";

/// After how many kills fsck looks at everything.
const CHECKED: u64 = 10;

/// Who is killed, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Primary,
    Gated,
    Plain,
    All,
    /// The client with the gate, as soon as it has noted that it will owe a flush.
    Noted,
    /// The same, once the flush is on its way: the link is renamed, and Puppet Server has not answered.
    Flushing,
    /// All of them, at that moment.
    AllFlushing,
}

/// One in two kills aims at what lies between rename and flush.
const PLANS: [Plan; 12] = [
    Plan::Primary,
    Plan::Primary,
    Plan::Gated,
    Plan::Gated,
    Plan::Plain,
    Plan::All,
    Plan::Noted,
    Plan::Noted,
    Plan::Noted,
    Plan::Flushing,
    Plan::Flushing,
    Plan::AllFlushing,
];

impl Plan {
    fn kills_primary(self) -> bool {
        matches!(self, Plan::Primary | Plan::All | Plan::AllFlushing)
    }

    fn kills_gated(self) -> bool {
        !matches!(self, Plan::Primary | Plan::Plain)
    }

    fn kills_plain(self) -> bool {
        matches!(self, Plan::Plain | Plan::All | Plan::AllFlushing)
    }
}

/// What happened, for whoever reads the output.
#[derive(Debug, Default)]
struct Figures {
    kills: u64,
    /// The client with the gate was killed while it owed a flush.
    flush_owed: u64,
    converged: u64,
    fscks: u64,
}

struct Lab<'a> {
    site: &'a GatedSite,
    load: &'a Load,
    asking: Asking,
    random: Random,
    scratch: PathBuf,
    primary: Option<Process>,
    gated: Option<Process>,
    plain: Option<Process>,
    figures: Figures,
}

impl Lab<'_> {
    fn client_data(&self, name: &str) -> PathBuf {
        self.site.site.client_data(name)
    }

    fn flush_pending(&self) -> PathBuf {
        self.client_data(NAME).join("repos/puppet-code/flush-pending")
    }

    /// One kill, and all that must hold after it.
    fn round(&mut self, plan: Plan) {
        let before = self.load.count();
        until("commits are made", SOON, || (self.load.count() > before).then_some(()));
        let flushes = self.wait_for(plan);
        if plan.kills_primary() {
            self.primary.take().into_iter().for_each(Process::kill);
        }
        if plan.kills_gated() {
            self.gated.take().into_iter().for_each(Process::kill);
        }
        if plan.kills_plain() {
            self.plain.take().into_iter().for_each(Process::kill);
        }
        let is_owed = plan.kills_gated() && self.flush_pending().exists();
        self.figures.kills += 1;
        self.figures.flush_owed += u64::from(is_owed);
        assert!(is_owed || flushes.is_none(), "a flush that was on its way is owed");
        // What the dead one asked for last is not to be done for the next one.
        self.site.upstream.forget_flushes();
        self.site.upstream.flushes_with(Some(204));
        let asked = self.site.upstream.flushes().len();

        self.assert_whole(NAME, plan.kills_gated());
        self.assert_whole(PLAIN, plan.kills_plain());
        self.start();
        let (last, head) = (self.load.last(), self.asking.head());
        let number = self.asking.number(head.commit);
        assert!(number >= last && number <= self.load.sent(), "the head is {number}, acknowledged was {last}");
        if is_owed {
            until("the flush that was owed is made", SOON, || {
                (self.site.upstream.flushes().len() > asked).then_some(())
            });
        }
        if is_owed || self.random.once_in(3) {
            self.converge();
        }
        if self.figures.kills.is_multiple_of(CHECKED) {
            self.fsck();
        }
    }

    /// Waits for the moment of the kill. Answers with the flush that is then under way, where there must be one.
    fn wait_for(&mut self, plan: Plan) -> Option<usize> {
        match plan {
            Plan::Primary | Plan::Gated | Plan::Plain | Plan::All => {
                std::thread::sleep(Duration::from_micros(self.random.next() % 150_000));
                None
            }
            Plan::Noted => {
                let (path, begun) = (self.flush_pending(), std::time::Instant::now());
                // Without a pause: it is there for a millisecond.
                while !path.exists() {
                    assert!(begun.elapsed() < SOON, "nothing was deployed");
                    std::hint::spin_loop();
                }
                let moment = Duration::from_micros(self.random.next() % 800);
                let begun = std::time::Instant::now();
                while begun.elapsed() < moment {
                    std::hint::spin_loop();
                }
                None
            }
            Plan::Flushing | Plan::AllFlushing => {
                let before = self.site.upstream.flushes().len();
                self.site.upstream.flushes_with(None);
                let flushes = || Some(self.site.upstream.flushes().len()).filter(|flushes| *flushes > before);
                Some(until("the flush is on its way", SOON, flushes))
            }
        }
    }

    /// What a killed client left live is whole.
    fn assert_whole(&self, name: &str, is_killed: bool) {
        if is_killed && let Some(number) = model::shown_whole(&self.site.site.current(name), &self.scratch) {
            assert!(number <= self.load.sent(), "{name} shows {number}, which nobody committed");
        }
    }

    /// Starts again what was killed: nothing may be in its way.
    fn start(&mut self) {
        let site = self.site;
        self.primary.get_or_insert_with(|| site.site.start_primary());
        self.gated.get_or_insert_with(|| site.start());
        self.plain.get_or_insert_with(|| site.site.start_client(PLAIN));
    }

    fn status(&self, name: &str) -> Option<RepoStatus> {
        let socket = Remote::unix(&self.client_data(name).join("control.sock")).ok()?;
        let report = self.asking.runtime.block_on(socket.status()).ok()?;
        report.repos.into_values().next()
    }

    /// Nobody commits for a moment: all clients come to show the head, and catalogs are of it, cache and all.
    fn converge(&mut self) {
        let _pause = self.load.pause();
        // Where the primary was killed in a commit, or whoever asked for it, it may be under way still: the head is what it ends with.
        let head = self.asking.head().commit;
        for name in [NAME, PLAIN] {
            let mut last = None;
            until(&format!("{name} shows the head, {head}"), SOON, || {
                last = self.status(name);
                let status = last.as_ref()?;
                let is_there = status.deployed == Some(head) && status.error.is_none() && !status.unflushed;
                is_there.then_some(())
            });
        }
        let number = self.asking.number(head);
        for name in [NAME, PLAIN] {
            let shown = model::shown_whole(&self.site.site.current(name), &self.scratch);
            assert_eq!(shown, Some(number), "{name} shows the head");
        }
        for environment in ENVIRONMENTS {
            assert_eq!(self.site.catalog(environment), format!("{number} {number} {number}"), "no cache is older");
        }
        until("no flush is owed", SOON, || (!self.flush_pending().exists()).then_some(()));
        self.figures.converged += 1;
    }

    /// Whether the daemons run or not.
    fn fsck(&mut self) {
        for data in [self.site.site.primary_data(), self.client_data(NAME), self.client_data(PLAIN)] {
            assert_clean(&data);
            self.figures.fscks += 1;
        }
    }
}

#[test]
fn after_any_kill_all_goes_on_with_what_was_acknowledged_and_nobody_has_to_do_anything() {
    let (kills, seed) = (super::number("SCENESHIFT_KILLS", TIMES), super::number("SCENESHIFT_SEED", 1));
    // Longer than anything takes: a flush that hangs is not given up before the kill.
    let site = GatedSite::new("flush-timeout = \"60s\"", "drain-timeout = \"60s\"");
    let scratch = site.site.folder().join("scratch");
    let primary = site.site.start_primary();
    let load = Load::new(site.site.address(), site.site.staging());
    let asking = Asking::new(&site.site.address());
    let (figures, random, primary) = (Figures::default(), Random::new(seed), Some(primary));
    let mut lab = Lab { site: &site, load: &load, asking, random, scratch, primary, gated: None, plain: None, figures };
    lab.start();
    let (seen, done) = (Seen::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| load.run());
        scope.spawn(|| agents::run(&site, &seen, &done));
        // Also when this fails, the others must end.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for round in 0..kills {
                // The first ones are of all kinds, so that a short run has them all.
                let plan = match PLANS.get((round * 5 % 12) as usize) {
                    Some(plan) if round < 12 => *plan,
                    _ => *lab.random.one_of(&PLANS),
                };
                catch_unwind(AssertUnwindSafe(|| lab.round(plan))).unwrap_or_else(|panic| {
                    eprintln!("kill {} of {kills} (seed {seed}) was {plan:?}", round + 1);
                    resume_unwind(panic)
                });
            }
            lab.converge();
        }));
        load.end();
        done.store(true, SeqCst);
        site.upstream.forget_flushes();
        site.upstream.flushes_with(Some(204));
        if outcome.is_err() {
            // Whoever waits for an answer gets none.
            [&mut lab.primary, &mut lab.gated].into_iter().filter_map(Option::take).for_each(Process::kill);
        }
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
    });
    lab.asking.assert_history(&load.acknowledged());
    lab.fsck();
    for process in [lab.plain.take(), lab.gated.take(), lab.primary.take()].into_iter().flatten() {
        assert!(process.stop().success());
    }
    lab.fsck();
    let Figures { kills, flush_owed, converged, fscks } = lab.figures;
    assert!(kills < 12 || flush_owed > 0, "no kill came between rename and flush");
    println!(
        "torture: kills {kills}: {flush_owed} with a flush owed, {} commits acknowledged, {converged} times all showed the head, \
         {fscks} times fsck, {} catalogs whole, {} asked in vain",
        load.count(),
        seen.whole.load(SeqCst),
        seen.broken.load(SeqCst)
    );
}

//! Who passes, who is held, and when nothing runs any more.
//!
//! One lock, held for a few map operations; waiting is done outside it. A request is in exactly one of three states: held (a [`Held`] counts it),
//! running (a [`Ticket`] does), or unknown here. Both are values: whatever ends a request, a hang-up or a panic, ends the state too.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::live::{Live, LiveRepo, Stamp};
use super::runs::Runs;
use crate::pause::Scope;
use crate::puppet::Route;
use crate::values::RepoName;

/// How many requests without a certificate are held at most: strangers must not take the room of agents.
const MAX_STRANGERS: usize = 256;

/// After a pause that was given up, requests flow for at least this many times as long as they were held.
const FLOW: u32 = 5;

/// The bounds of a drain.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// How long to wait in all.
    pub limit: Duration,
    /// How long of that to wait for runs; `None` does not wait for them.
    pub runs: Option<Duration>,
}

/// Why requests are not held.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PauseError {
    /// Something would not end.
    #[error(
        "requests that read code still ran after {waited:?} (drain-timeout), {running} of them, the oldest for {oldest:?}: {what}; they flow again, and the deploy is tried again in {}", seconds(.retry)
    )]
    Drain {
        /// How long requests were held.
        waited: Duration,
        /// How many ran still.
        running: usize,
        /// How long the oldest has been running.
        oldest: Duration,
        /// What it asks for.
        what: String,
        /// When to try again.
        retry: Duration,
    },
    /// After a pause that was given up, traffic flows for a while.
    #[error("a pause was given up a short while ago; requests flow for another {} before the next is tried", seconds(.retry))]
    TooSoon {
        /// When to try again.
        retry: Duration,
    },
    /// The daemon is stopping.
    #[error("the gate is stopping")]
    Stopping,
}

impl PauseError {
    /// How long requests must flow before the next try.
    pub fn retry(&self) -> Duration {
        match self {
            PauseError::Drain { retry, .. } | PauseError::TooSoon { retry } => *retry,
            PauseError::Stopping => Duration::ZERO,
        }
    }
}

fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs_f64().ceil())
}

/// Why a request does not pass at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// Too many are held.
    TooMany,
    /// It was held as long as anybody is.
    TooLong,
    /// Nothing can be served yet, and the gate is stopping.
    Stopping,
}

/// A request that wants to pass.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) scope: Scope,
    pub(super) route: Route,
    /// Of a certificate that was verified.
    pub(super) certname: Option<String>,
    pub(super) connection: u64,
    /// For messages: method and path.
    pub(super) what: String,
}

/// What goes on now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Requests that are held.
    pub held: usize,
    /// Requests that read code, and run.
    pub running: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Admission {
    state: Mutex<State>,
    /// Requests may flow: a pause ended, or the gate stops.
    flows: Notify,
    /// A request or a run ended, or the gate stops.
    ended: Notify,
    longest_hold: Duration,
    max_held: usize,
    tracks_runs: bool,
}

#[derive(Debug)]
struct State {
    /// What cannot be served yet.
    closed: Option<Scope>,
    pause: Option<Pause>,
    not_before: Option<Instant>,
    stopping: bool,
    running: HashMap<u64, Running>,
    next: u64,
    runs: Runs,
    held: usize,
    strangers: usize,
    live: Arc<Live>,
}

#[derive(Debug)]
struct Pause {
    scope: Scope,
    /// The pause waits for runs: what belongs to them passes.
    runs_pass: bool,
}

#[derive(Debug)]
struct Running {
    scope: Scope,
    since: Instant,
    what: String,
}

enum Decision {
    Pass,
    Wait,
    Turn(Turned),
}

impl State {
    fn decide(&self, asked: &Asked) -> Decision {
        if self.closed.as_ref().is_some_and(|closed| closed.overlaps(&asked.scope)) {
            return if self.stopping { Decision::Turn(Turned::Stopping) } else { Decision::Wait };
        }
        match &self.pause {
            Some(pause) if pause.scope.overlaps(&asked.scope) => {
                let of_run = || asked.certname.as_ref().is_some_and(|certname| self.runs.has(certname));
                if pause.runs_pass && of_run() { Decision::Pass } else { Decision::Wait }
            }
            _ => Decision::Pass,
        }
    }

    /// Those that run and read `scope`: how many, and the oldest.
    fn concerned(&self, scope: &Scope) -> (usize, Option<&Running>) {
        let concerned = self.running.values().filter(|running| running.scope.overlaps(scope));
        concerned.fold((0, None), |(count, oldest), running| {
            let older = oldest.filter(|oldest: &&Running| oldest.since <= running.since).unwrap_or(running);
            (count + 1, Some(older))
        })
    }
}

impl Admission {
    /// One that holds everything until it is opened.
    pub(super) fn new(longest_hold: Duration, max_held: usize, tracks_runs: bool) -> Self {
        let state = State {
            closed: Some(Scope::Everything),
            pause: None,
            not_before: None,
            stopping: false,
            running: HashMap::new(),
            next: 0,
            runs: Runs::default(),
            held: 0,
            strangers: 0,
            live: Arc::default(),
        };
        Self {
            state: Mutex::new(state),
            flows: Notify::new(),
            ended: Notify::new(),
            longest_hold,
            max_held,
            tracks_runs,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Waits until the request may pass. Dropping the future, because the agent hung up, ends the wait.
    pub(super) async fn enter(self: &Arc<Self>, asked: Asked) -> Result<Ticket, Turned> {
        let since = Instant::now();
        let mut held = None;
        loop {
            let mut flows = pin!(self.flows.notified());
            // Before looking: what happens between the look and the wait is not missed.
            flows.as_mut().enable();
            {
                let mut state = self.lock();
                match state.decide(&asked) {
                    Decision::Pass => {
                        let wait = if held.is_some() { since.elapsed() } else { Duration::ZERO };
                        return Ok(self.admit(&mut state, asked, wait));
                    }
                    Decision::Turn(turned) => return Err(turned),
                    Decision::Wait if held.is_some() => {}
                    Decision::Wait => held = Some(self.hold(&mut state, asked.certname.is_none())?),
                }
            }
            tokio::select! {
                () = flows => {}
                () = sleep_until(since + self.longest_hold) => return Err(Turned::TooLong),
            }
        }
    }

    fn hold(self: &Arc<Self>, state: &mut State, is_stranger: bool) -> Result<Held, Turned> {
        if state.held >= self.max_held || (is_stranger && state.strangers >= MAX_STRANGERS) {
            return Err(Turned::TooMany);
        }
        state.held += 1;
        state.strangers += usize::from(is_stranger);
        Ok(Held { admission: Arc::clone(self), is_stranger })
    }

    fn admit(self: &Arc<Self>, state: &mut State, asked: Asked, held: Duration) -> Ticket {
        let id = state.next;
        state.next += 1;
        let stamp = state.live.stamp(&asked.scope);
        let mut ends_run = None;
        if let (true, Some(certname)) = (self.tracks_runs, asked.certname) {
            match asked.route {
                Route::Plugins => state.runs.begin(&certname, asked.scope.clone(), asked.connection),
                _ => state.runs.seen(&certname, asked.connection),
            }
            ends_run = (asked.route == Route::Catalog).then_some(certname);
        }
        state.running.insert(id, Running { scope: asked.scope, since: Instant::now(), what: asked.what });
        Ticket { admission: Arc::clone(self), id, ends_run, held, stamp }
    }

    /// Holds what `scope` concerns and waits until none of it runs; also says how long that took. Requests flow again when the [`Hold`] goes.
    pub(super) async fn pause(self: &Arc<Self>, scope: Scope, drain: Drain) -> (Result<Hold, PauseError>, Duration) {
        let began = Instant::now();
        let outcome = self.try_pause(scope, drain, began).await;
        (outcome, began.elapsed())
    }

    async fn try_pause(self: &Arc<Self>, scope: Scope, drain: Drain, began: Instant) -> Result<Hold, PauseError> {
        {
            let mut state = self.lock();
            if state.stopping {
                return Err(PauseError::Stopping);
            }
            let retry = state.not_before.map(|until| until.saturating_duration_since(began)).unwrap_or_default();
            if !retry.is_zero() {
                return Err(PauseError::TooSoon { retry });
            }
            debug_assert!(state.pause.is_none(), "deploys are made one after the other");
            state.pause = Some(Pause { scope: scope.clone(), runs_pass: drain.runs.is_some() });
        }
        // From here on, whatever happens, requests flow again.
        let hold = Hold { admission: Arc::clone(self) };
        if let Some(limit) = drain.runs {
            self.drain_runs(&scope, began + limit.min(drain.limit)).await;
            if let Some(pause) = &mut self.lock().pause {
                pause.runs_pass = false;
            }
        }
        self.drain_requests(&scope, began, drain.limit).await?;
        Ok(hold)
    }

    async fn drain_runs(&self, scope: &Scope, until: Instant) {
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            let (stopping, (count, next)) = {
                let state = self.lock();
                (state.stopping, state.runs.under_way(scope))
            };
            if count == 0 || stopping {
                return;
            }
            if Instant::now() >= until {
                tracing::info!(
                    runs = count,
                    "agents' runs are still under way (run-drain-timeout); only their requests are waited for"
                );
                return;
            }
            tokio::select! {
                () = ended => {}
                () = sleep_until(next.map_or(until, |next| next.min(until))) => {}
            }
        }
    }

    async fn drain_requests(&self, scope: &Scope, began: Instant, limit: Duration) -> Result<(), PauseError> {
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            {
                let mut state = self.lock();
                if state.stopping {
                    return Err(PauseError::Stopping);
                }
                let (running, oldest) = state.concerned(scope);
                let Some(oldest) = oldest else { return Ok(()) };
                if began.elapsed() >= limit {
                    let waited = began.elapsed();
                    let (what, oldest) = (oldest.what.clone(), oldest.since.elapsed());
                    let retry = waited * FLOW;
                    state.not_before = Some(Instant::now() + retry);
                    return Err(PauseError::Drain { waited, running, oldest, what, retry });
                }
            }
            tokio::select! {
                () = ended => {}
                () = sleep_until(began + limit) => {}
            }
        }
    }

    /// What cannot be served yet; `None` opens.
    pub(super) fn close(&self, scope: Option<Scope>) {
        self.lock().closed = scope;
        self.flows.notify_waiters();
    }

    /// Lets go of whoever is held; a drain under way is given up, a swap under way goes on to its end first.
    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.flows.notify_waiters();
        self.ended.notify_waiters();
    }

    pub(super) fn set_live(&self, repo: &RepoName, live: Option<LiveRepo>) {
        let mut state = self.lock();
        let mut all = Live::clone(&state.live);
        match live {
            Some(live) => all.repos.insert(repo.clone(), live),
            None => all.repos.remove(repo),
        };
        state.live = Arc::new(all);
    }

    /// A connection has gone: the run on it, too, unless it goes on over another.
    pub(super) fn connection_ended(&self, connection: u64) {
        if self.tracks_runs {
            self.lock().runs.left(connection);
            self.ended.notify_waiters();
        }
    }

    pub(super) fn now(&self) -> Now {
        let state = self.lock();
        Now { held: state.held, running: state.running.len() }
    }
}

/// Requests are held for as long as this value lives.
#[derive(Debug)]
#[must_use = "requests flow again as soon as this goes"]
pub struct Hold {
    admission: Arc<Admission>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.admission.lock().pause = None;
        self.admission.flows.notify_waiters();
    }
}

/// Counts a request that is held.
struct Held {
    admission: Arc<Admission>,
    is_stranger: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.held -= 1;
        state.strangers -= usize::from(self.is_stranger);
    }
}

/// A request runs for as long as this value lives.
#[derive(Debug)]
pub(super) struct Ticket {
    admission: Arc<Admission>,
    id: u64,
    ends_run: Option<String>,
    /// How long it was held.
    pub(super) held: Duration,
    /// What it reads.
    pub(super) stamp: Stamp,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.running.remove(&self.id);
        if let Some(certname) = &self.ends_run {
            state.runs.end(certname);
        }
        drop(state);
        self.admission.ended.notify_waiters();
    }
}

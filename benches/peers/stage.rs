//! Who takes turns, and how a figure is taken.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use rayon::ThreadPool;
use tokio::runtime::Runtime;

use crate::estate::Estate;
use crate::ours::Ours;
use crate::peers::{PEERS, Peer, Player};
use crate::place::{self, Medium, Place};
use crate::process;
use crate::results::{FLOOR, OURS, Results, Sample, What};

/// Who takes longer than this has one turn in a round; a slow peer that takes longer than that, too.
const LONG: Duration = Duration::from_secs(1);
const LONG_FOR_THE_SLOW: Duration = Duration::from_millis(250);

/// What lasts for the whole run.
pub(crate) struct Context {
    pub(crate) runtime: Runtime,
    pub(crate) pool: ThreadPool,
    pub(crate) begun: Instant,
}

/// One round: a new place, and everybody in it.
pub(crate) struct Stage<'a> {
    pub(crate) context: &'a Context,
    pub(crate) place: Place,
    pub(crate) medium: Medium,
    pub(crate) cold_cache: bool,
    pub(crate) estate: &'a mut Estate,
    pub(crate) ours: Ours<'a>,
    pub(crate) players: Vec<Player>,
    pub(crate) results: &'a mut Results,
    long: BTreeSet<(What, String)>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(
        context: &'a Context,
        medium: Medium,
        cold_cache: bool,
        estate: &'a mut Estate,
        peers: &[&'static Peer],
        results: &'a mut Results,
    ) -> Result<Self, String> {
        let place = Place::new(medium)?;
        let ours = Ours::new(&context.runtime, place.path().join(OURS), estate.staging())?;
        let mut stage = Self {
            context,
            place,
            medium,
            cold_cache,
            estate,
            ours,
            players: Vec::new(),
            results,
            long: BTreeSet::new(),
        };
        for peer in peers {
            match Player::new(peer, stage.place.path().join(peer.name), stage.estate.staging()) {
                Ok(player) => stage.players.push(player),
                Err(error) => stage.results.note(format!("{} is left out: {error}", peer.name)),
            }
        }
        Ok(stage)
    }

    /// Keeps a figure, and shows it.
    pub(crate) fn take(&mut self, what: What, who: &str, value: f64) {
        let environments = self.estate.size().environments;
        let (medium, cold_cache) = (self.medium, self.cold_cache);
        let at = self.context.begun.elapsed().as_secs_f64();
        println!("[{at:7.1} s] {environments:3} | {who:<10} | {:<13} | {}", format!("{what:?}"), what.shown(value));
        self.results.samples.push(Sample { medium, cold_cache, environments, what, who: who.into(), value });
    }

    pub(crate) fn take_time(&mut self, what: What, who: &str, time: Duration) {
        let slow = PEERS.iter().any(|peer| peer.slow && peer.name == who);
        if time > if slow { LONG_FOR_THE_SLOW } else { LONG } {
            self.long.insert((what, who.to_owned()));
        }
        self.take(what, who, time.as_secs_f64());
    }

    /// What comes before each turn: all that others wrote is on the disk, and where that is wanted the caches are empty.
    pub(crate) fn settle(&self) -> Result<(), String> {
        process::check()?;
        self.place.settle()?;
        if self.cold_cache { place::drop_caches() } else { Ok(()) }
    }

    /// Our turn.
    pub(crate) fn our_turn(
        &mut self,
        what: What,
        turn: usize,
        work: impl FnOnce(&mut Self) -> Result<Duration, String>,
    ) -> Result<(), String> {
        if turn > 0 && self.had_fewer_turns(what, OURS) {
            return Ok(());
        }
        self.settle()?;
        let time = work(self)?;
        self.take_time(what, OURS, time);
        Ok(())
    }

    /// Every peer's turn. One that fails plays no more in this round, and that is noted.
    pub(crate) fn their_turns(
        &mut self,
        what: What,
        turn: usize,
        mut work: impl FnMut(&mut Player, &Place) -> Result<Option<Duration>, String>,
    ) -> Result<(), String> {
        let mut players = std::mem::take(&mut self.players);
        let mut failed = Ok(());
        players.retain_mut(|player| {
            let name = player.peer.name;
            if failed.is_err() || (turn > 0 && self.had_fewer_turns(what, name)) {
                return true;
            }
            failed = self.settle();
            if failed.is_err() {
                return true;
            }
            match work(player, &self.place) {
                Ok(Some(time)) => self.take_time(what, name, time),
                Ok(None) => {}
                Err(error) if process::check().is_ok() => {
                    self.results.note(format!("{name} failed, and is left out from then on: {error}"));
                    return false;
                }
                Err(error) => failed = Err(error),
            }
            true
        });
        self.players = players;
        failed.and_then(|()| process::check())
    }

    /// Whether somebody had fewer turns than others.
    pub(crate) fn had_fewer_turns(&self, what: What, who: &str) -> bool {
        self.long.contains(&(what, who.to_owned()))
    }

    /// The turn of what cannot be less.
    pub(crate) fn floor(
        &mut self,
        what: What,
        work: impl FnOnce(&ThreadPool, &Path) -> Result<u64, String>,
        root: &Path,
    ) -> Result<(), String> {
        self.settle()?;
        let begun = Instant::now();
        work(&self.context.pool, root)?;
        self.take_time(what, FLOOR, begun.elapsed());
        Ok(())
    }
}

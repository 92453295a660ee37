//! What is done in a round, in order: everybody commits, then everybody commits again, and so on, so that a disturbance hits all.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use sceneshift::farm::{Farm, FarmSettings, Retention};
use sceneshift::progress::Progress;

use crate::compare;
use crate::estate::EDITED;
use crate::floor;
use crate::ours::{CLIENT, still_memory};
use crate::peers::remove;
use crate::process::run;
use crate::results::{FLOOR, OURS, What};
use crate::stage::Stage;
use crate::window;

/// How often in a round what takes little time is done.
const TURNS: usize = 5;

/// How often the programs are run that Puppet Server runs for every catalog.
const PROGRAMS: usize = 200;

/// More clients, for those measures that need three.
const MORE_CLIENTS: [&str; 2] = ["compile2", "compile3"];

impl Stage<'_> {
    /// What is measured with any number of environments.
    pub(crate) fn play(&mut self, compare: bool) -> Result<(), String> {
        self.commits()?;
        self.first_syncs(compare)?;
        self.deploys_by_command()?;
        self.deploys()?;
        self.memory()
    }

    /// What is measured with one number of environments only.
    pub(crate) fn play_the_rest(&mut self) -> Result<(), String> {
        self.fleet()?;
        self.idle()?;
        self.code_id()?;
        self.window()?;
        self.fsck()?;
        self.prune()
    }

    /// Cold, with nothing changed, and of one environment.
    pub(crate) fn commits(&mut self) -> Result<(), String> {
        let staging = self.estate.staging().to_owned();
        self.floor(What::ColdCommit, floor::hash, &staging)?;
        self.our_turn(What::ColdCommit, 0, |stage| {
            let (time, answer) = stage.ours.commit(false)?;
            if answer.files != stage.estate.size().files {
                return Err(format!("{} files were committed of {}", answer.files, stage.estate.size().files));
            }
            Ok(time)
        })?;
        if !self.cold_cache {
            let most = self.ours.primary()?.memory("VmHWM")?;
            self.take(What::MemoryPrimary, OURS, most as f64);
        }
        self.their_turns(What::ColdCommit, 0, |player, _| player.commit())?;
        let turns = if self.cold_cache { 1 } else { TURNS };
        for turn in 0..turns {
            self.floor(What::CommitSame, floor::walk, &staging)?;
            self.our_turn(What::CommitSame, turn, |stage| match stage.ours.commit(false)? {
                (time, answer) if !answer.created => Ok(time),
                _ => Err("a commit found a change where there was none".into()),
            })?;
            self.their_turns(What::CommitSame, turn, |player, _| player.commit_same())?;
        }
        for turn in 0..turns {
            self.estate.edit()?;
            self.our_turn(What::CommitOne, turn, |stage| match stage.ours.commit(true)? {
                (time, answer) if answer.changes.modified == 1 => Ok(time),
                (_, answer) => Err(format!("a commit of one file found {:?}", answer.changes)),
            })?;
            self.their_turns(What::CommitOne, turn, |player, _| player.commit_one())?;
        }
        Ok(())
    }

    /// To a receiver that has nothing, and what that takes up.
    fn first_syncs(&mut self, compare: bool) -> Result<(), String> {
        let staging = self.estate.staging().to_owned();
        if compare {
            self.catch_up()?;
        }
        let mut received = 0;
        self.our_turn(What::FirstSync, 0, |stage| {
            let (time, status) = stage.ours.sync_once(CLIENT)?;
            received = status.last_deploy.map_or(0, |figures| figures.received_bytes);
            Ok(time)
        })?;
        self.take(What::WireFirst, OURS, received as f64);
        self.their_turns(What::FirstSync, 0, |player, _| player.first_sync())?;
        for (name, pack) in self.packs() {
            self.take(What::WireFirst, name, pack as f64);
        }
        let data = self.ours.client_data(CLIENT);
        for (who, folder) in [(OURS, &data), (FLOOR, &staging)] {
            let usage = floor::usage(&self.context.pool, folder)?;
            self.take(What::InodesFirst, who, usage.inodes as f64);
            self.take(What::DiskFirst, who, usage.allocated as f64);
        }
        if compare {
            let below = format!("environments/{EDITED}");
            compare::same(&staging.join(&below), &self.ours.current(CLIENT).join(&below))?;
            for player in &self.players {
                if player.tree().exists() {
                    compare::same(&staging.join(&below), &player.tree().join(&below))?;
                }
            }
        }
        Ok(())
    }

    /// Not counted: who had fewer turns has not committed the last change yet.
    fn catch_up(&mut self) -> Result<(), String> {
        let mut players = std::mem::take(&mut self.players);
        let mut behind = players.iter_mut().filter(|player| self.had_fewer_turns(What::CommitOne, player.peer.name));
        let outcome = behind.try_for_each(|player| player.commit().map(drop));
        self.players = players;
        if self.had_fewer_turns(What::CommitOne, OURS) { self.ours.commit(false).and(outcome) } else { outcome }
    }

    /// The packs that git has made of what it cloned.
    fn packs(&self) -> Vec<(&'static str, u64)> {
        let size = |folder: PathBuf| {
            let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
            let packs = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "pack"));
            Some(packs.filter_map(|pack| Some(pack.metadata().ok()?.len())).sum())
        };
        let packs = self.players.iter().map(|player| (player.peer.name, player.tree().join(".git/objects/pack")));
        packs.filter_map(|(name, folder)| Some((name, size(folder)?))).collect()
    }

    /// One file changed, by commands only.
    fn deploys_by_command(&mut self) -> Result<(), String> {
        let data = self.ours.client_data(CLIENT);
        let mut before = floor::Usage::default();
        for turn in 0..TURNS {
            let content = self.estate.edit()?;
            self.ours.commit(true)?;
            let mut received = 0;
            self.our_turn(What::DeployCommand, turn, |stage| {
                let (time, status) = stage.ours.sync_once(CLIENT)?;
                received = status.last_deploy.map_or(0, |figures| figures.received_bytes);
                Ok(time)
            })?;
            if turn == 0 {
                self.take(What::WireOne, OURS, received as f64);
                let compressed = zstd::bulk::compress(&content, 3).map_err(|error| error.to_string())?;
                self.take(What::WireOne, FLOOR, compressed.len() as f64);
                before = floor::usage(&self.context.pool, &data)?;
            }
        }
        if self.had_fewer_turns(What::DeployCommand, OURS) {
            return Ok(());
        }
        // Of several, because the index writes its log into tables now and then, and after the first, which does so with all of the first sync.
        let (now, more) = (floor::usage(&self.context.pool, &data)?, (TURNS - 1) as f64);
        self.take(What::InodesMore, OURS, (now.inodes as f64 - before.inodes as f64) / more);
        self.take(What::DiskMore, OURS, (now.allocated as f64 - before.allocated as f64) / more);
        Ok(())
    }

    /// One file changed, on a machine whose daemon runs.
    fn deploys(&mut self) -> Result<(), String> {
        self.ours.start_client(CLIENT)?;
        self.ours.settled(CLIENT, None)?;
        // Not counted: until then the client may not yet wait for a head, and git looks into every file that is as young as its index.
        self.estate.edit()?;
        self.ours.deploy()?;
        for player in self.players.iter_mut().filter(|player| !player.peer.slow) {
            player.commit_one()?;
            player.sync_again()?;
        }
        for turn in 0..TURNS {
            self.estate.edit()?;
            let mut received = 0;
            self.our_turn(What::Deploy, turn, |stage| {
                let deployed = stage.ours.deploy()?;
                received = deployed.received;
                Ok(deployed.live[0].saturating_sub(deployed.answered))
            })?;
            self.take(What::WireOne, OURS, received as f64);
            self.their_turns(What::Deploy, turn, |player, place| {
                if !player.can_sync_again() {
                    return Ok(None);
                }
                player.commit()?;
                place.settle()?;
                player.sync_again()
            })?;
        }
        Ok(())
    }

    /// The most that a first sync takes, of a client that runs as a daemon.
    fn memory(&mut self) -> Result<(), String> {
        let [second, _] = MORE_CLIENTS;
        let (_, answer) = self.ours.commit(false)?;
        self.ours.start_client(second)?;
        self.ours.settled(second, Some(answer.commit))?;
        let most = self.ours.client(second)?.memory("VmHWM")?;
        self.take(What::MemoryClient, OURS, most as f64);
        Ok(())
    }

    /// From asking for a commit until the last of three clients shows it; a peer's commit and sync, of one receiver.
    fn fleet(&mut self) -> Result<(), String> {
        let [_, third] = MORE_CLIENTS;
        let (_, answer) = self.ours.commit(false)?;
        self.ours.start_client(third)?;
        self.ours.settled(third, Some(answer.commit))?;
        self.estate.edit()?;
        self.ours.deploy()?;
        for turn in 0..TURNS {
            self.estate.edit()?;
            self.our_turn(What::Fleet, turn, |stage| {
                let deployed = stage.ours.deploy()?;
                Ok(deployed.live.into_iter().max().unwrap_or_default())
            })?;
            self.their_turns(What::Fleet, turn, |player, _| {
                if player.peer.slow {
                    return Ok(None);
                }
                let commit = player.commit_one()?;
                Ok(commit.zip(player.sync_again()?).map(|(commit, sync)| commit + sync))
            })?;
        }
        Ok(())
    }

    /// Daemons that have just been started, with all their data.
    fn idle(&mut self) -> Result<(), String> {
        self.ours.stop()?;
        self.ours.start_primary()?;
        self.ours.start_client(CLIENT)?;
        self.ours.settled(CLIENT, None)?;
        let (primary, client) = (still_memory(self.ours.primary()?)?, still_memory(self.ours.client(CLIENT)?)?);
        self.take(What::IdlePrimary, OURS, primary as f64);
        self.take(What::IdleClient, OURS, client as f64);
        Ok(())
    }

    /// The middle of many runs of each, by turns.
    fn code_id(&mut self) -> Result<(), String> {
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..PROGRAMS {
            ours.push(self.ours.code_id(CLIENT)?);
            floor.push(run(&mut Command::new("/bin/true"))?.time);
        }
        for (who, mut times) in [(OURS, ours), (FLOOR, floor)] {
            times.sort();
            self.take_time(What::CodeId, who, times[PROGRAMS / 2]);
        }
        Ok(())
    }

    /// As `make window` measures it, in this place.
    fn window(&mut self) -> Result<(), String> {
        let folder = self.place.path().join("window");
        std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
        self.settle()?;
        let (bare, window) = window::measure(&folder);
        for (who, [middle, long, _]) in [(OURS, window), (FLOOR, bare)] {
            self.take(What::Window, who, middle / 1e6);
            self.take(What::WindowLong, who, long / 1e6);
        }
        Ok(())
    }

    /// With no daemon beside it.
    fn fsck(&mut self) -> Result<(), String> {
        self.ours.stop()?;
        let (client, primary) = (self.ours.client_data(CLIENT), self.ours.primary_data());
        let blobs = client.join("blobs");
        for turn in 0..2 {
            self.floor(What::FsckClient, floor::hash, &blobs)?;
            self.our_turn(What::FsckClient, turn, |stage| stage.ours.fsck(&client))?;
            self.floor(What::FsckPrimary, floor::hash, &blobs)?;
            self.our_turn(What::FsckPrimary, turn, |stage| stage.ours.fsck(&primary))?;
        }
        Ok(())
    }

    /// One old generation, of which one file was another; a plain copy, where some peer made one.
    fn prune(&mut self) -> Result<(), String> {
        let farm = Farm::open(&self.ours.client_data(CLIENT), FarmSettings::default());
        let farm = farm.map_err(|error| format!("the farm: {error}"))?;
        let prune = |keep| {
            let keep = Retention { keep, age: Duration::ZERO };
            let kept = [("puppet-code".parse().expect("a good name"), keep)].into();
            let begun = std::time::Instant::now();
            let pruned = farm.prune(&kept, &Progress::default()).map_err(|error| format!("pruning: {error}"))?;
            Ok::<_, String>((begun.elapsed(), pruned.generations))
        };
        prune(2)?;
        self.our_turn(What::Prune, 0, |_| match prune(1)? {
            (time, 1) => Ok(time),
            (_, count) => Err(format!("{count} generations were pruned in place of one")),
        })?;
        self.their_turns(What::Prune, 0, |player, _| match player.peer.name {
            "rsync" | "git" => remove(&player.tree()).map(Some),
            _ => Ok(None),
        })
    }
}

//! Several hundred random steps of people and machines, against a model in memory: edits of staging, commits of everything and of single
//! environments, syncs, rollbacks on the machine and for everybody, tags, GC, restarts of either side. After each step `current` is what
//! the model says, and `fsck` finds nothing on either side.

use std::collections::BTreeMap;
use std::time::Duration;

use sceneshift::values::CommitId;
use sceneshift::wire::api::{CommitAnswer, CommitRequest, PinRequest, PinTo, RollbackRequest, SyncRequest, TagRequest};

use crate::support::random::Random;
use crate::support::rig::{Rig, Running};
use crate::support::shows::assert_shows;
use crate::support::tree::{Content, Node, Tree, join};
use crate::support::wait::until;

/// How many steps; `SCENESHIFT_STEPS` asks for more, `SCENESHIFT_SEED` for others.
const STEPS: u64 = 400;
const SEED: u64 = 20_261_124;

/// GC keeps so many commits of the model's primary.
const KEPT: usize = 3;

const ENVIRONMENTS: &[&str] = &["production", "staging", "dev"];

/// How long a client may take to follow.
const FOLLOW: Duration = Duration::from_secs(20);

#[test]
fn after_each_of_several_hundred_steps_current_is_what_the_model_says() {
    let number = |name, default| std::env::var(name).ok().and_then(|text: String| text.parse().ok()).unwrap_or(default);
    let (steps, seed) = (number("SCENESHIFT_STEPS", STEPS), number("SCENESHIFT_SEED", SEED));
    println!("{steps} steps from the seed {seed}");
    let mut world = World::new(seed);
    for at in 0..steps {
        let what = world.step();
        println!("{at}: {what}");
        world.look();
    }
    world.finish();
}

/// Everything as it should be, and everything as it is.
struct World {
    random: Random,
    rig: Rig,
    client: Option<Running>,
    staging: Tree,
    /// The commits that the primary should have, and what is in them, by sequence.
    commits: BTreeMap<u64, (CommitId, Tree)>,
    tags: BTreeMap<&'static str, u64>,
    /// The sequence of what the client should show.
    current: Option<u64>,
    pinned: Option<u64>,
    /// What was shown last, so that it is held against `current` also when its commit is gone.
    shown: Tree,
}

impl World {
    fn new(seed: u64) -> Self {
        let rig =
            Rig::with(&format!("keep-commits = {KEPT}\nkeep-age = \"0s\""), "keep-generations = 2\nkeep-age = \"0s\"");
        let mut staging = Tree::default();
        staging.dir("environments");
        staging.file("environments/production/modules/a/manifests/init.pp", 1, 30);
        staging.file("environments/production/modules/b/files/big", 2, 1_300_000);
        let (tags, commits, shown) = (BTreeMap::new(), BTreeMap::new(), Tree::default());
        let random = Random::new(seed);
        rig.stage(&staging);
        Self { random, rig, client: None, staging, commits, tags, current: None, pinned: None, shown }
    }

    fn head(&self) -> Option<(u64, &(CommitId, Tree))> {
        self.commits.last_key_value().map(|(sequence, commit)| (*sequence, commit))
    }

    /// Does one thing, and says what.
    fn step(&mut self) -> String {
        match self.random.below(20) {
            0..=6 => self.edit(),
            7..=9 => self.commit_all(),
            10..=11 => self.commit_environments(),
            12..=13 => self.sync(),
            14 => self.roll_back_everybody(),
            15 => self.roll_back_here(),
            16 => self.release(),
            17 => self.tag(),
            18 => self.collect_garbage(),
            _ => self.restart(),
        }
    }

    /// Holds what is shown against the model.
    fn look(&mut self) {
        let Some(sequence) = self.current else {
            assert!(!self.rig.current().exists(), "nothing was deployed yet");
            return;
        };
        if let Some((_, tree)) = self.commits.get(&sequence) {
            self.shown = tree.clone();
        }
        let expected = self.rig.folder().join("expected");
        self.shown.write_to(&expected);
        if self.client.is_some() && self.pinned.is_none() {
            let head = self.commits[&sequence].0.to_string();
            until("the client has followed the head", FOLLOW, || {
                let target = std::fs::read_link(self.rig.current()).ok()?;
                target.to_str()?.contains(&head).then_some(())
            });
        }
        assert_shows(&expected, &self.rig.current());
        self.rig.assert_clean();
    }

    fn edit(&mut self) -> String {
        let times = 1 + self.random.below(5);
        let texts: Vec<String> = (0..times).map(|_| self.edit_once()).collect();
        self.rig.stage(&self.staging);
        texts.join(", ")
    }

    fn edit_once(&mut self) -> String {
        let environment = format!("environments/{}", self.random.one_of(ENVIRONMENTS));
        let module = format!("{environment}/modules/{}", self.random.one_of(&["a", "b", "c"]));
        let file = format!("{module}/{}", self.random.one_of(&["manifests/init.pp", "files/x", "files", "lib/puppet"]));
        let paths = self.staging.paths();
        let any = self.random.one_of(&paths).clone();
        match self.random.below(10) {
            0..=3 => {
                let length = *self.random.one_of(&[0, 1, 40, 41, 3000, (1 << 20) + 7]);
                let content = Content { seed: self.random.next() % 50, length };
                let node = Node::File { content, executable: self.random.once_in(3) };
                self.staging.put(&file, node);
                format!("write {file}")
            }
            4 => {
                let target = *self.random.one_of(&[
                    "../../b",
                    "init.pp",
                    "../../../production/modules/a",
                    "nowhere",
                    "../b/../a/files",
                    "/etc/hostname",
                ]);
                self.staging.link(&file, target);
                format!("link {file} -> {target}")
            }
            5 if any != b"environments" => {
                self.staging.remove(&any);
                format!("remove {}", any.escape_ascii())
            }
            6 => {
                // A module copied from one environment to another: shared on the client.
                let to = format!("environments/{}/modules/a", self.random.one_of(ENVIRONMENTS));
                let copied = self.staging.below(b"environments/production/modules/a");
                if !copied.is_empty() && to != "environments/production/modules/a" {
                    self.staging.graft(to.as_bytes(), &copied);
                }
                format!("copy to {to}")
            }
            7 => match self.staging.get(&any).cloned() {
                Some(Node::File { content, executable }) => {
                    self.staging.put(&any, Node::File { content, executable: !executable });
                    format!("chmod {}", any.escape_ascii())
                }
                _ => {
                    let path = join(&any, b"new");
                    self.staging.file(&path, 3, 20);
                    format!("write {}", path.escape_ascii())
                }
            },
            8 => {
                self.staging.link("environments/alias", *self.random.one_of(&["production", "dev", "nowhere"]));
                "link an environment".into()
            }
            _ => {
                self.staging.remove(environment.as_bytes());
                format!("remove {environment}")
            }
        }
    }

    fn request(environments: &[&str]) -> CommitRequest {
        let environments = environments.iter().map(|name| (*name).to_owned()).collect();
        CommitRequest { environments, allow_empty: true, ..CommitRequest::default() }
    }

    fn commit_all(&mut self) -> String {
        let answer = self.rig.try_commit(&Self::request(&[])).unwrap();
        self.committed(&answer, self.staging.clone());
        format!("commit everything: {}", answer.sequence)
    }

    fn commit_environments(&mut self) -> String {
        let mut names = vec![*self.random.one_of(&["production", "staging", "dev", "alias"])];
        if self.random.once_in(2) {
            names.push(*self.random.one_of(&["production", "alias"]));
        }
        let outcome = self.rig.try_commit(&Self::request(&names));
        let Some((_, (_, head))) = self.head() else {
            self.committed(&outcome.unwrap(), self.staging.clone());
            return "first commit".into();
        };
        let mut tree = head.clone();
        let path = |name: &str| format!("environments/{name}").into_bytes();
        let there = |tree: &Tree, name: &str| tree.get(&path(name)).is_some();
        if names.iter().any(|name| !there(&self.staging, name) && !there(head, name)) {
            assert_eq!(outcome.unwrap_err().status(), Some(422), "{names:?}");
            return format!("commit of an unknown environment among {names:?}");
        }
        for name in ENVIRONMENTS.iter().chain(&["alias"]) {
            if !there(&self.staging, name) || names.contains(name) {
                tree.graft(&path(name), &self.staging.below(&path(name)));
            }
        }
        let answer = outcome.unwrap();
        self.committed(&answer, tree);
        format!("commit {names:?}: {}", answer.sequence)
    }

    /// Takes note of what the primary says that it committed.
    fn committed(&mut self, answer: &CommitAnswer, tree: Tree) {
        let before = self.head().map(|(sequence, (id, tree))| (sequence, *id, tree.clone()));
        let expected = match before {
            Some((sequence, id, before)) if before == tree => (sequence, Some(id), false),
            other => (other.map_or(0, |(sequence, ..)| sequence) + 1, None, true),
        };
        assert_eq!((answer.sequence, answer.created), (expected.0, expected.2), "{answer:?}");
        assert!(expected.1.is_none_or(|id| id == answer.commit));
        let files = tree.entries().filter(|(_, node)| matches!(node, Node::File { .. })).count();
        assert_eq!(answer.files, files as u64);
        self.commits.insert(answer.sequence, (answer.commit, tree));
        if self.client.is_some() && self.pinned.is_none() {
            self.current = Some(answer.sequence);
        }
    }

    fn sync(&mut self) -> String {
        let Some((head, _)) = self.head() else {
            assert!(self.rig.try_deploy().is_err(), "there is no commit yet");
            return "sync before the first commit".into();
        };
        match &self.client {
            Some(_) => drop(self.rig.block_on(self.rig.socket().sync(&SyncRequest::default())).unwrap()),
            None => drop(self.rig.deploy()),
        }
        if self.pinned.is_none() {
            self.current = Some(head);
        }
        "sync".into()
    }

    fn any_commit(&mut self) -> Option<(u64, CommitId, Tree)> {
        let all: Vec<u64> = self.commits.keys().copied().collect();
        let sequence = if all.is_empty() { return None } else { *self.random.one_of(&all) };
        let (id, tree) = self.commits[&sequence].clone();
        Some((sequence, id, tree))
    }

    fn roll_back_everybody(&mut self) -> String {
        let Some((sequence, commit, tree)) = self.any_commit() else { return "nothing to roll back to".into() };
        let request = RollbackRequest { commit, message: None, author: None };
        let answer = self.rig.block_on(self.rig.remote().rollback(&self.rig.repo(), &request)).unwrap();
        self.committed(&answer, tree);
        format!("roll everybody back to {sequence}: {}", answer.sequence)
    }

    fn pin(&self, to: PinTo) {
        let request = PinRequest { repo: self.rig.repo(), to };
        let report = self.rig.block_on(self.rig.socket().pin(&request)).unwrap();
        assert_eq!(report.repos[&self.rig.repo()].error, None);
    }

    fn roll_back_here(&mut self) -> String {
        match (self.any_commit(), &self.client) {
            (Some((sequence, commit, _)), Some(_)) => {
                self.pin(PinTo::Commit(commit));
                (self.current, self.pinned) = (Some(sequence), Some(sequence));
                format!("roll back here to {sequence}")
            }
            _ => "nothing to roll back here".into(),
        }
    }

    fn release(&mut self) -> String {
        if self.client.is_none() || self.commits.is_empty() {
            return "nothing to release".into();
        }
        self.pin(PinTo::Released);
        (self.current, self.pinned) = (self.head().map(|(sequence, _)| sequence), None);
        "release".into()
    }

    fn tag(&mut self) -> String {
        let tag = *self.random.one_of(&["good", "better"]);
        let (remote, repo) = (self.rig.remote(), self.rig.repo());
        match self.any_commit() {
            Some((sequence, commit, _)) if self.random.once_in(2) => {
                self.rig.block_on(remote.tag(&repo, tag, &TagRequest { commit: Some(commit) })).unwrap();
                self.tags.insert(tag, sequence);
                format!("tag {sequence} as {tag}")
            }
            _ => {
                if self.tags.remove(tag).is_some() {
                    self.rig.block_on(remote.untag(&repo, tag)).unwrap();
                }
                format!("remove the tag {tag}")
            }
        }
    }

    fn collect_garbage(&mut self) -> String {
        let (remote, repo) = (self.rig.remote(), self.rig.repo());
        let answer = self.rig.block_on(remote.gc(&repo)).unwrap();
        let newest: Vec<u64> = self.commits.keys().rev().take(KEPT).copied().collect();
        let mut left = BTreeMap::new();
        for (sequence, commit) in std::mem::take(&mut self.commits) {
            let found = self.rig.block_on(remote.commit_info(&repo, commit.0));
            let must_stay = newest.contains(&sequence) || self.tags.values().any(|tagged| *tagged == sequence);
            assert!(found.is_ok() || !must_stay, "GC took commit {sequence}");
            if found.is_ok() {
                left.insert(sequence, commit);
            }
        }
        self.commits = left;
        assert_eq!(answer.kept_commits, self.commits.len() as u64);
        format!("GC removed {} commits, {} trees, {} blobs", answer.commits, answer.trees, answer.blobs)
    }

    fn restart(&mut self) -> String {
        match (self.random.below(3), self.client.take()) {
            (0, client) => {
                self.rig.stop_primary();
                if client.is_none() {
                    assert!(self.rig.try_deploy().is_err(), "nobody is there to ask");
                }
                self.rig.start_primary();
                self.client = client;
                "restart the primary".into()
            }
            (_, Some(client)) => {
                self.rig.stop_client(client);
                "stop the client".into()
            }
            (_, None) => {
                self.client = Some(self.rig.start_client());
                until("the client answers", FOLLOW, || self.rig.block_on(self.rig.socket().status()).ok());
                if let (Some((head, _)), None) = (self.head(), self.pinned) {
                    self.current = Some(head);
                }
                "start the client".into()
            }
        }
    }

    fn finish(mut self) {
        if let Some(client) = self.client.take() {
            self.rig.stop_client(client);
        }
    }
}

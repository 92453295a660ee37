//! What users could take instead, as commands.
//!
//! In a command `{staging}` is what is committed, `{edited}` the environment of which a file changes, `{store}` what keeps commits, `{out}` the receiver's directory, and
//! `{n}` the number of the commit. A command runs as it stands, without a shell, in `{out}`; each peer keeps its own promises as it comes (git and rsync sync nothing to the disk, ostree does).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::estate::EDITED;
use crate::process::{self, run};

type Commands = &'static [&'static str];

/// One of them.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    version: &'static str,
    /// Not measured with many environments.
    pub(crate) slow: bool,
    /// How many times the room of staging it takes at most, with what it delivers.
    pub(crate) room: f64,
    /// Not counted.
    begin: Commands,
    commit: Commands,
    /// A commit where nothing changed, where that is another command.
    same: Commands,
    /// A commit of the edited environment, where that is another command.
    one: Commands,
    /// Not counted: what a receiver has before its first sync.
    prepare: Commands,
    first: Commands,
    again: Commands,
    /// Where the tree lies then.
    tree: &'static str,
}

/// All that are known.
pub(crate) const PEERS: &[Peer] = &[
    Peer {
        name: "git",
        version: "git --version",
        slow: false,
        room: 1.2,
        begin: &["git init -q --bare {store}"],
        commit: &[
            "git --git-dir={store} --work-tree={staging} add -A -f",
            "git --git-dir={store} --work-tree={staging} commit -q -m {n}",
        ],
        same: &[
            "git --git-dir={store} --work-tree={staging} add -A -f",
            "git --git-dir={store} --work-tree={staging} diff --cached --quiet",
        ],
        one: &[
            "git --git-dir={store} --work-tree={staging} add -A -f {edited}",
            "git --git-dir={store} --work-tree={staging} commit -q -m {n}",
        ],
        prepare: &[],
        first: &["git clone -q file://{store} {out}/tree"],
        again: &["git -C {out}/tree fetch -q", "git -C {out}/tree reset -q --hard origin/HEAD"],
        tree: "{out}/tree",
    },
    Peer {
        name: "ostree",
        version: "ostree --version",
        slow: true,
        room: 0.7,
        begin: &["ostree --repo={store} init --mode=bare-user-only"],
        commit: &["ostree --repo={store} commit --canonical-permissions -b code --tree=dir={staging}"],
        same: &[
            "ostree --repo={store} commit --canonical-permissions -b code --tree=dir={staging} --skip-if-unchanged",
        ],
        one: &[],
        prepare: &["ostree --repo={out}/repo init --mode=bare-user-only"],
        first: &[
            "ostree --repo={out}/repo pull-local {store} code",
            "ostree --repo={out}/repo checkout -U -H code {out}/tree-{n}",
        ],
        again: &[
            "ostree --repo={out}/repo pull-local {store} code",
            "ostree --repo={out}/repo checkout -U -H code {out}/tree-{n}",
        ],
        tree: "{out}/tree-{n}",
    },
    Peer {
        name: "rsync",
        version: "rsync --version",
        slow: true,
        room: 1.1,
        begin: &[],
        commit: &[],
        same: &[],
        one: &[],
        prepare: &[],
        first: &["rsync -a {staging}/ {out}/tree"],
        again: &["rsync -a {staging}/ {out}/tree"],
        tree: "{out}/tree",
    },
    Peer {
        name: "casync",
        version: "casync --version",
        slow: true,
        room: 1.4,
        begin: &[],
        commit: &["casync make --store={store}.castr {store}.caidx {staging}"],
        same: &[],
        one: &[],
        prepare: &[],
        first: &["casync extract --store={store}.castr {store}.caidx {out}/tree-{n}"],
        // Over the old tree it takes three times as long.
        again: &["casync extract --store={store}.castr {store}.caidx {out}/tree-{n}"],
        tree: "{out}/tree-{n}",
    },
    Peer {
        name: "restic",
        version: "restic version",
        slow: true,
        room: 1.4,
        begin: &["restic -q -r {store} init"],
        commit: &["restic -q -r {store} backup {staging}"],
        same: &[],
        one: &[],
        prepare: &[],
        first: &["restic -q -r {store} restore latest --target {out}"],
        // This version writes every file again: that is not what anybody would do.
        again: &[],
        tree: "{out}{staging}",
    },
    Peer {
        name: "borg",
        version: "borg --version",
        slow: true,
        room: 1.4,
        begin: &["borg init -e none {store}"],
        commit: &["borg create {store}::{n} {staging}"],
        same: &[],
        one: &[],
        prepare: &[],
        first: &["borg extract {store}::{n}"],
        again: &[],
        tree: "{out}{staging}",
    },
];

impl Peer {
    /// What it says of its version; `None` where it is not installed.
    pub(crate) fn version(&self) -> Option<String> {
        let mut words = self.version.split(' ');
        let output = Command::new(words.next()?).args(words).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let number = text.split_whitespace().find(|word| word.contains(|letter: char| letter.is_ascii_digit()));
        Some(number.unwrap_or("unknown").trim_matches(['\'', '"', ',']).to_owned())
    }
}

/// A peer at work in a directory of its own.
pub(crate) struct Player {
    pub(crate) peer: &'static Peer,
    staging: PathBuf,
    folder: PathBuf,
    commits: usize,
}

impl Player {
    pub(crate) fn new(peer: &'static Peer, folder: PathBuf, staging: &Path) -> Result<Self, String> {
        let player = Self { peer, staging: staging.to_owned(), folder, commits: 0 };
        std::fs::create_dir_all(player.out()).map_err(|error| error.to_string())?;
        player.timed(peer.begin)?;
        Ok(player)
    }

    /// The receiver's directory.
    pub(crate) fn out(&self) -> PathBuf {
        self.folder.join("out")
    }

    /// Where what was received lies.
    pub(crate) fn tree(&self) -> PathBuf {
        self.filled(self.peer.tree).into()
    }

    /// Commits; `None` where it knows no commits.
    pub(crate) fn commit(&mut self) -> Result<Option<Duration>, String> {
        self.commits += 1;
        self.timed(self.peer.commit)
    }

    /// Commits where nothing has changed.
    pub(crate) fn commit_same(&mut self) -> Result<Option<Duration>, String> {
        if self.peer.same.is_empty() { self.commit() } else { self.timed(self.peer.same) }
    }

    /// Commits the edited environment, or everything where it knows no parts.
    pub(crate) fn commit_one(&mut self) -> Result<Option<Duration>, String> {
        self.commits += 1;
        self.timed(if self.peer.one.is_empty() { self.peer.commit } else { self.peer.one })
    }

    /// Brings everything to a receiver that has nothing.
    pub(crate) fn first_sync(&mut self) -> Result<Option<Duration>, String> {
        self.timed(self.peer.prepare)?;
        self.timed(self.peer.first)
    }

    /// Whether it can bring a receiver up to date.
    pub(crate) fn can_sync_again(&self) -> bool {
        !self.peer.again.is_empty()
    }

    /// Brings the receiver up to date.
    pub(crate) fn sync_again(&mut self) -> Result<Option<Duration>, String> {
        self.timed(self.peer.again)
    }

    fn timed(&self, commands: Commands) -> Result<Option<Duration>, String> {
        let mut time = Duration::ZERO;
        for command in commands {
            let mut words = command.split(' ').map(|word| self.filled(word));
            let program = words.next().unwrap_or_default();
            let mut command = Command::new(program);
            command.args(words).current_dir(self.out()).envs(self.environment());
            time += run(&mut command)?.time;
        }
        Ok(if commands.is_empty() { None } else { Some(time) })
    }

    fn filled(&self, word: &str) -> String {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        word.replace("{staging}", &path(&self.staging))
            .replace("{edited}", &path(&self.staging.join("environments").join(EDITED)))
            .replace("{store}", &path(&self.folder.join("store")))
            .replace("{out}", &path(&self.out()))
            .replace("{n}", &self.commits.to_string())
    }

    /// Nothing of the user's settings, and nothing in the background.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let beside = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        let fixed = [
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_COUNT", "2"),
            ("GIT_CONFIG_KEY_0", "gc.auto"),
            ("GIT_CONFIG_VALUE_0", "0"),
            ("GIT_CONFIG_KEY_1", "maintenance.auto"),
            ("GIT_CONFIG_VALUE_1", "false"),
            ("GIT_AUTHOR_NAME", "bench"),
            ("GIT_AUTHOR_EMAIL", "bench@example.com"),
            ("GIT_COMMITTER_NAME", "bench"),
            ("GIT_COMMITTER_EMAIL", "bench@example.com"),
            ("RESTIC_PASSWORD", "bench"),
        ];
        let mut all: Vec<_> = fixed.into_iter().map(|(key, value)| (key, value.to_owned())).collect();
        all.push(("RESTIC_CACHE_DIR", beside("cache")));
        all.push(("BORG_BASE_DIR", beside("base")));
        all
    }
}

/// Removes a tree as anybody would.
pub(crate) fn remove(tree: &Path) -> Result<Duration, String> {
    process::run(Command::new("rm").arg("-rf").arg(tree)).map(|ran| ran.time)
}

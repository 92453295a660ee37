//! r10k deploys into staging, and its `postrun` commits what it deployed: with the real one, from repositories on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sceneshift::wire::api::Repos;

use crate::support::process::Site;
use crate::support::wait::until;

const SOON: Duration = Duration::from_secs(20);

/// What `postrun` calls, in place of the program as it is installed.
const PROGRAM: &str = env!("CARGO_BIN_EXE_sceneshift");

/// A control repository with branches, a module repository, and r10k's settings.
struct Control {
    folder: PathBuf,
}

impl Control {
    /// `None`, with the reason printed, where the tools are missing.
    fn new(site: &Site) -> Option<Self> {
        for tool in ["git", "r10k"] {
            let found = Command::new(tool).arg("--help").output();
            if !found.is_ok_and(|output| output.status.success()) {
                println!("skipped: there is no {tool} on this machine");
                return None;
            }
        }
        let control = Self { folder: site.folder().join("r10k") };
        for repository in ["control", "motd"] {
            let (work, bare) = (control.work(repository), control.bare(repository));
            std::fs::create_dir_all(&work).unwrap();
            control.git(&control.folder, &["init", "--quiet", "--bare", bare.to_str().unwrap()]);
            control.git(&work, &["init", "--quiet", "--initial-branch", "production"]);
            control.git(&work, &["remote", "add", "origin", bare.to_str().unwrap()]);
        }
        control.push("motd", "production", &[("manifests/init.pp", "class motd {}\n")]);
        let motd = control.bare("motd");
        let puppetfile = format!("mod 'motd', git: 'file://{}', branch: 'production'\n", motd.display());
        control.push("control", "production", &[("Puppetfile", &puppetfile), ("manifests/site.pp", "include motd\n")]);
        Some(control)
    }

    /// Writes r10k's settings.
    fn configure(&self, site: &Site) {
        let text = format!(
            "---\ncachedir: {cache}\nsources:\n  main:\n    remote: file://{remote}\n    basedir: {staging}\n    \
             invalid_branches: correct_and_warn\ndeploy: {{ purge_levels: [deployment, puppetfile] }}\ngit: {{ provider: shellgit }}\n\
             postrun: [\"{PROGRAM}\", \"commit\", \"--server\", \"{server}\", \"-e\", \"$modifiedenvs\"]\n",
            cache = self.folder.join("cache").display(),
            remote = self.bare("control").display(),
            staging = site.staging().join("environments").display(),
            server = site.address(),
        );
        std::fs::write(self.folder.join("r10k.yaml"), text).unwrap();
    }

    /// Commits these files to a branch, which is begun where there is none, and pushes it.
    fn push(&self, repository: &str, branch: &str, files: &[(&str, &str)]) {
        let work = self.work(repository);
        self.git(&work, &["checkout", "--quiet", "-B", branch]);
        for (path, content) in files {
            let path = work.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        self.git(&work, &["add", "--all"]);
        self.git(&work, &["commit", "--quiet", "--allow-empty", "--message", "change"]);
        self.git(&work, &["push", "--quiet", "--force", "origin", branch]);
    }

    fn delete_branch(&self, branch: &str) {
        self.git(&self.work("control"), &["push", "--quiet", "origin", "--delete", branch]);
    }

    /// Deploys these environments; all, where none is named. Answers whether r10k was content.
    fn deploy(&self, environments: &[&str]) -> bool {
        let mut command = self.command("r10k");
        command.args(["deploy", "environment"]).args(environments).args(["--modules", "--config", "r10k.yaml"]);
        let output = command.current_dir(&self.folder).output().unwrap();
        println!("r10k {environments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.status.success()
    }

    fn work(&self, repository: &str) -> PathBuf {
        self.folder.join(repository)
    }

    fn bare(&self, repository: &str) -> PathBuf {
        self.folder.join(format!("{repository}.git"))
    }

    fn git(&self, directory: &Path, args: &[&str]) {
        let output = self.command("git").args(args).current_dir(directory).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A tool without the settings of whoever runs the tests.
    fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command.env("HOME", &self.folder).env("GIT_CONFIG_NOSYSTEM", "1").env_remove("GIT_DIR");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Jane Doe").env(format!("GIT_{role}_EMAIL"), "jane@example.com");
        }
        command
    }
}

impl Site {
    /// What `ls` lists of the head.
    fn listed(&self, path: &str) -> Vec<String> {
        let output = self.run(&["ls", "--json", path]);
        let listing: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let name = |entry: &serde_json::Value| entry["name"].as_str().unwrap().to_owned();
        listing["entries"].as_array().unwrap().iter().map(name).collect()
    }

    fn repo_info(&self) -> sceneshift::wire::api::RepoInfo {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let Repos { mut repos } = runtime.block_on(self.remote().repos()).unwrap();
        repos.remove(0)
    }

    fn sequence(&self) -> u64 {
        self.repo_info().head.unwrap().sequence
    }
}

#[test]
fn postrun_commits_what_r10k_deployed_and_finds_what_it_purged() {
    let site = Site::new();
    let Some(control) = Control::new(&site) else { return };
    control.push("control", "feature-x", &[("data/common.yaml", "x: 1\n")]);
    control.push("control", "development", &[("data/common.yaml", "x: 1\n")]);
    let _primary = site.start_primary();
    control.configure(&site);
    assert!(control.deploy(&[]));
    assert_eq!(site.listed("environments"), ["development", "feature_x", "production"], "names as r10k corrects them");
    assert_eq!(site.listed("environments/production/modules/motd"), ["manifests"], "git's own files stay out");
    let message = site.repo_info().head.unwrap().message;
    assert!(message.contains("production"), "the branches' versions are its message: {message:?}");

    // Somebody else is deploying production meanwhile, and is half-way.
    site.stage("environments/production/manifests/half.pp", "class half {");
    control.push("control", "development", &[("data/common.yaml", "x: 2\n")]);
    assert!(control.deploy(&["development"]));
    assert_eq!(site.sequence(), 2);
    assert_eq!(site.run(&["cat", "environments/development/data/common.yaml"]).stdout, b"x: 2\n");
    assert_eq!(site.listed("environments/production/manifests"), ["site.pp"], "production was not named");

    // A run that deploys nothing names nothing, and takes nothing.
    assert!(!control.deploy(&["nowhere"]), "r10k knows no such environment");
    assert_eq!(site.sequence(), 2);
    assert_eq!(site.repo_info().failed_commit, None);

    // Of a branch that is gone r10k purges the environment and says nothing. Here it names two others, in one argument.
    control.delete_branch("feature-x");
    assert!(control.deploy(&[]));
    assert_eq!(site.sequence(), 3);
    assert_eq!(site.listed("environments"), ["development", "production"]);
    assert_eq!(site.listed("environments/production/manifests"), ["half.pp", "site.pp"], "now it was named");
}

#[test]
fn a_commit_that_fails_behind_r10ks_back_is_seen_by_everybody_until_one_succeeds() {
    let site = Site::new();
    let Some(control) = Control::new(&site) else { return };
    let primary = site.start_primary();
    control.configure(&site);
    assert!(control.deploy(&[]));
    assert!(site.metrics().contains("sceneshift_commit_failing{repo=\"puppet-code\"} 0"), "{}", site.metrics());

    let fifo = site.staging().join("environments/production/pipe");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    control.push("control", "production", &[("manifests/site.pp", "# new\n")]);
    assert!(control.deploy(&["production"]), "r10k ignores how its postrun ends");
    assert!(control.deploy(&["production"]));
    assert_eq!(site.sequence(), 1);

    // The primary remembers, over a restart too.
    assert!(primary.stop().success());
    let _primary = site.start_primary();
    let client = site.start_client("compile1");
    let failed = site.fleet().failed_commits.into_values().next().expect("it is known");
    assert_eq!((failed.failures, failed.environments), (2, vec!["production".to_owned()]));
    assert!(failed.error.contains("environments/production/pipe"), "{}", failed.error);
    assert!(site.metrics().contains("sceneshift_commit_failing{repo=\"puppet-code\"} 1"), "{}", site.metrics());
    let shown = String::from_utf8(site.run(&["clients"]).stdout).unwrap();
    assert!(shown.contains("commit: the last one of production on the primary failed"), "{shown}");
    let told = until("the client has heard of it", SOON, || site.status("compile1")?.failed_commit);
    assert_eq!(told.error, failed.error);

    std::fs::remove_file(fifo).unwrap();
    assert!(control.deploy(&["production"]));
    assert_eq!(site.sequence(), 2);
    assert!(site.fleet().failed_commits.is_empty());
    assert!(site.metrics().contains("sceneshift_commit_failing{repo=\"puppet-code\"} 0"), "{}", site.metrics());
    until("the client has heard of that, too", SOON, || {
        site.status("compile1").filter(|status| status.failed_commit.is_none() && status.sequence == Some(2))
    });
    assert!(client.stop().success());
}

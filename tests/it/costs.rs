//! What commits and deploys ask of the kernel, counted: guards against becoming slower that hold on every machine.
//!
//! ```text
//! commit.rs    the primary: nothing changed, one file changed, the first commit
//! deploy.rs    a client: the first sync, one file changed
//! code_id.rs   the program that is started for every catalog
//! ```
//!
//! Each bound is some quarter more than what was seen when it was written; a test that fails shows what was called, and how often. Where
//! `strace` is missing or may not trace, the tests are skipped and say so.

mod code_id;
mod commit;
mod deploy;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sceneshift::wire::api::CommitAnswer;

use crate::support::process::{Process, Site};
use crate::support::strace::{Calls, Trace};
use crate::support::wait::until;

/// Time stamps of what is younger are not believed (`storage-format.md` §6): a commit waits and looks again, and is not what is measured.
const OLD: Duration = Duration::from_millis(100);

/// How long that may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A staging tree: each environment holds the same modules, and a manifest of its own.
#[derive(Clone, Copy)]
struct Estate {
    environments: u64,
    /// In each environment.
    modules: u64,
    /// In each module.
    files: u64,
}

const SMALL: Estate = Estate { environments: 2, modules: 6, files: 10 };
const LARGE: Estate = Estate { environments: 12, modules: 12, files: 10 };

impl Estate {
    /// Directories in staging, its own too.
    fn dirs(self) -> u64 {
        2 + self.environments * (3 + 2 * self.modules)
    }

    fn files(self) -> u64 {
        self.environments * (1 + self.modules * self.files)
    }

    /// Distinct contents.
    fn blobs(self) -> u64 {
        self.environments + self.modules * self.files
    }

    fn write(self, site: &Site) {
        for environment in 0..self.environments {
            let dir = format!("environments/env{environment}");
            for (module, file) in (0..self.modules).flat_map(|module| (0..self.files).map(move |file| (module, file))) {
                let path = format!("{dir}/modules/module{module}/manifests/file{file}.pp");
                site.stage(&path, format!("class module{module}::file{file} {{ }}\n"));
            }
            site.stage(
                &format!("{dir}/manifests/site.pp"),
                format!("node default {{ notify {{ '{environment}': }} }}\n"),
            );
        }
        wait_until_old(&site.staging().join(format!("environments/env{}/manifests/site.pp", self.environments - 1)));
    }
}

/// Changes one file.
fn edit(site: &Site, content: &str) {
    let path = "environments/env0/modules/module0/manifests/file0.pp";
    site.stage(path, content);
    wait_until_old(&site.staging().join(path));
}

fn wait_until_old(path: &Path) {
    let written = path.metadata().unwrap().modified().unwrap();
    until("staging is old enough", LIMIT, || SystemTime::now().duration_since(written).ok().filter(|age| *age > OLD));
}

/// A site whose primary is traced.
struct Primary {
    site: Site,
    trace: Trace,
    _process: Process,
}

impl Primary {
    fn start(estate: Estate) -> Self {
        let site = Site::new();
        estate.write(&site);
        let trace = Trace::new(site.folder().join("primary.strace"));
        let process = site.start_primary_by(|command| trace.of(&command));
        Self { site, trace, _process: process }
    }

    /// Commits all, or one environment.
    fn commit(&self, environment: Option<&str>) -> Committed {
        let mut answer = None;
        let log = self.trace.during(|| {
            let mut args = vec!["commit", "--json", "-r", "puppet-code"];
            args.extend(environment.into_iter().flat_map(|environment| ["-e", environment]));
            let output = self.site.run(&args);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            answer = Some(serde_json::from_slice(&output.stdout).unwrap());
        });
        Committed {
            answer: answer.unwrap(),
            staging: log.below(&self.site.staging()),
            store: log.below(&self.site.primary_data()),
            manifests_opened: log.opened(".pp"),
        }
    }
}

/// What a commit answered, and what it called.
struct Committed {
    answer: CommitAnswer,
    /// In staging.
    staging: Calls,
    /// In the primary's data directory.
    store: Calls,
    /// How often a manifest was opened.
    manifests_opened: u64,
}

/// A site with a client that is traced, and waits for the first commit.
struct Client {
    site: Site,
    trace: Trace,
    data: PathBuf,
    _processes: [Process; 2],
}

impl Client {
    fn start(estate: Estate) -> Self {
        let site = Site::new();
        estate.write(&site);
        let trace = Trace::new(site.folder().join("client.strace"));
        let primary = site.start_primary();
        let client = site.start_client_by("client", &site.address(), |command| trace.of(&command));
        let data = site.client_data("client");
        Self { site, trace, data, _processes: [primary, client] }
    }

    /// Commits; gives what was called in the client's data directory until the commit was live and all was done.
    fn commit_and_deploy(&self) -> Calls {
        let log = self.trace.during(|| {
            let commit = self.site.commit().commit;
            let output = self.site.run(&["sync", "--json", "--data-dir", self.data.to_str().unwrap()]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let live = self.site.current("client").read_link().unwrap();
            assert!(live.to_str().unwrap().contains(&commit.to_string()), "{live:?} is not {commit}");
        });
        log.below(&self.data)
    }
}

/// Fails the test where there were more of these calls than `bound`.
#[track_caller]
fn assert_at_most(what: &str, found: u64, bound: u64, calls: &Calls) {
    println!("{what}: {found}, at most {bound} ({calls})");
    assert!(found <= bound, "{what}: {found} where at most {bound} are right; {calls}");
}

/// Fails the test where a larger estate costs more than a smaller one, but for `more`.
#[track_caller]
fn assert_flat(what: &str, names: &[&str], small: &Calls, large: &Calls, more: u64) {
    let (few, many) = (small.of(names), large.of(names));
    println!("{what}: {few} in the small estate, {many} in the large one, {more} more are right");
    assert!(
        many <= few + more,
        "{what}: {few} in the small estate, {many} in the large one\nsmall: {small}\nlarge: {large}"
    );
}

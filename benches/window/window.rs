//! A pause without drain and flush (hold, exchange of `current`, resume) beside what cannot be less: a bare symbolic link, made and renamed over another. Both take turns
//! in one loop, on one file system, so that a disturbance hits both.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use sceneshift::config::read_client;
use sceneshift::farm::{Farm, FarmSettings, SharedDirs};
use sceneshift::gate::{Drain, Gate};
use sceneshift::pause::{Paused, Scope};
use sceneshift::progress::Progress;
use sceneshift::puppet::Certificates;
use sceneshift::values::{Author, Commit, CommitId, RepoName, Subtree, Totals, Tree, TreeId, TreePath};

/// How often each swap is made.
pub(crate) const ROUNDS: usize = 2000;

/// Of the bare swap, and of the paused one: the middle, the 99th percentile and the longest, in microseconds. `folder` must be empty.
pub(crate) fn measure(folder: &Path) -> ([f64; 3], [f64; 3]) {
    let repo: RepoName = "puppet-code".parse().expect("a name");
    let farm = Farm::open(&folder.join("client"), FarmSettings::default()).expect("a new farm");
    let generations = [generation(&farm, &repo, 1), generation(&farm, &repo, 2)];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let gate = gate(folder);
    gate.close(None);

    let (mut bare, mut window) = (Vec::new(), Vec::new());
    let (link, spare) = (folder.join("bare"), folder.join("bare.new"));
    for round in 0..ROUNDS {
        let began = Instant::now();
        symlink(format!("generations/{round}"), &spare).expect("a link");
        std::fs::rename(&spare, &link).expect("a rename");
        bare.push(began.elapsed());

        let swap = farm.prepare_swap(&repo, &generations[round % 2]).expect("a generation");
        let began = Instant::now();
        let drain = Drain { limit: Duration::from_secs(1), runs: None };
        let hold = runtime.block_on(gate.pause(&Scope::Everything, drain)).expect("nothing runs");
        let paused = Paused::new(move || drop(hold));
        swap.make(&paused).expect("an exchange");
        paused.resume();
        window.push(began.elapsed());
        drop(swap);
    }
    (shares(bare), shares(window))
}

/// The middle, the 99th percentile, the longest, in microseconds.
fn shares(mut times: Vec<Duration>) -> [f64; 3] {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    [at(0.5), at(0.99), at(1.0)]
}

/// A generation with nothing in it: what is swapped is a link, whatever it leads to.
fn generation(farm: &Farm, repo: &RepoName, sequence: u64) -> CommitId {
    let canonical = sceneshift::codec::encode_tree(&Tree::default());
    let tree = TreeId::of(&canonical);
    farm.put_trees(&[(tree, canonical)]).expect("an empty tree");
    let commit = Commit {
        repo: repo.clone(),
        root: Subtree { id: tree, totals: Totals::default() },
        environments_dir: TreePath::root(),
        parent: None,
        sequence,
        time: 0,
        author: Author::default(),
        message: String::new(),
    };
    let id = farm.put_commit(&commit).expect("a commit");
    let shared = SharedDirs::new(&["environments/*"]).expect("a pattern");
    let plan = farm.plan(id, &commit, &shared, None).expect("a plan");
    farm.build(&plan, &Progress::default()).expect("a generation");
    id
}

/// A gate that no request comes to.
fn gate(folder: &Path) -> Arc<Gate> {
    let ssl = folder.join("ssl");
    for dir in ["certs", "private_keys"] {
        std::fs::create_dir_all(ssl.join(dir)).expect("a folder");
    }
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("parameters");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    let certificate = ca.self_signed(&key).expect("a certificate");
    let issuer = rcgen::Issuer::new(ca, &key);
    let revoked = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: rcgen::date_time_ymd(2096, 1, 1),
        crl_number: 1u64.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let write = |path: &str, text: String| std::fs::write(ssl.join(path), text).expect("a file");
    write("certs/ca.pem", certificate.pem());
    write("certs/localhost.pem", certificate.pem());
    write("private_keys/localhost.pem", key.serialize_pem());
    write("crl.pem", revoked.signed_by(&issuer).expect("a list").pem().expect("its text"));
    let settings = format!(
        "data-dir = {0:?}\nserver = \"http://127.0.0.1:1\"\n[puppet]\nssl-dir = {1:?}\ncertname = \"localhost\"\n[gate]\nlisten = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:1\"\naccess-log = {2:?}\n[repos.puppet-code]\n",
        folder.join("client"),
        ssl,
        folder.join("access.log"),
    );
    let file = folder.join("client.toml");
    std::fs::write(&file, settings).expect("a file");
    let config = read_client(&file).expect("settings");
    let puppet = config.puppet.as_ref().expect("it is set");
    let certificates = Arc::new(Certificates::open(puppet).expect("certificates"));
    let settings = config.gate.as_ref().expect("it is set");
    let hold = config.longest_hold();
    Gate::new(settings, certificates, hold, false, &mut Registry::default()).expect("a gate")
}

//! Secrets stay secret: who can read what in the data directories, whatever the umask, tried by other users; and nothing of a key or a
//! certificate in any log.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use nix::sys::signal::Signal;
use nix::unistd::{Group, User};

use crate::support::agent::{Agent, FORM};
use crate::support::ca::{Ca, Certificate, HOST};
use crate::support::folder;
use crate::support::gated::Ports;
use crate::support::process::{Process, Site, sceneshift};
use crate::support::user::OtherUser;
use crate::support::wait::until;

const SOON: Duration = Duration::from_secs(40);

/// The daemon, with this umask.
fn under(umask: &str, args: &[&str], config: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_sceneshift")]);
    command.args(args).arg(config).env("RUST_LOG", "trace").env("NO_COLOR", "1").env_remove("SCENESHIFT_SERVER");
    command
}

/// Everything below a directory, and itself, without following links.
fn everything(root: &Path) -> Vec<PathBuf> {
    let output = Command::new("find").arg(root).arg("-print0").output().unwrap();
    let paths = output.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    paths.map(|path| PathBuf::from(String::from_utf8(path.to_vec()).unwrap())).collect()
}

/// Which of these somebody can read, or write: `r` or `w`, as the kernel says to himself.
fn permitted(user: &OtherUser, what: &str, paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let script = format!("for path; do [ -{what} \"$path\" ] && printf '%s\\n' \"$path\"; done; :");
    let mut found = BTreeSet::new();
    for part in paths.chunks(500) {
        let output = user.command("sh").args(["-c", &script, "sh"]).args(part).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        found.extend(String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from));
    }
    found
}

fn is_below(path: &Path, data: &Path, names: &[&str]) -> bool {
    names.iter().any(|name| path.starts_with(data.join(name)))
}

#[test]
fn the_readers_group_reads_the_farm_and_nobody_anything_else_whatever_the_umask() {
    for umask in ["000", "077"] {
        let mut site = Site::new();
        // The group of the user `daemon`, who stands for Puppet Server.
        let Some(group) = User::from_name("daemon").unwrap().and_then(|user| Group::from_gid(user.gid).unwrap()) else {
            println!("skipped: there is no user daemon");
            return;
        };
        let (reader, stranger) = (OtherUser::new("daemon", site.folder()), OtherUser::new("nobody", site.folder()));
        let (Some(reader), Some(stranger)) = (reader, stranger) else { return };
        site.stage("environments/production/manifests/site.pp", "the password");
        site.stage("environments/production/modules/m/files/f", "of a module");
        site.stage("modules/shared/files/f", "shared");

        site.primary_settings = "keep-commits = 1".to_owned();
        let log = site.folder().join("primary.log");
        let mut primary =
            Process::start("the primary", under(umask, &["serve", "--config"], &site.primary_settings_file()), log);
        let address = primary.listening();
        let server = format!("http://{address}");
        let committed = sceneshift(&["commit", "--server", &server]).output().unwrap();
        assert!(committed.status.success(), "{}", String::from_utf8_lossy(&committed.stderr));
        let config = site.client_settings_file("client", &server);
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("reader-group = {:?}\n{text}", group.name)).unwrap();
        let log = site.folder().join("client.log");
        let client = Process::start("the client", under(umask, &["client", "--config"], &config), log);
        until("it is deployed", SOON, || site.status("client")?.deployed);

        let file = site.current("client").join("environments/production/manifests/site.pp");
        let read = reader.command("cat").arg(&file).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&read.stdout), "the password", "umask {umask}: {read:?}");
        let read = stranger.command("cat").arg(&file).output().unwrap();
        assert!(!read.status.success(), "umask {umask}");

        let (of_primary, of_client) = (site.primary_data(), site.client_data("client"));
        let paths = [everything(&of_primary), everything(&of_client)].concat();
        assert!(paths.len() > 50, "the data directories were found");
        for what in ["r", "w", "x"] {
            assert_eq!(permitted(&stranger, what, &paths), BTreeSet::new(), "umask {umask}: -{what}");
        }
        for path in permitted(&reader, "r", &paths) {
            let allowed =
                path == of_client || is_below(&path, &of_client, &["repos", "trees", "FORMAT", "content.sock"]);
            assert!(allowed, "umask {umask}: {} can be read by the readers", path.display());
        }
        let writable = permitted(&reader, "w", &paths);
        // All of the farm's links lead to what is not writable either; who may connect to the socket writes to it.
        assert_eq!(writable, BTreeSet::from([of_client.join("content.sock")]), "umask {umask}");
        for path in paths.iter().filter(|path| is_below(path, &of_client, &["repos", "trees"])) {
            assert!(permitted_or_link(&reader, path), "umask {umask}: {} is closed to the readers", path.display());
        }
        assert!(primary.is_running());
        assert!(client.stop().success() && primary.stop().success());
    }
}

/// Whether it can be read; of a link, what it leads to is looked at elsewhere.
fn permitted_or_link(user: &OtherUser, path: &Path) -> bool {
    let is_link = std::fs::symlink_metadata(path).unwrap().is_symlink();
    let is_record = path.file_name().is_some_and(|name| name == "flush-pending");
    is_link || is_record || !permitted(user, "r", &[path.to_owned()]).is_empty()
}

// ---- logs ----

/// What must not stand in a log: pieces of keys and certificates, in every writing that one could think of.
fn pieces(ssl: &Path, certificates: &[&Certificate]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut add = |der: &[u8]| {
        let base64 = BASE64_STANDARD.encode(der);
        let runs = base64.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|run| run.len() >= 20);
        found.extend(runs.map(|run| run[..20].to_owned()));
        // Each end of these looks alike in all of them.
        let middle = &der[der.len() / 2..der.len() / 2 + 12];
        found.insert(middle.iter().map(|byte| format!("{byte:02x}")).collect());
        found.insert(format!("{middle:?}").trim_matches(['[', ']']).to_owned());
    };
    for directory in ["certs", "private_keys"] {
        for entry in std::fs::read_dir(ssl.join(directory)).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for pem in text.split("-----BEGIN ").skip(1) {
                let body: String = pem.lines().skip(1).take_while(|line| !line.starts_with("-----")).collect();
                add(&BASE64_STANDARD.decode(body).unwrap());
            }
        }
    }
    for certificate in certificates {
        add(&certificate.der);
        add(certificate.key().secret_der());
    }
    found
}

const HALF_A_KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n";

#[test]
fn no_log_holds_anything_of_a_key_or_a_certificate() {
    let folder = folder::fast();
    let path = |name: &str| folder.path().join(name);
    let ca = Ca::new(&path("ssl"));
    let old = ca.host(HOST, None);
    let agent = ca.agent("agent.example");
    std::fs::create_dir_all(path("staging/environments/production")).unwrap();
    std::fs::write(path("staging/environments/production/site.pp"), "one").unwrap();
    std::fs::write(
        path("primary.toml"),
        format!(
            "data-dir = {:?}\nlisten = \"127.0.0.1:0\"\n[puppet]\nssl-dir = {:?}\ncertname = {HOST:?}\n[access]\nread = [\"*\"]\n\
             commit = [{HOST:?}]\n[repos.puppet-code]\nstaging-dir = {:?}\n",
            path("primary"),
            ca.dir(),
            path("staging")
        ),
    )
    .unwrap();
    let mut primary = Process::start(
        "the primary",
        under("022", &["serve", "-vv", "--config"], &path("primary.toml")),
        path("primary.log"),
    );
    let address: SocketAddr = primary.listening();
    let commit = || {
        let socket = format!("unix:{}", path("primary/control.sock").display());
        let output = sceneshift(&["commit", "--server", &socket]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    commit();

    let ports = Ports::choose();
    std::fs::write(
        path("client.toml"),
        format!(
            "data-dir = {:?}\nserver = \"https://localhost:{}\"\nlisten = \"{}\"\n[puppet]\nssl-dir = {:?}\ncertname = {HOST:?}\n\
             [gate]\nlisten = \"{}\"\nupstream = \"http://127.0.0.1:1\"\naccess-log = {:?}\n[repos.puppet-code]\n",
            path("client"),
            address.port(),
            ports.metrics,
            ca.dir(),
            ports.tls,
            path("access.log")
        ),
    )
    .unwrap();
    let mut client = Process::start(
        "the client",
        under("022", &["client", "-vv", "--config"], &path("client.toml")),
        path("client.log"),
    );
    let deployed = || {
        let output = sceneshift(&["status", "--json", "--data-dir"]).arg(path("client")).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        report["repos"]["puppet-code"]["sequence"].as_u64()
    };
    until("it is deployed", SOON, || deployed().filter(|sequence| *sequence == 1));

    // Agents that are let in, that are not, and that are nobody.
    let ask = |tls: &std::sync::Arc<rustls::ClientConfig>| {
        let asked = Agent::with(ports.tls, tls).request(
            "POST",
            "/puppet/v3/catalog/agent.example",
            &[FORM],
            b"environment=production",
        );
        asked.map(|answer| answer.status)
    };
    let stranger = Ca::new(&path("strange"));
    let foreign = stranger.agent("agent.example");
    let expired = ca.expired("old.example");
    assert_eq!(ask(&crate::support::agent::tls(&ca, Some(&agent))).unwrap(), 502, "nobody is behind the gate");
    for certificate in [Some(&foreign), Some(&expired), None] {
        let _ = ask(&crate::support::agent::tls(&ca, certificate));
    }
    ca.revoke(&agent);
    until("the revocation counts", SOON, || {
        ask(&crate::support::agent::tls(&ca, Some(&agent))).ok().is_none_or(|status| status == 403).then_some(())
    });

    // The host's certificate is renewed, twice; for a moment its key is another one's, and half written.
    let before = pieces(ca.dir(), &[&agent, &foreign, &expired, &old]);
    let mut all = before;
    let key = ca.dir().join(format!("private_keys/{HOST}.pem"));
    let wrong = std::fs::read_to_string(path("strange").join(format!("private_keys/{HOST}.pem"))).unwrap();
    for text in [&wrong[..], HALF_A_KEY] {
        for (said, change) in
            [("changed certificates cannot be used", Some(text)), ("took in changed certificates", None)]
        {
            let said_before = [&primary, &client].map(|daemon| daemon.log().matches(said).count());
            match change {
                Some(text) => std::fs::write(&key, text).unwrap(),
                None => all.extend(pieces(ca.dir(), &[&ca.host(HOST, None)])),
            }
            for (daemon, before) in [&primary, &client].into_iter().zip(said_before) {
                until(said, SOON, || (daemon.log().matches(said).count() > before).then_some(()));
            }
        }
    }
    std::fs::write(path("staging/environments/production/site.pp"), "two").unwrap();
    commit();
    until("it goes on", SOON, || deployed().filter(|sequence| *sequence == 2));
    client.signal(Signal::SIGTERM);
    client.ended();
    primary.signal(Signal::SIGTERM);
    primary.ended();

    all.extend(pieces(stranger.dir(), &[]));
    all.extend(HALF_A_KEY.lines().nth(1).map(str::to_owned));
    assert!(all.len() > 50, "there is something to look for");
    for log in ["primary.log", "client.log", "access.log"] {
        let text = std::fs::read_to_string(path(log)).unwrap();
        assert!(log == "access.log" || text.contains(" DEBUG "), "{log} holds every detail");
        for piece in &all {
            let line = text.lines().find(|line| line.contains(piece));
            assert!(line.is_none(), "{log}: {piece} in {:.300}", line.unwrap());
        }
    }
}

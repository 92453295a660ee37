//! Static catalogs: what Puppet Server's two commands print, by real processes, over every way that content can take.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use sceneshift::remote::FileAnswer;
use sceneshift::values::TreePath;
use sceneshift::wire::api::{PinRequest, PinTo};

use crate::support::process::sceneshift;
use crate::support::proxy::Proxy;
use crate::support::rig::{Rig, Running};
use crate::support::wait::until;

const CODE_ID: &str = env!("CARGO_BIN_EXE_sceneshift-code-id");
const CODE_CONTENT: &str = env!("CARGO_BIN_EXE_sceneshift-code-content");

/// Old versions leave the client as soon as it has a newer one.
const FORGETFUL: &str = "keep-generations = 1\nkeep-age = \"0s\"";

/// Generations are kept, in each layout that differs for a reader.
const KEEPING: [&str; 4] = [
    "",
    "shared-dirs = []",
    "shared-dirs = [\"environments/*/modules/*\"]",
    "shared-dirs = [\"environments/*\", \"environments/*/modules/m/files\"]",
];

fn settings(rig: &Rig) -> PathBuf {
    rig.folder().join("client.toml")
}

fn program(rig: &Rig, program: &str, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env_clear().env("SCENESHIFT_CLIENT_CONFIG", settings(rig)).current_dir("/").stdin(Stdio::null());
    command
}

fn code_id(rig: &Rig, environment: impl AsRef<OsStr>) -> Output {
    program(rig, CODE_ID, &[environment]).output().unwrap()
}

/// The id that is live.
#[track_caller]
fn live(rig: &Rig, environment: &str) -> String {
    let output = code_id(rig, environment);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let id = text.strip_suffix('\n').unwrap_or_else(|| panic!("{environment} has no id"));
    assert_eq!(id.len(), 64, "{text:?}");
    id.to_owned()
}

fn content(rig: &Rig, environment: &str, id: &str, path: impl AsRef<OsStr>) -> Output {
    let args = [OsStr::new(environment), OsStr::new(id), path.as_ref()];
    program(rig, CODE_CONTENT, &args).output().unwrap()
}

#[track_caller]
fn assert_content(rig: &Rig, environment: &str, id: &str, path: &str, wanted: &[u8]) {
    let output = content(rig, environment, id, path);
    assert!(output.status.success() && output.stderr.is_empty(), "{path}: {}", text(&output.stderr));
    assert!(output.stdout == wanted, "{path}: {}", text(&output.stdout));
}

/// Nothing at all on standard output, and an error that holds these words.
#[track_caller]
fn assert_refused(output: &Output, words: &str) {
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    assert!(errors.contains(words), "{words:?} is not in {errors}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn stage(rig: &Rig, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = rig.staging().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn link(rig: &Rig, path: &str, target: &str) {
    let path = rig.staging().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}

fn deploy(rig: &Rig) {
    rig.commit();
    rig.deploy();
}

/// A client that has deployed the head.
fn client(rig: &Rig) -> Running {
    let client = rig.start_client();
    until("the client answers", Duration::from_secs(30), || rig.block_on(rig.socket().status()).ok());
    client
}

const FILE: &str = "modules/m/files/f";

fn stage_version(rig: &Rig, version: &str) {
    stage(rig, format!("environments/production/{FILE}"), version);
    stage(rig, "environments/dev/manifests/site.pp", "always the same");
}

// ---- code-id ----

#[test]
fn the_programs_link_no_database_and_no_cpp() {
    for program in [CODE_ID, CODE_CONTENT] {
        let linked = text(&Command::new("ldd").arg(program).output().unwrap().stdout);
        assert!(linked.contains("libc.so"), "{linked}");
        assert!(!linked.contains("libstdc++") && !linked.contains("rocksdb"), "{linked}");
        // What is linked statically, ldd does not show.
        let bytes = fs::read(program).unwrap();
        assert!(!bytes.windows(7).any(|word| word == b"rocksdb"), "{program} holds RocksDB");
    }
}

#[test]
fn the_id_is_that_of_the_tree_that_is_live() {
    let rig = Rig::new();
    stage_version(&rig, "one");
    link(&rig, "environments/linked", "production");
    deploy(&rig);
    let first = live(&rig, "production");
    let listed = |environment: &str| {
        let path = TreePath::new(b"environments").unwrap();
        match rig.block_on(rig.remote().listing_or_file(&rig.repo(), "head", &path)).unwrap() {
            FileAnswer::Listing(listing) => {
                listing.entries.into_iter().find(|entry| entry.name == environment).unwrap().id.unwrap()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(first, listed("production"));
    assert_eq!(live(&rig, "linked"), first, "a link has the version of what it leads to");
    let dev = live(&rig, "dev");
    assert_eq!(dev, listed("dev"));

    let client = client(&rig);
    stage_version(&rig, "two");
    rig.commit();
    until("the second version is live", Duration::from_secs(30), || (live(&rig, "production") != first).then_some(()));
    assert_eq!(live(&rig, "production"), listed("production"));
    assert_eq!(live(&rig, "dev"), dev, "what did not change keeps its version");
    let back = PinRequest { repo: rig.repo(), to: PinTo::Previous };
    rig.block_on(rig.socket().pin(&back)).unwrap();
    assert_eq!(live(&rig, "production"), first, "after a rollback");
    rig.stop_client(client);

    let by_command = |args: &[&str]| {
        let output = sceneshift(args).arg("--config").arg(settings(&rig)).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(by_command(&["code-id", "production"]), format!("{first}\n"));
    assert_eq!(by_command(&["code-id", "nobodys"]), "");
    assert_eq!(by_command(&["code-content", "production", &first, FILE]), "one");
}

#[test]
fn an_environment_that_is_not_ours_is_no_error() {
    let rig = Rig::new();
    let nothing = |environment: &OsStr| {
        let output = code_id(&rig, environment);
        assert!(output.status.success(), "{environment:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{environment:?}: {output:?}");
    };
    rig.client_config_for(rig.address());
    nothing(OsStr::new("production"));
    stage_version(&rig, "one");
    deploy(&rig);
    let long = "e".repeat(300);
    for environment in ["nobodys", "", ".", "..", "../ids/production", "production/", "/etc", long.as_str()] {
        nothing(OsStr::new(environment));
    }
    nothing(OsStr::from_bytes(b"\xff"));
    live(&rig, "production");
}

#[test]
fn of_several_repos_the_first_that_has_it_answers() {
    let rig = Rig::new();
    stage_version(&rig, "one");
    deploy(&rig);
    let id = live(&rig, "production");
    let more = format!("data-dir = {:?}\n[repos.another]\n[repos.puppet-code]\n[repos.zzz]\n", rig.client_data());
    fs::write(settings(&rig), more).unwrap();
    assert_eq!(live(&rig, "production"), id);
    assert_content(&rig, "production", &id, FILE, b"one");
}

#[test]
fn settings_that_cannot_be_read_are_an_error_that_names_them() {
    let rig = Rig::new();
    let name = settings(&rig).display().to_string();
    assert_refused(&code_id(&rig, "production"), &name);
    fs::write(settings(&rig), "data-dir = 7").unwrap();
    assert_refused(&code_id(&rig, "production"), &name);
    assert_refused(&content(&rig, "production", &"ab".repeat(32), "f"), &name);
    fs::write(settings(&rig), "data-dir = \"/nowhere\"\nfuture = { key = [1] }\n[repos.a]\nother = 1").unwrap();
    assert!(code_id(&rig, "production").status.success(), "keys of the daemon's are its own business");
    let none: [&str; 0] = [];
    assert_refused(&program(&rig, CODE_ID, &none).output().unwrap(), "sceneshift-code-id ENVIRONMENT");
    assert_refused(&program(&rig, CODE_CONTENT, &["a", "b"]).output().unwrap(), "CODE-ID PATH");
}

#[test]
fn an_id_that_is_none_is_never_printed() {
    let rig = Rig::new();
    stage_version(&rig, "one");
    deploy(&rig);
    let id = fs::canonicalize(rig.current()).unwrap().join("../ids/production");
    fs::remove_file(&id).unwrap();
    symlink("not hexadecimal", &id).unwrap();
    assert_refused(&code_id(&rig, "production"), "fsck");
}

// ---- code-content ----

/// Paths, and words of the error.
type Refused = Vec<(&'static str, &'static str)>;

/// Puts one of each kind into an environment; gives what must be served, and what must be refused with which words.
fn fill(rig: &Rig) -> (Vec<(&'static str, Vec<u8>)>, Refused) {
    let large: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    let environment = "environments/production";
    let module = format!("{environment}/modules/m");
    let mut served = vec![
        (FILE, b"plain".to_vec()),
        ("modules/m/files/sp ace+pl%us?&#.txt", b"odd".to_vec()),
        ("modules/m/files/\u{fc}mlaut \u{1f680}", b"utf-8".to_vec()),
        ("modules/m/files/empty", Vec::new()),
        ("modules/m/files/deep/er/large", large),
        ("environment.conf", b"conf".to_vec()),
    ];
    for (path, bytes) in &served {
        stage(rig, format!("{environment}/{path}"), bytes);
    }
    stage(rig, format!("{module}/files/run.sh"), "#!/bin/sh");
    fs::set_permissions(rig.staging().join(format!("{module}/files/run.sh")), fs::Permissions::from_mode(0o755))
        .unwrap();
    link(rig, &format!("{module}/files/inside"), "../files/deep/../f");
    link(rig, &format!("{environment}/modules/alias"), "../modules/m");
    link(rig, &format!("{environment}/modules/chain"), "alias");
    link(rig, &format!("{module}/files/round"), "round");
    link(rig, &format!("{module}/files/behind"), "f/");
    link(rig, &format!("{module}/files/sibling"), "../../../../dev/manifests/site.pp");
    link(rig, &format!("{module}/files/absolute"), "/etc/passwd");
    link(rig, &format!("{environment}/modules/borrowed"), "../../dev");
    stage(rig, "environments/dev/manifests/site.pp", "another environment's");
    served.extend([
        ("modules/m/files/run.sh", b"#!/bin/sh".to_vec()),
        ("modules/m/files/inside", b"plain".to_vec()),
        ("modules/alias/files/f", b"plain".to_vec()),
        ("modules/chain/files/inside", b"plain".to_vec()),
    ]);
    let refused = vec![
        ("modules/m/files/sibling", "leads out of the environment"),
        ("modules/m/files/absolute", "leads out of the environment"),
        ("modules/borrowed/manifests/site.pp", "leads out of the environment"),
        ("modules/m/files", "is no file"),
        ("modules/m/files/round", ""),
        ("modules/m/files/behind", ""),
        ("modules/m/files/f/x", ""),
        ("modules/m/files/missing", ""),
        ("../dev/manifests/site.pp", "no path inside"),
        ("modules/../../dev/manifests/site.pp", "no path inside"),
        ("modules/m/files/../files/f", "no path inside"),
        ("/etc/passwd", "no path inside"),
        ("./environment.conf", "no path inside"),
        ("modules//m/files/f", "no path inside"),
        ("", "no path inside"),
    ];
    (served, refused)
}

#[test]
fn every_kind_of_file_is_served_as_it_was_in_each_layout_and_from_the_primary_too() {
    for layout in KEEPING.into_iter().chain([FORGETFUL]) {
        let rig = Rig::with("", layout);
        let (served, refused) = fill(&rig);
        link(&rig, "environments/linked", "production");
        deploy(&rig);
        let id = live(&rig, "production");
        if layout == FORGETFUL {
            // Another version, so that the first is the primary's alone.
            stage(&rig, "environments/production/environment.conf", "new");
            stage(&rig, format!("environments/production/{FILE}"), "new");
            deploy(&rig);
            let generations = fs::read_dir(rig.client_data().join("repos/puppet-code/generations")).unwrap();
            assert_eq!(generations.count(), 1);
            assert_refused(&content(&rig, "production", &id, FILE), "content.sock");
        }
        let daemon = client(&rig);
        for (path, bytes) in &served {
            assert_content(&rig, "production", &id, path, bytes);
            assert_content(&rig, "linked", &id, path, bytes);
        }
        for (path, words) in &refused {
            assert_refused(&content(&rig, "production", &id, path), words);
        }
        rig.stop_client(daemon);
        assert!(!rig.client_data().join("content.sock").exists());
    }
}

#[test]
fn a_file_edited_in_place_is_served_as_it_was_or_not_at_all() {
    let mut rig = Rig::new();
    stage_version(&rig, "one");
    deploy(&rig);
    let id = live(&rig, "production");
    let file = rig.current().join("environments/production").join(FILE);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "own").unwrap();
    assert_refused(&content(&rig, "production", &id, FILE), "content.sock");
    let daemon = client(&rig);
    assert_content(&rig, "production", &id, FILE, b"one");
    rig.stop_primary();
    assert_refused(&content(&rig, "production", &id, FILE), "cannot connect to the primary");
    rig.stop_client(daemon);
}

#[test]
fn an_environment_that_shows_another_version_serves_neither_under_the_id_of_the_first() {
    let rig = Rig::new();
    stage_version(&rig, "one");
    deploy(&rig);
    let id = live(&rig, "production");
    stage_version(&rig, "two");
    deploy(&rig);
    let old = rig.client_data().join("repos/puppet-code/generations");
    let old = fs::read_dir(old).unwrap().map(|entry| entry.unwrap().path());
    let current = fs::canonicalize(rig.current()).unwrap();
    let old =
        old.filter(|generation| !current.starts_with(generation)).map(|generation| generation.join("root")).next();
    let damaged = old.unwrap().join("environments/production");
    fs::remove_file(&damaged).unwrap();
    symlink(fs::canonicalize(current.join("environments/production")).unwrap(), &damaged).unwrap();
    assert_refused(&content(&rig, "production", &id, FILE), "content.sock");
    let daemon = client(&rig);
    assert_content(&rig, "production", &id, FILE, b"one");
    rig.stop_client(daemon);
}

#[test]
fn an_environment_that_leads_elsewhere_in_the_repo_is_served_here_and_by_the_primary() {
    for settings in ["shared-dirs = []", FORGETFUL] {
        let rig = Rig::with("", settings);
        stage(&rig, "releases/one/modules/m/files/f", "one");
        stage(&rig, "releases/two/modules/m/files/f", "two");
        link(&rig, "environments/production", "../releases/one");
        deploy(&rig);
        let id = live(&rig, "production");
        fs::remove_file(rig.staging().join("environments/production")).unwrap();
        link(&rig, "environments/production", "../releases/two");
        deploy(&rig);
        let daemon = client(&rig);
        assert_content(&rig, "production", &id, FILE, b"one");
        assert_content(&rig, "production", &live(&rig, "production"), FILE, b"two");
        rig.stop_client(daemon);
    }
}

#[test]
fn a_name_that_is_no_text_is_served() {
    let rig = Rig::with("", FORGETFUL);
    let path = OsStr::from_bytes(b"modules/m/files/\xff\x01");
    stage(&rig, Path::new("environments/production").join(path), "bytes");
    deploy(&rig);
    let id = live(&rig, "production");
    let daemon = client(&rig);
    assert_eq!(content(&rig, "production", &id, path).stdout, b"bytes", "from here");
    stage(&rig, Path::new("environments/production").join(path), "new");
    rig.commit();
    rig.block_on(rig.socket().sync(&Default::default())).unwrap();
    assert_eq!(content(&rig, "production", &id, path).stdout, b"bytes", "from the primary");
    rig.stop_client(daemon);
}

#[test]
fn a_version_is_served_from_the_disk_then_by_the_primary_and_never_another_in_its_place() {
    let rig = Rig::with("keep-commits = 1\nkeep-age = \"0s\"", "keep-generations = 2\nkeep-age = \"0s\"");
    let mut ids = Vec::new();
    for version in ["one", "two", "three"] {
        stage_version(&rig, version);
        deploy(&rig);
        ids.push(live(&rig, "production"));
    }
    // Without a daemon: what is on this disk.
    assert_content(&rig, "production", &ids[2], FILE, b"three");
    assert_content(&rig, "production", &ids[1], FILE, b"two");
    assert_refused(&content(&rig, "production", &ids[0], FILE), "is it running");
    let daemon = client(&rig);
    assert_content(&rig, "production", &ids[0], FILE, b"one");
    // Nobody has it: an id that never was, one of another kind of thing, one that is none.
    assert_refused(&content(&rig, "production", &"ab".repeat(32), FILE), "no environment's tree");
    assert_refused(&content(&rig, "production", &rig.commit().commit.to_string(), FILE), "no environment's tree");
    for none in ["", "head", &ids[0][..63], &format!("{}0", ids[0]), &ids[0].to_uppercase(), "../../../../etc/passwd"] {
        assert_refused(&content(&rig, "production", none, FILE), "no code id");
    }
    assert_refused(&content(&rig, "..", &ids[0], FILE), "no environment's name");
    rig.block_on(rig.remote().gc(&rig.repo())).unwrap();
    assert_refused(&content(&rig, "production", &ids[0], FILE), "no environment's tree");
    assert_content(&rig, "production", &ids[1], FILE, b"two");
    rig.stop_client(daemon);
}

#[test]
fn without_the_primary_what_is_here_is_served_and_the_rest_is_an_error() {
    let mut rig = Rig::with("", FORGETFUL);
    stage_version(&rig, "one");
    deploy(&rig);
    let old = live(&rig, "production");
    stage_version(&rig, "two");
    deploy(&rig);
    let daemon = client(&rig);
    rig.stop_primary();
    assert_content(&rig, "production", &live(&rig, "production"), FILE, b"two");
    assert_refused(&content(&rig, "production", &old, FILE), "cannot connect to the primary");
    rig.start_primary();
    assert_content(&rig, "production", &old, FILE, b"one");
    rig.stop_client(daemon);
}

#[test]
fn a_primary_that_says_nothing_holds_nobody_for_ever() {
    let rig = Rig::with("", FORGETFUL);
    stage_version(&rig, "one");
    deploy(&rig);
    let old = live(&rig, "production");
    stage_version(&rig, "two");
    deploy(&rig);
    // It takes connections, and nothing more.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let daemon = rig.start_client_of(&format!("http://{}", silent.local_addr().unwrap()));
    until("the client answers", Duration::from_secs(30), || rig.block_on(rig.socket().status()).ok());
    let mut asking = program(&rig, CODE_CONTENT, &["production", &old, FILE]);
    let mut asking = asking.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it gives up", Duration::from_secs(60), || asking.try_wait().unwrap());
    assert_refused(&asking.wait_with_output().unwrap(), "did not answer");
    // What else the daemon asked there ends with it.
    drop(silent);
    rig.stop_client(daemon);
}

#[test]
fn content_that_breaks_off_on_its_way_is_an_error() {
    let rig = Rig::with("", FORGETFUL);
    let proxy = Proxy::before(rig.address().strip_prefix("http://").unwrap());
    let large: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_le_bytes).collect();
    stage(&rig, format!("environments/production/{FILE}"), &large);
    deploy(&rig);
    let old = live(&rig, "production");
    stage_version(&rig, "two");
    deploy(&rig);
    let daemon = rig.start_client_of(proxy.address());
    until("the client answers", Duration::from_secs(30), || rig.block_on(rig.socket().status()).ok());
    // Only the large answer is so long.
    proxy.cut(&[4_000_000]);
    let output = content(&rig, "production", &old, FILE);
    assert_eq!(proxy.cuts_left(), 0);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.len() < large.len() && large.starts_with(&output.stdout));
    assert!(text(&output.stderr).contains("broke off"), "{}", text(&output.stderr));
    assert_content(&rig, "production", &old, FILE, &large);
    rig.stop_client(daemon);
}

// ---- who may do it ----

#[test]
fn the_readers_group_is_enough_and_opens_no_database() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can give a folder to another group and run as another user");
        return;
    }
    let rig = Rig::with("", FORGETFUL);
    fs::set_permissions(rig.folder(), fs::Permissions::from_mode(0o711)).unwrap();
    // Where they are built others may not come.
    let copied = |program: &str| {
        let to = rig.folder().join(Path::new(program).file_name().unwrap());
        fs::copy(program, &to).unwrap();
        to
    };
    let (id_program, content_program) = (copied(CODE_ID), copied(CODE_CONTENT));
    stage_version(&rig, "one");
    rig.commit();
    let with_group = || {
        let mut config = rig.client_config_for(rig.address());
        config.reader_group = "nogroup".to_owned();
        config
    };
    let daemon = rig.start_client_with(with_group());
    let deployed = |first: Option<&str>| {
        until("a version is live", Duration::from_secs(30), || {
            let output = code_id(&rig, "production");
            let id = text(&output.stdout).trim().to_owned();
            (!id.is_empty() && Some(id.as_str()) != first).then_some(id)
        })
    };
    let old = deployed(None);
    let as_nobody = |group: &str, program: &Path, args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", &format!("--regid={group}"), "--clear-groups"]).arg(program).args(args);
        command.env("SCENESHIFT_CLIENT_CONFIG", settings(&rig)).current_dir("/").output().unwrap()
    };
    let data = rig.client_data();
    let index = as_nobody("nogroup", Path::new("ls"), &[data.join("index").to_str().unwrap()]);
    assert!(!index.status.success(), "the index is closed to them");
    assert_eq!(text(&as_nobody("nogroup", &id_program, &["production"]).stdout).trim(), old);
    assert_eq!(as_nobody("nogroup", &content_program, &["production", &old, FILE]).stdout, b"one");
    stage_version(&rig, "two");
    rig.commit();
    deployed(Some(&old));
    until("the old generation is gone", Duration::from_secs(30), || {
        (fs::read_dir(data.join("repos/puppet-code/generations")).unwrap().count() == 1).then_some(())
    });
    let output = as_nobody("nogroup", &content_program, &["production", &old, FILE]);
    assert_eq!(text(&output.stdout), "one", "by way of the socket: {}", text(&output.stderr));
    // Others are told what they lack, and get nothing.
    assert_refused(&as_nobody("daemon", &id_program, &["production"]), "reader-group");
    assert_refused(&as_nobody("daemon", &content_program, &["production", &old, FILE]), "reader-group");
    let socket = fs::metadata(data.join("content.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o660);
    rig.stop_client(daemon);
}

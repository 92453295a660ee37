//! Daemons that must not start: each says why and what to do, ends with status 1, and leaves everything as it was.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::process::{Site, sceneshift};

/// Runs a command that must fail at once; answers what it says.
#[track_caller]
fn refusal(mut command: Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{errors}");
    errors
}

fn serve(site: &Site) -> Command {
    let mut command = sceneshift(&["serve", "--config"]);
    command.arg(site.primary_settings_file());
    command
}

fn client(site: &Site, name: &str) -> Command {
    let mut command = sceneshift(&["client", "--config"]);
    command.arg(site.client_settings_file(name, "http://127.0.0.1:1"));
    command
}

/// The names in a directory and what is in its files.
fn picture(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default()))
        .collect();
    all.sort();
    all
}

#[test]
fn a_data_directory_of_a_newer_format_of_the_other_kind_or_of_somebody_else_is_left_alone() {
    let site = Site::new();
    let format = |kind: &str, version: u32, incompatible: &str| {
        format!(
            "kind = \"{kind}\"\nversion = {version}\ncompatible = []\nread-only-compatible = []\nincompatible = [{incompatible}]\n"
        )
    };
    for (what, file, content, words) in [
        ("newer", "FORMAT", format("primary", 2, ""), "install a newer sceneshift"),
        ("a feature", "FORMAT", format("primary", 1, "\"reflinks\""), "reflinks"),
        ("the other kind", "FORMAT", format("client", 1, ""), "is the data directory of a client, not of a primary"),
        ("damaged", "FORMAT", "kind = ".into(), "FORMAT is damaged"),
        ("foreign", "precious", "thesis".into(), "not a data directory of sceneshift"),
    ] {
        let data = site.primary_data();
        fs::create_dir(&data).unwrap();
        fs::write(data.join(file), content).unwrap();
        let before = picture(&data);
        let errors = refusal(serve(&site));
        assert!(errors.contains(words), "{what}: {errors}");
        assert_eq!(picture(&data), before, "{what}");
        fs::remove_dir_all(data).unwrap();
    }
    fs::create_dir(site.client_data("c")).unwrap();
    fs::write(site.client_data("c").join("FORMAT"), format("primary", 1, "")).unwrap();
    let errors = refusal(client(&site, "c"));
    assert!(errors.contains("is the data directory of a primary, not of a client"), "{errors}");
}

#[test]
fn a_data_directory_that_another_process_uses_is_refused_and_that_process_goes_on() {
    let site = Site::new();
    site.stage("environments/production/manifests/site.pp", "x");
    let mut primary = site.start_primary();
    let mut running = site.start_client("c");
    let errors = refusal(serve(&site));
    assert!(errors.contains("is in use by another sceneshift process"), "{errors}");
    let errors = refusal(client(&site, "c"));
    assert!(errors.contains("is in use by another sceneshift process"), "{errors}");
    assert!(primary.is_running() && running.is_running());
    site.commit();
}

#[test]
fn a_port_in_use_is_named_with_its_setting() {
    let site = Site::new();
    let primary = site.start_primary();
    let other = Site::new();
    let settings = other.primary_settings_file();
    let text = fs::read_to_string(&settings).unwrap().replace("127.0.0.1:0", site.listen());
    fs::write(&settings, text).unwrap();
    let mut command = sceneshift(&["serve", "--config"]);
    command.arg(&settings);
    let errors = refusal(command);
    assert!(errors.contains(site.listen()) && errors.contains("listen"), "{errors}");

    let settings = other.client_settings_file("c", &site.address());
    let text = fs::read_to_string(&settings).unwrap().replace("127.0.0.1:0", site.listen());
    fs::write(&settings, text).unwrap();
    let mut command = sceneshift(&["client", "--config"]);
    command.arg(&settings);
    let errors = refusal(command);
    assert!(errors.contains(site.listen()) && errors.contains("setting listen"), "{errors}");
    assert!(primary.stop().success());
}

#[test]
fn a_data_directory_over_two_file_systems_is_refused() {
    let Some(disk) = crate::support::folder::SmallDisk::mount(4) else { return };
    let site = Site::new();
    let data = site.client_data("c");
    fs::create_dir_all(data.join("repos")).unwrap();
    fs::write(
        data.join("FORMAT"),
        "kind = \"client\"\nversion = 1\ncompatible = []\nread-only-compatible = []\nincompatible = []\n",
    )
    .unwrap();
    let mount = Command::new("mount").arg("--bind").arg(disk.path()).arg(data.join("repos")).status().unwrap();
    assert!(mount.success());
    let errors = refusal(client(&site, "c"));
    let unmount = Command::new("umount").arg(data.join("repos")).status().unwrap();
    assert!(errors.contains("must lie on one file system"), "{errors}");
    assert!(unmount.success());
}

//! The examples work as they stand: nobody should learn a wrong setting from us.

use std::path::{Path, PathBuf};

use sceneshift::config;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[test]
fn the_settings_in_the_examples_are_understood() {
    let primary = config::read_primary(&example("primary.toml")).unwrap();
    let client = config::read_client(&example("client.toml")).unwrap();
    assert_eq!(client.server, format!("http://{}", primary.listen), "the client finds the primary");
    assert_eq!(primary.repos.keys().collect::<Vec<_>>(), client.repos.keys().collect::<Vec<_>>());
    let repo = primary.repos.values().next().unwrap();
    assert_eq!(repo.keep_age.as_secs(), 14 * 24 * 3600);
}

/// The text with what is commented out as settings, but for the sections with these headings.
fn uncommented(text: &str, without: &[&str]) -> String {
    let is_key = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let is_setting = |text: &&str| text.starts_with('[') || text.split_once(" = ").is_some_and(|(key, _)| is_key(key));
    let mut kept = String::new();
    let mut skipping = false;
    for line in text.lines() {
        let line = line.strip_prefix("# ").filter(is_setting).unwrap_or(line);
        if line.starts_with('[') {
            skipping = without.contains(&line);
        }
        if !skipping {
            kept.extend([line, "\n"]);
        }
    }
    kept
}

fn understood<T>(text: &str, read: impl Fn(&Path) -> Result<T, config::ConfigError>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let outcome = read(file.path());
    assert!(outcome.is_ok(), "{text}\n{}", outcome.err().unwrap());
}

/// An example that is commented out is read by people all the same.
#[test]
fn what_the_examples_have_commented_out_is_understood_too() {
    let primary = std::fs::read_to_string(example("primary.toml")).unwrap();
    understood(&uncommented(&primary, &[]), config::read_primary);
    // A gate, hooks, or neither: one excludes the others.
    let client = std::fs::read_to_string(example("client.toml")).unwrap();
    let paused_by = |kind: &str| client.replace("pause = \"none\"", &format!("pause = \"{kind}\""));
    let (hooks, direct) = ("[repos.puppet-code.hooks]", "[puppetserver]");
    understood(&uncommented(&paused_by("gate"), &[hooks, direct]), config::read_client);
    understood(&uncommented(&paused_by("hooks"), &["[gate]"]), config::read_client);
    understood(&uncommented(&client, &["[gate]", hooks]), config::read_client);
}

#[test]
fn the_settings_in_the_readme_are_understood() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks: Vec<&str> = readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 2, "the README shows both configurations");
    for block in blocks {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), block).unwrap();
        let is_primary = block.contains("staging-dir");
        let outcome = if is_primary {
            config::read_primary(file.path()).map(drop)
        } else {
            config::read_client(file.path()).map(drop)
        };
        assert!(outcome.is_ok(), "{block}\n{}", outcome.unwrap_err());
    }
}

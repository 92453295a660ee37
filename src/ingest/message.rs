//! The message of a commit that came without one: what r10k says it deployed.

use std::io::Read;

use super::work::open_below;
use crate::disk::{Dir, Kind, stat_of};
use crate::values::{Name, TreePath};

/// Where r10k writes what it deployed, in each environment.
pub(super) const DEPLOY_FILE: &str = ".r10k-deploy.json";

/// r10k writes a few hundred bytes.
const LONGEST_FILE: u64 = 64 << 10;

/// How many environments are named.
const MOST_NAMED: usize = 20;

/// "production 1a2b3c4d5e6f, …" for those of these environments that r10k deployed; empty where there is none. What cannot be read or
/// understood is passed over: a message is not worth a failed commit.
pub(super) fn from_deploy_files(staging: Dir, environments_dir: &TreePath, environments: &[Name]) -> String {
    let Ok(dir) = open_below(staging, environments_dir) else { return String::new() };
    let mut signed = environments.iter().filter_map(|name| {
        let signature = signature(&dir.open_dir(name).ok()?)?;
        Some(format!("{name} {signature}"))
    });
    let mut parts: Vec<String> = signed.by_ref().take(MOST_NAMED).collect();
    let rest = signed.count();
    if rest > 0 {
        parts.push(format!("{rest} more"));
    }
    parts.join(", ")
}

/// The first twelve characters of the signature, a commit of the control repo.
fn signature(environment: &Dir) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Deploy {
        signature: String,
    }
    let file = environment.open_file(DEPLOY_FILE).ok()?;
    if stat_of(&file).ok()?.kind != Kind::File {
        return None;
    }
    let mut text = Vec::new();
    file.take(LONGEST_FILE).read_to_end(&mut text).ok()?;
    let Deploy { signature } = serde_json::from_slice(&text).ok()?;
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    (!signature.is_empty() && signature.chars().all(plain)).then(|| signature.chars().take(12).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(files: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        for (environment, text) in files {
            let dir = folder.path().join("environments").join(environment);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join(DEPLOY_FILE), text).unwrap();
            names.push(Name::new(environment.as_bytes()).unwrap());
        }
        let staging = Dir::open(folder.path()).unwrap();
        from_deploy_files(staging, &TreePath::new(b"environments").unwrap(), &names)
    }

    #[test]
    fn the_signatures_of_the_environments_make_a_message() {
        let text =
            r#"{"name":"production","signature":"1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d","deploy_success":true}"#;
        let other = r#"{"signature":"v1.2"}"#;
        assert_eq!(message(&[("production", text), ("test", other)]), "production 1a2b3c4d5e6f, test v1.2");
    }

    #[test]
    fn garbage_makes_no_message_and_no_error() {
        let long = format!("{{\"signature\":\"a\"{}}}", " ".repeat(70_000));
        for garbage in ["", "{", "[]", "{\"signature\":5}", "{\"signature\":\"a\\u001b[2J\"}", &long] {
            assert_eq!(message(&[("production", garbage)]), "", "{garbage:.30}");
        }
        let nowhere = Dir::open(tempfile::tempdir().unwrap().path()).unwrap();
        assert_eq!(from_deploy_files(nowhere, &TreePath::new(b"x").unwrap(), &[Name::new(b"e").unwrap()]), "");
    }

    #[test]
    fn two_hundred_environments_do_not_make_an_endless_message() {
        let text = r#"{"signature":"abc"}"#;
        let names: Vec<String> = (0..30).map(|at| format!("e{at:02}")).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), text)).collect();
        assert!(message(&files).ends_with("e19 abc, 10 more"));
    }
}

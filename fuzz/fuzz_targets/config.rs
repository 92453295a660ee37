//! The settings of both daemons: accepted ones keep the promises that the rest of the program relies on, rejected ones are explained.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sceneshift::config::{ConfigError, read_client, read_primary};
use sceneshift::values::TreePath;

/// In memory where the system has such a place: it is written for every input.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("sceneshift-fuzz-{}.toml", std::process::id()))
});

fuzz_target!(|text: &[u8]| {
    std::fs::write(&*FILE, text).expect("a place for the settings");
    let (primary, client) = (read_primary(&FILE), read_client(&FILE));
    std::fs::remove_file(&*FILE).expect("the settings are ours");
    match primary {
        Ok(config) => {
            assert!(config.insecure || config.listen.ip().is_loopback());
            assert!(!config.repos.is_empty());
            assert!(config.repos.values().all(|repo| TreePath::new(repo.environments_dir.as_bytes()).is_ok()));
        }
        Err(error) => explained(&error),
    }
    match client {
        Ok(config) => {
            assert!(config.insecure || config.listen.ip().is_loopback());
            assert!(!config.repos.is_empty());
            assert_eq!(config.file_mode & !0o555, 0, "a file would be writable");
            assert_ne!(config.file_mode & 0o400, 0, "the daemon could not read its own files");
        }
        Err(error) => explained(&error),
    }
});

fn explained(error: &ConfigError) {
    assert!(error.to_string().len() > FILE.as_os_str().len());
}

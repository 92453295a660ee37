//! Who may import whom. The table below is the design; a module that wants more must change it here, where it is seen.
//!
//! Looked at is the text of `src/`, without comments, strings and unit tests.

mod source;

use std::collections::{BTreeMap, BTreeSet};

use source::Source;

/// Each module of the crate, and the modules that it may use. Lower layers stand first.
const MAY_USE: &[(&str, &[&str])] = &[
    // Pure values, and their bytes.
    ("values", &[]),
    ("codec", &["values"]),
    ("progress", &["values"]),
    ("config", &["values"]),
    ("findings", &["values"]),
    ("tls", &[]),
    // What systemd is told.
    ("notify", &[]),
    // What the log is told of long work.
    ("telling", &["values", "progress"]),
    // Stands alone, std and settings only: two small programs of `bin` take it in by its path, so that no database is linked.
    ("versioned_code", &[]),
    ("bin", &[]),
    // Keys and signatures.
    ("signature", &["values"]),
    // The file system.
    ("disk", &["values"]),
    ("datadir", &["values", "disk"]),
    // The two media: a primary's database, a client's farm. Neither knows the other.
    ("store", &["values", "codec", "progress", "disk", "datadir"]),
    ("farm", &["values", "codec", "progress", "disk", "datadir", "pause"]),
    // What goes over the wire, and the calls.
    ("wire", &["values", "codec", "progress"]),
    ("remote", &["values", "codec", "progress", "wire", "tls"]),
    // What the primary's server and the client's small one have in common.
    ("http", &["values", "wire", "disk", "datadir"]),
    // A swap takes what `pause` gives: outside the pause it does not compile.
    ("pause", &["values"]),
    ("puppet", &["values", "config", "pause", "tls"]),
    // Ports, sockets and TLS, of all that listens.
    ("connections", &["http", "puppet"]),
    // Checks: it only finds, repairing is the server's and the client's. A scrub says when a daemon checks which part of its own.
    ("fsck", &["values", "codec", "progress", "findings", "disk", "datadir", "store", "farm"]),
    ("scrub", &["values", "findings", "wire"]),
    // The primary.
    // A rebuild of the store puts a new one in the data directory.
    ("ingest", &["values", "codec", "progress", "findings", "disk", "datadir", "store", "wire"]),
    (
        "server",
        &[
            "values",
            "codec",
            "progress",
            "config",
            "findings",
            "disk",
            "datadir",
            "store",
            "wire",
            "http",
            "ingest",
            "puppet",
            "connections",
            "fsck",
            "scrub",
            "notify",
            "telling",
            "signature",
        ],
    ),
    // The gate knows neither what is deployed nor how: it holds, and lets go.
    ("gate", &["values", "config", "disk", "http", "pause", "puppet", "connections"]),
    (
        "client",
        &[
            "values",
            "codec",
            "progress",
            "config",
            "findings",
            "disk",
            "datadir",
            "farm",
            "wire",
            "http",
            "remote",
            "pause",
            "puppet",
            "gate",
            "connections",
            "notify",
            "telling",
            "fsck",
            "scrub",
            "signature",
        ],
    ),
    // People. Nobody uses this but `main`.
    (
        "cli",
        &[
            "values",
            "codec",
            "progress",
            "config",
            "findings",
            "disk",
            "datadir",
            "store",
            "farm",
            "wire",
            "http",
            "remote",
            "ingest",
            "server",
            "pause",
            "puppet",
            "gate",
            "client",
            "fsck",
            "versioned_code",
        ],
    ),
];

/// Crates that only some modules may use: what each of them is may then be replaced in one place.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("rocksdb", &["store", "farm"]),
    ("axum", &["http", "connections", "server", "client"]),
    ("tower_http", &["http", "server", "client"]),
    ("prometheus_client", &["http", "server", "client", "gate", "scrub"]),
    ("hyper", &["connections", "gate"]),
    ("hyper_util", &["connections", "gate"]),
    ("tokio_rustls", &["connections"]),
    ("rustls", &["tls", "puppet", "remote", "signature"]),
    // Elsewhere only as the provider of rustls.
    ("ring", &["signature", "tls"]),
    ("crc32c", &["store"]),
    ("rustix", &["disk"]),
    ("x509_parser", &["puppet"]),
    ("listenfd", &["gate"]),
    ("sd_notify", &["notify"]),
    ("reqwest", &["remote", "puppet"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("tracing_subscriber", &["cli"]),
    (
        "tokio",
        &["notify", "telling", "connections", "http", "server", "client", "remote", "puppet", "gate", "cli", "main"],
    ),
    ("tokio_util", &["connections", "http", "server", "client", "remote", "puppet", "gate", "cli"]),
    ("bincode", &["codec"]),
    ("fastcdc", &["store"]),
    ("ignore", &["ingest"]),
];

/// Writes to the file system go through `disk`, which knows what has to be synced, and when.
const WRITES: &[&str] = &[
    "fs::write",
    "fs::rename",
    "fs::copy",
    "fs::create_dir",
    "fs::create_dir_all",
    "fs::remove_file",
    "fs::remove_dir",
    "fs::remove_dir_all",
    "fs::hard_link",
    "fs::set_permissions",
    "File::create",
    "File::options",
    "OpenOptions",
];

/// They panic where nobody reads the other end.
const PRINTING: &[&str] = &["print!", "println!", "eprint!", "eprintln!"];

#[test]
fn every_module_uses_only_what_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut faults = Vec::new();
    for source in source::all() {
        let module = source.module.as_str();
        if matches!(module, "lib" | "main") {
            continue;
        }
        let Some(allowed) = table.get(module) else {
            faults.push(format!("{}: the module {module} is not in the table", source.path));
            continue;
        };
        for used in source.uses_of_own_crate() {
            if used != module && !allowed.contains(&used.as_str()) {
                faults.push(format!("{}: {module} may not use {used}", source.path));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_itself_has_no_circle_and_keeps_the_two_media_apart() {
    // `pause` and `findings` stand where they are explained; every other line may name only lines above it.
    let mut known: BTreeSet<&str> = ["pause"].into();
    for (module, uses) in MAY_USE {
        for used in *uses {
            assert!(known.contains(used), "{module} uses {used}, which stands below it");
        }
        known.insert(module);
    }
    let uses = |module: &str, other: &str| MAY_USE.iter().any(|(name, uses)| *name == module && uses.contains(&other));
    for (module, other) in [("store", "farm"), ("farm", "store"), ("server", "farm"), ("client", "store")] {
        assert!(!uses(module, other), "{module} must never use {other}");
    }
    assert!(MAY_USE.iter().all(|(_, uses)| !uses.contains(&"cli")), "nobody uses cli");
}

#[test]
fn what_may_be_replaced_one_day_is_used_in_one_place() {
    let mut faults = Vec::new();
    for source in source::all() {
        for (outside, allowed) in ONLY_IN {
            if source.uses_crate(outside) && !allowed.contains(&source.module.as_str()) {
                faults.push(format!("{}: {outside} belongs in {}", source.path, allowed.join(" or ")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_small_programs_take_in_needs_nothing_of_the_crate() {
    let outside =
        ["sceneshift", "rocksdb", "tokio", "axum", "hyper", "reqwest", "nix", "tracing", "thiserror", "serde_json"];
    for source in source::all().iter().filter(|source| matches!(source.module.as_str(), "versioned_code" | "bin")) {
        let found = outside.iter().find(|name| source.uses_crate(name));
        assert_eq!(found, None, "{} must do with std, serde and toml", source.path);
    }
}

#[test]
fn only_disk_writes_and_nobody_prints() {
    let mut faults = Vec::new();
    for source in source::all() {
        let found = |words: &[&str]| words.iter().find(|word| source.has(word)).copied().map(str::to_owned);
        if source.module != "disk"
            && let Some(word) = found(WRITES)
        {
            faults.push(format!("{}: {word} belongs in disk", source.path));
        }
        if let Some(word) = found(PRINTING) {
            faults.push(format!("{}: {word} panics on a closed pipe; use cli/output.rs", source.path));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_reader_of_sources_sees_uses_and_nothing_else() {
    let text = r##"
        //! [`crate::server`]
        use crate::values::{Name, TreePath};
        use crate::{codec, disk::{self, Dir}, wire};
        pub(crate) fn f() { let _ = "crate::cli::x // no comment"; let _ = '"'; crate::store::open(); }
        /* crate::farm */ const RAW: &str = r#"crate::fsck "quoted""#;
        fn lifetimes<'a>(x: &'a str) -> reqwest::Client { tokio::spawn(x) }
        #[cfg(test)]
        mod tests { use crate::ingest; use axum::Router; }
    "##;
    let source = Source::new("remote/x.rs", text);
    assert_eq!(source.module, "remote");
    let uses: Vec<String> = source.uses_of_own_crate().into_iter().collect();
    assert_eq!(uses, ["codec", "disk", "store", "values", "wire"]);
    assert!(source.uses_crate("reqwest") && source.uses_crate("tokio"));
    assert!(!source.uses_crate("axum") && !source.uses_crate("to"));
    let sneaking = Source::new("remote/x.rs", "use super::super::cli;");
    assert!(sneaking.uses_of_own_crate().contains("cli"));
    let honest = Source::new("remote/x/y.rs", "use super::super::cli;");
    assert!(honest.uses_of_own_crate().is_empty());
}

//! The tables of `docs/performance.md`, between its two markers.

use std::path::Path;

use crate::chart;
use crate::peers::PEERS;
use crate::place::Medium;
use crate::results::{FLOOR, OURS, Results, Setting, What};
use crate::show::{Unit, environments, number, shown, table};
use crate::verdicts::verdicts;

const BEGIN: &str = "<!-- bench-peers: begin -->";
const END: &str = "<!-- bench-peers: end -->";

/// Rows of the tables, with their names.
const MEASURES: &[(What, &str)] = &[
    (What::ColdCommit, "cold commit"),
    (What::CommitSame, "commit, nothing changed"),
    (What::CommitOne, "commit of one environment, one file changed"),
    (What::FirstSync, "first sync"),
    (What::Deploy, "one changed file to live, daemon"),
    (What::DeployCommand, "one changed file to live, command"),
    (What::Fleet, "commit posted to last of 3 clients live"),
    (What::FsckClient, "fsck of a client"),
    (What::FsckPrimary, "fsck of a primary"),
    (What::Prune, "pruning one old generation; removing a copy"),
    (What::CodeId, "`sceneshift-code-id`; `/bin/true`"),
    (What::Window, "paused for a swap, p50; a bare one"),
    (What::WindowLong, "paused for a swap, p99; a bare one"),
    (What::WireFirst, "bytes of a first sync"),
    (What::WireOne, "bytes for one changed file"),
    (What::DiskFirst, "disk after a first sync"),
    (What::DiskMore, "more disk for one more generation"),
    (What::InodesFirst, "inodes after a first sync"),
    (What::InodesMore, "more inodes for one more generation"),
    (What::MemoryPrimary, "memory of the primary, cold commit"),
    (What::MemoryClient, "memory of a client, first sync"),
    (What::IdlePrimary, "memory of the primary, idle"),
    (What::IdleClient, "memory of a client, idle"),
];

/// Writes the tables and the chart.
pub(crate) fn write(results: &Results, docs: &Path) -> Result<(), String> {
    let file = docs.join("performance.md");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let begin = text.find(BEGIN).ok_or_else(|| format!("{}: no line {BEGIN}", file.display()))? + BEGIN.len();
    let end = text[begin..].find(END).ok_or_else(|| format!("{}: no line {END}", file.display()))? + begin;
    let text = format!("{}\n\n{}\n{}", &text[..begin], body(results), &text[end..]);
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    let chart = docs.join("performance.svg");
    std::fs::write(&chart, chart::draw(results)).map_err(|error| format!("{}: {error}", chart.display()))?;
    println!("written: {} and {}", file.display(), chart.display());
    Ok(())
}

fn body(results: &Results) -> String {
    let medium = results.first_medium();
    let main = Setting { medium, cold_cache: false, environments: results.main };
    let mut text = format!("{}\n{}\n", machine(results), sizes(results));
    text += &format!("### What was aimed at\n\nWith {} where no other number stands.\n\n", environments(results.main));
    text += &verdict_table(results);
    text += &format!("\n### Everybody, {}, {}\n\n", environments(results.main), medium_name(medium));
    text += &everybody(results, main);
    let cold = Setting { cold_cache: true, ..main };
    text += &part(results, cold, "The same with cold caches: emptied before each turn, those of the programs too");
    let disk = Setting { medium: Medium::Disk, ..main };
    if medium != Medium::Disk {
        text += &part(results, disk, "On the disk, one round");
        text += &part(results, Setting { cold_cache: true, ..disk }, "On the disk with cold caches");
    }
    text += "\n### As it grows\n\n![Time by number of files, for sceneshift and each peer](performance.svg)\n";
    for who in [OURS, "git", FLOOR] {
        text += &growth(results, medium, who);
    }
    if !results.notes.is_empty() {
        text += "\n### Left out\n\n";
        text += &results.notes.iter().map(|note| format!("- {note}\n")).collect::<String>();
    }
    text
}

fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let peers: Vec<String> = results.peers.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "{}: sceneshift {}. {} cores ({}), {} of memory, {}; disk: {}. Peers: {}. Rounds: {}, fewer with many environments; \
         medians, with the least and the most where they differ. Edited: {}.\n",
        results.date,
        results.version,
        machine.cores,
        machine.processor,
        shown(Unit::Bytes, machine.memory as f64),
        machine.kernel,
        machine.disk,
        if peers.is_empty() { "none".to_owned() } else { peers.join(", ") },
        results.rounds,
        results.edited,
    )
}

fn sizes(results: &Results) -> String {
    let head = ["environments", "files", "directories", "bytes", "distinct contents"].map(String::from);
    let rows: Vec<Vec<String>> = results
        .sizes
        .iter()
        .map(|size| {
            let count = |value: u64| number(value as f64);
            let bytes = shown(Unit::Bytes, size.bytes as f64);
            vec![size.environments.to_string(), count(size.files), count(size.directories), bytes, count(size.distinct)]
        })
        .collect();
    format!("The estate: {}.\n\n{}", results.estate, table(&head, &rows))
}

fn verdict_table(results: &Results) -> String {
    let head = ["what", OURS, "beside it", "ratio", "target", "met"].map(String::from);
    let row = |verdict: crate::verdicts::Verdict| {
        let met = verdict.met.map_or("", |met| if met { "yes" } else { "**no**" });
        vec![verdict.what, verdict.ours, verdict.beside, verdict.ratio, verdict.target, met.to_owned()]
    };
    table(&head, &verdicts(results).into_iter().map(row).collect::<Vec<_>>())
}

/// Rows that anybody has a figure of, and columns likewise.
fn everybody(results: &Results, setting: Setting) -> String {
    let who: Vec<&str> = [OURS, FLOOR].into_iter().chain(PEERS.iter().map(|peer| peer.name)).collect();
    let has = |what: What, who: &str| results.middle(setting, what, who);
    let who: Vec<&str> =
        who.into_iter().filter(|who| MEASURES.iter().any(|(what, _)| has(*what, who).is_some())).collect();
    let measures = MEASURES.iter().filter(|(what, _)| who.iter().any(|who| has(*what, who).is_some()));
    let rows: Vec<Vec<String>> = measures
        .map(|(what, name)| {
            let cells =
                who.iter().map(|who| has(*what, who).map_or_else(String::new, |middle| what.shown_middle(middle)));
            std::iter::once((*name).to_owned()).chain(cells).collect()
        })
        .collect();
    let head: Vec<String> = std::iter::once("what").chain(who).map(String::from).collect();
    table(&head, &rows)
}

/// A table of its own, where anything of it was measured.
fn part(results: &Results, setting: Setting, name: &str) -> String {
    let any = results.samples.iter().any(|sample| {
        (sample.medium, sample.cold_cache, sample.environments)
            == (setting.medium, setting.cold_cache, setting.environments)
    });
    if any { format!("\n{name}:\n\n{}", everybody(results, setting)) } else { String::new() }
}

/// One contestant, a column for each number of environments.
fn growth(results: &Results, medium: Medium, who: &str) -> String {
    let sizes: Vec<usize> = results.sizes.iter().map(|size| size.environments).collect();
    let at = |what, environments| results.middle(Setting { medium, cold_cache: false, environments }, what, who);
    let several = |what| sizes.iter().filter(|size| at(what, **size).is_some()).count() > 1;
    let rows: Vec<Vec<String>> = MEASURES
        .iter()
        .filter(|(what, _)| several(*what))
        .map(|(what, name)| {
            let cells =
                sizes.iter().map(|size| at(*what, *size).map_or_else(String::new, |middle| what.shown(middle.median)));
            std::iter::once((*name).to_owned()).chain(cells).collect()
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns = sizes.iter().map(|size| environments(*size));
    let head: Vec<String> = std::iter::once(who.to_owned()).chain(columns).collect();
    format!("\n{}", table(&head, &rows))
}

fn medium_name(medium: Medium) -> &'static str {
    match medium {
        Medium::Memory => "ext4 in memory, warm caches",
        Medium::Disk => "on the disk, warm caches",
    }
}

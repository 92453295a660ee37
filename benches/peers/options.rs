//! What the environment asks for.

use std::path::{Path, PathBuf};

use crate::peers::{PEERS, Peer};

/// So many environments, and everything where there are as many as in the table of what was aimed at.
const SIZES: &[usize] = &[1, 4, 16, 64, 160];
const MAIN: usize = 16;

pub(crate) struct Options {
    pub(crate) sizes: Vec<usize>,
    /// The one with which everything is measured.
    pub(crate) main: usize,
    pub(crate) rounds: usize,
    pub(crate) peers: Vec<&'static Peer>,
    pub(crate) disk: bool,
    pub(crate) seed: u64,
    /// Where the report is written.
    pub(crate) docs: PathBuf,
    pub(crate) report_only: bool,
}

impl Options {
    pub(crate) fn read() -> Result<Self, String> {
        let mut sizes = match text("SIZES") {
            Some(list) => list.split(',').map(|part| number("SIZES", part)).collect::<Result<_, _>>()?,
            None => SIZES.to_vec(),
        };
        sizes.sort_unstable();
        let largest = *sizes.last().filter(|_| sizes[0] > 0).ok_or("SCENESHIFT_PEERS_SIZES names no size")?;
        let main = if sizes.contains(&MAIN) { MAIN } else { largest };
        let peers = match text("PEERS") {
            Some(list) => list.split(',').filter(|name| !name.is_empty()).map(named).collect::<Result<_, _>>()?,
            None => PEERS.iter().collect(),
        };
        Ok(Self {
            sizes,
            main,
            rounds: text("ROUNDS").map_or(Ok(3), |text| number("ROUNDS", &text))?.max(1),
            peers,
            disk: text("DISK").is_none_or(|text| text != "0"),
            seed: text("SEED").map_or(Ok(1), |text| number("SEED", &text))? as u64,
            docs: text("DOCS").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"), PathBuf::from),
            report_only: std::env::args().any(|argument| argument == "--report-only"),
        })
    }
}

fn text(name: &str) -> Option<String> {
    std::env::var(format!("SCENESHIFT_PEERS_{name}")).ok()
}

fn number(name: &str, text: &str) -> Result<usize, String> {
    text.trim().parse().map_err(|_| format!("SCENESHIFT_PEERS_{name}: {text} is no number"))
}

fn named(name: &str) -> Result<&'static Peer, String> {
    let known = || PEERS.iter().map(|peer| peer.name).collect::<Vec<_>>().join(", ");
    PEERS
        .iter()
        .find(|peer| peer.name == name)
        .ok_or_else(|| format!("SCENESHIFT_PEERS_PEERS: {name} is none of {}", known()))
}

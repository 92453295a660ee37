//! What was aimed at, and whether it is so.

use crate::place::Medium;
use crate::results::{FLOOR, Middle, OURS, Results, Setting, What};
use crate::show::{self, number, shown, times};

/// A line of the table.
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) ours: String,
    pub(crate) beside: String,
    pub(crate) ratio: String,
    pub(crate) target: String,
    pub(crate) met: Option<bool>,
}

/// A figure and whose it is.
struct Figure {
    who: String,
    middle: Middle,
}

/// Whose figure stands beside ours.
enum Beside {
    Git,
    /// Whoever of the peers has the best.
    Best,
    /// The best in another measure.
    BestOf(What),
    Floor,
    /// Ours with the most environments is shown, and beside it ours with the fewest, but at least so many.
    Growth(usize),
}

/// What a ratio has to be.
enum Aim {
    /// The other one's figure by ours.
    Faster(f64),
    /// Ours by the other one's.
    AtMost(f64),
    /// As for `Faster`; what was aimed at cannot be told from it.
    Shown(&'static str),
}

const ROWS: &[(&str, What, Beside, Aim)] = &[
    ("cold commit", What::ColdCommit, Beside::Git, Aim::Faster(3.0)),
    ("commit, nothing changed", What::CommitSame, Beside::Floor, Aim::AtMost(1.5)),
    ("commit of one environment, one file changed", What::CommitOne, Beside::Best, Aim::Shown(CODAVOX)),
    ("the same as it grows", What::CommitOne, Beside::Growth(1), Aim::AtMost(1.5)),
    ("first sync", What::FirstSync, Beside::Best, Aim::Faster(3.0)),
    ("one changed file to live, daemon", What::Deploy, Beside::Best, Aim::Faster(10.0)),
    ("the same as it grows", What::Deploy, Beside::Growth(4), Aim::AtMost(1.5)),
    ("one changed file to live, command", What::DeployCommand, Beside::BestOf(What::Deploy), Aim::Shown("none")),
    ("commit posted to last of 3 clients live", What::Fleet, Beside::Best, Aim::Faster(10.0)),
    ("paused for a swap, p50", What::Window, Beside::Floor, Aim::AtMost(10.0)),
    ("paused for a swap, p99", What::WindowLong, Beside::Floor, Aim::Shown("none")),
    ("first sync, bytes", What::WireFirst, Beside::Git, Aim::AtMost(1.1)),
    ("fsck of a client", What::FsckClient, Beside::Floor, Aim::AtMost(1.5)),
    ("fsck of a primary", What::FsckPrimary, Beside::Floor, Aim::AtMost(1.5)),
    ("pruning one old generation; removing a copy", What::Prune, Beside::Best, Aim::Shown("only what nothing shares")),
    ("`sceneshift-code-id`, whole process; `/bin/true`", What::CodeId, Beside::Floor, Aim::AtMost(3.0)),
];

const CODAVOX: &str = "20 times as fast as codavox, which is not run here";

/// Memory, in MiB, that must not be reached; with the most environments, or with those of the table.
const MEMORY: &[(&str, What, bool, u32)] = &[
    ("memory of the primary, cold commit", What::MemoryPrimary, true, 256),
    ("memory of a client, first sync", What::MemoryClient, true, 256),
    ("memory of the primary, idle", What::IdlePrimary, false, 64),
    ("memory of a client, idle", What::IdleClient, false, 64),
];

/// All lines of which there are figures.
pub(crate) fn verdicts(results: &Results) -> Vec<Verdict> {
    let (read, main) = (Read(results), results.main);
    let sizes = read.sizes();
    let most = sizes.last().copied().unwrap_or(main);
    let rows = ROWS.iter().filter_map(|(name, what, beside, aim)| read.row(name, *what, beside, aim));
    let wire = sizes.iter().filter_map(|size| read.wire(*size));
    let memory = MEMORY.iter().filter_map(|(name, what, at_most, limit)| {
        read.memory(name, *what, if *at_most { most } else { main }, *limit)
    });
    rows.chain(wire).chain(read.disk(main)).chain(read.inodes(main)).chain(memory).collect()
}

struct Read<'a>(&'a Results);

impl Read<'_> {
    /// The numbers of environments that were measured.
    fn sizes(&self) -> Vec<usize> {
        self.0.sizes.iter().map(|size| size.environments).collect()
    }

    fn one(&self, what: What, who: &str, environments: usize) -> Option<Figure> {
        let setting = Setting { medium: self.0.first_medium(), cold_cache: false, environments };
        self.0.middle(setting, what, who).map(|middle| Figure { who: who.to_owned(), middle })
    }

    /// The best of the peers.
    fn best(&self, what: What, environments: usize) -> Option<Figure> {
        let all = self.0.peers.keys().filter_map(|name| self.one(what, name, environments));
        all.min_by(|one, other| one.middle.median.total_cmp(&other.middle.median))
    }

    /// `None` where there is nothing to show.
    fn row(&self, name: &str, what: What, beside: &Beside, aim: &Aim) -> Option<Verdict> {
        let main = self.0.main;
        let (mut name, mut here) = (name.to_owned(), main);
        let beside = match beside {
            Beside::Git => self.one(what, "git", main),
            Beside::Best => self.best(what, main),
            Beside::BestOf(other) => self.best(*other, main),
            Beside::Floor => self.one(what, FLOOR, main),
            Beside::Growth(from) => {
                let sizes = self.sizes();
                let few = *sizes.iter().find(|size| *size >= from)?;
                here = *sizes.last().filter(|most| **most > few)?;
                name = format!("{name}: {here} environments, and {few}");
                self.one(what, OURS, few)
            }
        };
        let ours = self.one(what, OURS, here)?.middle;
        let by = beside.as_ref().map(|beside| beside.middle.median / ours.median);
        let beside = beside.map_or_else(
            || "not measured".to_owned(),
            |beside| format!("{} {}", beside.who, what.shown(beside.middle.median)),
        );
        let (ratio, target, met) = match aim {
            Aim::Faster(least) => {
                (by.map(faster), format!("at least {least} times as fast"), by.map(|by| by >= *least))
            }
            Aim::AtMost(most) => {
                let ratio = by.map(|by| format!("{} times", times(1.0 / by)));
                (ratio, format!("at most {most} times"), by.map(|by| 1.0 / by <= *most))
            }
            Aim::Shown(target) => (by.map(faster), (*target).to_owned(), None),
        };
        Some(Verdict {
            what: name,
            ours: what.shown_middle(ours),
            beside,
            ratio: ratio.unwrap_or_default(),
            target,
            met,
        })
    }

    fn wire(&self, environments: usize) -> Option<Verdict> {
        let ours = self.one(What::WireOne, OURS, environments)?.middle.median;
        let file = self.one(What::WireOne, FLOOR, environments)?.middle.median;
        Some(Verdict {
            what: format!("one changed file, bytes, {}", show::environments(environments)),
            ours: What::WireOne.shown(ours),
            beside: format!("the file, compressed: {}", What::WireOne.shown(file)),
            ratio: format!("{} more", What::WireOne.shown(ours - file)),
            target: "at most 4 KiB more".into(),
            met: Some(ours - file <= 4096.0),
        })
    }

    fn disk(&self, environments: usize) -> Option<Verdict> {
        let more = self.one(What::DiskMore, OURS, environments)?.middle.median;
        let first = self.one(What::DiskFirst, OURS, environments)?.middle.median;
        let inodes = self.one(What::InodesMore, OURS, environments)?.middle.median;
        Some(Verdict {
            what: "disk for one more generation".into(),
            ours: format!("{}, {} inodes", What::DiskMore.shown(more), number(inodes)),
            beside: format!("the first: {}", What::DiskFirst.shown(first)),
            ratio: format!("{} %", times(100.0 * more / first)),
            target: "under 1 %".into(),
            met: Some(more < first / 100.0),
        })
    }

    fn inodes(&self, environments: usize) -> Option<Verdict> {
        let share = |environments| {
            let ours = self.one(What::InodesFirst, OURS, environments)?.middle.median;
            let staging = self.one(What::InodesFirst, FLOOR, environments)?.middle.median;
            Some((ours, staging, ours / staging))
        };
        let (ours, staging, here) = share(environments)?;
        let all: Vec<f64> = self.sizes().into_iter().filter_map(share).map(|(_, _, share)| share).collect();
        let falls = all.windows(2).all(|pair| pair[1] <= pair[0]);
        let all: Vec<String> = all.iter().map(|share| format!("{:.0}", share * 100.0)).collect();
        Some(Verdict {
            what: "inodes of a client".into(),
            ours: number(ours),
            beside: format!("staging {}", number(staging)),
            ratio: format!("{:.0} %; by size {} %", here * 100.0, all.join(", ")),
            target: "a third, and falling".into(),
            met: Some(here <= 1.0 / 3.0 && falls),
        })
    }

    fn memory(&self, name: &str, what: What, environments: usize, mebibytes: u32) -> Option<Verdict> {
        let ours = self.one(what, OURS, environments)?.middle;
        let limit = f64::from(mebibytes) * f64::from(1 << 20);
        Some(Verdict {
            what: format!("{name}, {}", show::environments(environments)),
            ours: what.shown_middle(ours),
            beside: String::new(),
            ratio: String::new(),
            target: format!("under {}", shown(what.unit(), limit)),
            met: Some(ours.most < limit),
        })
    }
}

/// How many times as fast we are.
fn faster(by: f64) -> String {
    format!("{} times as fast", times(by))
}

impl Results {
    /// Where the growth was measured: in memory, or on the disk where there was no memory to be had.
    pub(crate) fn first_medium(&self) -> Medium {
        self.samples.first().map_or(Medium::Memory, |sample| sample.medium)
    }
}

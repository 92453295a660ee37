//! What was aimed at, and whether it is so.

use crate::place::Medium;
use crate::results::{FLOOR, Middle, OURS, Results, Setting, What};
use crate::show::{number, shown, times};

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

/// What a ratio has to be.
enum Aim {
    /// The other one's figure by ours.
    Faster(f64),
    /// Ours by the other one's.
    AtMost(f64),
    /// Ours by the other one's, and nothing was aimed at.
    Shown,
}

pub(crate) fn verdicts(results: &Results) -> Vec<Verdict> {
    let read = Read(results);
    let (main, sizes) = (results.main, read.sizes());
    let (least, most) = (sizes.first().copied().unwrap_or(main), sizes.last().copied().unwrap_or(main));
    let from = sizes.iter().copied().find(|size| *size >= 4).unwrap_or(least);
    let ours = |what| read.one(what, OURS, main);
    let floor = |what| read.one(what, FLOOR, main);
    let named = |name: &str, what| read.one(what, name, main);
    let rows = [
        read.row(
            "cold commit",
            What::ColdCommit,
            ours(What::ColdCommit),
            named("git", What::ColdCommit),
            Aim::Faster(3.0),
        ),
        read.row(
            "commit, nothing changed",
            What::CommitSame,
            ours(What::CommitSame),
            floor(What::CommitSame),
            Aim::AtMost(1.5),
        ),
        read.row(
            "commit of one environment, one file changed",
            What::CommitOne,
            ours(What::CommitOne),
            read.best(What::CommitOne, main),
            Aim::Shown,
        ),
        read.row(
            &format!("the same in {most} environments and in {least}"),
            What::CommitOne,
            read.one(What::CommitOne, OURS, most),
            read.one(What::CommitOne, OURS, least),
            Aim::AtMost(1.5),
        ),
        read.row(
            "first sync",
            What::FirstSync,
            ours(What::FirstSync),
            read.best(What::FirstSync, main),
            Aim::Faster(3.0),
        ),
        read.row(
            "one changed file: sync and deploy, daemon",
            What::Deploy,
            ours(What::Deploy),
            read.best(What::Deploy, main),
            Aim::Faster(10.0),
        ),
        read.row(
            "the same by `client --once`",
            What::Deploy,
            ours(What::DeployCommand),
            read.best(What::Deploy, main),
            Aim::Shown,
        ),
        read.row(
            &format!("daemon, {most} environments and {from}"),
            What::Deploy,
            read.one(What::Deploy, OURS, most),
            read.one(What::Deploy, OURS, from),
            Aim::AtMost(1.5),
        ),
        read.row(
            "commit posted to last of 3 clients live",
            What::Fleet,
            ours(What::Fleet),
            read.best(What::Fleet, main),
            Aim::Faster(10.0),
        ),
        read.row(
            "first sync, bytes",
            What::WireFirst,
            ours(What::WireFirst),
            named("git", What::WireFirst),
            Aim::AtMost(1.1),
        ),
        read.row(
            "fsck of a client",
            What::FsckClient,
            ours(What::FsckClient),
            floor(What::FsckClient),
            Aim::AtMost(1.5),
        ),
        read.row(
            "fsck of a primary",
            What::FsckPrimary,
            ours(What::FsckPrimary),
            floor(What::FsckPrimary),
            Aim::AtMost(1.5),
        ),
        read.row(
            "pruning one old generation",
            What::Prune,
            ours(What::Prune),
            read.best(What::Prune, main),
            Aim::Shown,
        ),
        read.row(
            "`sceneshift-code-id`, whole process",
            What::CodeId,
            ours(What::CodeId),
            floor(What::CodeId),
            Aim::AtMost(3.0),
        ),
    ];
    let wire = sizes.iter().filter_map(|size| read.wire(*size));
    let memory = [
        ("memory of the primary, cold commit", What::MemoryPrimary, most, 256),
        ("memory of a client, first sync", What::MemoryClient, most, 256),
        ("memory of the primary, idle", What::IdlePrimary, main, 64),
        ("memory of a client, idle", What::IdleClient, main, 64),
    ];
    let memory =
        memory.into_iter().filter_map(|(name, what, size, mebibytes)| read.memory(name, what, size, mebibytes));
    rows.into_iter().flatten().chain(wire).chain(read.disk(main)).chain(read.inodes(main)).chain(memory).collect()
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

    /// `None` where we were not measured.
    fn row(&self, name: &str, what: What, ours: Option<Figure>, beside: Option<Figure>, aim: Aim) -> Option<Verdict> {
        let ours = ours?.middle;
        let ratio = beside.as_ref().map(|beside| match aim {
            Aim::Faster(_) => beside.middle.median / ours.median,
            Aim::AtMost(_) | Aim::Shown => ours.median / beside.middle.median,
        });
        let beside = beside.map_or_else(
            || "not measured".to_owned(),
            |beside| format!("{} {}", beside.who, what.shown(beside.middle.median)),
        );
        let (target, met) = match aim {
            Aim::Faster(least) => (format!("at least {least} times faster"), ratio.map(|ratio| ratio >= least)),
            Aim::AtMost(most) => (format!("at most {most} times"), ratio.map(|ratio| ratio <= most)),
            Aim::Shown => ("none".to_owned(), None),
        };
        let ratio = match (&aim, ratio) {
            (_, None) => String::new(),
            (Aim::Faster(_), Some(ratio)) => format!("{} times faster", times(ratio)),
            (_, Some(ratio)) => format!("{} times", times(ratio)),
        };
        Some(Verdict { what: name.into(), ours: what.shown_middle(ours), beside, ratio, target, met })
    }

    fn wire(&self, environments: usize) -> Option<Verdict> {
        let ours = self.one(What::WireOne, OURS, environments)?.middle.median;
        let file = self.one(What::WireOne, FLOOR, environments)?.middle.median;
        Some(Verdict {
            what: format!("one changed file, bytes, {environments} environments"),
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
            what: format!("{name}, {environments} environments"),
            ours: what.shown_middle(ours),
            beside: String::new(),
            ratio: String::new(),
            target: format!("under {}", shown(what.unit(), limit)),
            met: Some(ours.most < limit),
        })
    }
}

impl Results {
    /// Where the growth was measured: in memory, or on the disk where there was no memory to be had.
    pub(crate) fn first_medium(&self) -> Medium {
        self.samples.first().map_or(Medium::Memory, |sample| sample.medium)
    }
}

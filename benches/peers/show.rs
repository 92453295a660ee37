//! Figures for people.

use crate::results::{Middle, What};

/// How a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    Count,
}

impl What {
    pub(crate) fn unit(self) -> Unit {
        match self {
            What::ColdCommit
            | What::CommitSame
            | What::CommitOne
            | What::FirstSync
            | What::Deploy
            | What::DeployCommand
            | What::Fleet
            | What::FsckClient
            | What::FsckPrimary
            | What::Prune
            | What::CodeId
            | What::Window
            | What::WindowLong => Unit::Seconds,
            What::WireOne
            | What::WireFirst
            | What::DiskFirst
            | What::DiskMore
            | What::MemoryPrimary
            | What::MemoryClient
            | What::IdlePrimary
            | What::IdleClient => Unit::Bytes,
            What::InodesFirst | What::InodesMore => Unit::Count,
        }
    }

    pub(crate) fn shown(self, value: f64) -> String {
        shown(self.unit(), value)
    }

    /// The middle, and its borders where they differ from it.
    pub(crate) fn shown_middle(self, middle: Middle) -> String {
        let [median, least, most] = [middle.median, middle.least, middle.most].map(|value| self.shown(value));
        if least == most { median } else { format!("{median} ({least} to {most})") }
    }
}

/// Three digits that say something.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

pub(crate) fn shown(unit: Unit, value: f64) -> String {
    match (unit, value.abs()) {
        (Unit::Seconds, size) if size < 1e-3 => format!("{} µs", digits(value * 1e6)),
        (Unit::Seconds, size) if size < 1.0 => format!("{} ms", digits(value * 1e3)),
        (Unit::Seconds, _) => format!("{} s", digits(value)),
        (Unit::Bytes, size) if size < 1024.0 => format!("{value:.0} B"),
        (Unit::Bytes, size) if size < f64::from(1 << 20) => format!("{} KiB", digits(value / 1024.0)),
        (Unit::Bytes, size) if size < f64::from(1 << 30) => format!("{} MiB", digits(value / f64::from(1 << 20))),
        (Unit::Bytes, _) => format!("{} GiB", digits(value / f64::from(1 << 30))),
        (Unit::Count, _) => number(value),
    }
}

/// A number of environments.
pub(crate) fn environments(count: usize) -> String {
    if count == 1 { "1 environment".into() } else { format!("{count} environments") }
}

/// 97012 as 97,012.
pub(crate) fn number(value: f64) -> String {
    let plain = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < -0.5 { format!("-{text}") } else { text }
}

/// A ratio: 1.46 times, 12.3 times, 480 times.
pub(crate) fn times(ratio: f64) -> String {
    digits(ratio)
}

/// A table of Markdown. The first column stands left, the others right.
pub(crate) fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<String> = (0..head.len()).map(|at| if at == 0 { "---".into() } else { "---:".into() }).collect();
    line(head) + &line(&rule) + &rows.iter().map(|row| line(row)).collect::<String>()
}

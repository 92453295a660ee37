//! Findings and outcomes for people.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::cli::output::{commit, count, number, plain, seconds, size};
use crate::datadir::Kind;
use crate::findings::{Finding, Outcome};
use crate::fsck::Report;
use crate::ingest::{LostHead, Rebuilt};
use crate::store::DAMAGED;

/// How many findings of one kind are shown.
const MOST_OF_A_KIND: usize = 20;

/// What was looked at, and what was found, by kind.
pub(super) fn report(report: &Report) -> String {
    let mut text = summary(report);
    if report.findings.is_empty() {
        text.push_str("everything is as it should be\n");
        return text;
    }
    findings(&report.findings, &mut text);
    let _ = writeln!(text, "{}; `sceneshift fsck --repair` repairs what can be", total(report.findings.len()));
    text
}

/// What was found, what became of it, and what remains.
pub(super) fn repaired(before: &Report, outcomes: &[Outcome], after: &Report) -> String {
    let mut text = summary(before);
    findings(&before.findings, &mut text);
    let (done, left): (Vec<&Outcome>, Vec<&Outcome>) = outcomes.iter().partition(|outcome| outcome.repaired);
    let _ = writeln!(text, "repaired {} of {}", number(done.len() as u64), number(outcomes.len() as u64));
    for outcome in left.iter().take(MOST_OF_A_KIND) {
        let _ = writeln!(text, "  {}: {}", plain(&outcome.finding.to_string()), plain(&outcome.detail));
    }
    more(left.len(), "", &mut text);
    if after.findings.is_empty() {
        text.push_str("a second check found everything as it should be\n");
    } else {
        text.push_str("a second check found:\n");
        findings(&after.findings, &mut text);
        let verb = if after.findings.len() == 1 { "remains" } else { "remain" };
        let _ = writeln!(text, "{} {verb}", total(after.findings.len()));
    }
    text
}

/// What was saved of a database that was damaged itself.
pub(super) fn rebuilt(rebuilt: &Rebuilt, data_dir: &Path) -> String {
    let Rebuilt { saved, lost_heads } = rebuilt;
    let mut text = format!(
        "the database was damaged: a new one holds what could be read of it, {}, {} and {}",
        count(saved.commits, "commit"),
        count(saved.trees, "tree"),
        count(saved.blobs, "blob"),
    );
    if saved.wrong > 0 {
        let _ = write!(text, "; {} had other bytes than written", count(saved.wrong, "record"));
    }
    if saved.gaps > 0 {
        let _ = write!(text, "; at {} nothing could be read", count(saved.gaps, "place"));
    }
    if saved.log_has_gap {
        text.push_str("; a part of its log could not be read");
    }
    let old = data_dir.join(DAMAGED);
    let _ = writeln!(text, "\nthe old one is {}; remove it when you need it no more", old.display());
    for LostHead { repo, lost, survivor, sequence } in lost_heads {
        let lost = lost.map_or_else(|| "the newest commit".to_owned(), |lost| format!("the newest commit, {lost},"));
        let left = survivor
            .map_or_else(|| "no older one is left".to_owned(), |left| format!("{} is left", commit(left, *sequence)));
        let _ = writeln!(
            text,
            "{repo}: {lost} is lost, {left}; clients keep what they have until `sceneshift commit` makes a new one"
        );
    }
    text
}

fn summary(report: &Report) -> String {
    let side = match report.kind {
        Kind::Primary => "primary",
        Kind::Client => "client",
    };
    let counts = &report.counts;
    let entries =
        if counts.entries > 0 { format!(", {} links and files", number(counts.entries)) } else { String::new() };
    let rate = if report.seconds > 0.0 { (counts.bytes as f64 / report.seconds) as u64 } else { 0 };
    format!(
        "{side}: {}{entries}; {} hashed in {} ({}/s)\n",
        count(counts.objects, "object"),
        size(counts.bytes),
        seconds(report.seconds),
        size(rate),
    )
}

fn findings(findings: &[Finding], text: &mut String) {
    let mut kinds: BTreeMap<String, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        kinds.entry(finding.kind()).or_default().push(finding);
    }
    for (kind, findings) in kinds {
        let _ = writeln!(text, "{kind} ({})", number(findings.len() as u64));
        for finding in findings.iter().take(MOST_OF_A_KIND) {
            let _ = writeln!(text, "  {}", plain(&finding.to_string()));
        }
        more(findings.len(), " of this kind (--json lists all)", text);
    }
}

fn more(count: usize, what: &str, text: &mut String) {
    if count > MOST_OF_A_KIND {
        let _ = writeln!(text, "  and {} more{what}", number((count - MOST_OF_A_KIND) as u64));
    }
}

fn total(findings: usize) -> String {
    count(findings as u64, "finding")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::{BlobFile, ClientFinding};
    use crate::fsck::Counts;
    use crate::values::{BlobId, TreePath};

    fn of(findings: Vec<Finding>) -> Report {
        let counts = Counts { objects: 7052, entries: 97_000, bytes: 240 << 20 };
        Report { kind: Kind::Client, findings, counts, seconds: 1.2 }
    }

    fn foreign(name: &str) -> Finding {
        ClientFinding::ForeignFile { path: TreePath::new(name.as_bytes()).unwrap() }.into()
    }

    #[test]
    fn a_clean_report_says_so_with_what_was_looked_at() {
        let text = report(&of(vec![]));
        let expected = "client: 7,052 objects, 97,000 links and files; 240.0 MiB hashed in 1.20 s (200.0 MiB/s)\n\
                        everything is as it should be\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn findings_are_grouped_and_a_flood_is_cut_short() {
        let mut all: Vec<Finding> = (0..25).map(|at| foreign(&format!("trees/x{at}"))).collect();
        let file = BlobFile { id: BlobId::of(b"x"), executable: false };
        all.push(ClientFinding::BlobFileDamaged { file }.into());
        let text = report(&of(all));
        assert!(text.contains("foreign-file (25)\n  trees/x0 does not belong there\n"), "{text}");
        assert!(text.contains("and 5 more of this kind"), "{text}");
        assert!(text.contains(&format!("blobs/{:02x}/{}", file.id.as_bytes()[0], file.id)), "{text}");
        assert!(text.ends_with("26 findings; `sceneshift fsck --repair` repairs what can be\n"), "{text}");
    }

    #[test]
    fn a_repair_is_believed_only_as_far_as_the_second_check_goes() {
        let (healed, stays) = (foreign("trees/a"), foreign("trees/b\u{1b}"));
        let outcomes = [
            Outcome { finding: healed.clone(), repaired: true, detail: "gone".into() },
            Outcome { finding: stays.clone(), repaired: false, detail: "the disk is full".into() },
        ];
        let text = repaired(&of(vec![healed.clone(), stays.clone()]), &outcomes, &of(vec![stays]));
        assert!(text.contains("repaired 1 of 2\n"), "{text}");
        assert!(text.contains("the disk is full"), "{text}");
        assert!(text.ends_with("1 finding remains\n"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let clean = repaired(&of(vec![healed]), &outcomes[..1], &of(vec![]));
        assert!(clean.ends_with("a second check found everything as it should be\n"), "{clean}");
    }
}

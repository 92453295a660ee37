//! How a client does, for people.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::output::{ago, commit, count, number, plain, seconds, size};
use super::progress;
use crate::progress::Phase;
use crate::values::{CommitId, RepoName};
use crate::wire::api::{ClientReport, DeployFigures, FailedCommit, RepoStatus, ScrubStatus};

/// Every repo of a client, or the one that was asked for.
pub(super) fn report(report: &ClientReport, now: Timestamp) -> String {
    if report.repos.is_empty() {
        return "this client has no repos\n".to_owned();
    }
    let mut text: String = report.repos.iter().map(|(name, status)| repo(name, status, now)).collect();
    if let Some(gate) = &report.gate {
        let _ =
            writeln!(text, "gate\n  now      {} held, {} running", count(gate.held, "request"), number(gate.running));
    }
    if let Some(status) = &report.scrub {
        let _ = writeln!(text, "scrub\n  read     {}", scrubbed(status, now));
        if let Some(damage) = damage(status) {
            let _ = writeln!(text, "  damage   {damage}");
        }
    }
    text
}

fn scrubbed(status: &ScrubStatus, now: Timestamp) -> String {
    let last = status
        .last_pass
        .as_deref()
        .map_or_else(|| "not everything once yet".to_owned(), |time| format!("everything last {}", ago(time, now)));
    let found = count(status.findings, "finding");
    format!("{} in {}; {last}; {found} so far", size(status.bytes), count(status.objects, "object"))
}

/// What the scrub found and could not repair, where there is something.
pub(super) fn damage(status: &ScrubStatus) -> Option<String> {
    let first = plain(status.first_unrepaired.as_deref()?);
    Some(format!("{} of damage not repaired: {first}", count(status.unrepaired, "finding")))
}

fn repo(name: &RepoName, status: &RepoStatus, now: Timestamp) -> String {
    let mut text = format!("{name}\n");
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "  {label:<9}{value}");
    };
    line("runs", &runs(status, now));
    line("state", &state(status));
    if let Some(pinned) = status.pinned {
        line("pinned", &format!("to {}, until `sceneshift rollback --release`", pinned.short()));
    }
    if status.unflushed {
        line("flush", "owed: Puppet Server may still compile with the old code");
    }
    if let Some(error) = &status.error {
        line("error", &plain(error));
    }
    if let Some(failed) = &status.failed_commit {
        line("commit", &failed_commit(failed, now));
    }
    if let Some(figures) = &status.last_deploy {
        line("deploy", &deploy(figures));
    }
    if !status.generations.is_empty() {
        let kept: Vec<String> = status.generations.iter().map(CommitId::short).collect();
        line("kept", &kept.join(" "));
    }
    text
}

/// That the last commit failed, and why.
pub(super) fn failed_commit(failed: &FailedCommit, now: Timestamp) -> String {
    let about = failed.environments.join(" ");
    let about = if about.trim().is_empty() { String::new() } else { format!(" of {}", plain(&about)) };
    let again = if failed.failures > 1 { format!(" ({} in a row)", failed.failures) } else { String::new() };
    format!("the last one{about} on the primary failed {}{again}: {}", ago(&failed.time, now), plain(&failed.error))
}

fn runs(status: &RepoStatus, now: Timestamp) -> String {
    let Some(deployed) = status.deployed else { return "nothing yet".to_owned() };
    let since = status.deployed_at.as_deref().map(|time| format!(", deployed {}", ago(time, now))).unwrap_or_default();
    format!("{}{since}", commit(deployed, status.sequence))
}

/// In a few words: what this client is up to.
pub(super) fn state(status: &RepoStatus) -> String {
    if status.progress.phase != Phase::Idle {
        return progress::describe(&status.progress);
    }
    match (status.deployed, status.head) {
        _ if status.error.is_some() => "failed, tries again".to_owned(),
        _ if status.unflushed => "deployed, but a flush is owed".to_owned(),
        _ if status.pinned.is_some() => "pinned".to_owned(),
        (None, None) => "waits for the first commit".to_owned(),
        (deployed, Some(head)) if deployed != Some(head) => format!("behind the head {}", head.short()),
        _ => "up to date".to_owned(),
    }
}

fn deploy(figures: &DeployFigures) -> String {
    format!(
        "{} in all: fetched {} in {} ({}), built {} and {} in {}, paused {}",
        seconds(figures.seconds),
        size(figures.received_bytes),
        seconds(figures.fetch_seconds),
        count(figures.blobs, "blob"),
        count(figures.trees_built, "tree"),
        count(figures.linked, "link"),
        seconds(figures.build_seconds),
        paused(figures),
    )
}

/// How long requests were held, and for what, where that was not next to nothing.
fn paused(figures: &DeployFigures) -> String {
    let all = seconds(figures.paused_seconds);
    if figures.drain_seconds + figures.flush_seconds < 0.0005 {
        return all;
    }
    format!("{all} (drain {}, flush {})", seconds(figures.drain_seconds), seconds(figures.flush_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CommitId {
        CommitId::of(text.as_bytes())
    }

    fn shown(status: &RepoStatus) -> String {
        let name: RepoName = "puppet-code".parse().unwrap();
        repo(&name, status, "2026-11-24T12:00:00Z".parse().unwrap())
    }

    fn deployed() -> RepoStatus {
        let figures = DeployFigures { received_bytes: 2048, blobs: 1, linked: 60, seconds: 0.41, ..Default::default() };
        RepoStatus {
            deployed: Some(id("a")),
            sequence: Some(12),
            deployed_at: Some("2026-11-24T11:59:00Z".into()),
            head: Some(id("a")),
            last_deploy: Some(figures),
            ..RepoStatus::default()
        }
    }

    #[test]
    fn a_healthy_client_is_told_in_a_few_lines() {
        let text = shown(&deployed());
        let runs = format!("  runs     {} (#12), deployed 1 minute ago\n  state    up to date\n", id("a").short());
        assert!(text.contains(&runs), "{text}");
        assert!(text.contains("0.41 s in all: fetched 2.0 KiB in 0 µs (1 blob), built 0 trees and 60 links"), "{text}");
        assert!(!text.contains("error") && !text.contains("pinned"), "{text}");
    }

    #[test]
    fn whatever_keeps_a_client_from_the_head_is_said() {
        let pinned = RepoStatus { pinned: Some(id("a")), head: Some(id("b")), ..deployed() };
        assert!(shown(&pinned).contains("rollback --release"));
        let behind = RepoStatus { head: Some(id("b")), ..deployed() };
        assert!(shown(&behind).contains(&format!("behind the head {}", id("b").short())));
        let owing = RepoStatus { unflushed: true, ..deployed() };
        assert!(shown(&owing).contains("Puppet Server may still compile with the old code"));
        let failed = RepoStatus { error: Some("no \x1b room".into()), ..deployed() };
        assert!(shown(&failed).contains("error    no \\u{1b} room"));
        assert!(shown(&RepoStatus::default()).contains("nothing yet"));
    }
}

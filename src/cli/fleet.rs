//! `clients`, `tag`, `gc`, `rollback --fleet`: what concerns everybody.

use jiff::Timestamp;
use serde::Serialize;

use super::args::{ClientsArgs, GcArgs, RollbackArgs, TagArgs};
use super::commit;
use super::error::CliError;
use super::interrupt;
use super::output::{self, Table, count, number, plain, seconds, size};
use super::progress;
use super::report::{damage, failed_commit, state};
use crate::values::CommitId;
use crate::wire::api::{Fleet, FleetMember, GcAnswer, RollbackRequest, SEEN_LATELY_SECONDS, TagRequest, Tags};

pub(super) async fn clients(args: &ClientsArgs) -> Result<(), CliError> {
    let fleet = args.at.connect()?.clients().await?;
    output::answer(args.at.json, &fleet, || fleet_lines(&fleet))
}

fn fleet_lines(fleet: &Fleet) -> String {
    let failed = fleet.failed_commits.iter();
    let failed = failed.map(|(repo, failed)| format!("{repo}: commit: {}\n", failed_commit(failed, Timestamp::now())));
    let damaged = fleet.scrub.iter().filter_map(damage).map(|damage| format!("primary: {damage}\n"));
    failed.chain(damaged).chain([client_lines(fleet)]).collect()
}

fn client_lines(fleet: &Fleet) -> String {
    if fleet.clients.is_empty() {
        return "no client has reported yet\n".to_owned();
    }
    let mut table = Table::new(["CLIENT", "SEEN", "REPO", "RUNS", "STATE"]);
    for member in &fleet.clients {
        for (repo, status) in &member.report.repos {
            let runs = status.deployed.map_or_else(|| "nothing".to_owned(), |id| output::commit(id, status.sequence));
            let mut state = match &status.error {
                Some(error) => format!("failed: {}", output::headline(error)),
                None => state(status),
            };
            if let Some(damage) = member.report.scrub.as_ref().and_then(damage) {
                state = format!("{state}; {damage}");
            }
            table.row([plain(&member.name), seen(member), repo.to_string(), runs, state]);
        }
        if member.report.repos.is_empty() {
            table.row([plain(&member.name), seen(member), String::new(), String::new(), String::new()]);
        }
    }
    table.to_string()
}

fn seen(member: &FleetMember) -> String {
    if member.seen_seconds_ago == 0 {
        return "just now".to_owned();
    }
    let span = output::span(i64::try_from(member.seen_seconds_ago).unwrap_or(i64::MAX));
    let silent = if member.seen_seconds_ago > SEEN_LATELY_SECONDS { ", silent" } else { "" };
    format!("{span} ago{silent}")
}

/// The answer of `tag` where it changed something.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Tagged<'a> {
    tag: &'a str,
    /// Absent where the tag was removed.
    commit: Option<CommitId>,
}

pub(super) async fn tag(args: &TagArgs) -> Result<(), CliError> {
    let primary = args.at.connect().await?;
    let json = args.at.server.json;
    let Some(tag) = &args.tag else {
        let tags = primary.remote.tags(&primary.repo).await?;
        return output::answer(json, &tags, || tag_lines(&tags));
    };
    if args.delete {
        primary.remote.untag(&primary.repo, tag).await?;
        return output::answer(json, &Tagged { tag, commit: None }, || format!("removed the tag {}", plain(tag)));
    }
    let commit = primary.resolve(&args.commit).await?;
    primary.remote.tag(&primary.repo, tag, &TagRequest { commit: Some(commit) }).await?;
    output::answer(json, &Tagged { tag, commit: Some(commit) }, || format!("{} is now {}", plain(tag), commit.short()))
}

fn tag_lines(tags: &Tags) -> String {
    let mut table = Table::plain([false, false]);
    for (tag, commit) in &tags.tags {
        table.row([plain(tag), commit.short()]);
    }
    table.to_string()
}

pub(super) async fn gc(args: &GcArgs) -> Result<(), CliError> {
    let primary = args.at.connect().await?;
    let work = async { Ok(primary.remote.gc(&primary.repo).await?) };
    let work = interrupt::waiting(work, "GC stops too, unless it was removing already; the next one does the rest");
    let answer = progress::watch(work, async || primary.remote.progress(&primary.repo).await.ok()).await?;
    output::answer(args.at.server.json, &answer, || gc_lines(&answer))
}

fn gc_lines(answer: &GcAnswer) -> String {
    format!(
        "removed {}, {} and {} ({}); {} kept; took {}",
        count(answer.commits, "commit"),
        count(answer.trees, "tree"),
        count(answer.blobs, "blob"),
        size(answer.bytes),
        number(answer.kept_commits),
        seconds(answer.seconds),
    )
}

pub(super) async fn rollback(args: &RollbackArgs) -> Result<(), CliError> {
    let primary = args.at.connect().await?;
    // clap asks for a commit wherever --fleet is given.
    let commit = primary.resolve(args.commit.as_deref().unwrap_or("head")).await?;
    let request = RollbackRequest { commit, message: args.message.clone(), author: args.author.clone() };
    let work = async { Ok(primary.remote.rollback(&primary.repo, &request).await?) };
    let work = interrupt::waiting(work, commit::GOES_ON);
    let answer = progress::watch(work, async || primary.remote.progress(&primary.repo).await.ok()).await?;
    for warning in &answer.warnings {
        output::warn(warning);
    }
    output::answer(args.at.server.json, &answer, || commit::describe(&answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::{ClientReport, FailedCommit, RepoStatus, ScrubStatus};

    #[test]
    fn the_fleet_shows_who_is_silent_pinned_or_failing() {
        let id = CommitId::of(b"a");
        let running = RepoStatus { deployed: Some(id), sequence: Some(3), head: Some(id), ..RepoStatus::default() };
        let member = |name: &str, seen_seconds_ago, status: RepoStatus| {
            let repos = [("puppet-code".parse().unwrap(), status)].into();
            let report = ClientReport { version: "1".into(), repos, ..ClientReport::default() };
            FleetMember { name: name.into(), seen: String::new(), seen_seconds_ago, report }
        };
        let mut damaged = member("damaged", 3, running.clone());
        damaged.report.scrub =
            Some(ScrubStatus { unrepaired: 2, first_unrepaired: Some("trees/a is gone".into()), ..Default::default() });
        let fleet = Fleet {
            clients: vec![
                member("fine", 3, running.clone()),
                member("silent", 7200, running.clone()),
                member("pinned", 3, RepoStatus { pinned: Some(id), ..running.clone() }),
                member("failing", 3, RepoStatus { error: Some("no space\nleft".into()), ..running }),
                member("new", 3, RepoStatus::default()),
                damaged,
            ],
            ..Fleet::default()
        };
        let text = fleet_lines(&fleet);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
        let states: Vec<&str> = rows[1..].iter().map(|row| *row.last().unwrap()).collect();
        assert_eq!(
            states,
            [
                "up to date",
                "up to date",
                "pinned",
                "failed: no space",
                "waits for the first commit",
                "up to date; 2 findings of damage not repaired: trees/a is gone"
            ]
        );
        assert!(text.contains("2 hours ago, silent"), "{text}");
    }

    #[test]
    fn a_commit_that_failed_stands_above_the_clients() {
        let failed = FailedCommit {
            time: Timestamp::now().to_string(),
            error: "no such environment: devel".into(),
            environments: vec!["devel production".into()],
            failures: 3,
        };
        let failed_commits = [("puppet-code".parse().unwrap(), failed)].into();
        let text = fleet_lines(&Fleet { failed_commits, ..Fleet::default() });
        assert!(
            text.starts_with("puppet-code: commit: the last one of devel production on the primary failed"),
            "{text}"
        );
        assert!(text.contains("(3 in a row): no such environment: devel\nno client"), "{text}");
    }
}

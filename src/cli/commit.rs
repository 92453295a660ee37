//! `commit`: asks for a commit, shows how far it has come, and waits until the fleet runs it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::args::CommitArgs;
use super::error::{CliError, Laggard};
use super::interrupt;
use super::output::{self, commit, count, seconds, size};
use super::place::Primary;
use super::progress;
use crate::progress::{Phase, Snapshot};
use crate::values::CommitId;
use crate::wire::api::{CommitAnswer, CommitRequest, Fleet, FleetMember, SEEN_LATELY_SECONDS};

/// How soon the fleet is looked at again: at first a small change is live within some hundredths of a second; later nobody is in a hurry.
const SOONEST: Duration = Duration::from_millis(20);
const LATEST: Duration = Duration::from_millis(500);

/// How soon a primary that is away is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// What becomes of a commit that is no longer waited for.
pub(super) const GOES_ON: &str = "a commit that the primary has begun is made all the same; `sceneshift log` shows it";
const IS_MADE: &str = "the commit is made, and the clients go on; `sceneshift clients` shows how far they are";

pub(super) async fn run(args: &CommitArgs) -> Result<(), CliError> {
    let (primary, answer) = interrupt::waiting(patiently(args), GOES_ON).await?;
    for warning in &answer.warnings {
        output::warn(warning);
    }
    output::answer(args.at.server.json, &answer, || describe(&answer))?;
    match args.wait {
        Some(limit) => interrupt::waiting(wait(&primary, &answer, limit), IS_MADE).await,
        None => Ok(()),
    }
}

/// Commits; where the primary is away, again and again for as long as the caller allows. A commit that was made, though its answer was
/// lost, is found made by the next one.
async fn patiently(args: &CommitArgs) -> Result<(Primary, CommitAnswer), CliError> {
    let (started, limit) = (Instant::now(), args.retry.unwrap_or_default());
    let mut told = false;
    loop {
        match commit_once(args).await {
            Err(CliError::Remote(error)) if error.is_away() && started.elapsed() < limit => {
                if !told {
                    output::note(&format!("{error}; trying again for {}", seconds(limit.as_secs_f64())));
                    told = true;
                }
                tokio::time::sleep(AGAIN.min(limit)).await;
            }
            done => return done,
        }
    }
}

async fn commit_once(args: &CommitArgs) -> Result<(Primary, CommitAnswer), CliError> {
    let primary = args.at.connect().await?;
    let expect_head = match &args.expect_head {
        Some(text) => Some(primary.resolve(text).await?),
        None => None,
    };
    let request = CommitRequest {
        message: args.message.clone(),
        author: args.author.clone(),
        environments: args.environments.clone(),
        expect_head,
        allow_empty: args.allow_empty,
    };
    let work = primary.remote.commit(&primary.repo, &request);
    let answer = progress::watch(work, async || primary.remote.progress(&primary.repo).await.ok()).await?;
    Ok((primary, answer))
}

/// What a commit (or a rollback for everybody, which is one too) did.
pub(super) fn describe(answer: &CommitAnswer) -> String {
    let id = commit(answer.commit, Some(answer.sequence));
    if !answer.created {
        return format!("{}: nothing changed, the head is still {id}; took {}", answer.repo, seconds(answer.seconds));
    }
    let changes = answer.changes;
    format!(
        "{}: committed {id}: {} added, {} modified, {} removed\n{}, {}; took {}",
        answer.repo,
        output::number(changes.added),
        output::number(changes.modified),
        output::number(changes.removed),
        count(answer.files, "file"),
        size(answer.bytes),
        seconds(answer.seconds),
    )
}

/// Where a client stands as to a commit.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// It runs it, or a later one.
    There,
    /// It will.
    OnItsWay(String),
    /// It will not, until somebody does something.
    Held(String),
    /// It has not been seen lately, or has no such repo.
    OutOfReach,
}

async fn wait(primary: &Primary, answer: &CommitAnswer, limit: Duration) -> Result<(), CliError> {
    let seen = Cell::default();
    progress::watch(until_all_run_it(primary, answer, limit, &seen), async || Some(seen.get())).await
}

/// Tells in `seen` how many there are, and how many run it.
async fn until_all_run_it(
    primary: &Primary,
    answer: &CommitAnswer,
    limit: Duration,
    seen: &Cell<Snapshot>,
) -> Result<(), CliError> {
    let (started, mut pause) = (Instant::now(), SOONEST);
    loop {
        let fleet = match primary.remote.clients().await {
            Ok(fleet) => fleet,
            // A primary that is restarted meanwhile is no reason to give up.
            Err(error) if error.is_away() && started.elapsed() < limit => {
                tokio::time::sleep(LATEST).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let (arrived, coming, held) = sort(&fleet, answer);
        let total_files = arrived + coming.len() as u64;
        seen.set(Snapshot { phase: Phase::Waiting, files: arrived, total_files, ..Snapshot::default() });
        if coming.is_empty() || started.elapsed() >= limit {
            let laggards: Vec<Laggard> = coming.into_iter().chain(held).collect();
            if laggards.is_empty() {
                return say_arrived(arrived, started.elapsed());
            }
            return Err(CliError::NotEverywhere { commit: answer.commit, laggards });
        }
        tokio::time::sleep(pause).await;
        pause = LATEST.min(pause * 3 / 2);
    }
}

fn say_arrived(clients: u64, after: Duration) -> Result<(), CliError> {
    if clients == 0 {
        output::warn("no client was seen lately, so there was none to wait for");
    } else {
        let runs = if clients == 1 { "runs" } else { "run" };
        output::note(&format!("{} {runs} it, after {}", count(clients, "client"), seconds(after.as_secs_f64())));
    }
    Ok(())
}

fn sort(fleet: &Fleet, answer: &CommitAnswer) -> (u64, Vec<Laggard>, Vec<Laggard>) {
    let (mut arrived, mut coming, mut held) = (0, Vec::new(), Vec::new());
    for member in &fleet.clients {
        let laggard = |why| Laggard { name: output::plain(&member.name), why };
        match standing(member, answer) {
            Standing::There => arrived += 1,
            Standing::OnItsWay(why) => coming.push(laggard(why)),
            Standing::Held(why) => held.push(laggard(why)),
            Standing::OutOfReach => {}
        }
    }
    (arrived, coming, held)
}

fn standing(member: &FleetMember, answer: &CommitAnswer) -> Standing {
    let status = match member.report.repos.get(&answer.repo) {
        Some(status) if member.seen_seconds_ago <= SEEN_LATELY_SECONDS => status,
        _ => return Standing::OutOfReach,
    };
    let runs = |id: CommitId| format!("runs {}", commit(id, status.sequence));
    match status.deployed {
        Some(deployed) if deployed == answer.commit => Standing::There,
        _ if status.pinned.is_some_and(|pinned| pinned != answer.commit) => {
            let pinned = status.pinned.map(|id| id.short()).unwrap_or_default();
            Standing::Held(format!("pinned to {pinned} until `sceneshift rollback --release` there"))
        }
        Some(_) if status.sequence > Some(answer.sequence) => Standing::There,
        deployed => match &status.error {
            Some(error) => Standing::OnItsWay(output::plain(error)),
            None => Standing::OnItsWay(deployed.map_or_else(|| "runs nothing yet".to_owned(), runs)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::TreeId;
    use crate::wire::api::{Changes, ClientReport, RepoStatus};

    fn id(text: &str) -> CommitId {
        CommitId::of(text.as_bytes())
    }

    fn answer() -> CommitAnswer {
        CommitAnswer {
            repo: "puppet-code".parse().unwrap(),
            commit: id("new"),
            tree: TreeId::of(b""),
            parent: Some(id("old")),
            sequence: 12,
            created: true,
            changes: Changes { added: 1, modified: 2, removed: 3 },
            files: 97_012,
            bytes: 2048,
            seconds: 0.41,
            warnings: vec![],
        }
    }

    fn member(seen_seconds_ago: u64, status: RepoStatus) -> FleetMember {
        let repos = [("puppet-code".parse().unwrap(), status)].into();
        let report = ClientReport { version: "1".into(), repos, ..ClientReport::default() };
        FleetMember { name: "compile1".into(), seen: String::new(), seen_seconds_ago, report }
    }

    fn running(text: &str, sequence: u64) -> RepoStatus {
        RepoStatus { deployed: Some(id(text)), sequence: Some(sequence), ..RepoStatus::default() }
    }

    #[test]
    fn a_client_is_there_when_it_runs_the_commit_or_a_later_one() {
        assert_eq!(standing(&member(1, running("new", 12)), &answer()), Standing::There);
        assert_eq!(standing(&member(1, running("newer", 13)), &answer()), Standing::There);
        assert!(matches!(standing(&member(1, running("old", 11)), &answer()), Standing::OnItsWay(_)));
        assert!(matches!(standing(&member(1, RepoStatus::default()), &answer()), Standing::OnItsWay(_)));
    }

    #[test]
    fn a_pinned_client_is_not_waited_for_but_not_forgotten_either() {
        let pinned = RepoStatus { pinned: Some(id("old")), ..running("old", 11) };
        let fleet = Fleet { clients: vec![member(1, running("new", 12)), member(1, pinned)], ..Fleet::default() };
        let (arrived, coming, held) = sort(&fleet, &answer());
        assert_eq!((arrived, coming.len(), held.len()), (1, 0, 1));
        assert!(held[0].to_string().contains("rollback --release"));
    }

    #[test]
    fn a_client_that_is_silent_or_has_no_such_repo_is_not_waited_for() {
        assert_eq!(standing(&member(SEEN_LATELY_SECONDS + 1, running("old", 11)), &answer()), Standing::OutOfReach);
        let mut other = member(1, running("old", 11));
        other.report.repos.clear();
        assert_eq!(standing(&other, &answer()), Standing::OutOfReach);
    }

    #[test]
    fn a_failed_deploy_is_told_as_the_reason() {
        let failed = RepoStatus { error: Some("no space left".into()), ..running("old", 11) };
        assert_eq!(standing(&member(1, failed), &answer()), Standing::OnItsWay("no space left".into()));
    }

    #[test]
    fn what_was_done_is_told_in_two_lines() {
        let text = describe(&answer());
        assert!(text.starts_with(&format!("puppet-code: committed {} (#12): 1 added", id("new").short())), "{text}");
        assert!(text.ends_with("97,012 files, 2.0 KiB; took 0.41 s"), "{text}");
        let unchanged = describe(&CommitAnswer { created: false, ..answer() });
        assert!(unchanged.contains("nothing changed"), "{unchanged}");
    }
}

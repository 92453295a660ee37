//! `log`, `show`, `ls`, `cat`, `diff`: what stands in the history.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
use serde::Serialize;

use super::args::{CatArgs, DiffArgs, LogArgs, LsArgs, ShowArgs};
use super::error::CliError;
use super::output::{self, Table, ago, count, headline, plain, size};
use super::place::Primary;
use super::progress;
use crate::progress::{Phase, Snapshot};
use crate::remote::{FileAnswer, ObjectStream, RemoteError};
use crate::values::{Author, TreePath};
use crate::wire::api::{ChangeKind, CommitInfo, Diff, EntryKind, History, ListedEntry};

/// How many commits are asked for at once.
const PAGE: usize = 200;

pub(super) async fn log(args: &LogArgs) -> Result<(), CliError> {
    let primary = args.at.connect().await?;
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let seen = Cell::default();
    let history = progress::watch(read(&primary, limit, &seen), async || Some(seen.get())).await?;
    output::answer(args.at.server.json, &history, || log_lines(&history, Timestamp::now()))
}

/// The newest commits, part by part. Tells in `seen` how many have come.
async fn read(primary: &Primary, limit: usize, seen: &Cell<Snapshot>) -> Result<History, CliError> {
    let mut history = History { commits: Vec::new(), next: None };
    loop {
        let before = history.next;
        let wanted = (limit - history.commits.len()).min(PAGE);
        let page = primary.remote.history(&primary.repo, before, wanted).await?;
        history.commits.extend(page.commits);
        history.next = page.next;
        if history.commits.len() >= limit || history.next.is_none() || history.next == before {
            return Ok(history);
        }
        seen.set(Snapshot { phase: Phase::Reading, files: history.commits.len() as u64, ..Snapshot::default() });
    }
}

fn log_lines(history: &History, now: Timestamp) -> String {
    if history.commits.is_empty() {
        return "nothing was committed yet\n".to_owned();
    }
    let mut table = Table::new(["COMMIT", ">#", "WHEN", "AUTHOR", "MESSAGE"]);
    for info in &history.commits {
        let tags: String = info.tags.iter().map(|tag| format!("[{}] ", plain(tag))).collect();
        table.row([
            info.commit.short(),
            info.sequence.to_string(),
            ago(&info.time, now),
            plain(if info.author.name.is_empty() { &info.author.email } else { &info.author.name }),
            format!("{tags}{}", headline(&info.message)),
        ]);
    }
    table.to_string()
}

/// The answer of `show`.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    info: CommitInfo,
    /// Against the commit before, where that is still kept.
    diff: Option<Diff>,
}

pub(super) async fn show(args: &ShowArgs) -> Result<(), CliError> {
    let primary = args.at.connect().await?;
    let info = primary.remote.commit_info(&primary.repo, &args.commit).await?;
    let diff = match info.parent {
        Some(parent) => kept(primary.remote.diff(&primary.repo, Some(parent), info.commit).await)?,
        None => None,
    };
    let shown = Shown { info, diff };
    output::answer(args.at.server.json, &shown, || shown_lines(&shown, Timestamp::now()))
}

/// A commit that GC has taken is no error here.
fn kept<T>(outcome: Result<T, RemoteError>) -> Result<Option<T>, CliError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.status(), Some(404 | 410)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn shown_lines(shown: &Shown, now: Timestamp) -> String {
    let info = &shown.info;
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{label:<9}{value}");
        }
    };
    line("commit", &info.commit.to_string());
    line("repo", &format!("{}, #{}", info.repo, info.sequence));
    line("tags", &plain(&info.tags.join(" ")));
    line("parent", &info.parent.map(|id| id.to_string()).unwrap_or_default());
    line("tree", &info.tree.to_string());
    line("author", &author(&info.author));
    line("time", &format!("{} ({})", plain(&info.time), ago(&info.time, now)));
    let totals = info.totals;
    let links = if totals.links > 0 { format!("{}, ", count(totals.links, "link")) } else { String::new() };
    line("content", &format!("{}, {links}{}", count(totals.files, "file"), size(totals.bytes)));
    if !info.message.is_empty() {
        let _ = writeln!(text);
        for line in output::lines(info.message.trim_end()).lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    match (&shown.diff, info.parent) {
        (Some(diff), _) => {
            let _ = write!(text, "\n{}", diff_lines(diff));
        }
        (None, Some(_)) => {
            text.push_str("\nThe commit before is no longer kept, so what this one changed is not known.\n");
        }
        (None, None) => text.push_str("\nThis is the first commit.\n"),
    }
    text
}

fn author(author: &Author) -> String {
    match (author.name.as_str(), author.email.as_str()) {
        (name, "") => plain(name),
        ("", email) => format!("<{}>", plain(email)),
        (name, email) => format!("{} <{}>", plain(name), plain(email)),
    }
}

pub(super) async fn diff(args: &DiffArgs) -> Result<(), CliError> {
    let primary = args.at.connect().await?;
    let diff = primary.remote.diff(&primary.repo, args.from.as_ref(), &args.to).await?;
    output::answer(args.at.server.json, &diff, || diff_lines(&diff))
}

fn diff_lines(diff: &Diff) -> String {
    let mut text = String::new();
    for changed in &diff.changes {
        let sign = match changed.change {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Modified => '~',
        };
        let _ = writeln!(text, "{sign} {}", plain(&changed.path));
    }
    if diff.truncated {
        text.push_str("... and more than are listed\n");
    }
    text
}

pub(super) async fn ls(args: &LsArgs) -> Result<(), CliError> {
    let primary = args.at.connect().await?;
    let path = tree_path(&args.path)?;
    match primary.remote.listing_or_file(&primary.repo, &args.commit, &path).await? {
        FileAnswer::Listing(listing) => {
            output::answer(args.at.server.json, &listing, || listing_lines(&listing.entries))
        }
        FileAnswer::Link(entry) => {
            output::answer(args.at.server.json, &entry, || listing_lines(std::slice::from_ref(&entry)))
        }
        FileAnswer::File(_) => Err(CliError::NotADirectory(path.to_string())),
    }
}

fn listing_lines(entries: &[ListedEntry]) -> String {
    let mut table = Table::plain([true, false]);
    for entry in entries {
        table.row([entry.size.map(size).unwrap_or_default(), entry_name(entry)]);
    }
    table.to_string()
}

/// As `ls -F` marks them.
fn entry_name(entry: &ListedEntry) -> String {
    let name = plain(&entry.name);
    match entry.kind {
        EntryKind::File => name,
        EntryKind::Executable => format!("{name}*"),
        EntryKind::Directory => format!("{name}/"),
        EntryKind::Symlink => format!("{name} -> {}", plain(entry.target.as_deref().unwrap_or(""))),
    }
}

pub(super) async fn cat(args: &CatArgs) -> Result<(), CliError> {
    let primary = Primary::connect(args.server.as_deref(), args.repo.clone()).await?;
    let path = tree_path(&args.path)?;
    let stream = match primary.remote.listing_or_file(&primary.repo, &args.commit, &path).await? {
        FileAnswer::File(stream) => stream,
        FileAnswer::Link(entry) => {
            let target = output::plain(entry.target.as_deref().unwrap_or(""));
            return Err(CliError::SymbolicLink { path: path.to_string(), target });
        }
        FileAnswer::Listing(_) => return Err(CliError::NotAFile(path.to_string())),
    };
    let (received, total_bytes) = (stream.received(), stream.length().unwrap_or(0));
    // On a terminal the file itself shows how far it is.
    let is_shown = !std::io::stdout().is_terminal();
    let seen = || Snapshot { phase: Phase::Reading, bytes: received.load(Relaxed), total_bytes, ..Snapshot::default() };
    let copying = tokio::task::spawn_blocking(move || copy(stream, &path));
    let copied = progress::watch(copying, async || is_shown.then(seen)).await;
    copied.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

/// Reading and writing are told apart: only one of the two is this machine's.
fn copy(mut stream: ObjectStream, path: &TreePath) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length =
            stream.read(&mut buffer).map_err(|source| CliError::Transfer { path: path.to_string(), source })?;
        if length == 0 {
            return out.flush().map_err(CliError::Output);
        }
        out.write_all(&buffer[..length]).map_err(CliError::Output)?;
    }
}

/// A path as people type it: a slash or `./` too many does no harm.
fn tree_path(text: &OsStr) -> Result<TreePath, CliError> {
    let parts = text.as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    Ok(TreePath::new(&parts.collect::<Vec<_>>().join(&b'/'))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{CommitId, Totals, TreeId};
    use crate::wire::api::ChangedPath;

    fn info() -> CommitInfo {
        CommitInfo {
            commit: CommitId::of(b"c"),
            repo: "puppet-code".parse().unwrap(),
            tree: TreeId::of(b"t"),
            parent: Some(CommitId::of(b"p")),
            sequence: 12,
            time: "2026-11-24T11:55:00Z".into(),
            author: Author { name: "Jane".into(), email: "jane@x.org".into() },
            message: "Fix ntp\n\nIt was \x1b[31mbroken.".into(),
            environments_dir: "environments".into(),
            totals: Totals { files: 3, links: 1, bytes: 2048 },
            signature: None,
            tags: vec!["good".into()],
        }
    }

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_log_has_a_line_for_each_commit() {
        let text = log_lines(&History { commits: vec![info()], next: None }, now());
        let line = text.lines().nth(1).unwrap();
        assert_eq!(line, format!("{}  12  5 minutes ago  Jane    [good] Fix ntp", info().commit.short()));
    }

    #[test]
    fn a_commit_is_shown_with_all_of_its_message_and_what_it_changed() {
        let changes = vec![ChangedPath { path: "a\nb".into(), change: ChangeKind::Modified }];
        let diff = Diff { from: CommitId::of(b"p"), to: CommitId::of(b"c"), changes, truncated: true };
        let text = shown_lines(&Shown { info: info(), diff: Some(diff) }, now());
        assert!(text.contains("author   Jane <jane@x.org>\n"), "{text}");
        assert!(text.contains("content  3 files, 1 link, 2.0 KiB\n"), "{text}");
        assert!(text.contains("    Fix ntp\n    \n    It was \\u{1b}[31mbroken.\n"), "{text}");
        assert!(text.ends_with("\n~ a\\nb\n... and more than are listed\n"), "{text}");
        let text = shown_lines(&Shown { info: info(), diff: None }, now());
        assert!(text.contains("no longer kept"), "{text}");
    }

    #[test]
    fn a_commit_whose_parent_was_removed_is_still_shown() {
        let gone = || RemoteError::Problem { status: 410, detail: String::new(), paths: vec![] };
        assert!(matches!(kept::<()>(Err(gone())), Ok(None)));
        let other = RemoteError::Problem { status: 500, detail: String::new(), paths: vec![] };
        assert!(kept::<()>(Err(other)).is_err());
    }

    #[test]
    fn paths_are_taken_as_people_type_them_but_never_upwards() {
        let path = |text: &str| tree_path(OsStr::new(text)).map(|path| path.to_string());
        for same in ["a/b", "/a/b", "a//b/", "./a/b"] {
            assert_eq!(path(same).unwrap(), "a/b");
        }
        assert_eq!(path("/").unwrap(), "");
        assert!(path("a/../b").is_err());
    }

    #[test]
    fn entries_are_marked_by_kind() {
        let entry = |kind, target: Option<&str>| ListedEntry {
            name: "n".into(),
            kind,
            id: None,
            size: None,
            target: target.map(Into::into),
        };
        let kinds = [EntryKind::File, EntryKind::Executable, EntryKind::Directory, EntryKind::Symlink];
        let names = kinds.map(|kind| entry_name(&entry(kind, Some("../t"))));
        assert_eq!(names, ["n", "n*", "n/", "n -> ../t"]);
    }
}

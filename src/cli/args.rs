//! The commands and their options. Their documentation is the help text.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Parser, Subcommand};

use crate::config::{CLIENT_CONFIG, PRIMARY_CONFIG};
use crate::values::{Author, RepoName};

/// Brings one staging tree of Puppet code to every compile master and swaps it in whole.
#[derive(Debug, Parser)]
#[command(name = "sceneshift", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(super) struct Args {
    /// Log more: what is being done (-v), and every detail (-vv). RUST_LOG says it more finely
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(super) verbose: u8,
    #[command(subcommand)]
    pub(super) command: Command,
}

const AFTER_HELP: &str = "\
A commit is named by its id or the first digits of it (8 or more), by a tag, or as `head`.
The first five minutes, and what to do at 3 am: see README.md.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the primary: keep the history of staging trees and serve it to clients
    Serve(ServeArgs),
    /// Run the client: fetch each new commit, build it, and make it current
    Client(ClientArgs),
    /// Commit what stands in staging
    Commit(CommitArgs),
    /// List commits, newest first
    Log(LogArgs),
    /// Show a commit and what it changed
    Show(ShowArgs),
    /// List a directory as of a commit
    Ls(LsArgs),
    /// Print a file as of a commit
    Cat(CatArgs),
    /// List the paths that differ between two commits
    Diff(DiffArgs),
    /// Show every client of the primary and what it runs
    Clients(ClientsArgs),
    /// Show what this machine's client runs
    Status(LocalArgs),
    /// Have this machine's client look for a new commit now, and wait until it runs it
    Sync(LocalArgs),
    /// Make an older commit current: on this machine, until released, or for everybody (--fleet)
    Rollback(RollbackArgs),
    /// Show from the gate's log which catalogs an agent was given, and of which version
    Served(ServedArgs),
    /// List tags, or name a commit so that `gc` keeps it
    Tag(TagArgs),
    /// Remove old commits from the primary, and what only they need
    Gc(GcArgs),
    /// Print the version of an environment that is live here: Puppet Server's code-id-command
    CodeId(CodeIdArgs),
    /// Print a file as of a version of its environment: Puppet Server's code-content-command
    CodeContent(CodeContentArgs),
    /// Verify every object in a data directory, of a primary or a client, running or not
    #[command(after_help = "Exit status: 0 clean or all repaired, 1 damage remains, 2 could not check.")]
    Fsck(FsckArgs),
}

/// `serve`.
#[derive(Debug, Group)]
pub(super) struct ServeArgs {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = PRIMARY_CONFIG)]
    pub(super) config: PathBuf,
}

/// `client`.
#[derive(Debug, Group)]
pub(super) struct ClientArgs {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = CLIENT_CONFIG)]
    pub(super) config: PathBuf,
    /// Sync and deploy once, then exit: 0 where that went well, else 1
    #[arg(long)]
    pub(super) once: bool,
    /// With --once: print the answer as JSON
    #[arg(long, requires = "once")]
    pub(super) json: bool,
}

/// `code-id`.
#[derive(Debug, Group)]
pub(super) struct CodeIdArgs {
    /// The environment
    #[arg(value_name = "ENV")]
    pub(super) environment: OsString,
    /// The client's configuration
    #[arg(long, value_name = "FILE", env = "SCENESHIFT_CLIENT_CONFIG", default_value = CLIENT_CONFIG)]
    pub(super) config: PathBuf,
}

/// `code-content`.
#[derive(Debug, Group)]
pub(super) struct CodeContentArgs {
    /// The environment
    #[arg(value_name = "ENV")]
    pub(super) environment: OsString,
    /// The version, as `code-id` printed it
    #[arg(value_name = "CODE-ID")]
    pub(super) code_id: OsString,
    /// The file's path from the environment on
    #[arg(value_name = "PATH")]
    pub(super) path: OsString,
    /// The client's configuration
    #[arg(long, value_name = "FILE", env = "SCENESHIFT_CLIENT_CONFIG", default_value = CLIENT_CONFIG)]
    pub(super) config: PathBuf,
}

/// Which primary, and how to print what it says.
#[derive(Debug, Group)]
pub(super) struct ServerArgs {
    /// The primary's address: http://, https://, or unix: and a socket's path [default: as configured on this machine, else http://127.0.0.1:8145]
    #[arg(long, value_name = "URL", env = "SCENESHIFT_SERVER")]
    pub(super) server: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Which repo of which primary.
#[derive(Debug, Group)]
pub(super) struct RepoArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// The repo; needed only where there are several
    #[arg(short, long, value_name = "REPO")]
    pub(super) repo: Option<RepoName>,
}

/// `commit`.
#[derive(Debug, Group)]
pub(super) struct CommitArgs {
    #[command(flatten)]
    pub(super) at: RepoArgs,
    /// Commit only this environment, and what is gone from staging; may be given several times, and may name several, separated by
    /// spaces, as r10k's $modifiedenvs does
    #[arg(short, long = "environment", value_name = "ENV", num_args = 0.., default_missing_value = "")]
    pub(super) environments: Vec<String>,
    /// Why
    #[arg(short, long, value_name = "TEXT")]
    pub(super) message: Option<String>,
    /// Who, like "Jane Doe <jane@example.com>"
    #[arg(long, value_name = "WHO", env = "SCENESHIFT_AUTHOR", value_parser = parse_author)]
    pub(super) author: Option<Author>,
    /// Commit only where this commit is still the head
    #[arg(long, value_name = "COMMIT")]
    pub(super) expect_head: Option<String>,
    /// Commit even where staging is empty or every environment would go
    #[arg(long)]
    pub(super) allow_empty: bool,
    /// Try for this long where the primary is away, as while it is restarted
    #[arg(long, value_name = "TIMEOUT", value_parser = parse_duration)]
    pub(super) retry: Option<Duration>,
    /// Wait until every client seen lately runs it, at most for this long
    #[arg(long, value_name = "TIMEOUT", num_args = 0..=1, default_missing_value = "10m", value_parser = parse_duration)]
    pub(super) wait: Option<Duration>,
}

/// `log`.
#[derive(Debug, Group)]
pub(super) struct LogArgs {
    #[command(flatten)]
    pub(super) at: RepoArgs,
    /// How many commits; 0 for all
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    pub(super) limit: usize,
}

/// `show`.
#[derive(Debug, Group)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pub(super) at: RepoArgs,
    /// The commit
    #[arg(default_value = "head")]
    pub(super) commit: String,
}

/// `ls`.
#[derive(Debug, Group)]
pub(super) struct LsArgs {
    #[command(flatten)]
    pub(super) at: RepoArgs,
    /// The directory, as a path from the root of staging
    #[arg(default_value = "")]
    pub(super) path: OsString,
    /// As of this commit
    #[arg(short, long, default_value = "head")]
    pub(super) commit: String,
}

/// `cat`.
#[derive(Debug, Group)]
pub(super) struct CatArgs {
    // No --json: a file is printed as it is.
    /// The primary's address: http://, https://, or unix: and a socket's path [default: as configured on this machine, else http://127.0.0.1:8145]
    #[arg(long, value_name = "URL", env = "SCENESHIFT_SERVER")]
    pub(super) server: Option<String>,
    /// The repo; needed only where there are several
    #[arg(short, long, value_name = "REPO")]
    pub(super) repo: Option<RepoName>,
    /// The file, as a path from the root of staging
    pub(super) path: OsString,
    /// As of this commit
    #[arg(short, long, default_value = "head")]
    pub(super) commit: String,
}

/// `diff`.
#[derive(Debug, Group)]
pub(super) struct DiffArgs {
    #[command(flatten)]
    pub(super) at: RepoArgs,
    /// The older commit [default: the one before the newer]
    pub(super) from: Option<String>,
    /// The newer commit
    #[arg(default_value = "head")]
    pub(super) to: String,
}

/// `clients`.
#[derive(Debug, Group)]
pub(super) struct ClientsArgs {
    #[command(flatten)]
    pub(super) at: ServerArgs,
}

/// Which of this machine's clients.
#[derive(Debug, Group)]
pub(super) struct SocketArgs {
    /// The client's data directory [default: as its configuration says]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// The client's configuration
    #[arg(long, value_name = "FILE", default_value = CLIENT_CONFIG)]
    pub(super) config: PathBuf,
}

/// `status`, `sync`.
#[derive(Debug, Group)]
pub(super) struct LocalArgs {
    #[command(flatten)]
    pub(super) socket: SocketArgs,
    /// Only this repo
    #[arg(short, long, value_name = "REPO")]
    pub(super) repo: Option<RepoName>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `rollback`.
#[derive(Debug, Group)]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    pub(super) socket: SocketArgs,
    #[command(flatten)]
    pub(super) at: RepoArgs,
    /// The commit to go back to [default: the one that was current before this one]
    #[arg(conflicts_with = "release", required_if_eq("fleet", "true"))]
    pub(super) commit: Option<String>,
    /// End the rollback: deploy the newest commit again
    #[arg(long, conflicts_with = "fleet")]
    pub(super) release: bool,
    /// For everybody: make a new commit with the older one's tree
    #[arg(long, conflicts_with_all = ["data_dir", "config"])]
    pub(super) fleet: bool,
    /// With --fleet: why
    #[arg(short, long, value_name = "TEXT", requires = "fleet")]
    pub(super) message: Option<String>,
    /// With --fleet: who, like "Jane Doe <jane@example.com>"
    #[arg(long, value_name = "WHO", env = "SCENESHIFT_AUTHOR", value_parser = parse_author)]
    pub(super) author: Option<Author>,
}

/// `served`.
#[derive(Debug, Group)]
pub(super) struct ServedArgs {
    /// The agent, by its certname
    #[arg(long, value_name = "NAME")]
    pub(super) certname: String,
    /// Every request, not only catalogs
    #[arg(short, long)]
    pub(super) all: bool,
    /// How many, the newest; 0 for all
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    pub(super) limit: usize,
    /// Search this log, `-` for standard input [default: the gate's, and its rotated ones]
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// The client's configuration, which names the log
    #[arg(long, value_name = "FILE", default_value = CLIENT_CONFIG)]
    pub(super) config: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `tag`.
#[derive(Debug, Group)]
pub(super) struct TagArgs {
    #[command(flatten)]
    pub(super) at: RepoArgs,
    /// The tag to set or move; without one, all are listed
    pub(super) tag: Option<String>,
    /// The commit to give it to
    #[arg(default_value = "head", requires = "tag")]
    pub(super) commit: String,
    /// Remove the tag
    #[arg(short, long, requires = "tag")]
    pub(super) delete: bool,
}

/// `gc`.
#[derive(Debug, Group)]
pub(super) struct GcArgs {
    #[command(flatten)]
    pub(super) at: RepoArgs,
}

/// `fsck`.
#[derive(Debug, Group)]
pub(super) struct FsckArgs {
    /// The data directory
    pub(super) data_dir: PathBuf,
    /// Repair what can be repaired: from staging, or from the primary
    #[arg(long)]
    pub(super) repair: bool,
    /// With --repair of a client whose daemon does not run: the primary's address [default: the last one it had]
    #[arg(long, value_name = "URL", requires = "repair")]
    pub(super) server: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Why a text names nobody.
#[derive(Debug, thiserror::Error)]
#[error("write it like \"Jane Doe <jane@example.com>\"")]
struct AuthorError;

fn parse_author(text: &str) -> Result<Author, AuthorError> {
    let (name, rest) = text.split_once('<').unwrap_or((text, ">"));
    let email = rest.trim().strip_suffix('>').ok_or(AuthorError)?.trim();
    let name = name.trim();
    let odd = |part: &str| part.chars().any(|character| character.is_control() || "<>".contains(character));
    if odd(name) || odd(email) || (name.is_empty() && email.is_empty()) {
        return Err(AuthorError);
    }
    Ok(Author { name: name.to_owned(), email: email.to_owned() })
}

/// Why a text is not a length of time.
#[derive(Debug, thiserror::Error)]
#[error("write it like \"90s\", \"2m\", \"1h 30m\"")]
struct DurationError;

fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let signed: jiff::SignedDuration = text.parse().map_err(|_| DurationError)?;
    Duration::try_from(signed).map_err(|_| DurationError)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Args::try_parse_from(line.split(' ')).map(|args| args.command)
    }

    #[test]
    fn the_definitions_hold_together() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn wait_has_a_default_but_none_is_waited_without_it() {
        let wait = |line: &str| match parse(line).unwrap() {
            Command::Commit(args) => args.wait.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(wait("sceneshift commit"), None);
        assert_eq!(wait("sceneshift commit --wait"), Some(600));
        assert_eq!(wait("sceneshift commit --wait 90s -m x"), Some(90));
        assert!(parse("sceneshift commit --wait soon").is_err());
    }

    /// r10k passes them as one argument; g10k as several, or as none at all.
    #[test]
    fn environments_come_as_the_deployers_pass_them() {
        let environments = |line: &str| match parse(line).unwrap() {
            Command::Commit(args) => args.environments,
            other => panic!("{other:?}"),
        };
        assert_eq!(environments("sceneshift commit"), [""; 0], "all of them");
        assert_eq!(environments("sceneshift commit -e a -e b"), ["a", "b"]);
        assert_eq!(environments("sceneshift commit -e a b -m x"), ["a", "b"]);
        assert_eq!(environments("sceneshift commit -e"), [""], "none");
    }

    #[test]
    fn authors_are_written_as_in_git() {
        let author = |name: &str, email: &str| Author { name: name.into(), email: email.into() };
        assert_eq!(parse_author("Jane Doe <jane@x.org>").unwrap(), author("Jane Doe", "jane@x.org"));
        assert_eq!(parse_author("r10k").unwrap(), author("r10k", ""));
        assert_eq!(parse_author("<jane@x.org>").unwrap(), author("", "jane@x.org"));
        for wrong in ["", "<>", "Jane <jane", "Jane <a> <b>", "Ja>ne", "a\nb"] {
            assert!(parse_author(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_rollback_for_everybody_needs_a_commit_and_one_cannot_release_to_a_commit() {
        assert!(parse("sceneshift rollback").is_ok());
        assert!(parse("sceneshift rollback 1234").is_ok());
        assert!(parse("sceneshift rollback --release").is_ok());
        assert!(parse("sceneshift rollback --fleet 1234").is_ok());
        assert!(parse("sceneshift rollback --fleet").is_err());
        assert!(parse("sceneshift rollback --release 1234").is_err());
        assert!(parse("sceneshift rollback -m why 1234").is_err());
    }
}

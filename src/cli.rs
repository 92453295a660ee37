//! The command line: what people and scripts call.
//!
//! ```text
//! args.rs      the commands and their options
//! place.rs     which primary, which repo, which commit, which daemon is meant
//! serve.rs client.rs           the two daemons
//! commit.rs history.rs fleet.rs local.rs served.rs versioned_code.rs fsck.rs      the commands, by what they are about
//! limits.rs    limits of the process
//! output.rs report.rs progress.rs      text for people: tables, sizes, times; how a client does; bars
//! interrupt.rs what Ctrl-C does
//! logging.rs   the log, on standard error
//! error.rs     what is said when it does not work
//! ```
//!
//! - Standard output holds the answer and nothing else, as JSON with `--json`. All else goes to standard error.
//! - Exit status: 0 done; 1 it did not work; 2 the call makes no sense (`fsck`: 0 clean or repaired, 1 damage remains, 2 could not check);
//!   130 Ctrl-C came before it was done.
//! - A text that came from elsewhere (messages, names, paths) cannot spoil a terminal: control characters are escaped.
//!
//! Deliberately absent: knowledge that the HTTP routes do not have. Whatever a command shows, another program can ask for as well.

mod args;
mod client;
mod commit;
mod error;
mod fleet;
mod fsck;
mod history;
mod interrupt;
mod limits;
mod local;
mod logging;
mod output;
mod place;
mod progress;
mod report;
mod serve;
mod served;
mod versioned_code;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use error::CliError;

/// Runs the program: reads its arguments, does what they say, and gives the status to exit with.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let fsck = matches!(args.command, Command::Fsck(_));
    match run(args) {
        Ok(code) => code,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::from(match error {
                CliError::Interrupted { .. } => interrupt::STATUS,
                _ if fsck => 2,
                _ => 1,
            })
        }
    }
}

fn run(args: Args) -> Result<ExitCode, CliError> {
    let verbose = args.verbose;
    match &args.command {
        // Puppet Server waits for these two: no threads, no log.
        Command::CodeId(args) => return versioned_code::code_id(args),
        Command::CodeContent(args) => return versioned_code::code_content(args),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::Runtime)?;
    match args.command {
        // The daemons set up the log themselves, as their configuration says.
        Command::Serve(args) => runtime.block_on(serve::run(&args, verbose)),
        Command::Client(args) => runtime.block_on(client::run(&args, verbose)),
        command => {
            logging::start(verbose, logging::Wanted::ForCommand);
            runtime.block_on(answer(command))
        }
    }
}

async fn answer(command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Serve(_) | Command::Client(_) | Command::CodeId(_) | Command::CodeContent(_) => {}
        Command::Commit(args) => commit::run(&args).await?,
        Command::Log(args) => history::log(&args).await?,
        Command::Show(args) => history::show(&args).await?,
        Command::Ls(args) => history::ls(&args).await?,
        Command::Cat(args) => history::cat(&args).await?,
        Command::Diff(args) => history::diff(&args).await?,
        Command::Clients(args) => fleet::clients(&args).await?,
        Command::Tag(args) => fleet::tag(&args).await?,
        Command::Gc(args) => fleet::gc(&args).await?,
        Command::Status(args) => local::status(&args).await?,
        Command::Sync(args) => local::sync(&args).await?,
        Command::Rollback(args) if args.fleet => fleet::rollback(&args).await?,
        Command::Rollback(args) => local::rollback(&args).await?,
        Command::Served(args) => served::run(args).await?,
        Command::Fsck(args) => return fsck::run(&args).await,
    }
    Ok(ExitCode::SUCCESS)
}

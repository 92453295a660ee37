//! `served`: what an agent was given, and when, from the gate's access log.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::args::ServedArgs;
use super::error::CliError;
use super::output::{self, Table, plain};
use super::progress;
use crate::config::read_client;
use crate::gate::Served;
use crate::progress::{Phase, Progress};

/// What rotated logs are called that cannot be read as they are.
const PACKED: [&str; 4] = ["gz", "xz", "zst", "bz2"];

pub(super) async fn run(args: ServedArgs) -> Result<(), CliError> {
    let progress = Arc::new(Progress::default());
    let seen = Arc::clone(&progress);
    let searching = tokio::task::spawn_blocking(move || Ok::<_, CliError>((search_all(&args, &progress)?, args)));
    let (found, args) = progress::watch(searching, async || Some(seen.snapshot())).await??;
    output::answer(args.json, &found, || shown(&found, &args))
}

fn search_all(args: &ServedArgs, progress: &Progress) -> Result<Vec<Served>, CliError> {
    let mut found = VecDeque::new();
    let logs = match &args.log {
        Some(path) if path.as_os_str() == "-" => {
            progress.begin(Phase::Reading, 0, 0);
            search(io::stdin().lock(), args, progress, &mut found).map_err(at(path))?;
            Vec::new()
        }
        Some(path) => vec![path.clone()],
        None => {
            let config = read_client(&args.config)?;
            rotated(&config.gate.ok_or_else(|| CliError::NoGate(args.config.clone()))?.access_log)?
        }
    };
    let sizes = logs.iter().filter_map(|path| Some(path.metadata().ok()?.len()));
    progress.begin(Phase::Reading, 0, sizes.sum());
    for path in logs {
        let file = File::open(&path).map_err(at(&path))?;
        search(file, args, progress, &mut found).map_err(at(&path))?;
    }
    Ok(found.into())
}

/// The log and its rotated ones that can be read, oldest first.
fn rotated(log: &Path) -> Result<Vec<PathBuf>, CliError> {
    let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dir = log.parent().unwrap_or(Path::new("/"));
    let mut all = Vec::new();
    let mut packed = 0;
    for entry in std::fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        let rest = entry.file_name().to_string_lossy().strip_prefix(&name).map(str::to_owned);
        match rest.as_deref() {
            Some(rest) if PACKED.iter().any(|ending| rest.ends_with(ending)) => packed += 1,
            Some("") => all.push((Timestamp::MAX, entry.path())),
            Some(rest) if rest.starts_with(['.', '-']) => {
                let modified = entry.metadata().and_then(|meta| meta.modified()).map_err(at(&entry.path()))?;
                all.push((Timestamp::try_from(modified).unwrap_or(Timestamp::MIN), entry.path()));
            }
            _ => {}
        }
    }
    if packed > 0 {
        output::note(&format!(
            "sceneshift: {packed} compressed logs beside {} are not searched; for those: zcat FILE | sceneshift served --log - …",
            log.display()
        ));
    }
    if all.is_empty() {
        return Err(CliError::File { path: log.to_owned(), source: io::ErrorKind::NotFound.into() });
    }
    all.sort();
    Ok(all.into_iter().map(|(_, path)| path).collect())
}

/// Keeps the last ones. A line that cannot be understood, such as the one that is being written, is passed over.
fn search(log: impl Read, args: &ServedArgs, progress: &Progress, found: &mut VecDeque<Served>) -> io::Result<()> {
    let mut lines = BufReader::with_capacity(1 << 20, log);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        progress.advance(0, line.len() as u64);
        if let Some(served) = matching(&line, args) {
            found.push_back(served);
            if args.limit > 0 && found.len() > args.limit {
                found.pop_front();
            }
        }
        line.clear();
    }
    Ok(())
}

fn matching(line: &[u8], args: &ServedArgs) -> Option<Served> {
    let served: Served = serde_json::from_slice(line).ok()?;
    let is_asked = served.certname.as_deref() == Some(args.certname.as_str());
    let is_catalog = served.path.starts_with("/puppet/v3/catalog/") || served.path.starts_with("/puppet/v4/catalog");
    (is_asked && (args.all || is_catalog)).then_some(served)
}

fn shown(found: &[Served], args: &ServedArgs) -> String {
    if found.is_empty() {
        let what = if args.all { "request" } else { "catalog (--all shows other requests, too)" };
        return format!("{} was given no {what} as far as the log goes back\n", plain(&args.certname));
    }
    let short = |id: &Option<String>| plain(&id.as_deref().unwrap_or("-").chars().take(12).collect::<String>());
    let mut table =
        Table::new(["TIME", "REQUEST", "ENVIRONMENT", ">STATUS", ">HELD", ">COMPILED", "COMMIT", "CODE ID"]);
    for served in found {
        table.row([
            plain(&served.time),
            format!("{} {}", plain(&served.method), plain(&served.path)),
            plain(served.environment.as_deref().unwrap_or("-")),
            served.status.to_string(),
            output::seconds(served.held_ms / 1000.0),
            output::seconds(served.upstream_ms / 1000.0),
            short(&served.commit),
            short(&served.code_id),
        ]);
    }
    table.to_string()
}

fn at(path: &Path) -> impl Fn(io::Error) -> CliError + use<> {
    let path = path.to_owned();
    move |source| CliError::File { path: path.clone(), source }
}

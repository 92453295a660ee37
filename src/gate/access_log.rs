//! One line of JSON for each request. A thread of its own writes: no worker of tokio waits for a disk.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use serde::{Deserialize, Serialize};

use crate::disk::{AppendFile, DiskError};
use crate::http::chain;

/// How many lines wait for a slow disk before some are lost.
const WAITING: usize = 1 << 16;

/// How often a failing log is complained of.
const COMPLAIN: Duration = Duration::from_secs(60);

/// What was served: one line of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Served {
    /// When the answer had been sent, RFC 3339 in UTC.
    pub time: String,
    /// Who asked, by a verified certificate.
    pub certname: Option<String>,
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The environments that were asked for, joined by commas; `*` where it could be any; absent where no code is read.
    pub environment: Option<String>,
    /// The status; 499 where the agent hung up first.
    pub status: u16,
    /// How many bytes of the answer's body were sent.
    pub bytes: u64,
    /// How long the request was held, in milliseconds; 0 where it was not.
    pub held_ms: f64,
    /// From forwarding it to the head of the answer, in milliseconds.
    pub upstream_ms: f64,
    /// From the request's head to the end of the answer, in milliseconds.
    pub total_ms: f64,
    /// The commit that was live.
    pub commit: Option<String>,
    /// The id of the environment's tree that was live.
    pub code_id: Option<String>,
}

/// How long a stop waits for the last lines to be written.
const LAST_WORDS: Duration = Duration::from_secs(5);

enum Message {
    Line(Vec<u8>),
    Reopen,
    /// Says so when everything before it is written.
    Flush(SyncSender<()>),
}

/// The way to the thread that writes.
#[derive(Debug)]
pub(super) struct AccessLog {
    sender: SyncSender<Message>,
    lost: Counter,
}

impl AccessLog {
    /// Opens the file, to be appended to. Blocking, for a moment.
    pub(super) fn open(path: &Path, lost: Counter) -> Result<Self, DiskError> {
        let file = AppendFile::open(path)?;
        let (sender, receiver) = sync_channel(WAITING);
        let writer = Writer { path: path.to_owned(), file: Some(file), lost: lost.clone(), complained: None };
        std::thread::spawn(move || writer.run(&receiver));
        Ok(Self { sender, lost })
    }

    /// Notes a request. Never waits.
    pub(super) fn write(&self, served: &Served) {
        let Ok(mut line) = serde_json::to_vec(served) else { return };
        line.push(b'\n');
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.sender.try_send(Message::Line(line)) {
            self.lost.inc();
        }
    }

    /// Opens the file anew, by its name.
    pub(super) fn reopen(&self) {
        let _ = self.sender.try_send(Message::Reopen);
    }

    /// Waits, for a bounded time, until everything is written. Blocking.
    pub(super) fn flush(&self) {
        let (sender, receiver) = sync_channel(1);
        if self.sender.try_send(Message::Flush(sender)).is_ok() {
            let _ = receiver.recv_timeout(LAST_WORDS);
        }
    }
}

struct Writer {
    path: PathBuf,
    file: Option<AppendFile>,
    lost: Counter,
    complained: Option<Instant>,
}

impl Writer {
    /// Until the gate goes.
    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(message) = receiver.recv() {
            let mut lines = Vec::new();
            let mut count = 0;
            let mut next = Some(message);
            // What has come meanwhile goes in one write.
            while let Some(message) = next.take() {
                match message {
                    Message::Line(line) => {
                        lines.extend(line);
                        count += 1;
                    }
                    Message::Reopen => {
                        self.append(&lines, count);
                        (lines, count) = (Vec::new(), 0);
                        self.file = None;
                    }
                    Message::Flush(done) => {
                        self.append(&lines, count);
                        (lines, count) = (Vec::new(), 0);
                        let _ = done.try_send(());
                    }
                }
                next = (lines.len() < 1 << 20).then(|| receiver.try_recv().ok()).flatten();
            }
            self.append(&lines, count);
        }
    }

    fn append(&mut self, lines: &[u8], count: u64) {
        if lines.is_empty() {
            return;
        }
        let written = match self.file.take() {
            Some(file) => Ok(file),
            None => AppendFile::open(&self.path),
        };
        match written.and_then(|mut file| file.append(lines).map(|()| file)) {
            Ok(file) => self.file = Some(file),
            Err(error) => {
                self.lost.inc_by(count);
                if self.complained.is_none_or(|then| then.elapsed() >= COMPLAIN) {
                    self.complained = Some(Instant::now());
                    tracing::error!(error = chain(&error), "requests are not logged");
                }
            }
        }
    }
}

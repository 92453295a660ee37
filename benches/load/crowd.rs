//! Clients that are slow, silent, or wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::site::Site;

/// Connections that begin a request and say no more.
const SILENT: usize = 1000;

/// Clients that send a body, and clients that read one, a byte a second.
const SLOW: usize = 20;

/// Connections over which wrong requests come without a pause.
const FLOOD: usize = 4;

/// What the flood asks.
const WRONG: [&str; 4] = [
    "GET /v1/repos/nope/head HTTP/1.1\r\nhost: load\r\n\r\n",
    "POST /v1/repos/puppet-code/commits HTTP/1.1\r\nhost: load\r\ncontent-length: 9\r\n\r\n{\"mesage\"",
    "POST /v1/repos/puppet-code/fetch HTTP/1.1\r\nhost: load\r\ncontent-length: 2\r\n\r\n{}",
    "GET /v1/repos/puppet-code/commits/zz/files/%2e%2e/x HTTP/1.1\r\nhost: load\r\n\r\n",
];

pub(crate) struct Crowd {
    tasks: JoinSet<Result<(), String>>,
    silent: Vec<TcpStream>,
    refused: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Crowd {
    pub(crate) async fn start(site: &Site) -> Result<Self, String> {
        let (mut tasks, stop, refused) = (JoinSet::new(), CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let mut silent = Vec::new();
        for _ in 0..SILENT {
            silent.push(began(site.host(), "GET /v1/repos/puppet-co").await?);
        }
        let head = "POST /v1/repos/puppet-code/commits HTTP/1.1\r\nhost: load\r\ncontent-length: 60000\r\n\r\n";
        // A stream that is not taken holds one of few turns.
        let want = format!("{{\"want\":\"{}\"}}", site.commit_large().await?);
        let fetch = format!(
            "POST /v1/repos/large/fetch HTTP/1.1\r\nhost: load\r\ncontent-length: {}\r\n\r\n{want}",
            want.len()
        );
        for _ in 0..SLOW {
            let mut stream = began(site.host(), head).await?;
            tasks.spawn(until(stop.clone(), async move {
                // The primary may have had enough of it: that is its right.
                while stream.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                std::future::pending().await
            }));
            let mut stream = began(site.host(), &fetch).await?;
            tasks.spawn(until(stop.clone(), async move {
                while stream.read(&mut [0]).await.is_ok_and(|read| read > 0) {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                std::future::pending().await
            }));
        }
        for at in 0..FLOOD {
            let mut stream = began(site.host(), "").await?;
            let refused = Arc::clone(&refused);
            tasks.spawn(until(stop.clone(), async move {
                let mut answer = vec![0; 8192];
                for request in WRONG.iter().cycle().skip(at) {
                    stream.write_all(request.as_bytes()).await.map_err(|error| format!("the flood: {error}"))?;
                    let read = stream.read(&mut answer).await.map_err(|error| format!("the flood: {error}"))?;
                    if !answer[..read].starts_with(b"HTTP/1.1 4") {
                        return Err(format!("{request}: {}", String::from_utf8_lossy(&answer[..read])));
                    }
                    refused.fetch_add(1, Relaxed);
                }
                Ok(())
            }));
        }
        Ok(Self { tasks, silent, refused, stop })
    }

    pub(crate) fn describe(&self) -> String {
        format!(
            "{} half-open connections, {SLOW} slow senders, {SLOW} slow readers of a large fetch, and {FLOOD} connections full of bad requests",
            self.silent.len()
        )
    }

    /// Ends it, and answers how many bad requests were refused.
    pub(crate) async fn stop(mut self) -> Result<u64, String> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|error| error.to_string())??;
        }
        Ok(self.refused.load(Relaxed))
    }
}

async fn until(stop: CancellationToken, work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        outcome = work => outcome,
    }
}

async fn began(host: &str, text: &str) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(host).await.map_err(|error| error.to_string())?;
    stream.write_all(text.as_bytes()).await.map_err(|error| error.to_string())?;
    Ok(stream)
}

//! Connections that wait for a head.

use std::time::{Duration, Instant};

use sceneshift::remote::{HeadAnswer, Remote};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::mib;
use crate::site::{Site, repo};

/// How long opening them all, and hearing of the commit, may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Opens so many long polls, and lets them hear of a commit.
pub(crate) async fn run(site: &mut Site, count: usize) -> Result<(), String> {
    let before = site.memory();
    let remote = Remote::new(&site.address).map_err(|error| error.to_string())?;
    let HeadAnswer::Head(head) = remote.head(&repo(), None, Duration::ZERO).await.map_err(|error| error.to_string())?
    else {
        return Err("there is no head".into());
    };
    let request =
        format!("GET /v1/repos/puppet-code/head?known={}&wait=300 HTTP/1.1\r\nhost: load\r\n\r\n", head.commit);
    let mut waiting = Vec::new();
    for _ in 0..count {
        let mut stream =
            TcpStream::connect(site.host()).await.map_err(|error| format!("connection {}: {error}", waiting.len()))?;
        stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        waiting.push(stream);
    }
    until_they_wait(site.host(), count).await?;
    let held = site.memory();
    let each = held.saturating_sub(before) as f64 / count.max(1) as f64;
    println!("{count} idle long polls: {} before, {} with them, {:.1} KiB each", mib(before), mib(held), each / 1024.0);
    let begun = Instant::now();
    let commit = site.commit().await?;
    let id = commit.id.to_string();
    let mut answers = JoinSet::new();
    for mut stream in waiting {
        let id = id.clone();
        answers.spawn(async move {
            let mut bytes = vec![0; 4096];
            let read = stream.read(&mut bytes).await.map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
            if text.starts_with("HTTP/1.1 200") && text.contains(&id) {
                Ok(())
            } else {
                Err(format!("an answer: {text}"))
            }
        });
    }
    let all = async {
        while let Some(answer) = answers.join_next().await {
            answer.map_err(|error| error.to_string())??;
        }
        Ok::<_, String>(())
    };
    tokio::time::timeout(PATIENCE, all).await.map_err(|_| "a long poll heard of no commit".to_owned())??;
    println!("a commit was known to all of them {:.0} ms after it was asked for", begun.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Waits until the primary says that so many requests wait.
async fn until_they_wait(host: &str, count: usize) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let metrics = metrics(host).await.map_err(|error| error.to_string())?;
        let waiting = metrics.lines().find_map(|line| line.strip_prefix("sceneshift_long_polls "));
        if waiting.and_then(|number| number.trim().parse().ok()) == Some(count) {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("{waiting:?} of {count} long polls wait"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn metrics(host: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: load\r\nconnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

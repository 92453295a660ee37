//! Small streams that many ask for at once: after a commit each client has the commit before and wants the new one, and what it gets is the same
//! few hundred bytes. One caller leads and packs them, the others wait for that, and whoever comes later finds them.
//!
//! - What is shared depends on the repo, the commits named, and the store, and on nothing of the caller, whose right to read the repo was looked at
//!   before. Nothing is shared that failed or that is larger than one piece of a body, so that nobody waits for another's receiver.
//! - While somebody changes what streams would hold (GC, a repair), nothing is shared, and what was shared before is forgotten.
//! - Bounded: [`MOST`] streams of one piece each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use tokio::sync::watch;

use super::state::lock;
use crate::values::{CommitId, RepoName};

/// How many streams are kept, the newest. With [`super::stream::PIECE`] bytes each they are 4 MiB at most.
const MOST: usize = 64;

/// What a stream is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) want: CommitId,
    /// As it was sent; no more than are looked at.
    pub(super) have: Vec<CommitId>,
    pub(super) repo: RepoName,
}

/// The streams that are shared.
#[derive(Default)]
pub(super) struct Streams(Mutex<State>);

#[derive(Default)]
struct State {
    streams: VecDeque<(Asked, Stream)>,
    /// How often all were forgotten.
    age: u64,
    /// How many change what streams hold.
    changing: usize,
}

enum Stream {
    /// Somebody packs it. The channel closes when he is done.
    Coming(watch::Receiver<()>),
    Whole(Bytes),
    /// Everybody packs his own.
    TooLarge,
}

/// How somebody gets a stream.
pub(super) enum Way {
    /// Here it is.
    Shared(Bytes),
    /// He packs it, for others too.
    Lead(Lead),
    /// He packs it for himself.
    Alone,
}

/// Nothing is shared while it lives.
pub(super) struct Changing(Arc<Streams>);

/// The duty to pack a stream for others too. Dropped, it falls to another of them.
pub(super) struct Lead {
    streams: Arc<Streams>,
    asked: Asked,
    age: u64,
    _coming: watch::Sender<()>,
}

impl Streams {
    /// The stream, where it is here.
    pub(super) fn find(&self, asked: &Asked) -> Option<Bytes> {
        match lock(&self.0).stream(asked)? {
            Stream::Whole(bytes) => Some(bytes.clone()),
            Stream::Coming(_) | Stream::TooLarge => None,
        }
    }

    /// How to get it; waits for whoever packs it already. Who asks must be able to pack at once: others may wait for him.
    pub(super) async fn join(self: &Arc<Self>, asked: &Asked) -> Way {
        loop {
            let mut coming = match self.look(asked) {
                Ok(way) => return way,
                Err(coming) => coming,
            };
            // It closes, and nothing is ever sent.
            let _closed = coming.changed().await;
        }
    }

    fn look(self: &Arc<Self>, asked: &Asked) -> Result<Way, watch::Receiver<()>> {
        let mut state = lock(&self.0);
        match state.stream(asked) {
            Some(Stream::Whole(bytes)) => Ok(Way::Shared(bytes.clone())),
            Some(Stream::TooLarge) => Ok(Way::Alone),
            Some(Stream::Coming(coming)) => Err(coming.clone()),
            None if state.changing > 0 => Ok(Way::Alone),
            None => {
                let (sender, coming) = watch::channel(());
                state.put(asked.clone(), Stream::Coming(coming));
                let (streams, asked, age) = (Arc::clone(self), asked.clone(), state.age);
                Ok(Way::Lead(Lead { streams, asked, age, _coming: sender }))
            }
        }
    }

    /// Forgets all of them, and shares none until what is given goes.
    pub(super) fn changing(self: &Arc<Self>) -> Changing {
        let mut state = lock(&self.0);
        state.streams.clear();
        state.age += 1;
        state.changing += 1;
        Changing(Arc::clone(self))
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        lock(&self.0.0).changing -= 1;
    }
}

impl State {
    fn stream(&self, asked: &Asked) -> Option<&Stream> {
        self.streams.iter().find(|(other, _)| other == asked).map(|(_, stream)| stream)
    }

    fn put(&mut self, asked: Asked, stream: Stream) {
        self.streams.retain(|(other, _)| *other != asked);
        self.streams.push_back((asked, stream));
        if self.streams.len() > MOST {
            self.streams.pop_front();
        }
    }
}

impl Lead {
    /// This is all of it.
    pub(super) fn share(self, bytes: Bytes) {
        self.put(Stream::Whole(bytes));
    }

    /// It is larger than what is shared.
    pub(super) fn too_large(self) {
        self.put(Stream::TooLarge);
    }

    fn put(&self, stream: Stream) {
        let mut state = lock(&self.streams.0);
        if state.age == self.age {
            state.put(self.asked.clone(), stream);
        }
    }
}

impl Drop for Lead {
    /// Where nothing came of it, nobody is to wait for it any more.
    fn drop(&mut self) {
        let mut state = lock(&self.streams.0);
        if state.age == self.age {
            state.streams.retain(|(asked, stream)| *asked != self.asked || !matches!(stream, Stream::Coming(_)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(want: &str) -> Asked {
        Asked { want: CommitId::of(want.as_bytes()), have: Vec::new(), repo: "code".parse().unwrap() }
    }

    async fn lead(streams: &Arc<Streams>, asked: &Asked) -> Lead {
        match streams.join(asked).await {
            Way::Lead(lead) => lead,
            Way::Shared(_) | Way::Alone => panic!("somebody else leads"),
        }
    }

    #[tokio::test]
    async fn one_packs_what_all_get() {
        let streams = Arc::new(Streams::default());
        let leading = lead(&streams, &asked("a")).await;
        assert!(streams.find(&asked("a")).is_none());
        let others = (0..3).map(|_| {
            let streams = Arc::clone(&streams);
            tokio::spawn(async move { streams.join(&asked("a")).await })
        });
        let others: Vec<_> = others.collect();
        tokio::task::yield_now().await;
        leading.share(Bytes::from_static(b"stream"));
        for other in others {
            assert!(matches!(other.await.unwrap(), Way::Shared(bytes) if bytes == "stream"));
        }
        assert_eq!(streams.find(&asked("a")).unwrap(), "stream");
        let other_repo = Asked { repo: "other".parse().unwrap(), ..asked("a") };
        let other_have = Asked { have: vec![CommitId::of(b"b")], ..asked("a") };
        for asked in [asked("b"), other_repo, other_have] {
            assert!(streams.find(&asked).is_none(), "{asked:?}");
            drop(lead(&streams, &asked).await);
        }
    }

    #[tokio::test]
    async fn where_nothing_comes_of_it_another_leads_and_nobody_waits_for_what_is_large() {
        let streams = Arc::new(Streams::default());
        let leading = lead(&streams, &asked("a")).await;
        let waiting = tokio::spawn({
            let streams = Arc::clone(&streams);
            async move { lead(&streams, &asked("a")).await }
        });
        tokio::task::yield_now().await;
        drop(leading);
        waiting.await.unwrap().too_large();
        assert!(matches!(streams.join(&asked("a")).await, Way::Alone));
    }

    #[tokio::test]
    async fn nothing_is_shared_while_it_changes_nor_what_was_packed_before() {
        let streams = Arc::new(Streams::default());
        lead(&streams, &asked("a")).await.share(Bytes::from_static(b"a"));
        let leading = lead(&streams, &asked("b")).await;
        let changing = streams.changing();
        assert!(streams.find(&asked("a")).is_none());
        assert!(matches!(streams.join(&asked("a")).await, Way::Alone) && streams.find(&asked("a")).is_none());
        drop(changing);
        let newer = lead(&streams, &asked("b")).await;
        leading.share(Bytes::from_static(b"old"));
        assert!(streams.find(&asked("b")).is_none());
        newer.share(Bytes::from_static(b"new"));
        assert_eq!(streams.find(&asked("b")).unwrap(), "new");
    }

    #[tokio::test]
    async fn only_the_newest_are_kept() {
        let streams = Arc::new(Streams::default());
        for at in 0..=MOST {
            lead(&streams, &asked(&at.to_string())).await.share(Bytes::from_static(b"x"));
        }
        assert!(streams.find(&asked("0")).is_none() && streams.find(&asked("1")).is_some());
        assert_eq!(lock(&streams.0).streams.len(), MOST);
    }
}

//! Turns to write a stream: few at once, and of these only some for one caller, so that whoever reads slowly, over as many connections as he likes,
//! keeps only himself waiting.
//!
//! Deliberately absent: fairness among callers whom nobody knows (plain HTTP). They share all turns.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many streams are written at once. Each takes a thread and some 10 MiB for its compression; the others wait their turn.
const AT_ONCE: usize = 32;

/// How many of them for one caller. A client needs one.
const FOR_ONE: usize = 4;

/// Who may write now.
pub(super) struct Turns {
    all: Arc<Semaphore>,
    callers: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// Leave to write a stream, for as long as it lives.
#[derive(Debug)]
pub(super) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _own: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(AT_ONCE)), callers: Mutex::default() }
    }

    /// Waits for a turn. `caller` is a name that only he has, where he is known.
    pub(super) async fn take(&self, caller: Option<&str>) -> Turn {
        let own = match caller {
            // His own first: while he waits for that, he holds none of the others'.
            Some(caller) => Some(permit(self.of(caller)).await),
            None => None,
        };
        Turn { _of_all: permit(Arc::clone(&self.all)).await, _own: own }
    }

    /// A caller's own turns. They are kept for as long as one is held or waited for.
    fn of(&self, caller: &str) -> Arc<Semaphore> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = callers.get(caller).and_then(Weak::upgrade) {
            return own;
        }
        callers.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(FOR_ONE));
        callers.insert(caller.to_owned(), Arc::downgrade(&own));
        own
    }
}

async fn permit(turns: Arc<Semaphore>) -> OwnedSemaphorePermit {
    turns.acquire_owned().await.expect("nobody closes them")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whether this caller has to wait.
    async fn waits(turns: &Turns, caller: Option<&str>) -> bool {
        tokio::time::timeout(Duration::from_millis(50), turns.take(caller)).await.is_err()
    }

    #[tokio::test]
    async fn one_caller_never_takes_the_turns_of_others() {
        let turns = Turns::new();
        let mut held = Vec::new();
        for _ in 0..FOR_ONE {
            held.push(turns.take(Some("slow")).await);
        }
        assert!(waits(&turns, Some("slow")).await);
        assert!(!waits(&turns, Some("good")).await && !waits(&turns, None).await);
        held.pop();
        assert!(!waits(&turns, Some("slow")).await, "a turn that is given back can be taken again");
    }

    #[tokio::test]
    async fn all_together_have_no_more_than_there_are() {
        let turns = Turns::new();
        let mut held = Vec::new();
        for at in 0..AT_ONCE {
            held.push(turns.take(Some(&format!("client{}", at / FOR_ONE))).await);
        }
        assert!(waits(&turns, Some("another")).await && waits(&turns, None).await);
        held.clear();
        drop(turns.take(Some("another")).await);
        assert_eq!(turns.callers.lock().unwrap().len(), 1, "who has gone is forgotten");
    }
}

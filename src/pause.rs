//! The `Paused` guard: proof that requests are held while new code goes live.
//!
//! A swap of `current` takes a [`Paused`] as an argument, so that one outside the window does not compile. Whoever makes the guard
//! says how requests go on again; that runs exactly once, when the guard goes, on a panic too.
//!
//! Deliberately absent: how requests are held (the gate's and the hooks' business).

use std::fmt;

use crate::values::Name;

/// Which environments a change concerns, or a request reads.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// All of them, and what lies beside them.
    Everything,
    /// These, by name. Names that are not UTF-8 make it [`Scope::Everything`].
    Environments(Vec<String>),
}

impl Scope {
    /// The scope of a change to these environments.
    pub fn of(environments: &[Name]) -> Self {
        let texts = environments.iter().map(|name| String::from_utf8(name.as_bytes().to_vec()).ok());
        texts.collect::<Option<Vec<_>>>().map_or(Scope::Everything, Scope::Environments)
    }

    /// What both hold together.
    pub fn union(self, other: Scope) -> Self {
        match (self, other) {
            (Scope::Environments(mut all), Scope::Environments(more)) => {
                all.extend(more);
                all.sort();
                all.dedup();
                Scope::Environments(all)
            }
            _ => Scope::Everything,
        }
    }

    /// Whether both have an environment in common.
    pub fn overlaps(&self, other: &Scope) -> bool {
        match (self, other) {
            (Scope::Environments(ours), Scope::Environments(theirs)) => ours.iter().any(|name| theirs.contains(name)),
            (Scope::Everything, Scope::Environments(names)) | (Scope::Environments(names), Scope::Everything) => {
                !names.is_empty()
            }
            (Scope::Everything, Scope::Everything) => true,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Everything => f.write_str("every environment"),
            Scope::Environments(names) => f.write_str(&names.join(", ")),
        }
    }
}

/// Requests in scope are held for as long as this value lives.
#[must_use = "requests go on as soon as the guard is dropped"]
pub struct Paused {
    resume: Option<Box<dyn FnOnce() + Send>>,
}

impl Paused {
    /// A guard that calls `resume` when it goes.
    pub fn new(resume: impl FnOnce() + Send + 'static) -> Self {
        Self { resume: Some(Box::new(resume)) }
    }

    /// `pause = "none"`: nothing is held. For sites that accept that a compile under way may see both states.
    pub fn nothing() -> Self {
        Self { resume: None }
    }

    /// Lets requests go on.
    pub fn resume(self) {
        drop(self);
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        if let Some(resume) = self.resume.take() {
            resume();
        }
    }
}

impl fmt::Debug for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paused").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn requests_go_on_exactly_once_also_after_a_panic() {
        let count = Arc::new(AtomicU32::new(0));
        let guard = |count: &Arc<AtomicU32>| {
            let count = Arc::clone(count);
            Paused::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            })
        };
        guard(&count).resume();
        assert_eq!(count.load(Ordering::Relaxed), 1);
        let held = guard(&count);
        let panicked = std::thread::spawn(move || {
            let _held = held;
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_name_that_no_request_can_carry_holds_everything() {
        let name = |bytes: &[u8]| Name::new(bytes).unwrap();
        assert_eq!(Scope::of(&[name(b"dev")]), Scope::Environments(vec!["dev".into()]));
        assert_eq!(Scope::of(&[name(b"dev"), name(b"\xff")]), Scope::Everything);
        assert_eq!(Scope::of(&[]).union(Scope::of(&[name(b"a")])), Scope::of(&[name(b"a")]));
    }

    #[test]
    fn scopes_overlap_where_an_environment_is_in_both() {
        let of = |names: &[&str]| Scope::Environments(names.iter().map(ToString::to_string).collect());
        assert!(of(&["a", "b"]).overlaps(&of(&["b", "c"])));
        assert!(!of(&["a"]).overlaps(&of(&["b"])));
        assert!(Scope::Everything.overlaps(&of(&["a"])) && of(&["a"]).overlaps(&Scope::Everything));
        assert!(!Scope::Everything.overlaps(&of(&[])), "a change that concerns nothing holds nobody");
    }
}

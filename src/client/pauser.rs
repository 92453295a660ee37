//! How requests are kept away from a swap: by the gate, by hooks, or not at all.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::ClientError;
use super::hooks::{About, Hooks};
use crate::config::{ClientConfig, ClientRepo, DrainKind, PauseKind};
use crate::gate::{Drain, Gate};
use crate::pause::Paused;

/// That of one repo.
#[derive(Clone)]
pub(super) enum Pauser {
    /// Nobody is held.
    Nothing,
    /// The gate holds.
    Gate(Arc<Gate>, Drain),
    /// Commands do.
    Hooks(Hooks),
}

impl Pauser {
    /// As the settings say. Without a gate that runs, `pause = "gate"` has none to ask.
    pub(super) fn new(config: &ClientConfig, repo: &ClientRepo, gate: Option<&Arc<Gate>>) -> Result<Self, ClientError> {
        match (config.pause_of(repo), gate, &repo.hooks) {
            (PauseKind::None, ..) => Ok(Pauser::Nothing),
            (PauseKind::Hooks, _, Some(hooks)) => Ok(Pauser::Hooks(Hooks::new(hooks))),
            (PauseKind::Gate, Some(gate), _) => {
                let runs = (repo.drain == DrainKind::Runs).then_some(repo.run_drain_timeout);
                Ok(Pauser::Gate(Arc::clone(gate), Drain { limit: repo.drain_timeout, runs }))
            }
            (PauseKind::Gate, None, _) | (PauseKind::Hooks, _, None) => Err(ClientError::NoGate),
        }
    }

    /// Keeps requests away until the guard goes. Blocking.
    pub(super) fn pause(&self, about: &About, runtime: &Handle) -> Result<Paused, ClientError> {
        match self {
            Pauser::Nothing => Ok(Paused::nothing()),
            Pauser::Gate(gate, drain) => {
                let hold = runtime.block_on(gate.pause(&about.scope, *drain)).map_err(ClientError::Pause)?;
                Ok(Paused::new(move || drop(hold)))
            }
            Pauser::Hooks(hooks) => hooks.pause(about).map_err(ClientError::Hook),
        }
    }

    /// Tries once more to let requests flow, where that failed before. Blocking.
    pub(super) fn resume_again(&self, about: &About) -> Result<(), ClientError> {
        if let Pauser::Hooks(hooks) = self
            && hooks.owes_resume()
        {
            hooks.resume(about);
        }
        self.check_resumed()
    }

    /// What went wrong when requests were to flow again.
    pub(super) fn check_resumed(&self) -> Result<(), ClientError> {
        match self {
            Pauser::Hooks(hooks) => hooks.failure().map_or(Ok(()), |error| Err(ClientError::Hook(error))),
            Pauser::Nothing | Pauser::Gate(..) => Ok(()),
        }
    }
}

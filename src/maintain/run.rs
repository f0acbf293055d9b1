//! How a run of a service goes, and ends.

use std::time::Duration;

use lakebed_hudi::instant::InstantTime;
use tokio::sync::watch;

use super::MaintainError;
use crate::commit::{Outcome, ServiceRun, Taken};
use crate::environment::Clock;

/// How far a run may go.
#[derive(Debug, Clone)]
pub struct RunLimits {
    /// Turns true when the run is to end in good order: what is begun is finished, and no more is begun.
    pub stop: watch::Receiver<bool>,
    /// The same, at this time of the monotonic clock.
    pub deadline: Option<Duration>,
}

impl RunLimits {
    /// Whether no more is to be begun.
    pub fn are_reached(&self, clock: &dyn Clock) -> bool {
        *self.stop.borrow() || self.deadline.is_some_and(|deadline| clock.monotonic() >= deadline)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// The service is completed.
    Committed {
        /// Since when it shows.
        completion: InstantTime,
    },
    /// Somebody else has completed it, or taken it back.
    Over,
    /// Somebody else is at work on it.
    AtWork {
        /// When that was last seen, in milliseconds since the epoch.
        seen_unix_millis: i64,
        /// After which silence they count as dead.
        expiry: Duration,
    },
    /// It was stopped: the next run goes on.
    Stopped,
}

/// The run of a service that was taken, or how it ended that it was not for this process to carry out.
pub(super) fn begun(taken: Taken) -> Result<ServiceRun, RunOutcome> {
    match taken {
        Taken::Run(run) => Ok(run),
        Taken::AtWork { seen_unix_millis, expiry } => Err(RunOutcome::AtWork { seen_unix_millis, expiry }),
        Taken::Over => Err(RunOutcome::Over),
    }
}

impl RunOutcome {
    /// What became of completing a service.
    pub(super) fn of(outcome: Outcome) -> Result<Self, MaintainError> {
        match outcome {
            Outcome::Committed { completion, .. } => Ok(Self::Committed { completion }),
            Outcome::AlreadyCommitted { .. } => Ok(Self::Over),
            Outcome::Conflicted { reason } | Outcome::Retryable { reason } => {
                Err(MaintainError::Conflict { reason })
            }
            Outcome::Fenced { by } => {
                Err(MaintainError::Conflict { reason: format!("epoch {by} has taken over") })
            }
        }
    }

    /// Whether nothing is left to do.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Committed { .. } | Self::Over)
    }
}

//! The one place where threads that decode wait for the storage.

use std::future::Future;
use std::sync::mpsc::{Receiver, sync_channel};

use futures::FutureExt as _;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::ReadError;

/// Starts I/O on the runtime and waits for it on threads that are not the runtime's own.
#[derive(Debug, Clone)]
pub(super) struct Bridge {
    runtime: Handle,
}

/// I/O on its way, or done. Dropping it gives it up.
#[derive(Debug)]
pub(super) enum Pending<T> {
    /// It took no waiting.
    Done(T),
    /// A task of the runtime goes on with it.
    Waiting { outcome: Receiver<T>, task: GivenUp },
}

/// A task that is given up with this.
#[derive(Debug)]
pub(super) struct GivenUp(AbortHandle);

impl Bridge {
    /// A bridge to the runtime that the caller runs on.
    pub(super) fn current() -> Self {
        Self { runtime: Handle::current() }
    }

    /// Starts `work`: on the calling thread as far as it need not wait, then on the runtime, where it
    /// goes on while the caller does something else.
    pub(super) fn start<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Pending<T> {
        let mut work = Box::pin(work);
        let first = {
            let _on = self.runtime.enter();
            work.as_mut().now_or_never()
        };
        if let Some(outcome) = first {
            return Pending::Done(outcome);
        }
        let (sender, outcome) = sync_channel(1);
        let task = self.runtime.spawn(async move {
            // Whoever asked may have gone away.
            let _ = sender.send(work.await);
        });
        Pending::Waiting { outcome, task: GivenUp(task.abort_handle()) }
    }
}

impl<T> Pending<T> {
    /// Waits. Must not be called on a thread of the runtime.
    ///
    /// # Errors
    /// [`ReadError::Stopped`] if the runtime has shut down.
    pub(super) fn wait(self) -> Result<T, ReadError> {
        match self {
            Self::Done(outcome) => Ok(outcome),
            Self::Waiting { outcome, task: _given_up_after } => {
                outcome.recv().map_err(|_| ReadError::Stopped)
            }
        }
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.abort();
    }
}

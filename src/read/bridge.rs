//! The one place where threads that decode wait for the storage.

use std::future::Future;
use std::sync::mpsc::{Receiver, sync_channel};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::ReadError;

/// Starts I/O on the runtime and waits for it on threads that are not the runtime's own.
#[derive(Debug, Clone)]
pub(super) struct Bridge {
    runtime: Handle,
}

/// I/O on its way. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Pending<T> {
    outcome: Receiver<T>,
    task: AbortHandle,
}

impl Bridge {
    /// A bridge to the runtime that the caller runs on.
    pub(super) fn current() -> Self {
        Self { runtime: Handle::current() }
    }

    /// Starts `work`; it goes on while the caller does something else.
    pub(super) fn start<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Pending<T> {
        let (sender, outcome) = sync_channel(1);
        let task = self.runtime.spawn(async move {
            // Whoever asked may have gone away.
            let _ = sender.send(work.await);
        });
        Pending { outcome, task: task.abort_handle() }
    }
}

impl<T> Pending<T> {
    /// Waits. Must not be called on a thread of the runtime.
    ///
    /// # Errors
    /// [`ReadError::Stopped`] if the runtime has shut down.
    pub(super) fn wait(self) -> Result<T, ReadError> {
        self.outcome.recv().map_err(|_| ReadError::Stopped)
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

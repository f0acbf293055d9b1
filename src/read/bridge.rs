//! The one place where threads that decode wait for the storage.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{Receiver, sync_channel};

use futures::FutureExt as _;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::ReadError;

/// Starts I/O and waits for it on threads that are not the runtime's own.
#[derive(Debug, Clone)]
pub(super) struct Bridge {
    runtime: Handle,
}

/// I/O on its way, or done. Dropping it gives it up.
#[derive(Debug)]
pub(super) enum Pending<T> {
    /// It took no waiting.
    Done(T),
    /// It came to nothing.
    Stopped,
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
        // Timers panic when they are polled on a runtime that shuts down. On the runtime it would be the
        // task's end and no more: so it is here.
        let mut work = Box::pin(AssertUnwindSafe(work).catch_unwind());
        let first = {
            let _on = self.runtime.enter();
            work.as_mut().now_or_never()
        };
        match first {
            Some(Ok(outcome)) => return Pending::Done(outcome),
            Some(Err(_)) => return Pending::Stopped,
            None => {}
        }
        let (sender, outcome) = sync_channel(1);
        let task = self.runtime.spawn(async move {
            if let Ok(done) = work.await {
                // Whoever asked may have gone away.
                let _ = sender.send(done);
            }
        });
        Pending::Waiting { outcome, task: GivenUp(task.abort_handle()) }
    }
}

impl<T> Pending<T> {
    /// Waits. Must not be called on a thread of the runtime.
    ///
    /// # Errors
    /// [`ReadError::Stopped`] if the runtime has shut down, or the work has panicked.
    pub(super) fn wait(self) -> Result<T, ReadError> {
        match self {
            Self::Done(outcome) => Ok(outcome),
            Self::Stopped => Err(ReadError::Stopped),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    /// What becomes of `work`, asked for by a thread that may block.
    fn outcome<T: Send + 'static>(
        runtime: &tokio::runtime::Runtime,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let bridge = Bridge { runtime: runtime.handle().clone() };
        let asking = runtime.spawn_blocking(move || bridge.start(work).wait());
        runtime.block_on(asking).unwrap()
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn work_is_done_where_it_is_asked_for_until_it_waits() {
        let runtime = runtime();
        let asking = async || thread::current().id();
        let bridge = Bridge { runtime: runtime.handle().clone() };
        let done = bridge.start(async move { asking().await });
        assert!(matches!(done, Pending::Done(by) if by == thread::current().id()));
        let then = outcome(&runtime, async {
            let before = thread::current().id();
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            (before, thread::current().id())
        });
        let (before, after) = then.unwrap();
        assert_ne!(before, after);
    }

    #[test]
    fn a_panic_is_an_error_before_and_after_waiting() {
        let runtime = runtime();
        for waits in [false, true] {
            let failed = outcome(&runtime, async move {
                if waits {
                    tokio::task::yield_now().await;
                }
                assert_eq!(1, 2, "as a timer of a runtime that shuts down");
            });
            assert!(matches!(failed, Err(ReadError::Stopped)), "{failed:?}");
        }
    }

    #[test]
    fn work_that_nobody_waits_for_is_given_up() {
        struct Dropped(Arc<AtomicBool>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let (runtime, given_up) = (runtime(), Arc::new(AtomicBool::new(false)));
        let held = Dropped(given_up.clone());
        let bridge = Bridge { runtime: runtime.handle().clone() };
        let pending = bridge.start(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        assert!(!given_up.load(Ordering::SeqCst));
        drop(pending);
        while !given_up.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }
}

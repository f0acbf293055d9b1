//! A process as its storages see it: what it has asked of them, what is still on its way, and whether
//! it has stopped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Fault, FaultKind};
use crate::storage::{Operation, Result, Storage, StorageError, TablePath};

/// One operation of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedOperation {
    /// What was asked for.
    pub operation: Operation,
    /// Where.
    pub path: TablePath,
    /// How many bytes were handed over to be written, or were read; 0 for everything else.
    pub bytes: u64,
}

/// What the storages of one process share.
#[derive(Debug, Default)]
pub(super) struct Process {
    state: Mutex<State>,
    landing: Notify,
    waking: Notify,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<Fault>,
    operations: Vec<LoggedOperation>,
    late: Vec<LatePut>,
    dead: bool,
    still: bool,
}

/// A put that is on its way.
#[derive(Debug)]
struct LatePut {
    storage: Arc<dyn Storage>,
    path: TablePath,
    bytes: Bytes,
    /// The operation before which it is done.
    due: usize,
}

impl Process {
    pub(super) fn add_fault(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    pub(super) fn operations(&self) -> Vec<LoggedOperation> {
        self.state().operations.clone()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().dead
    }

    pub(super) fn stands_still(&self) -> bool {
        self.state().still
    }

    /// Has the operation happen that was on its way when the process stopped.
    pub(super) fn land(&self) {
        self.landing.notify_one();
    }

    /// Has a process go on that stands still.
    pub(super) fn wake(&self) {
        self.state().still = false;
        self.waking.notify_waiters();
    }

    async fn awake(&self) {
        loop {
            let woken = self.waking.notified();
            if !self.stands_still() {
                return;
            }
            woken.await;
        }
    }

    /// Takes the next number; fails if the process has stopped or is to fail before doing this.
    pub(super) fn begin(self: &Arc<Self>, asked: LoggedOperation, location: String) -> Result<Step> {
        let mut state = self.state();
        let number = state.operations.len();
        let kind = state.faults.iter().find(|fault| fault.at == number).map(|fault| fault.kind);
        let LoggedOperation { operation, path, .. } = asked.clone();
        let step = Step { process: self.clone(), operation, path, location, number, kind };
        if state.dead {
            return Err(step.error("the process has stopped before this operation"));
        }
        state.operations.push(asked);
        state.dead = matches!(kind, Some(FaultKind::DieBefore | FaultKind::DieDuring));
        state.still |= kind == Some(FaultKind::StandStill);
        match kind {
            Some(FaultKind::FailBefore) => Err(step.error("a fault was injected before operation")),
            Some(FaultKind::DieBefore) => Err(step.error("the process was stopped before operation")),
            _ => Ok(step),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An operation that has begun.
pub(super) struct Step {
    process: Arc<Process>,
    operation: Operation,
    path: TablePath,
    location: String,
    number: usize,
    kind: Option<FaultKind>,
}

impl Step {
    /// Sends the put off, where it is to be late.
    pub(super) fn send_off(&self, storage: &Arc<dyn Storage>, bytes: &Bytes) {
        if let Some(FaultKind::Late { operations }) = self.kind {
            let (storage, path, bytes) = (storage.clone(), self.path.clone(), bytes.clone());
            let due = self.number + operations;
            self.process.state().late.push(LatePut { storage, path, bytes, due });
        }
    }

    /// Waits until it is to happen, and does the late puts that are due before. Fails where one is
    /// still on its way to the same path.
    pub(super) async fn arrive(&self) -> Result<()> {
        if !matches!(self.operation, Operation::GetRanges | Operation::Write) {
            self.process.awake().await;
        }
        if self.kind == Some(FaultKind::DieDuring) {
            self.process.landing.notified().await;
        }
        let due: Vec<LatePut> =
            self.process.state().late.extract_if(.., |put| put.due <= self.number).collect();
        for put in due {
            // Its answer is lost, whatever it is.
            let _ = put.storage.put_if_absent(&put.path, put.bytes).await;
        }
        let is_late = self.process.state().late.iter().any(|put| put.path == self.path);
        match is_late {
            true => Err(self.hidden("a put is on its way at operation")),
            false => Ok(()),
        }
    }

    /// Logs how many bytes were read.
    pub(super) fn has_read(&self, bytes: usize) {
        if let Some(logged) = self.process.state().operations.get_mut(self.number) {
            logged.bytes = bytes as u64;
        }
    }

    /// What the caller is told of what was done.
    pub(super) fn end<T>(&self, done: Result<T>) -> Result<T> {
        match self.kind {
            Some(FaultKind::FailAfter) => {
                done.and_then(|_| Err(self.hidden("a fault was injected after operation")))
            }
            Some(FaultKind::DieAfter) => {
                self.process.state().dead = true;
                Err(self.hidden("the process was stopped after operation"))
            }
            // Another task may have come to the end meanwhile.
            _ if self.process.is_dead() => Err(self.hidden("the process was stopped during operation")),
            _ => done,
        }
    }

    pub(super) fn error(&self, what: &str) -> StorageError {
        StorageError::Io {
            operation: self.operation,
            location: self.location.clone(),
            source: format!("{what} {}", self.number).into(),
        }
    }

    /// The error of an operation of which the caller does not know whether it was done.
    fn hidden(&self, what: &str) -> StorageError {
        use Operation::{Finish, PutIfAbsent, Replace};
        match (self.operation, self.error(what)) {
            (PutIfAbsent | Replace | Finish, StorageError::Io { operation, location, source }) => {
                StorageError::Ambiguous { operation, location, source }
            }
            (_, error) => error,
        }
    }
}

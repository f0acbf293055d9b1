//! A storage that fails on purpose, to show that whatever is built on it survives.
//!
//! A [`FaultStorage`] wraps any storage, numbers its operations from 0, keeps a log of them,
//! and at one of them fails or *dies*: a dead storage fails every later operation, as if the
//! process had stopped there, and leaves temporary files behind as a stopped process does. What a
//! process had sent off when it stopped may still arrive: [`FaultKind::DieDuring`].
//! Reopening the inner storage is the restart.
//!
//! A crash test first runs with [`FaultStorage::new`] to learn the number of operations, then
//! once for each of them:
//!
//! ```
//! # use lakebed::environment::Environment;
//! # use lakebed::storage::fault::{Fault, FaultKind, FaultStorage};
//! # use lakebed::storage::{object::ObjectStorage, Storage, TablePath};
//! # use std::sync::Arc;
//! # async fn job(storage: &dyn Storage) -> lakebed::storage::Result<()> {
//! #     let path: TablePath = "a".parse().unwrap();
//! #     storage.put(&path, "1".into()).await?;
//! #     storage.delete(&path).await.map(|_| ())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let open = || {
//! #     let uri = "s3://memory/t".parse().unwrap();
//! #     Arc::new(ObjectStorage::in_memory(&uri, &Environment::real())) as Arc<dyn Storage>
//! # };
//! let whole = FaultStorage::new(open());
//! job(&whole).await.unwrap();
//! for at in 0..whole.operations().len() {
//!     let disk = open();
//!     let stopped = FaultStorage::with_fault(disk.clone(), Fault { at, kind: FaultKind::DieBefore });
//!     assert!(job(&stopped).await.is_err() && stopped.has_died());
//!     // Now start anew on `disk`, and look for what was lost.
//! }
//! # });
//! ```

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    Entry, FileWriter, FolderStamp, Listing, Object, Operation, Result, Storage, StorageError, TablePath,
    TableUri, Version,
};

/// What happens, and at which operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The number of the operation, counted from 0 over all operations.
    pub at: usize,
    /// What happens there.
    pub kind: FaultKind,
}

/// What happens at the operation of a [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It is not done and fails with [`StorageError::Io`]; later ones work.
    FailBefore,
    /// It is done and yet fails; later ones work. A write fails with
    /// [`StorageError::Ambiguous`] where the trait allows that, else with [`StorageError::Io`].
    FailAfter,
    /// It is not done, and nothing is from here on.
    DieBefore,
    /// It is done, but nobody is told, and nothing is done from here on.
    DieAfter,
    /// Nothing more is done from here on but this, when [`FaultStorage::land`] is called: a request that
    /// was on its way when the process stopped.
    DieDuring,
    /// A [`Storage::put_if_absent`] is on its way: it fails with [`StorageError::Ambiguous`], and so
    /// many operations later it is done after all. Until then all operations on its path fail. Another
    /// operation is done as ever.
    Late {
        /// How many operations later.
        operations: usize,
    },
}

/// One operation of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedOperation {
    /// What was asked for.
    pub operation: Operation,
    /// Where.
    pub path: TablePath,
    /// How many bytes were handed over to be written; 0 for everything else.
    pub bytes: u64,
}

/// A storage that counts, logs, and fails where it is told to.
#[derive(Debug, Clone)]
pub struct FaultStorage {
    inner: Arc<dyn Storage>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    faults: Mutex<Vec<Fault>>,
    late: Mutex<Vec<LatePut>>,
    log: Mutex<Log>,
    landing: Notify,
}

/// A put that is on its way.
#[derive(Debug, Clone)]
struct LatePut {
    inner: Arc<dyn Storage>,
    path: TablePath,
    bytes: Bytes,
    /// The operation before which it is done.
    due: usize,
}

#[derive(Debug, Default)]
struct Log {
    operations: Vec<LoggedOperation>,
    dead: bool,
}

impl FaultStorage {
    /// Wraps `inner`: counts and logs, and never fails by itself.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, state: Arc::default() }
    }

    /// Wraps `inner` with one fault.
    pub fn with_fault(inner: Arc<dyn Storage>, fault: Fault) -> Self {
        let storage = Self::new(inner);
        storage.add_fault(fault);
        storage
    }

    /// Another storage of the same process: its operations are counted and logged with those of this
    /// one, and what stops one stops both.
    pub fn beside(&self, inner: Arc<dyn Storage>) -> Self {
        Self { inner, state: self.state.clone() }
    }

    /// Adds a fault. Its number may be of an operation yet to come only.
    pub fn add_fault(&self, fault: Fault) {
        lock(&self.state.faults).push(fault);
    }

    /// The operations so far, those that failed included. Operations asked of a dead storage
    /// are not logged: the process that would have asked has stopped.
    pub fn operations(&self) -> Vec<LoggedOperation> {
        lock(&self.state.log).operations.clone()
    }

    /// Whether it has died.
    pub fn has_died(&self) -> bool {
        self.state.is_dead()
    }

    /// Has the operation happen that was on its way when this died.
    pub fn land(&self) {
        self.state.landing.notify_one();
    }

    /// Runs an operation between the two places where it may fail.
    async fn step<T>(
        &self,
        operation: Operation,
        path: &TablePath,
        bytes: usize,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let location = self.inner.uri().with_scheme(path);
        let step = self.state.begin(operation, location, path, bytes)?;
        step.arrive().await;
        self.state.deliver(step.number).await;
        match self.state.is_late(path) {
            true => Err(step.hidden("a put is on its way at operation")),
            false => step.end(work.await),
        }
    }
}

impl State {
    /// Does the puts that are on their way and due before the operation `number`.
    async fn deliver(&self, number: usize) {
        let (due, later) = {
            let mut late = lock(&self.late);
            late.drain(..).partition::<Vec<_>, _>(|put| put.due <= number)
        };
        lock(&self.late).extend(later);
        for put in due {
            // Its answer is lost, whatever it is.
            let _ = put.inner.put_if_absent(&put.path, put.bytes).await;
        }
    }

    /// How many operations later the next one is done, if it is to be late.
    fn next_is_late(&self) -> Option<usize> {
        let next = lock(&self.log).operations.len();
        lock(&self.faults).iter().filter(|fault| fault.at == next).find_map(|fault| match fault.kind {
            FaultKind::Late { operations } => Some(operations),
            _ => None,
        })
    }

    fn is_late(&self, path: &TablePath) -> bool {
        lock(&self.late).iter().any(|put| put.path == *path)
    }

    fn is_dead(&self) -> bool {
        lock(&self.log).dead
    }

    /// Takes the next number; fails if the storage is dead or to fail before doing this.
    fn begin(
        self: &Arc<Self>,
        operation: Operation,
        location: String,
        path: &TablePath,
        bytes: usize,
    ) -> Result<Step> {
        let mut log = lock(&self.log);
        let number = log.operations.len();
        let mut step = Step { state: self.clone(), operation, location, number, kind: None };
        if log.dead {
            return Err(step.error("the process has stopped before this operation"));
        }
        log.operations.push(LoggedOperation { operation, path: path.clone(), bytes: bytes as u64 });
        step.kind = lock(&self.faults).iter().find(|fault| fault.at == number).map(|fault| fault.kind);
        match step.kind {
            Some(FaultKind::FailBefore) => Err(step.error("a fault was injected before operation")),
            Some(FaultKind::DieBefore) => {
                log.dead = true;
                Err(step.error("the process was stopped before operation"))
            }
            Some(FaultKind::DieDuring) => {
                log.dead = true;
                Ok(step)
            }
            _ => Ok(step),
        }
    }
}

/// An operation that has begun.
struct Step {
    state: Arc<State>,
    operation: Operation,
    location: String,
    number: usize,
    kind: Option<FaultKind>,
}

impl Step {
    /// Waits until it is to happen.
    async fn arrive(&self) {
        if self.kind == Some(FaultKind::DieDuring) {
            self.state.landing.notified().await;
        }
    }

    fn end<T>(&self, done: Result<T>) -> Result<T> {
        match self.kind {
            Some(FaultKind::FailAfter) => {
                done.and_then(|_| Err(self.hidden("a fault was injected after operation")))
            }
            Some(FaultKind::DieAfter) => {
                lock(&self.state.log).dead = true;
                Err(self.hidden("the process was stopped after operation"))
            }
            // Another task may have come to the end meanwhile.
            _ if self.state.is_dead() => Err(self.hidden("the process was stopped during operation")),
            _ => done,
        }
    }

    fn error(&self, what: &str) -> StorageError {
        StorageError::Io {
            operation: self.operation,
            location: self.location.clone(),
            source: format!("{what} {}", self.number).into(),
        }
    }

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

#[async_trait]
impl Storage for FaultStorage {
    fn uri(&self) -> &TableUri {
        self.inner.uri()
    }

    /// What is looked at there is neither counted nor made to fail: it is outside of the table.
    fn parent(&self) -> Option<Arc<dyn Storage>> {
        self.inner.parent()
    }

    async fn put_if_absent(&self, path: &TablePath, bytes: Bytes) -> Result<Option<Version>> {
        let size = bytes.len();
        if let Some(operations) = self.state.next_is_late() {
            let due = self.operations().len() + operations;
            let put = LatePut { inner: self.inner.clone(), path: path.clone(), bytes: bytes.clone(), due };
            lock(&self.state.late).push(put);
        }
        self.step(Operation::PutIfAbsent, path, size, self.inner.put_if_absent(path, bytes)).await
    }

    async fn put(&self, path: &TablePath, bytes: Bytes) -> Result<()> {
        let size = bytes.len();
        self.step(Operation::Put, path, size, self.inner.put(path, bytes)).await
    }

    async fn replace(&self, path: &TablePath, bytes: Bytes, expected: &Version) -> Result<Version> {
        let size = bytes.len();
        self.step(Operation::Replace, path, size, self.inner.replace(path, bytes, expected)).await
    }

    async fn sync(&self, path: &TablePath) -> Result<()> {
        self.step(Operation::Sync, path, 0, self.inner.sync(path)).await
    }

    async fn get(&self, path: &TablePath, max_bytes: u64) -> Result<Object> {
        self.step(Operation::Get, path, 0, self.inner.get(path, max_bytes)).await
    }

    async fn get_ranges(&self, path: &TablePath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.step(Operation::GetRanges, path, 0, self.inner.get_ranges(path, ranges)).await
    }

    async fn stat(&self, path: &TablePath) -> Result<Entry> {
        self.step(Operation::Stat, path, 0, self.inner.stat(path)).await
    }

    async fn stamp(&self, dir: &TablePath) -> Result<Option<FolderStamp>> {
        self.step(Operation::Stamp, dir, 0, self.inner.stamp(dir)).await
    }

    async fn list(&self, dir: &TablePath) -> Result<Listing> {
        self.step(Operation::List, dir, 0, self.inner.list(dir)).await
    }

    async fn list_after(&self, dir: &TablePath, after: &str) -> Result<Vec<Entry>> {
        self.step(Operation::List, dir, 0, self.inner.list_after(dir, after)).await
    }

    async fn list_all(&self, dir: &TablePath) -> Result<Vec<Entry>> {
        self.step(Operation::ListAll, dir, 0, self.inner.list_all(dir)).await
    }

    async fn delete(&self, path: &TablePath) -> Result<bool> {
        self.step(Operation::Delete, path, 0, self.inner.delete(path)).await
    }

    async fn delete_dir(&self, dir: &TablePath) -> Result<()> {
        self.step(Operation::DeleteDir, dir, 0, self.inner.delete_dir(dir)).await
    }

    async fn sweep(&self, dir: &TablePath, before_unix_millis: i64) -> Result<u64> {
        self.step(Operation::Sweep, dir, 0, self.inner.sweep(dir, before_unix_millis)).await
    }

    fn write_memory_bytes(&self) -> u64 {
        self.inner.write_memory_bytes()
    }

    /// Two operations where there is a marker: a stop between the two is a case of its own.
    async fn create(&self, path: &TablePath, marker: Option<&TablePath>) -> Result<Box<dyn FileWriter>> {
        if let Some(marker) = marker {
            self.step(Operation::Create, marker, 0, self.inner.put(marker, Bytes::new())).await?;
        }
        let created = self.step(Operation::Create, path, 0, async {
            Ok(FaultWriter {
                inner: Some(self.inner.create(path, marker).await?),
                state: self.state.clone(),
                location: self.inner.uri().with_scheme(path),
                path: path.clone(),
            })
        });
        Ok(Box::new(created.await?))
    }
}

/// A writer whose every call is an operation of its own.
#[derive(Debug)]
struct FaultWriter {
    /// `None` after a failed write.
    inner: Option<Box<dyn FileWriter>>,
    state: Arc<State>,
    location: String,
    path: TablePath,
}

impl FaultWriter {
    fn begin(&self, operation: Operation, bytes: usize) -> Result<Step> {
        self.state.begin(operation, self.location.clone(), &self.path, bytes)
    }

    async fn write_inner(&mut self, bytes: Bytes) -> Result<()> {
        let step = self.begin(Operation::Write, bytes.len())?;
        step.arrive().await;
        let inner = self.inner.as_mut().ok_or_else(|| step.error(FAILED_BEFORE))?;
        step.end(inner.write(bytes).await)
    }
}

const FAILED_BEFORE: &str = "an earlier write to this file failed before operation";

#[async_trait]
impl FileWriter for FaultWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let done = self.write_inner(bytes).await;
        if done.is_err() && !self.state.is_dead() {
            self.inner = None;
        }
        done
    }

    fn bytes_written(&self) -> u64 {
        self.inner.as_ref().map_or(0, |inner| inner.bytes_written())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64> {
        let step = self.begin(Operation::Finish, 0)?;
        step.arrive().await;
        let inner = self.inner.take().ok_or_else(|| step.error(FAILED_BEFORE))?;
        step.end(inner.finish().await)
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        let step = self.begin(Operation::Abort, 0)?;
        step.arrive().await;
        match self.inner.take() {
            Some(inner) => step.end(inner.abort().await),
            None => Ok(()),
        }
    }
}

impl Drop for FaultWriter {
    fn drop(&mut self) {
        // A stopped process removes nothing: what it left is what a restart finds.
        if self.state.is_dead() {
            std::mem::forget(self.inner.take());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

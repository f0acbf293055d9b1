//! A storage that fails on purpose, to show that whatever is built on it survives.
//!
//! A [`FaultStorage`] wraps any storage, numbers its operations from 0, keeps a log of them,
//! and at one of them fails or *dies*: a dead storage fails every later operation, as if the
//! process had stopped there, and leaves temporary files behind as a stopped process does. What a
//! process had sent off when it stopped may still arrive: [`FaultKind::DieDuring`]; and it may only have
//! stood still: [`FaultKind::StandStill`].
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
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Entry, FileWriter, FolderStamp, Listing, Object, Operation, Result, Storage, TablePath, TableUri, Version,
};

mod plan;
mod process;
mod writer;

pub use plan::{Fault, FaultKind};
pub use process::LoggedOperation;
use process::{Process, Step};
use writer::FaultWriter;

/// A storage that counts, logs, and fails where it is told to.
#[derive(Debug, Clone)]
pub struct FaultStorage {
    inner: Arc<dyn Storage>,
    process: Arc<Process>,
}

impl FaultStorage {
    /// Wraps `inner`: counts and logs, and never fails by itself.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, process: Arc::default() }
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
        Self { inner, process: self.process.clone() }
    }

    /// Adds a fault. Its number may be of an operation yet to come only, and of each operation only the
    /// first fault happens.
    pub fn add_fault(&self, fault: Fault) {
        self.process.add_fault(fault);
    }

    /// The operations so far, those that failed included. Operations asked of a dead storage
    /// are not logged: the process that would have asked has stopped.
    pub fn operations(&self) -> Vec<LoggedOperation> {
        self.process.operations()
    }

    /// Whether it has died.
    pub fn has_died(&self) -> bool {
        self.process.is_dead()
    }

    /// Runs a process to its end, or until this dies: then it is no more.
    pub async fn outlive<T>(&self, process: impl Future<Output = T>) -> Option<T> {
        let death = async {
            while !self.has_died() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            ended = process => Some(ended),
            () = death => None,
        }
    }

    /// Has the operation happen that was on its way when this died.
    pub fn land(&self) {
        self.process.land();
    }

    /// Whether its process stands still.
    pub fn stands_still(&self) -> bool {
        self.process.stands_still()
    }

    /// Has a process go on that stands still.
    pub fn wake(&self) {
        self.process.wake();
    }

    fn begin(&self, operation: Operation, path: &TablePath, bytes: usize) -> Result<Step> {
        let asked = LoggedOperation { operation, path: path.clone(), bytes: bytes as u64 };
        self.process.begin(asked, self.inner.uri().with_scheme(path))
    }

    /// Does `work` between the two places where the operation may fail.
    async fn step<T>(
        &self,
        operation: Operation,
        path: &TablePath,
        bytes: usize,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let step = self.begin(operation, path, bytes)?;
        step.arrive().await?;
        step.end(work.await)
    }

    /// As [`FaultStorage::step`], of `work` that reads as many bytes as `size` says.
    async fn read_step<T>(
        &self,
        operation: Operation,
        path: &TablePath,
        work: impl Future<Output = Result<T>>,
        size: impl FnOnce(&T) -> usize,
    ) -> Result<T> {
        let step = self.begin(operation, path, 0)?;
        step.arrive().await?;
        let done = work.await.inspect(|read| step.has_read(size(read)));
        step.end(done)
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
        let step = self.begin(Operation::PutIfAbsent, path, bytes.len())?;
        step.send_off(&self.inner, &bytes);
        step.arrive().await?;
        step.end(self.inner.put_if_absent(path, bytes).await)
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
        self.read_step(Operation::Get, path, self.inner.get(path, max_bytes), |read| read.bytes.len()).await
    }

    async fn get_ranges(&self, path: &TablePath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let size = |read: &Vec<Bytes>| read.iter().map(Bytes::len).sum();
        self.read_step(Operation::GetRanges, path, self.inner.get_ranges(path, ranges), size).await
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

    async fn list_between(&self, dir: &TablePath, after: &str, upto: &str) -> Result<Vec<Entry>> {
        self.step(Operation::List, dir, 0, self.inner.list_between(dir, after, upto)).await
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
                storage: self.clone(),
                path: path.clone(),
            })
        });
        Ok(Box::new(created.await?))
    }
}

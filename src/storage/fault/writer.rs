//! A data file on its way in a storage that fails.

use async_trait::async_trait;
use bytes::Bytes;

use super::FaultStorage;
use super::process::Step;
use crate::storage::{FileWriter, Operation, Result, TablePath};

const FAILED_BEFORE: &str = "an earlier write to this file failed before operation";

/// A writer whose every call is an operation of its own.
#[derive(Debug)]
pub(super) struct FaultWriter {
    /// `None` after a failed write.
    pub(super) inner: Option<Box<dyn FileWriter>>,
    pub(super) storage: FaultStorage,
    pub(super) path: TablePath,
}

impl FaultWriter {
    fn begin(&self, operation: Operation, bytes: usize) -> Result<Step> {
        self.storage.begin(operation, &self.path, bytes)
    }

    async fn write_inner(&mut self, bytes: Bytes) -> Result<()> {
        let step = self.begin(Operation::Write, bytes.len())?;
        step.arrive().await?;
        let inner = self.inner.as_mut().ok_or_else(|| step.error(FAILED_BEFORE))?;
        step.end(inner.write(bytes).await)
    }
}

#[async_trait]
impl FileWriter for FaultWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let done = self.write_inner(bytes).await;
        if done.is_err() && !self.storage.has_died() {
            self.inner = None;
        }
        done
    }

    fn bytes_written(&self) -> u64 {
        self.inner.as_ref().map_or(0, |inner| inner.bytes_written())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64> {
        let step = self.begin(Operation::Finish, 0)?;
        step.arrive().await?;
        let inner = self.inner.take().ok_or_else(|| step.error(FAILED_BEFORE))?;
        step.end(inner.finish().await)
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        let step = self.begin(Operation::Abort, 0)?;
        step.arrive().await?;
        match self.inner.take() {
            Some(inner) => step.end(inner.abort().await),
            None => Ok(()),
        }
    }
}

impl Drop for FaultWriter {
    fn drop(&mut self) {
        // A stopped process removes nothing: what it left is what a restart finds.
        if self.storage.has_died() {
            std::mem::forget(self.inner.take());
        }
    }
}

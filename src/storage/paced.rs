//! A storage whose data files are read and written no faster than so many bytes a second.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Entry, FileWriter, FolderStamp, Listing, Object, Result, Storage, TablePath, TableUri, Version};
use crate::environment::Environment;

/// What is not used while nothing is asked for is kept for so long.
const BURST: Duration = Duration::from_secs(1);

/// How many bytes a second are read and written, by all storages that share it.
///
/// Whoever reads or writes waits until what was read and written before has had its time.
#[derive(Debug)]
pub struct Pace {
    environment: Environment,
    bytes_per_second: u64,
    /// When all that was asked for so far has had its time, by the monotonic clock.
    free_at: Mutex<Duration>,
}

impl Pace {
    /// So many bytes a second; at least one.
    pub fn new(bytes_per_second: u64, environment: &Environment) -> Arc<Self> {
        let free_at = Mutex::new(environment.clock.monotonic());
        Arc::new(Self {
            environment: environment.clone(),
            bytes_per_second: bytes_per_second.max(1),
            free_at,
        })
    }

    /// Waits until what was read and written before has had its time.
    async fn wait(&self) {
        let free_at = *self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = free_at.saturating_sub(self.environment.clock.monotonic());
        if !wait.is_zero() {
            self.environment.clock.sleep(wait).await;
        }
    }

    /// So many bytes were read or written.
    fn spend(&self, bytes: u64) {
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let earliest = self.environment.clock.monotonic().saturating_sub(BURST);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        *free_at = (*free_at).max(earliest).saturating_add(takes);
    }
}

/// A storage whose data files are read and written no faster than a [`Pace`] lets it.
///
/// What is small, as the files of the timeline, and what is done under the table lock does not wait.
#[derive(Debug)]
pub struct PacedStorage {
    inner: Arc<dyn Storage>,
    pace: Arc<Pace>,
}

impl PacedStorage {
    /// `inner`, at `pace`.
    pub fn new(inner: Arc<dyn Storage>, pace: Arc<Pace>) -> Self {
        Self { inner, pace }
    }
}

#[async_trait]
impl Storage for PacedStorage {
    fn uri(&self) -> &TableUri {
        self.inner.uri()
    }

    fn parent(&self) -> Option<Arc<dyn Storage>> {
        self.inner.parent()
    }

    async fn put_if_absent(&self, path: &TablePath, bytes: Bytes) -> Result<Option<Version>> {
        self.inner.put_if_absent(path, bytes).await
    }

    async fn put(&self, path: &TablePath, bytes: Bytes) -> Result<()> {
        self.inner.put(path, bytes).await
    }

    async fn replace(&self, path: &TablePath, bytes: Bytes, expected: &Version) -> Result<Version> {
        self.inner.replace(path, bytes, expected).await
    }

    async fn sync(&self, path: &TablePath) -> Result<()> {
        self.inner.sync(path).await
    }

    async fn get(&self, path: &TablePath, max_bytes: u64) -> Result<Object> {
        self.inner.get(path, max_bytes).await
    }

    async fn get_ranges(&self, path: &TablePath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if path.as_str().starts_with(".hoodie/") {
            return self.inner.get_ranges(path, ranges).await;
        }
        self.pace.wait().await;
        let read = self.inner.get_ranges(path, ranges).await?;
        self.pace.spend(read.iter().map(|bytes| bytes.len() as u64).sum());
        Ok(read)
    }

    async fn stat(&self, path: &TablePath) -> Result<Entry> {
        self.inner.stat(path).await
    }

    async fn stamp(&self, dir: &TablePath) -> Result<Option<FolderStamp>> {
        self.inner.stamp(dir).await
    }

    async fn list(&self, dir: &TablePath) -> Result<Listing> {
        self.inner.list(dir).await
    }

    async fn list_after(&self, dir: &TablePath, after: &str) -> Result<Vec<Entry>> {
        self.inner.list_after(dir, after).await
    }

    async fn list_between(&self, dir: &TablePath, after: &str, upto: &str) -> Result<Vec<Entry>> {
        self.inner.list_between(dir, after, upto).await
    }

    async fn list_all(&self, dir: &TablePath) -> Result<Vec<Entry>> {
        self.inner.list_all(dir).await
    }

    async fn delete(&self, path: &TablePath) -> Result<bool> {
        self.inner.delete(path).await
    }

    async fn delete_dir(&self, dir: &TablePath) -> Result<()> {
        self.inner.delete_dir(dir).await
    }

    async fn sweep(&self, dir: &TablePath, before_unix_millis: i64) -> Result<u64> {
        self.inner.sweep(dir, before_unix_millis).await
    }

    fn write_memory_bytes(&self) -> u64 {
        self.inner.write_memory_bytes()
    }

    async fn create(&self, path: &TablePath, marker: Option<&TablePath>) -> Result<Box<dyn FileWriter>> {
        let inner = self.inner.create(path, marker).await?;
        Ok(Box::new(PacedWriter { inner, pace: self.pace.clone() }))
    }
}

#[derive(Debug)]
struct PacedWriter {
    inner: Box<dyn FileWriter>,
    pace: Arc<Pace>,
}

#[async_trait]
impl FileWriter for PacedWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.pace.wait().await;
        self.pace.spend(bytes.len() as u64);
        self.inner.write(bytes).await
    }

    fn bytes_written(&self) -> u64 {
        self.inner.bytes_written()
    }

    async fn finish(self: Box<Self>) -> Result<u64> {
        self.inner.finish().await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}

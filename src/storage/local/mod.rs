//! A table in a folder of this machine.
//!
//! A file is written under a temporary name in its own folder, synced, and then given its name:
//! by `link(2)`, which never replaces a file, or by `rename(2)`, which always does. The folder
//! is synced last, so what returned `Ok` survives the loss of power. Calls that block run on
//! the runtime's blocking pool, all steps of one operation in one task. Small reads of what the
//! system holds in memory do not block; on Linux they take no other thread.
//!
//! Temporary names are `.lakebed-tmp-` and 32 hex digits. No reader of Hudi tables takes such a
//! name for a base file, a log file, a timeline file or a marker; listings leave them out.
//!
//! Needed of the file system: hard links, and `fsync` of folders.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Entry, FileWriter, FolderStamp, Listing, Object, Operation, Result, Scheme, Storage, StorageError,
    TablePath, TableUri, Version,
};
use crate::environment::{Environment, Ids};

#[cfg(target_os = "linux")]
mod cached;
mod place;
mod read;
mod write;
mod writer;

use place::Place;

/// How temporary names begin.
const TEMPORARY_PREFIX: &str = ".lakebed-tmp-";

/// The files of a table in a folder of this machine.
#[derive(Debug)]
pub struct LocalStorage {
    uri: TableUri,
    root: Arc<PathBuf>,
    ids: Arc<dyn Ids>,
    /// Whether small reads are to be tried where they are asked for.
    tries_cached: AtomicBool,
}

impl LocalStorage {
    /// The storage of the table at `uri`. Touches nothing yet.
    ///
    /// # Errors
    /// `uri` is no folder of this machine.
    pub fn new(uri: &TableUri, environment: &Environment) -> Result<Self> {
        if uri.scheme() != Scheme::File {
            return Err(StorageError::Unsupported {
                operation: Operation::Open,
                location: uri.to_string(),
                reason: "this is no folder of this machine",
            });
        }
        let root = Arc::new(PathBuf::from(uri.path()));
        let tries_cached = AtomicBool::new(cfg!(target_os = "linux"));
        Ok(Self { uri: uri.clone(), root, ids: environment.ids.clone(), tries_cached })
    }

    fn place(&self, operation: Operation, path: &TablePath) -> Place {
        Place::new(operation, self.root.clone(), path.clone())
    }

    /// Runs `work` at the place of `operation` and `path` on the blocking pool.
    async fn blocking<T, W>(&self, operation: Operation, path: &TablePath, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Place) -> Result<T> + Send + 'static,
    {
        place::blocking(self.place(operation, path), work).await
    }

    /// What `read` has at once, if it has; a task that reads much so lets others have their turns.
    #[cfg(target_os = "linux")]
    async fn cached<T>(&self, read: impl FnOnce() -> std::result::Result<T, cached::Elsewhere>) -> Option<T> {
        if !self.tries_cached.load(Ordering::Relaxed) {
            return None;
        }
        match read() {
            Ok(done) => {
                tokio::task::consume_budget().await;
                Some(done)
            }
            Err(cached::Elsewhere::ThisTime) => None,
            Err(cached::Elsewhere::Always) => {
                self.tries_cached.store(false, Ordering::Relaxed);
                None
            }
        }
    }
}

#[async_trait]
impl Storage for LocalStorage {
    fn uri(&self) -> &TableUri {
        &self.uri
    }

    fn parent(&self) -> Option<Arc<dyn Storage>> {
        let uri = self.uri.parent()?;
        let tries_cached = AtomicBool::new(self.tries_cached.load(Ordering::Relaxed));
        let root = Arc::new(PathBuf::from(uri.path()));
        Some(Arc::new(Self { root, ids: self.ids.clone(), tries_cached, uri }))
    }

    async fn put_if_absent(&self, path: &TablePath, bytes: Bytes) -> Result<Option<Version>> {
        let ids = self.ids.clone();
        self.blocking(Operation::PutIfAbsent, path, move |place| {
            write::put_if_absent(place, ids.as_ref(), &bytes)?;
            Ok(None)
        })
        .await
    }

    async fn put(&self, path: &TablePath, bytes: Bytes) -> Result<()> {
        let ids = self.ids.clone();
        self.blocking(Operation::Put, path, move |place| write::put(place, ids.as_ref(), &bytes)).await
    }

    async fn replace(&self, path: &TablePath, _bytes: Bytes, _expected: &Version) -> Result<Version> {
        Err(StorageError::Unsupported {
            operation: Operation::Replace,
            location: self.uri.with_scheme(path),
            reason: "local disks cannot replace a file on condition; use put if absent",
        })
    }

    async fn sync(&self, path: &TablePath) -> Result<()> {
        self.blocking(Operation::Sync, path, write::sync).await
    }

    async fn get(&self, path: &TablePath, max_bytes: u64) -> Result<Object> {
        let place = self.place(Operation::Get, path);
        #[cfg(target_os = "linux")]
        if let Some(object) = self.cached(|| cached::get(&place, max_bytes)).await {
            return Ok(object);
        }
        place::blocking(place, move |place| read::get(place, max_bytes)).await
    }

    async fn get_ranges(&self, path: &TablePath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let place = self.place(Operation::GetRanges, path);
        #[cfg(target_os = "linux")]
        if let Some(bytes) = self.cached(|| cached::get_ranges(&place, ranges)).await {
            return Ok(bytes);
        }
        let ranges = ranges.to_vec();
        place::blocking(place, move |place| read::get_ranges(place, &ranges)).await
    }

    async fn stat(&self, path: &TablePath) -> Result<Entry> {
        self.blocking(Operation::Stat, path, read::stat).await
    }

    async fn stamp(&self, dir: &TablePath) -> Result<Option<FolderStamp>> {
        self.blocking(Operation::Stamp, dir, read::stamp).await
    }

    async fn list(&self, dir: &TablePath) -> Result<Listing> {
        self.blocking(Operation::List, dir, read::list).await
    }

    async fn folders(&self, dir: &TablePath) -> Result<Vec<TablePath>> {
        self.blocking(Operation::List, dir, read::folders).await
    }

    async fn list_after(&self, dir: &TablePath, after: &str) -> Result<Vec<Entry>> {
        let after = after.to_owned();
        self.blocking(Operation::List, dir, move |place| read::list_after(place, &after, None)).await
    }

    async fn list_between(&self, dir: &TablePath, after: &str, upto: &str) -> Result<Vec<Entry>> {
        let (after, upto) = (after.to_owned(), upto.to_owned());
        self.blocking(Operation::List, dir, move |place| read::list_after(place, &after, Some(&upto))).await
    }

    async fn list_all(&self, dir: &TablePath) -> Result<Vec<Entry>> {
        self.blocking(Operation::ListAll, dir, read::list_all).await
    }

    async fn delete(&self, path: &TablePath) -> Result<bool> {
        self.blocking(Operation::Delete, path, write::delete).await
    }

    async fn delete_dir(&self, dir: &TablePath) -> Result<()> {
        self.blocking(Operation::DeleteDir, dir, write::delete_dir).await
    }

    async fn sweep(&self, dir: &TablePath, before_unix_millis: i64) -> Result<u64> {
        self.blocking(Operation::Sweep, dir, move |place| write::sweep(place, before_unix_millis)).await
    }

    fn write_memory_bytes(&self) -> u64 {
        0
    }

    async fn create(&self, path: &TablePath, marker: Option<&TablePath>) -> Result<Box<dyn FileWriter>> {
        let marker = marker.map(|marker| self.place(Operation::Create, marker));
        let place = self.place(Operation::Create, path);
        Ok(Box::new(writer::LocalWriter::create(place, marker, self.ids.clone()).await?))
    }
}

/// Whether `name` is one that only an unfinished or stopped writer uses.
fn is_temporary(name: &str) -> bool {
    name.strip_prefix(TEMPORARY_PREFIX)
        .is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

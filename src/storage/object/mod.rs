//! A table in a bucket: S3 and what speaks its protocol, or memory for tests.
//!
//! Keys are the table's prefix and the path, byte for byte as Hadoop's s3a connector names
//! them; nothing is percent-encoded in a key. Objects whose key ends in `/`, which other
//! engines make for folders, are not shown as files.
//!
//! What the bucket must offer: conditional puts (`If-None-Match: *` and `If-Match`), also when
//! an upload in parts is completed, and listings that show finished puts at once. A bucket
//! that ignores the condition of a completion lets two writers of the same data file replace
//! each other; file names carry a write token that is used once, so that takes a mistake.
//!
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use object_store::{
    GetOptions, GetResult, OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, coalesce_ranges,
};

use super::{
    Cause, Entry, FileWriter, FolderStamp, Listing, Object, Operation, Result, Storage, StorageError,
    TablePath, TableUri, Version,
};
use crate::environment::{Environment, Ids};

mod filling;
mod list;
mod memory;
mod s3;
mod settle;
mod writer;

use filling::UploadMemory;
pub use s3::S3Settings;

/// The files of a table in a bucket.
#[derive(Clone)]
pub struct ObjectStorage {
    uri: TableUri,
    store: Arc<dyn ObjectStore>,
    ids: Arc<dyn Ids>,
    uploads: Arc<UploadMemory>,
}

impl ObjectStorage {
    /// Connects to the bucket of the table at `uri`, and looks for credentials.
    ///
    /// # Errors
    /// `uri` is no bucket; there are no credentials; a setting has no meaning.
    pub async fn connect(uri: &TableUri, environment: &Environment, settings: &S3Settings) -> Result<Self> {
        let store = s3::connect(uri, settings).await?;
        Ok(Self::over(uri, environment, store))
    }

    /// A bucket in memory that lives as long as this value and its clones, for tests. `uri` is
    /// only its name.
    pub fn in_memory(uri: &TableUri, environment: &Environment) -> Self {
        Self::over(uri, environment, Arc::new(memory::Memory::default()))
    }

    fn over(uri: &TableUri, environment: &Environment, store: Arc<dyn ObjectStore>) -> Self {
        let uploads = Arc::new(UploadMemory::new(environment.spill.clone()));
        Self { uri: uri.clone(), store, ids: environment.ids.clone(), uploads }
    }

    fn place(&self, operation: Operation, path: &TablePath) -> Result<Place> {
        let location = self.uri.with_scheme(path);
        let full = format!("{}/{path}", self.uri.path());
        // A table path holds nothing that a key refuses; were it otherwise, it is an error here.
        match Key::parse(full) {
            Ok(key) => Ok(Place { operation, location, path: path.clone(), key }),
            Err(error) => Err(StorageError::Io { operation, location, source: Box::new(error) }),
        }
    }

    fn file(&self, operation: Operation, path: &TablePath) -> Result<Place> {
        if path.is_root() {
            return Err(StorageError::TableFolder { operation, location: self.uri.to_string() });
        }
        self.place(operation, path)
    }

    async fn fetch(&self, place: &Place, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(&place.key, options).await.map_err(|error| place.error(error))
    }

    async fn head(&self, place: &Place) -> Result<ObjectMeta> {
        Ok(self.fetch(place, GetOptions { head: true, ..GetOptions::default() }).await?.meta)
    }

    /// All bytes of `range`: a bucket answers with fewer where the object ends within it.
    async fn fetch_range(&self, place: &Place, range: Range<u64>) -> Result<Bytes> {
        let options = GetOptions { range: Some(range.clone().into()), ..GetOptions::default() };
        let bytes = self.fetch(place, options).await?.bytes().await.map_err(|error| place.error(error))?;
        if bytes.len() as u64 == range.end - range.start {
            return Ok(bytes);
        }
        Err(place.out_of_range(&range, range.start + bytes.len() as u64))
    }

    /// Where a range failed: says which of `ranges` asked for more than there is.
    async fn explain_range(&self, place: &Place, ranges: &[Range<u64>], error: StorageError) -> StorageError {
        if matches!(error, StorageError::NotFound { .. }) {
            return error;
        }
        match self.head(place).await {
            Ok(meta) => match outside(ranges, meta.size) {
                Some(range) => place.out_of_range(range, meta.size),
                None => error,
            },
            Err(_) => error,
        }
    }
}

impl fmt::Debug for ObjectStorage {
    /// The store is left out: it knows the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStorage").field("uri", &self.uri.to_string()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Storage for ObjectStorage {
    fn uri(&self) -> &TableUri {
        &self.uri
    }

    fn parent(&self) -> Option<Arc<dyn Storage>> {
        let uri = self.uri.parent()?;
        Some(Arc::new(Self { uri, ..self.clone() }))
    }

    async fn put_if_absent(&self, path: &TablePath, bytes: Bytes) -> Result<Option<Version>> {
        let place = self.file(Operation::PutIfAbsent, path)?;
        settle::put_if_absent(self, &place, bytes.into()).await
    }

    async fn put(&self, path: &TablePath, bytes: Bytes) -> Result<()> {
        let place = self.file(Operation::Put, path)?;
        let options = PutOptions { mode: PutMode::Overwrite, ..PutOptions::default() };
        let put = self.store.put_opts(&place.key, bytes.into(), options).await;
        put.map(|_| ()).map_err(|error| place.write_error(error))
    }

    async fn replace(&self, path: &TablePath, bytes: Bytes, expected: &Version) -> Result<Version> {
        let place = self.file(Operation::Replace, path)?;
        settle::replace(self, &place, bytes.into(), expected).await
    }

    async fn sync(&self, _: &TablePath) -> Result<()> {
        Ok(())
    }

    async fn get(&self, path: &TablePath, max_bytes: u64) -> Result<Object> {
        let place = self.file(Operation::Get, path)?;
        let found = self.fetch(&place, GetOptions::default()).await?;
        let too_large =
            |size| Err(StorageError::TooLarge { location: place.location.clone(), size, max_bytes });
        let (meta, declared) = (found.meta.clone(), found.meta.size);
        if declared > max_bytes {
            return too_large(declared);
        }
        let mut bytes = BytesMut::with_capacity(usize::try_from(declared).unwrap_or_default());
        let mut chunks = found.into_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| place.error(error))?;
            let size = bytes.len() as u64 + chunk.len() as u64;
            if size > max_bytes {
                return too_large(size);
            }
            bytes.extend_from_slice(&chunk);
        }
        let bytes = bytes.freeze();
        let version = meta.e_tag.clone().map(Version);
        Ok(Object { entry: place.entry(&meta), version, bytes })
    }

    async fn get_ranges(&self, path: &TablePath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let place = self.file(Operation::GetRanges, path)?;
        if ranges.iter().any(Range::is_empty) {
            // The protocol cannot ask for no bytes: whether they are in the file says its size.
            let size = self.head(&place).await?.size;
            if let Some(range) = outside(ranges, size) {
                return Err(place.out_of_range(range, size));
            }
        }
        let wanted: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
        let fetch = |range| self.fetch_range(&place, range);
        let got = match coalesce_ranges(&wanted, fetch, OBJECT_STORE_COALESCE_DEFAULT).await {
            Ok(got) => got,
            Err(error) => return Err(self.explain_range(&place, ranges, error).await),
        };
        let mut got = got.into_iter();
        Ok(ranges
            .iter()
            .map(|range| if range.is_empty() { Bytes::new() } else { got.next().unwrap_or_default() })
            .collect())
    }

    async fn stat(&self, path: &TablePath) -> Result<Entry> {
        let place = self.file(Operation::Stat, path)?;
        Ok(place.entry(&self.head(&place).await?))
    }

    async fn stamp(&self, _: &TablePath) -> Result<Option<FolderStamp>> {
        Ok(None)
    }

    async fn list(&self, dir: &TablePath) -> Result<Listing> {
        list::list(self, &self.place(Operation::List, dir)?).await
    }

    async fn list_after(&self, dir: &TablePath, after: &str) -> Result<Vec<Entry>> {
        list::list_after(self, &self.place(Operation::List, dir)?, after, None).await
    }

    async fn list_between(&self, dir: &TablePath, after: &str, upto: &str) -> Result<Vec<Entry>> {
        list::list_after(self, &self.place(Operation::List, dir)?, after, Some(upto)).await
    }

    async fn list_all(&self, dir: &TablePath) -> Result<Vec<Entry>> {
        list::list_all(self, &self.place(Operation::ListAll, dir)?).await
    }

    /// Two requests: a bucket deletes without saying whether there was anything.
    async fn delete(&self, path: &TablePath) -> Result<bool> {
        let place = self.file(Operation::Delete, path)?;
        match self.head(&place).await {
            Err(StorageError::NotFound { .. }) => return Ok(false),
            found => found?,
        };
        self.store.delete(&place.key).await.map_err(|error| place.error(error))?;
        Ok(true)
    }

    /// Objects that other engines made to stand for folders stay; no listing shows them as files.
    async fn delete_dir(&self, dir: &TablePath) -> Result<()> {
        let place = self.file(Operation::DeleteDir, dir)?;
        let found: Vec<_> =
            self.store.list(Some(&place.key)).try_collect().await.map_err(|error| place.error(error))?;
        let keys = stream::iter(found.into_iter().map(|meta| Ok(meta.location))).boxed();
        let deleted = self.store.delete_stream(keys).try_for_each(|_| async { Ok(()) }).await;
        deleted.map_err(|error| place.error(error))
    }

    /// Nothing to do: parts of uploads that were never completed are no objects. They are
    /// removed by the bucket's lifecycle rule `AbortIncompleteMultipartUpload`.
    async fn sweep(&self, _dir: &TablePath, _before_unix_millis: i64) -> Result<u64> {
        Ok(0)
    }

    fn write_memory_bytes(&self) -> u64 {
        UploadMemory::BYTES as u64
    }

    async fn create(&self, path: &TablePath, marker: Option<&TablePath>) -> Result<Box<dyn FileWriter>> {
        let place = self.file(Operation::Create, path)?;
        if let Some(marker) = marker {
            let marker = self.file(Operation::Create, marker)?;
            let put = self.store.put(&marker.key, Bytes::new().into()).await;
            put.map_err(|error| marker.write_error(error))?;
        }
        Ok(Box::new(writer::ObjectWriter::new(self.clone(), place)))
    }
}

/// The first range that is not within a file of `size` bytes.
fn outside(ranges: &[Range<u64>], size: u64) -> Option<&Range<u64>> {
    ranges.iter().find(|range| range.start > range.end || range.end > size)
}

/// One operation on one path: the key, and the evidence of every error it may end in.
#[derive(Debug, Clone)]
struct Place {
    operation: Operation,
    location: String,
    path: TablePath,
    key: Key,
}

impl Place {
    fn entry(&self, meta: &ObjectMeta) -> Entry {
        entry_of(self.path.clone(), meta)
    }

    fn out_of_range(&self, range: &Range<u64>, size: u64) -> StorageError {
        StorageError::OutOfRange { location: self.location.clone(), range: range.clone(), size }
    }

    fn already_exists(&self) -> StorageError {
        StorageError::AlreadyExists { operation: self.operation, location: self.location.clone() }
    }

    fn ambiguous(&self, error: object_store::Error) -> StorageError {
        StorageError::Ambiguous {
            operation: self.operation,
            location: self.location.clone(),
            source: Box::new(error),
        }
    }

    /// `error` with its evidence, as the kind of error that a caller can act on.
    fn error(&self, error: object_store::Error) -> StorageError {
        use object_store::Error;
        let (operation, location) = (self.operation, self.location.clone());
        match error {
            Error::NotFound { .. } => StorageError::NotFound { operation, location },
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                StorageError::PermissionDenied { operation, location, source: Box::new(error) }
            }
            error => StorageError::Io { operation, location, source: Box::new(error) },
        }
    }

    /// As [`Place::error`], for writes: what a write does not find is the bucket.
    fn write_error(&self, error: object_store::Error) -> StorageError {
        match error {
            object_store::Error::NotFound { .. } => self.io_error(error),
            error => self.error(error),
        }
    }

    fn io_error(&self, source: impl Into<Cause>) -> StorageError {
        StorageError::Io { operation: self.operation, location: self.location.clone(), source: source.into() }
    }
}

fn entry_of(path: TablePath, meta: &ObjectMeta) -> Entry {
    Entry { path, size: meta.size, modified_unix_millis: meta.last_modified.timestamp_millis() }
}

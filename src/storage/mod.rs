//! The one seam to the disk: a table's files, on this machine or in a bucket.
//!
//! A [`Storage`] is rooted at one table and takes [`TablePath`]s, so that no path of a table's
//! metadata leads out of it. Everything above asks for files only through this trait; that is
//! what lets [`fault`] stop a writer before and after every single operation.
//!
//! | where | what | atomic by |
//! |---|---|---|
//! | [`local`] | a folder of this machine | `link(2)` and `rename(2)` of synced temporary files |
//! | [`object`] | a bucket of S3, or memory | conditional puts |
//! | [`paced`] | either of them, with data files read and written no faster than is asked for | |
//! | [`lock`] | the lock all writers of a table share | the two above |

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::environment::Environment;

mod error;
pub mod fault;
pub mod local;
pub mod lock;
pub mod object;
pub mod paced;
mod table_path;
mod table_uri;

pub use error::{Cause, Operation, StorageError};
pub use table_path::{TablePath, TablePathError};
pub use table_uri::{Scheme, TableUri, TableUriError};

/// What a storage operation returns.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// Opens the storage of the table at `uri`. The table need not exist yet.
///
/// Buckets are reached with the usual `AWS_*` variables, see [`object::S3Settings::from_env`].
///
/// # Errors
/// A bucket without credentials or with contradictory settings.
pub async fn open(uri: &TableUri, environment: &Environment) -> Result<Arc<dyn Storage>> {
    match uri.scheme() {
        Scheme::File => Ok(Arc::new(local::LocalStorage::new(uri, environment)?)),
        Scheme::S3 | Scheme::S3a => {
            let settings = object::S3Settings::from_env();
            Ok(Arc::new(object::ObjectStorage::connect(uri, environment, &settings).await?))
        }
    }
}

/// The files of one table.
///
/// # Guarantees
/// * **Atomicity.** A file is there with all of its bytes or not at all; no reader and no
///   listing sees a part of one, or a name of ours that is only temporary.
/// * **No replacing.** [`put_if_absent`](Storage::put_if_absent) and
///   [`FileWriter::finish`] never replace anything: of several callers that race for one path
///   exactly one gets `Ok`, the others [`StorageError::AlreadyExists`].
/// * **Durability.** When an operation that writes or deletes returns `Ok`, its effect survives
///   the loss of power, and so do the folders above it.
/// * **Ordering.** Effects are visible to everybody in the order in which one caller's
///   operations returned. A marker is durable before the first byte of its file is written.
/// * **Read your writes.** Whatever returned `Ok` is seen by every read and listing that
///   starts later, from any process.
/// * **Errors.** After an error the storage holds what it held before, except after
///   [`StorageError::Ambiguous`] and [`StorageError::Io`], see there.
/// * **Cancelling.** An operation whose future is dropped may still happen later, once, whole.
///
/// Folders come into being with the first file in them and carry no meaning of their own: a
/// folder that is not there lists as empty.
///
/// On local disks a symbolic link below the table's folder is refused wherever it is met, in
/// reads, writes and listings. That keeps a table from leading writes out of its folder; it is
/// no defence against somebody who may change the folder while we work in it.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync {
    /// The table.
    fn uri(&self) -> &TableUri;

    /// The storage of the folder above, to look for a table there; `None` if there can be none.
    fn parent(&self) -> Option<Arc<dyn Storage>>;

    /// Writes a new file. The version is returned where the storage has versions.
    ///
    /// A put that the storage answered with "exists" only because an earlier try of the same
    /// put had worked counts as done.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`]; [`StorageError::Ambiguous`] where the reply was lost and
    /// a look at the storage did not settle the matter.
    async fn put_if_absent(&self, path: &TablePath, bytes: Bytes) -> Result<Option<Version>>;

    /// Writes a file, in the place of the one that is there if any. For heartbeats and
    /// properties; may be repeated after any error.
    async fn put(&self, path: &TablePath, bytes: Bytes) -> Result<()>;

    /// Writes a file in the place of exactly the version `expected`.
    ///
    /// # Errors
    /// [`StorageError::VersionMismatch`] if it has changed or is gone;
    /// [`StorageError::Ambiguous`] as above; [`StorageError::Unsupported`] on local disks.
    async fn replace(&self, path: &TablePath, bytes: Bytes, expected: &Version) -> Result<Version>;

    /// Makes durable what is seen at `path`, where a put may have made it visible and no more: what
    /// [`StorageError::Ambiguous`] leaves open on local disks. What a bucket shows is durable.
    async fn sync(&self, path: &TablePath) -> Result<()>;

    /// Reads a whole file of at most `max_bytes`.
    ///
    /// No more memory than the file's size is taken, whatever the file claims about itself.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::TooLarge`].
    async fn get(&self, path: &TablePath, max_bytes: u64) -> Result<Object>;

    /// Reads several ranges of bytes of one file, in the order given. Object stores fetch near
    /// ranges together and far ones at the same time.
    ///
    /// # Errors
    /// [`StorageError::NotFound`]; [`StorageError::OutOfRange`] if any byte is not in the file,
    /// before memory is taken for it.
    async fn get_ranges(&self, path: &TablePath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>>;

    /// Reads one range of bytes, see [`Storage::get_ranges`].
    ///
    /// # Errors
    /// As [`Storage::get_ranges`].
    async fn get_range(&self, path: &TablePath, range: Range<u64>) -> Result<Bytes> {
        let ranges = self.get_ranges(path, std::slice::from_ref(&range)).await?;
        Ok(ranges.into_iter().next().unwrap_or_default())
    }

    /// Size and time of a file.
    ///
    /// # Errors
    /// [`StorageError::NotFound`]; a folder is not found either.
    async fn stat(&self, path: &TablePath) -> Result<Entry>;

    /// The files and folders directly in `dir`, sorted by path; nothing if it is not there.
    async fn list(&self, dir: &TablePath) -> Result<Listing>;

    /// The folders directly in `dir`, sorted, for who looks for tables below it: what can be no part of a table, such
    /// as a symbolic link, is passed by.
    async fn folders(&self, dir: &TablePath) -> Result<Vec<TablePath>> {
        Ok(self.list(dir).await?.folders)
    }

    /// The files directly in `dir` whose names come after `after` by their bytes, sorted by path.
    ///
    /// For folders whose names only grow: costs little where few names come after.
    async fn list_after(&self, dir: &TablePath, after: &str) -> Result<Vec<Entry>>;

    /// The files directly in `dir` whose names come after `after` and not after `upto` by their bytes, sorted
    /// by path. Costs little where few names come between.
    async fn list_between(&self, dir: &TablePath, after: &str, upto: &str) -> Result<Vec<Entry>>;

    /// A stamp of `dir` that is another one after files directly in it came or went, where the
    /// storage keeps such a thing and the folder is there.
    ///
    /// Changes within a few milliseconds of each other may get the same stamp, so an equal one
    /// saves a listing only where a change that is missed does no harm.
    async fn stamp(&self, dir: &TablePath) -> Result<Option<FolderStamp>>;

    /// The files in `dir` and in all folders below it, sorted by path.
    async fn list_all(&self, dir: &TablePath) -> Result<Vec<Entry>>;

    /// Deletes a file; says whether it was there.
    async fn delete(&self, path: &TablePath) -> Result<bool>;

    /// Deletes a folder and everything below it, temporary files included. It may be absent.
    ///
    /// Not atomic: when it fails, some files are gone. The table's own folder is refused.
    async fn delete_dir(&self, dir: &TablePath) -> Result<()>;

    /// Deletes what stopped writers left directly in `dir`, if it was last written before
    /// `before_unix_millis`; returns how many files that were.
    ///
    /// Such leftovers are invisible to readers and to listings; they only take space. The time
    /// must lie before the start of every writer that may still be at work in `dir`.
    async fn sweep(&self, dir: &TablePath, before_unix_millis: i64) -> Result<u64>;

    /// Bytes of memory that the data files being written take together, at most, besides what
    /// their writers are just handed.
    fn write_memory_bytes(&self) -> u64;

    /// Starts a new data file: writes the empty file `marker`, if given, then opens `path`.
    ///
    /// This is the one way to create a data file, so that none is without its marker. A marker
    /// that is there already is taken as ours.
    async fn create(&self, path: &TablePath, marker: Option<&TablePath>) -> Result<Box<dyn FileWriter>>;
}

/// A data file on its way.
///
/// Nothing is visible until [`FileWriter::finish`]. A writer that is dropped before leaves
/// nothing visible; its temporary file or its uploaded parts are removed at best effort, and by
/// [`Storage::sweep`] or the bucket's own lifecycle rule otherwise.
///
/// After an error of [`FileWriter::write`] every later call fails.
#[async_trait]
pub trait FileWriter: fmt::Debug + Send {
    /// Appends bytes. Memory is bounded: when enough is buffered, this waits for the storage.
    async fn write(&mut self, bytes: Bytes) -> Result<()>;

    /// How many bytes were handed to [`FileWriter::write`].
    fn bytes_written(&self) -> u64;

    /// Makes the file durable and visible, and returns its size.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`] if somebody else has created the path meanwhile;
    /// [`StorageError::Ambiguous`] if the reply was lost.
    async fn finish(self: Box<Self>) -> Result<u64>;

    /// Gives the file up and removes what was written of it.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// What [`Storage::stamp`] tells folders apart by in time; meaningful only to the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderStamp(pub(crate) i128);

/// A version of an object, as the storage names it (an ETag); meaningful only to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub(crate) String);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A file as listings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: TablePath,
    /// Its bytes.
    pub size: u64,
    /// When it was last written, in milliseconds since the epoch, by the storage's own clock.
    /// Buckets count whole seconds.
    pub modified_unix_millis: i64,
}

/// A file with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Where, how large, when written.
    pub entry: Entry,
    /// Which version this is, for [`Storage::replace`]; `None` on local disks.
    pub version: Option<Version>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// What is directly in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The files, sorted by path.
    pub files: Vec<Entry>,
    /// The folders, sorted by path.
    pub folders: Vec<TablePath>,
}

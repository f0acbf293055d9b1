//! What can go wrong at the seam to the disk.

use std::fmt;
use std::ops::Range;

use super::{TablePathError, TableUriError};
use crate::human;

/// What the storage was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Connecting to the storage.
    Open,
    /// [`Storage::put_if_absent`](super::Storage::put_if_absent).
    PutIfAbsent,
    /// [`Storage::put`](super::Storage::put).
    Put,
    /// [`Storage::replace`](super::Storage::replace).
    Replace,
    /// [`Storage::sync`](super::Storage::sync).
    Sync,
    /// [`Storage::get`](super::Storage::get).
    Get,
    /// [`Storage::get_ranges`](super::Storage::get_ranges), of one range or several.
    GetRanges,
    /// [`Storage::stat`](super::Storage::stat).
    Stat,
    /// [`Storage::stamp`](super::Storage::stamp).
    Stamp,
    /// [`Storage::list`](super::Storage::list).
    List,
    /// [`Storage::list_all`](super::Storage::list_all).
    ListAll,
    /// [`Storage::delete`](super::Storage::delete).
    Delete,
    /// [`Storage::delete_dir`](super::Storage::delete_dir).
    DeleteDir,
    /// [`Storage::sweep`](super::Storage::sweep).
    Sweep,
    /// [`Storage::create`](super::Storage::create): the marker and the start of a file.
    Create,
    /// [`FileWriter::write`](super::FileWriter::write).
    Write,
    /// [`FileWriter::finish`](super::FileWriter::finish).
    Finish,
    /// [`FileWriter::abort`](super::FileWriter::abort).
    Abort,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::PutIfAbsent => "put if absent",
            Self::Put => "put",
            Self::Replace => "replace",
            Self::Sync => "sync",
            Self::Get => "get",
            Self::GetRanges => "get ranges",
            Self::Stat => "stat",
            Self::Stamp => "stamp",
            Self::List => "list",
            Self::ListAll => "list all",
            Self::Delete => "delete",
            Self::DeleteDir => "delete folder",
            Self::Sweep => "sweep",
            Self::Create => "create",
            Self::Write => "write",
            Self::Finish => "finish",
            Self::Abort => "abort",
        })
    }
}

/// The cause below a [`StorageError`].
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a storage operation failed. `location` is always the whole path, with its scheme.
///
/// Every variant but [`StorageError::Ambiguous`] and [`StorageError::Io`] means that the
/// storage holds what it held before. After `Io` an unconditional write may have happened and
/// can be repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Nothing is there.
    #[error("{operation} {location}: nothing is there")]
    NotFound {
        /// What was tried.
        operation: Operation,
        /// Where.
        location: String,
    },
    /// Something is there already; it was left as it is.
    #[error("{operation} {location}: it exists already and was left as it is")]
    AlreadyExists {
        /// What was tried.
        operation: Operation,
        /// Where.
        location: String,
    },
    /// The object is not the expected version any more; it was left as it is.
    #[error(
        "replace {location}: expected version {expected}, but somebody else has changed it; \
         read it again before you decide"
    )]
    VersionMismatch {
        /// Where.
        location: String,
        /// The version that was to be replaced.
        expected: String,
    },
    /// A conditional or final write may or may not have happened, and it could not be found out.
    #[error(
        "{operation} {location}: it is unknown whether this happened; look at the storage before \
         you repeat it"
    )]
    Ambiguous {
        /// What was tried.
        operation: Operation,
        /// Where.
        location: String,
        /// What hid the outcome.
        #[source]
        source: Cause,
    },
    /// The disk, or the quota on it, is full.
    #[error("{operation} {location}: no space or no quota is left; free some, then repeat")]
    NoSpace {
        /// What was tried.
        operation: Operation,
        /// Where.
        location: String,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// We may not.
    #[error("{operation} {location}: permission denied; run this as a user who may, or let this one")]
    PermissionDenied {
        /// What was tried.
        operation: Operation,
        /// Where.
        location: String,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// The file system is mounted read-only.
    #[error("{operation} {location}: the file system is read-only")]
    ReadOnly {
        /// What was tried.
        operation: Operation,
        /// Where.
        location: String,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// The object is larger than the caller is ready to hold.
    #[error(
        "get {location}: it has {}, more than the {} expected here at most",
        human::bytes(*size), human::bytes(*max_bytes)
    )]
    TooLarge {
        /// Where.
        location: String,
        /// Its size, as far as it is known.
        size: u64,
        /// The caller's limit.
        max_bytes: u64,
    },
    /// The bytes asked for are not all in the file.
    #[error("get ranges {location}: bytes {range:?} are not in a file of {size} bytes")]
    OutOfRange {
        /// Where.
        location: String,
        /// The range asked for.
        range: Range<u64>,
        /// The file's size.
        size: u64,
    },
    /// A symbolic link, device, pipe or socket inside a table; never followed.
    #[error("{operation} {location}: {found}, which is never followed inside a table; remove it")]
    Irregular {
        /// What was tried.
        operation: Operation,
        /// Where.
        location: String,
        /// What it is.
        found: &'static str,
    },
    /// A name in the storage, or a path handed in, that is no path inside a table.
    #[error("{operation} {location}")]
    Path {
        /// What was tried.
        operation: Operation,
        /// The folder or file in which it was found.
        location: String,
        /// What is wrong with it.
        #[source]
        source: TablePathError,
    },
    /// An address that names no place for a table.
    #[error(transparent)]
    Uri(#[from] TableUriError),
    /// The table's own folder was named where a file or a folder inside it is needed.
    #[error("{operation} {location}: this is the table's own folder; name something inside it")]
    TableFolder {
        /// What was tried.
        operation: Operation,
        /// The table.
        location: String,
    },
    /// This kind of storage cannot do that.
    #[error("{operation} {location}: {reason}")]
    Unsupported {
        /// What was tried.
        operation: Operation,
        /// Where.
        location: String,
        /// Why not, and what to do instead.
        reason: &'static str,
    },
    /// No credentials for the object store.
    #[error(
        "open {location}: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and \
         AWS_SESSION_TOKEN if they are temporary), or AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, \
         or AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; profiles in ~/.aws are not read; for public \
         data set AWS_SKIP_SIGNATURE=true"
    )]
    MissingCredentials {
        /// The table.
        location: String,
        /// What was tried last, if anything was.
        #[source]
        source: Option<Cause>,
    },
    /// Anything else that the system or the service said.
    #[error("{operation} {location}")]
    Io {
        /// What was tried.
        operation: Operation,
        /// Where.
        location: String,
        /// What was said.
        #[source]
        source: Cause,
    },
}

/// The start of a text, short enough for an error message.
pub(super) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

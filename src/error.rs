//! What the whole crate's errors mean to a caller: what to do next.

use std::fmt;

use crate::commit::CommitError;
use crate::ingest::decode::{DecodeError, DecodeProblem};
use crate::ingest::source::SourceError;
use crate::ingest::{ColumnsError, IngestError};
use crate::merge::MergeError;
use crate::read::{AsOfError, FilterError, ReadError};
use crate::sink::SinkError;
use crate::storage::lock::{LockError, LockOptionsError};
use crate::storage::{StorageError, TablePathError, TableUriError};
use crate::table::properties::PropertiesFileError;
use crate::table::{ConformError, DataFileError, NewTableError, TableError};
use crate::timeline::TimelineError;
use crate::write::WriteError;

/// What a caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Change what was asked for: an argument, a setting, an address, credentials.
    FixInput,
    /// Nothing was written, to keep the table right. The message says what would allow it.
    Refused,
    /// Somebody else was at the table: try again.
    Conflict,
    /// Look at the rows: more of them were bad than allowed.
    DataQuality,
    /// Stop, and do not start again: a newer run has taken over.
    Fenced,
    /// Read the message: the disk, the network or a damaged file.
    Failed,
}

impl ErrorKind {
    /// The kind as scripts see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FixInput => "fix_input",
            Self::Refused => "refused",
            Self::Conflict => "conflict",
            Self::DataQuality => "data_quality",
            Self::Fenced => "fenced",
            Self::Failed => "failed",
        }
    }
}

/// Any error of this crate, with what to do next. The detail is its source.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    detail: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    /// An error of that kind.
    pub fn new(kind: ErrorKind, detail: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What to do next.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The messages from the outermost to the first cause, without those that the one before
    /// them already tells.
    pub fn chain(&self) -> Vec<String> {
        let mut messages = vec![self.detail.to_string()];
        let mut next = self.detail.source();
        while let Some(cause) = next {
            let message = cause.to_string();
            if !messages.last().is_some_and(|last| tells(last, &message)) {
                messages.push(message);
            }
            next = cause.source();
        }
        messages
    }
}

/// Whether `message` has all that `cause` says: the system's own words may begin with a capital.
fn tells(message: &str, cause: &str) -> bool {
    let words = cause.split(" (os error ").next().unwrap_or(cause);
    message.to_lowercase().contains(&words.to_lowercase())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.detail, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.detail.source()
    }
}

/// What each module's errors mean.
trait Meaning {
    fn kind(&self) -> ErrorKind;
}

macro_rules! from_module_errors {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::new(error.kind(), error)
            }
        })+
    };
}

from_module_errors!(
    AsOfError,
    ColumnsError,
    CommitError,
    ConformError,
    DataFileError,
    FilterError,
    IngestError,
    LockError,
    LockOptionsError,
    MergeError,
    NewTableError,
    PropertiesFileError,
    ReadError,
    SinkError,
    StorageError,
    TableError,
    TablePathError,
    TableUriError,
    TimelineError,
    WriteError,
);

impl Meaning for IngestError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Job(_)
            | Self::Columns(_)
            | Self::Mapping(_)
            | Self::Uri(_)
            | Self::Path(_)
            | Self::NoProgress { .. } => ErrorKind::FixInput,
            Self::OtherTablesLetters { .. } => ErrorKind::Refused,
            Self::Table(error) => error.kind(),
            Self::BadRecord(_)
            | Self::TooManyBadRecords { .. }
            | Self::AllBad { .. }
            | Self::TooManyLetters { .. } => ErrorKind::DataQuality,
            Self::Conflict { .. } | Self::Retryable { .. } => ErrorKind::Conflict,
            Self::Fenced { .. } => ErrorKind::Fenced,
            Self::Sink(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::Decode(error) => error.kind(),
            Self::Interrupted | Self::Stopped => ErrorKind::Failed,
        }
    }
}

impl Meaning for SourceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Decode(error) => error.kind(),
            Self::Io { .. } | Self::Vanished { .. } | Self::Changed { .. } | Self::Stopped => {
                ErrorKind::Failed
            }
            _ => ErrorKind::FixInput,
        }
    }
}

impl Meaning for DecodeError {
    fn kind(&self) -> ErrorKind {
        match self.problem {
            // The file is damaged or cannot be had.
            DecodeProblem::Io(_)
            | DecodeProblem::Unpack { .. }
            | DecodeProblem::Header { .. }
            | DecodeProblem::Unsound { .. }
            | DecodeProblem::Shorter { .. }
            | DecodeProblem::Panicked { .. } => ErrorKind::Failed,
            // A setting says, or has to say, what it is.
            _ => ErrorKind::FixInput,
        }
    }
}

impl Meaning for ColumnsError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::FixInput
    }
}

impl Meaning for StorageError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Uri(_) | Self::MissingCredentials { .. } => ErrorKind::FixInput,
            Self::AlreadyExists { .. } | Self::VersionMismatch { .. } | Self::Ambiguous { .. } => {
                ErrorKind::Conflict
            }
            _ => ErrorKind::Failed,
        }
    }
}

impl Meaning for TableUriError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::FixInput
    }
}

impl Meaning for TablePathError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }
}

impl Meaning for LockOptionsError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::FixInput
    }
}

impl Meaning for LockError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Timeout { .. } | Self::Lost { .. } | Self::LeaseTooShort { .. } => ErrorKind::Conflict,
            Self::Storage(error) => error.kind(),
            Self::Stopped { .. } => ErrorKind::Failed,
        }
    }
}

impl Meaning for PropertiesFileError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoTable { .. } => ErrorKind::FixInput,
            Self::Config(lakebed_hudi::table_config::TableConfigError::Version { .. }) => ErrorKind::Refused,
            Self::Text { .. } | Self::Config(_) => ErrorKind::Failed,
            Self::Storage(error) => error.kind(),
        }
    }
}

impl Meaning for TimelineError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(error) => error.kind(),
            _ => ErrorKind::Failed,
        }
    }
}

impl Meaning for TableError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Properties(error) => error.kind(),
            Self::Timeline(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Refused(_)
            | Self::Past(_)
            | Self::Exists { .. }
            | Self::NotEmpty { .. }
            | Self::Inside { .. } => ErrorKind::Refused,
            Self::New(error) => error.kind(),
            Self::File(error) => error.kind(),
            Self::Path(_) | Self::Schema(_) | Self::NoSchema { .. } => ErrorKind::Failed,
        }
    }
}

impl Meaning for DataFileError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(error) => error.kind(),
            Self::Parquet { .. } | Self::Log { .. } => ErrorKind::Failed,
        }
    }
}

impl Meaning for ReadError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Table(error) => error.kind(),
            Self::File(error) => error.kind(),
            Self::Filter(error) => error.kind(),
            // Rows that do not fit are the table's own here, and not the caller's.
            Self::UnsupportedBlock { .. } | Self::Merge(MergeError::Custom { .. }) => ErrorKind::Refused,
            _ => ErrorKind::Failed,
        }
    }
}

impl Meaning for FilterError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::FixInput
    }
}

impl Meaning for AsOfError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::FixInput
    }
}

impl Meaning for NewTableError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Misread { .. } | Self::Type { .. } | Self::Different { .. } => ErrorKind::Refused,
            _ => ErrorKind::FixInput,
        }
    }
}

impl Meaning for ConformError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::FixInput
    }
}

impl Meaning for MergeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Custom { .. } => ErrorKind::Refused,
            Self::Conform(error) => error.kind(),
            _ => ErrorKind::Failed,
        }
    }
}

impl Meaning for WriteError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Keyless | Self::NoBuckets { .. } | Self::Key(_) => ErrorKind::FixInput,
            Self::Read(error) => error.kind(),
            Self::Merge(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Table(error) => error.kind(),
            _ => ErrorKind::Failed,
        }
    }
}

impl Meaning for CommitError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Lock(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Timeline(error) => error.kind(),
            Self::Table(error) => error.kind(),
            Self::PipelineName { .. } => ErrorKind::FixInput,
            Self::Foreign { .. } | Self::Unsettled { .. } => ErrorKind::Conflict,
            Self::TooManyPipelines { .. } | Self::LastEpoch { .. } => ErrorKind::Refused,
            Self::Metadata(_)
            | Self::Path(_)
            | Self::Progress { .. }
            | Self::ProgressSize { .. }
            | Self::RollbackPlan { .. }
            | Self::ClockBehind { .. } => ErrorKind::Failed,
        }
    }
}

impl Meaning for SinkError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Table(error) => error.kind(),
            Self::Refused(_) | Self::NoBucket { .. } | Self::TwoGroups { .. } | Self::WrongBucket { .. } => {
                ErrorKind::Refused
            }
            Self::Read(error) => error.kind(),
            Self::Memory { .. } | Self::UnknownColumn { .. } | Self::DeleteInInsert { .. } => {
                ErrorKind::FixInput
            }
            Self::Rewind { .. } | Self::Changed { .. } => ErrorKind::Conflict,
            Self::Conform(error) => error.kind(),
            Self::Write(error) => error.kind(),
            Self::Commit(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Lock(error) => error.kind(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_pass_through_the_layers() {
        let missing = || StorageError::MissingCredentials { location: "s3://b/t".into(), source: None };
        assert_eq!(
            Error::from(SinkError::Commit(CommitError::Storage(missing()))).kind(),
            ErrorKind::FixInput
        );
        let exists = TableError::Exists { uri: "file:/t".into() };
        assert_eq!(Error::from(WriteError::Table(exists)).kind(), ErrorKind::Refused);
    }

    #[test]
    fn the_chain_tells_nothing_twice() {
        let cause = |text: &str| -> Box<dyn std::error::Error + Send + Sync> { text.into() };
        let io = StorageError::Io {
            operation: crate::storage::Operation::Get,
            location: "/t/x".into(),
            source: cause("the disk is on fire"),
        };
        let error = Error::from(TableError::Storage(io));
        assert_eq!(error.chain(), ["get /t/x", "the disk is on fire"]);
        let denied = StorageError::PermissionDenied {
            operation: crate::storage::Operation::Put,
            location: "/t/x".into(),
            source: cause("Permission denied (os error 13)"),
        };
        assert_eq!(Error::from(denied).chain(), ["put /t/x: permission denied"]);
        let telling = ConformError::Type {
            column: "a".into(),
            found: arrow::datatypes::DataType::Utf8,
            expected: arrow::datatypes::DataType::Int32,
            source: arrow::error::ArrowError::CastError("no".into()),
        };
        assert_eq!(Error::from(telling).chain().len(), 1);
    }
}

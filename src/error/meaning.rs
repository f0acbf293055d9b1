//! What each module's errors mean.

use super::{Error, ErrorKind};
use crate::commit::{CommitError, UndoError};
use crate::ingest::decode::{DecodeError, DecodeProblem};
use crate::ingest::source::SourceError;
use crate::ingest::{ColumnsError, IngestError};
use crate::maintain::{GroupError, MaintainError};
use crate::merge::MergeError;
use crate::read::{AsOfError, FilterError, ReadError};
use crate::sink::SinkError;
use crate::storage::lock::{LockError, LockOptionsError};
use crate::storage::{StorageError, TablePathError, TableUriError};
use crate::table::properties::PropertiesFileError;
use crate::table::{ConformError, DataFileError, NewTableError, TableError};
use crate::timeline::TimelineError;
use crate::write::WriteError;

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
    MaintainError,
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

/// Errors that mean the same whatever is wrong.
macro_rules! always {
    ($kind:ident: $($error:ty),+ $(,)?) => {
        $(impl Meaning for $error {
            fn kind(&self) -> ErrorKind {
                ErrorKind::$kind
            }
        })+
    };
}

always!(FixInput: AsOfError, ColumnsError, ConformError, FilterError, LockOptionsError, TableUriError);
always!(Failed: TablePathError);

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

impl Meaning for MaintainError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Table(error) => error.kind(),
            Self::Commit(error) => error.kind(),
            Self::Timeline(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Write(error) => error.kind(),
            Self::Group { source, .. } | Self::Together { source, .. } => source.kind(),
            Self::Refused(_) | Self::UnsupportedPlan { .. } => ErrorKind::Refused,
            Self::LockOptions(_)
            | Self::NoPlan { .. }
            | Self::Memory { .. }
            | Self::KeptCommits { .. }
            | Self::Rules { .. } => ErrorKind::FixInput,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Path(_)
            | Self::Plan { .. }
            | Self::MissingFile { .. }
            | Self::LostFile { .. }
            | Self::DamagedFile { .. }
            | Self::OtherFile { .. }
            | Self::RepeatedGroup { .. } => ErrorKind::Failed,
        }
    }
}

impl Meaning for UndoError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown { .. } | Self::NoWrite { .. } | Self::NoSavepoint { .. } => ErrorKind::FixInput,
            Self::Alive { .. } => ErrorKind::Conflict,
            _ => ErrorKind::Refused,
        }
    }
}

impl Meaning for GroupError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(error) => error.kind(),
            Self::Write(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Lapsed => ErrorKind::Conflict,
            Self::Corrupt(_) => ErrorKind::Refused,
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
            Self::Missing { .. }
            | Self::NoPlainFile { .. }
            | Self::NoFile { .. }
            | Self::LateName { .. }
            | Self::Moved { .. }
            | Self::Other { .. }
            | Self::Replaced { .. }
            | Self::Name { .. }
            | Self::OtherPrefix { .. }
            | Self::RelativeName { .. }
            | Self::OtherSource { .. } => ErrorKind::FixInput,
        }
    }
}

impl Meaning for DecodeError {
    fn kind(&self) -> ErrorKind {
        match self.problem {
            // The file is damaged or cannot be had.
            DecodeProblem::Io(_)
            | DecodeProblem::Unpack { .. }
            | DecodeProblem::OpenQuote
            | DecodeProblem::Unsound { .. }
            | DecodeProblem::Panicked { .. } => ErrorKind::Failed,
            // A setting says, or has to say, what it is, or the progress what it was.
            DecodeProblem::UnknownFormat
            | DecodeProblem::NotPacked { .. }
            | DecodeProblem::PackedBinary { .. }
            | DecodeProblem::OtherFormat { .. }
            | DecodeProblem::NotStreamable { .. }
            | DecodeProblem::RecordTooLong { .. }
            | DecodeProblem::JsonArray
            | DecodeProblem::Header { .. }
            | DecodeProblem::UnknownColumn { .. }
            | DecodeProblem::MissingColumn { .. }
            | DecodeProblem::Unsupported { .. }
            | DecodeProblem::Shorter { .. }
            | DecodeProblem::NoSample { .. }
            | DecodeProblem::NoTypes { .. } => ErrorKind::FixInput,
        }
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
            Self::Parquet { .. } | Self::Log { .. } | Self::LogHeaders { .. } => ErrorKind::Failed,
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

impl Meaning for NewTableError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Misread { .. } | Self::Type { .. } | Self::Different { .. } => ErrorKind::Refused,
            _ => ErrorKind::FixInput,
        }
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
            Self::Keyless | Self::NoBuckets { .. } | Self::Key(_) | Self::Sort(_) => ErrorKind::FixInput,
            Self::CorruptLog(_) => ErrorKind::Refused,
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
            Self::Undo(error) => error.kind(),
            Self::Foreign { .. }
            | Self::Unsettled { .. }
            | Self::LostClaim { .. }
            | Self::Lapsed { .. }
            | Self::Restoring { .. } => ErrorKind::Conflict,
            Self::TooManyPipelines { .. } | Self::LastEpoch { .. } => ErrorKind::Refused,
            Self::Metadata(_)
            | Self::Path(_)
            | Self::Progress { .. }
            | Self::ProgressSize { .. }
            | Self::RollbackPlan { .. }
            | Self::ServicePlan { .. }
            | Self::LastSnapshot { .. }
            | Self::ClockBehind { .. } => ErrorKind::Failed,
        }
    }
}

impl Meaning for SinkError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Table(error) => error.kind(),
            Self::Refused(_)
            | Self::Unwritable { .. }
            | Self::NoBucket { .. }
            | Self::TwoGroups { .. }
            | Self::WrongBucket { .. } => ErrorKind::Refused,
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

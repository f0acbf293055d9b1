//! Why an ingestion stopped.

use super::columns::ColumnsError;
use super::decode::{BadRecord, DecodeError};
use super::mapping::MappingError;
use super::source::SourceError;
use crate::human;
use crate::settings::SettingsError;
use crate::sink::SinkError;
use crate::storage::{StorageError, TablePathError, TableUriError};
use crate::table::TableError;

/// Why an ingestion stopped. What was committed before stays, with its progress.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The job cannot be done as it is written.
    #[error(transparent)]
    Job(#[from] SettingsError),
    /// The table's columns cannot be told.
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    /// The table cannot be made, looked at, or is another one.
    #[error(transparent)]
    Table(Box<TableError>),
    /// The mapping does not fit.
    #[error(transparent)]
    Mapping(Box<MappingError>),
    /// The source cannot be read on.
    #[error(transparent)]
    Source(Box<SourceError>),
    /// An input cannot be decoded.
    #[error(transparent)]
    Decode(Box<DecodeError>),
    /// The table cannot be written.
    #[error(transparent)]
    Sink(Box<SinkError>),
    /// The storage failed.
    #[error(transparent)]
    Storage(Box<StorageError>),
    /// An address that is none.
    #[error(transparent)]
    Uri(#[from] TableUriError),
    /// A name that cannot be a dead letter's.
    #[error(transparent)]
    Path(#[from] TablePathError),
    /// A folder of dead letters that belongs to another table.
    #[error(
        "{file} says that these are the dead letters of table {found:?}, and this job writes to {table}: give \
         each table a folder of its own (bad_records.path); if the table was moved, remove that file"
    )]
    OtherTablesLetters {
        /// What says so.
        file: String,
        /// The table that the folder belongs to.
        found: String,
        /// The table of the job.
        table: String,
    },
    /// A record that cannot be taken, where the job says to stop.
    #[error("{0}; correct it, or set bad_records.policy to dead_letter")]
    BadRecord(Box<BadRecord>),
    /// More bad records than the job allows.
    #[error(
        "{found} bad records, more than bad_records.limit allows ({limit}): correct the records, or raise the limit; \
         the first:{}",
        lines(first)
    )]
    TooManyBadRecords {
        /// The limit.
        limit: u64,
        /// How many there were.
        found: u64,
        /// The first of them.
        first: Vec<BadRecord>,
    },
    /// An overwrite without any good record.
    #[error(
        "all {found} records are bad, and an overwrite would leave nothing: nothing was changed; the first:{}",
        lines(first)
    )]
    AllBad {
        /// How many there were.
        found: u64,
        /// The first of them.
        first: Vec<BadRecord>,
    },
    /// Dead letters of an overwrite that are too large to be held until its one commit.
    #[error(
        "the dead letters of {found} bad records take more than the {} that an overwrite may hold until its one \
         commit: nothing was changed; correct the records",
        human::bytes(*limit_bytes)
    )]
    TooManyLetters {
        /// How many bad records there were.
        found: u64,
        /// The bytes that dead letters may take in memory.
        limit_bytes: u64,
    },
    /// A newer run of the pipeline has taken over.
    #[error("epoch {by} of the pipeline has taken over: this run stops and must not be restarted beside it")]
    Fenced {
        /// The epoch of that run.
        by: u64,
    },
    /// What others did contradicts a checkpoint, and the source cannot be read again.
    #[error(
        "a checkpoint was given up ({reason}) and standard input cannot be read again: run again with the same input"
    )]
    Conflict {
        /// With what.
        reason: String,
    },
    /// An overwrite was to stop before it had read everything.
    #[error(
        "the run was stopped before all records were read, and an overwrite is one commit of all of them: \
         nothing was changed; run again"
    )]
    Interrupted,
    /// Commits kept failing for reasons that may pass.
    #[error("a checkpoint could not be committed in {tries} tries: {reason}; run again later")]
    Retryable {
        /// How often it was tried.
        tries: u32,
        /// What stood in the way the last time.
        reason: String,
    },
    /// There is no such progress to drop.
    #[error("the table keeps no progress of a pipeline {pipeline:?}; it keeps that of {kept}")]
    NoProgress {
        /// The pipeline.
        pipeline: String,
        /// Those that there are.
        kept: String,
    },
    /// A task was stopped.
    #[error("a task of the run stopped without an answer; this is a bug, please report it")]
    Stopped,
}

fn lines(bad: &[BadRecord]) -> String {
    bad.iter().map(|bad| format!("\n  {bad}")).collect()
}

impl IngestError {
    /// Whether it is only that an earlier checkpoint was given up, which is told elsewhere.
    pub(super) fn asks_to_rewind(&self) -> bool {
        matches!(self, Self::Sink(error) if matches!(**error, SinkError::Rewind { .. }))
    }

    /// Whether what was written is given up already, or another run has to see to it.
    pub(super) fn leaves_nothing(&self) -> bool {
        match self {
            Self::Fenced { .. } => true,
            Self::Sink(error) => matches!(**error, SinkError::Changed { .. }),
            _ => false,
        }
    }
}

impl From<SinkError> for IngestError {
    fn from(error: SinkError) -> Self {
        Self::Sink(Box::new(error))
    }
}

impl From<TableError> for IngestError {
    fn from(error: TableError) -> Self {
        Self::Table(Box::new(error))
    }
}

impl From<StorageError> for IngestError {
    fn from(error: StorageError) -> Self {
        Self::Storage(Box::new(error))
    }
}

impl From<SourceError> for IngestError {
    fn from(error: SourceError) -> Self {
        Self::Source(Box::new(error))
    }
}

impl From<DecodeError> for IngestError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(Box::new(error))
    }
}

impl From<MappingError> for IngestError {
    fn from(error: MappingError) -> Self {
        Self::Mapping(Box::new(error))
    }
}

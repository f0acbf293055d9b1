//! The rows of a table, as Spark + Hudi shows them.
//!
//! ```text
//! TableSnapshot -> Scan (files listed and pruned) -> SliceReader -> merge -> RecordBatches
//! ```
//!
//! [`Scan`] is the whole way for somebody who wants rows, or what is made of them slice by slice.
//! [`SliceReader`] is its lower half, for code that rewrites file slices: it opens the files of one
//! slice and hands their rows to [`MergedRows`](crate::merge::MergedRows) on a thread of the caller's.
//!
//! Files are opened by the tokio runtime; decoding and merging run on threads that may block. These take
//! what the storage has at once, and wait for the rest in one place while the runtime fetches the next.
//!
//! What is read: Parquet base files, log files with Parquet, Avro and delete blocks, tables of
//! versions 6, 8 and 9. What is not is refused by name when the table, the snapshot or the file
//! is opened.

mod as_of;
mod base_chunks;
mod bridge;
mod filter;
mod filter_text;
mod filter_value;
mod log_file;
mod outlet;
mod parquet_rows;
mod partition_columns;
mod planned;
mod prune;
mod scan;
mod scan_options;
mod slice;
mod slice_opener;
mod slice_queue;
mod slice_rows;
#[cfg(test)]
mod tests;
mod which_bucket;

use arrow::error::ArrowError;
use lakebed_hudi::log_file::{AvroBlockError, DeleteBlockError, ScanPlanError, UnsupportedBlock};

use crate::human;
use crate::merge::MergeError;
use crate::storage::{StorageError, TablePath};
use crate::table::{DataFileError, TableError};

pub use as_of::{AsOfError, parse_as_of};
pub(crate) use base_chunks::{BaseChunks, GroupChunks};
pub use filter::{Comparison, Filter, FilterError, FilterTest};
pub use log_file::{CorruptBytes, LogOutline};
pub use planned::PlannedSlice;
pub use scan::Scan;
pub use scan_options::ScanOptions;
pub use slice::SliceReader;
pub use slice_opener::SliceOpener;
pub use slice_rows::SliceRows;

/// Why rows could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The table could not be looked at.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A data file cannot be read.
    #[error(transparent)]
    File(#[from] DataFileError),
    /// A filter, or a column that was asked for, does not fit the table.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The log blocks of a slice cannot be put in order.
    #[error(transparent)]
    Plan(#[from] ScanPlanError),
    /// A block whose content is not read.
    #[error("{path}: {source}")]
    UnsupportedBlock {
        /// The log file.
        path: TablePath,
        /// Which block, and what to do.
        source: UnsupportedBlock,
    },
    /// A block that has rows and no schema for them.
    #[error("{path}: the avro block at byte {offset} has no SCHEMA in its header")]
    NoBlockSchema {
        /// The log file.
        path: TablePath,
        /// Where the block's content starts.
        offset: u64,
    },
    /// Rows of an Avro block that cannot be decoded.
    #[error("{path}, block content at byte {offset}: {source}")]
    AvroBlock {
        /// The log file.
        path: TablePath,
        /// Where the block's content starts.
        offset: u64,
        /// What is wrong.
        source: AvroBlockError,
    },
    /// Deletes that cannot be decoded.
    #[error("{path}, block content at byte {offset}: {source}")]
    DeleteBlock {
        /// The log file.
        path: TablePath,
        /// Where the block's content starts.
        offset: u64,
        /// What is wrong.
        source: DeleteBlockError,
    },
    /// A block larger than is held in memory.
    #[error(
        "{path}: the block at byte {offset} has {}, more than the {} that are read at once",
        human::bytes(*bytes), human::bytes(*max_bytes)
    )]
    BlockTooLarge {
        /// The log file.
        path: TablePath,
        /// Where the block's content starts.
        offset: u64,
        /// Its size.
        bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// The rows cannot be merged.
    #[error(transparent)]
    Merge(MergeError),
    /// Arrow could not build the rows.
    #[error("rows could not be built: {0}")]
    Arrow(#[from] ArrowError),
    /// Reading was given up: the runtime has shut down, nobody waits for the rows, or a thread panicked.
    #[error("reading was stopped before its end")]
    Stopped,
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        Self::File(error.into())
    }
}

impl From<MergeError> for ReadError {
    fn from(error: MergeError) -> Self {
        match error {
            // What a slice's files said comes back as it was.
            MergeError::Source(source) => match source.downcast::<Self>() {
                Ok(own) => *own,
                Err(other) => Self::Merge(MergeError::Source(other)),
            },
            other => Self::Merge(other),
        }
    }
}

impl From<ReadError> for MergeError {
    fn from(error: ReadError) -> Self {
        Self::Source(Box::new(error))
    }
}

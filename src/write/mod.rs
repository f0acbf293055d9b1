//! From keyed rows to staged files. Writers know nothing of the timeline.
//!
//! ```text
//! KeyedBatch -> bucket    -> group writer  -> a base file, or blocks of a log file   -> StagedFiles
//! KeyedBatch -> partition -> append writer -> base files of a target size (inserts)  -> StagedFiles
//! SliceReader -> merge    -> compaction writer -> a base file                        -> StagedFiles
//! slices      -> merge, sort -> clustering writer -> base files of a target size     -> StagedFiles
//! ```
//!
//! | file | columns | rows | order |
//! |---|---|---|---|
//! | base file | Hudi's five, as text, then the table's | row groups of 50,000 rows, or of 32 MiB encoded | of arrival, behind the rows of the file that it takes the place of |
//! | log block | the same | those of a bucket's buffer when it is let go; deletes are a block of their own | of arrival |
//!
//! In a bucket, rows of one key that wait in the buffer together are made one, as a reader would do it.
//!
//! Source: `HoodieCreateHandle`, `HoodieAppendHandle`, `FileGroupReaderBasedMergeHandle` of Hudi 1.2.0; table
//! versions 8 and 9.

mod append_writer;
mod at_once;
mod base_file;
mod base_writer;
mod buffer;
mod clustering_writer;
mod codec;
mod column_ranges;
mod compaction_writer;
mod context;
mod deletes;
mod delta_packed;
mod encoding;
mod file_columns;
mod fit;
mod generated_chunk;
mod generated_columns;
mod group_writer;
mod key_pages;
mod keyed_batch;
mod log_writer;
mod merged_file;
mod meta_columns;
mod options;
mod parquet_schema;
mod parquet_writer;
mod route;
mod row_format;
mod run_store;
mod sorter;
mod splice;
mod staging;
mod table_writer;
mod unfinished_file;

use arrow::error::ArrowError;
use lakebed_hudi::log_file::{AvroBlockError, DeleteBlockError, WriteBlockError};
use lakebed_hudi::partition_path::PartitionPathError;
use parquet::errors::ParquetError;

use crate::merge::MergeError;
use crate::read::{CorruptBytes, ReadError};
use crate::storage::{StorageError, TablePathError};
use crate::table::TableError;

pub use clustering_writer::{ClusteredFiles, ClusteringWriter, SlicesTogether};
pub use compaction_writer::CompactionWriter;
pub(crate) use fit::check_fit;
pub use keyed_batch::{KeyRules, KeyedBatch, RefusedRow};
pub use options::WriteOptions;
use route::split_by_partition;
pub use route::{Bucket, route};
pub use sorter::SortError;
pub use table_writer::TableWriter;
pub use unfinished_file::UnfinishedFile;

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Rows without record keys cannot be put into buckets.
    #[error("the table has no record key: rows can only be inserted, not upserted or deleted")]
    Keyless,
    /// The table has no bucket index.
    #[error(
        "table {table} has no bucket index: state hoodie.index.type and hoodie.bucket.index.num.buckets, or insert without keys"
    )]
    NoBuckets {
        /// The table.
        table: String,
    },
    /// Keys or partition paths cannot be made.
    #[error(transparent)]
    Key(#[from] PartitionPathError),
    /// The base file that is to be replaced cannot be read.
    #[error(transparent)]
    Read(Box<ReadError>),
    /// Rows of one key cannot be made one.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// Arrow could not split or join rows.
    #[error("rows could not be split or joined: {0}")]
    Arrow(#[from] ArrowError),
    /// Rows cannot be encoded as Parquet.
    #[error("rows could not be encoded: {0}")]
    Parquet(#[from] ParquetError),
    /// A log block cannot be framed.
    #[error(transparent)]
    Block(#[from] WriteBlockError),
    /// Rows cannot be encoded as Avro.
    #[error(transparent)]
    Avro(#[from] AvroBlockError),
    /// Deletes cannot be encoded.
    #[error(transparent)]
    Deletes(#[from] DeleteBlockError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A partition path that cannot be a folder of the table.
    #[error(transparent)]
    Path(#[from] TablePathError),
    /// A partition path that leads out of the table.
    #[error(transparent)]
    Table(Box<TableError>),
    /// Rows cannot be sorted as they are to be.
    #[error(transparent)]
    Sort(#[from] SortError),
    /// A log file has bytes that are no block.
    #[error(
        "log file {} has a corrupt block at bytes {} to {}: {}; readers pass it over, and what is in it would be lost \
         for good: restore the file from a copy, or give it up by lakebed compact --skip-corrupt-blocks",
        .0.file, .0.block.extent.start, .0.block.extent.end, .0.block.why
    )]
    CorruptLog(Box<CorruptBytes>),
    /// The storage failed meanwhile; that error is the one to look at.
    #[error("encoding was given up because the file could not be written")]
    Abandoned,
    /// The encoder stopped without an answer.
    #[error("encoding rows panicked; this is a bug, please report it with the rows that cause it")]
    Panicked,
}

impl From<TableError> for WriteError {
    fn from(error: TableError) -> Self {
        Self::Table(Box::new(error))
    }
}

impl From<ReadError> for WriteError {
    fn from(error: ReadError) -> Self {
        Self::Read(Box::new(error))
    }
}

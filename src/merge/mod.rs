//! The rows of a file slice: its log records folded by key and put over its base file.
//!
//! The answer is the one that Spark + Hudi 1.2.0 gives, row for row, and that takes two steps
//! whose order matters:
//!
//! 1. **Fold.** All log records of a key, in log order, become one entry.
//! 2. **Apply.** The entry is put over the base row.
//!
//! Merging the log records one by one onto the base would give other rows: a fold forgets
//! tombstones, so an old row that follows a delete in the logs meets the base row as if there
//! had been no delete. Nor may runs of log records be folded apart from each other and joined
//! later.
//!
//! Rows come out in the order of the base file, then those of new keys in the order in which
//! the logs first name them.
//!
//! Everything is columnar: an entry is a position in a batch of log rows, and a batch of base
//! rows that no entry touches passes through uncopied. Where the log records do not fit the
//! memory budget, keys are partitioned by hash into files (in a [`SpillArea`](crate::memory::SpillArea))
//! and folded partition by partition; what each partition does to the base is merged back in base order.
//!
//! Source: `HoodieFileGroupReader`, `KeyBasedFileGroupRecordBuffer`,
//! `BufferedRecordMergerFactory`, `PartialUpdateHandler` of Hudi 1.2.0; table versions 6, 8, 9.

mod apply;
mod columns;
mod combine;
mod fold;
mod key_table;
mod ordering;
mod partitioned;
mod rules;
mod runs;
mod slice;
mod spill;
#[cfg(test)]
mod tests;

pub use columns::MergeColumns;
pub use combine::{Combined, combine};
pub use rules::{Fill, MergeRules};
pub use slice::{Batches, MergeCounts, MergeResources, MergedRows, SliceSource};
pub(crate) use spill::{Frame, SpillFile};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use lakebed_hudi::log_file::DeleteBlockError;
use lakebed_hudi::ordering_value::{OrderingError, OrderingValue};

use crate::table::ConformError;

/// One piece of a slice's logs, in log order.
#[derive(Debug, Clone)]
pub enum LogRecords {
    /// Rows of a data block.
    Rows {
        /// The rows, with the columns that the block has; of those at least the record key, and
        /// the ordering columns if the table has any.
        batch: RecordBatch,
        /// Whether the block holds only some columns of its rows (`IS_PARTIAL`).
        partial: bool,
    },
    /// Records of a delete block.
    Deletes(Vec<Deleted>),
}

impl LogRecords {
    /// How many records there are.
    fn count(&self) -> usize {
        match self {
            Self::Rows { batch, .. } => batch.num_rows(),
            Self::Deletes(deletes) => deletes.len(),
        }
    }
}

/// A record of a delete block.
#[derive(Debug, Clone, PartialEq)]
pub struct Deleted {
    /// The key that is deleted.
    pub record_key: String,
    /// From when on; unconditional where it is null or the integer 0.
    pub ordering: OrderingValue,
}

/// Why a slice could not be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The table's merge mode is a Java class.
    #[error("the table merges by {class}, which needs a JVM: read or compact it with Spark or Flink")]
    Custom {
        /// The class or strategy.
        class: String,
    },
    /// A column that merging needs is not in the rows.
    #[error("column {column:?} is missing from the {place}: it is needed to merge rows")]
    MissingColumn {
        /// The column.
        column: String,
        /// `base file`, `log block` or `table schema`.
        place: &'static str,
    },
    /// A row without a record key.
    #[error("row {row} of a {place} has no record key")]
    NullKey {
        /// The row within its batch, counted from 0.
        row: usize,
        /// `base file` or `log block`.
        place: &'static str,
    },
    /// Two ordering values of one key that do not compare.
    #[error("record key {record_key:?}: {source}")]
    Ordering {
        /// The key.
        record_key: String,
        /// What does not compare.
        source: OrderingError,
    },
    /// Ordering columns that cannot order.
    #[error(transparent)]
    OrderingColumn(#[from] OrderingError),
    /// Rows that do not fit the table's schema.
    #[error(transparent)]
    Conform(#[from] ConformError),
    /// Log records could not be put aside.
    #[error("log records could not be put aside in {}: {source}; free some space or name another folder", folder.display())]
    Spill {
        /// The folder.
        folder: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A delete could not be put aside.
    #[error("a delete could not be put aside: {0}")]
    SpilledDelete(DeleteBlockError),
    /// Arrow could not build the result.
    #[error("merged rows could not be built: {0}")]
    Arrow(#[from] ArrowError),
    /// The files of the slice could not be read.
    #[error(transparent)]
    Source(#[from] Box<dyn std::error::Error + Send + Sync>),
}

//! What goes wrong in a merge.

use arrow::error::ArrowError;
use lakebed_hudi::log_file::DeleteBlockError;
use lakebed_hudi::ordering_value::OrderingError;

use crate::table::ConformError;

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
    /// Log records that take more memory than there is, and nowhere to put them aside.
    #[error("the log records take more than the {budget_bytes} bytes of memory that there are for them")]
    Memory {
        /// What there is.
        budget_bytes: usize,
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

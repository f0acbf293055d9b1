//! Where the rows of a merge come from.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lakebed_hudi::ordering_value::OrderingValue;

use super::MergeError;

/// Batches of rows, pulled one by one.
pub type Batches<'a> = Box<dyn Iterator<Item = Result<RecordBatch, MergeError>> + Send + 'a>;

/// Where the rows of a slice come from. Each call starts anew: a merge that runs out of memory
/// reads again.
pub trait SliceSource: Send + Sync {
    /// The effective log records in log order, with the columns of `columns` that blocks have.
    ///
    /// # Errors
    /// Files that cannot be read.
    fn logs(
        &self,
        columns: &SchemaRef,
    ) -> Result<Box<dyn Iterator<Item = Result<LogRecords, MergeError>> + Send + '_>, MergeError>;

    /// Whether log records say by `_hoodie_operation` what was done to their rows. Of base rows nobody
    /// asks it.
    ///
    /// Source: `DeleteContext`, `RecordContext.isDeleteHoodieOperation`.
    fn has_operations(&self) -> bool {
        false
    }

    /// The rows of the base file in its order, with the columns of `columns` that it has; none
    /// for a slice of logs only.
    ///
    /// # Errors
    /// Files that cannot be read.
    fn base(&self, columns: &SchemaRef) -> Result<Batches<'_>, MergeError>;
}

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
    pub(super) fn count(&self) -> usize {
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

//! Rows of one key made one, before they are written.

use std::sync::Arc;

use arrow::array::RecordBatch;
use lakebed_hudi::ordering_value::OrderingValue;

use super::fold::Fold;
use super::{Deleted, LogRecords, MergeColumns, MergeError, MergeRules};

/// What is left of some log records after those of one key became one.
#[derive(Debug, Clone)]
pub struct Combined {
    /// The rows, one per key, in the order in which their keys first came.
    pub rows: RecordBatch,
    /// The keys that end deleted.
    pub deletes: Vec<Deleted>,
}

/// Folds `records` as a reader would fold them from a log.
///
/// # Errors
/// Rows that do not fit the columns, or ordering values that do not compare.
pub fn combine<'a>(
    records: impl IntoIterator<Item = &'a LogRecords>,
    columns: Arc<MergeColumns>,
    rules: Arc<MergeRules>,
) -> Result<Combined, MergeError> {
    let mut fold = Fold::new(columns.clone(), rules);
    for records in records {
        fold.push(records)?;
    }
    let folded = fold.finish()?;
    let deletes = folded
        .entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.row.is_none())
        .map(|(number, entry)| Deleted {
            record_key: folded.keys.key(number as u32).to_owned(),
            ordering: OrderingValue::from(&entry.ordering),
        })
        .collect();
    Ok(Combined { rows: columns.output(&folded.rows)?, deletes })
}

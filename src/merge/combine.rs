//! Rows of one key made one, before they are written.

use std::sync::Arc;

use arrow::array::RecordBatch;
use lakebed_hudi::ordering_value::OrderingValue;

use super::fold::Fold;
use super::{Deleted, LogRecords, MergeColumns, MergeError, MergeRules};

/// What is left of some log records after those of one key became one.
#[derive(Debug, Clone)]
pub struct Combined {
    /// The rows, one per key, in the order in which they came. No batch is empty.
    pub batches: Vec<RecordBatch>,
    /// The keys that end deleted.
    pub deletes: Vec<Deleted>,
}

impl Combined {
    /// How many rows there are.
    pub fn num_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Folds `records` as a reader would fold them from a log.
///
/// Batches of which no row loses pass uncopied.
///
/// # Errors
/// Rows that do not fit the columns, or ordering values that do not compare.
pub fn combine(
    records: Vec<LogRecords>,
    columns: &Arc<MergeColumns>,
    rules: &Arc<MergeRules>,
) -> Result<Combined, MergeError> {
    let mut fold = Fold::new(columns.clone(), rules.clone());
    fold.reserve(records.iter().map(LogRecords::count).sum());
    for records in records {
        fold.push(&records)?;
    }
    let winners = fold.winners()?;
    let deletes = winners
        .deletes
        .into_iter()
        .map(|(record_key, ordering)| Deleted { record_key, ordering: OrderingValue::from(&ordering) });
    let batches = winners.batches.iter().map(|batch| columns.output(batch)).collect::<Result<_, _>>()?;
    Ok(Combined { batches, deletes: deletes.collect() })
}

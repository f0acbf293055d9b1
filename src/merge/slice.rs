//! A whole slice, from its files' rows to merged rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::apply::Apply;
use super::fold::Fold;
use super::{LogRecords, MergeColumns, MergeError, MergeRules};

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

    /// The rows of the base file in its order, with the columns of `columns` that it has; none
    /// for a slice of logs only.
    ///
    /// # Errors
    /// Files that cannot be read.
    fn base(&self, columns: &SchemaRef) -> Result<Batches<'_>, MergeError>;
}

/// The rows of a slice as they are now: base rows in their order, then new keys.
///
/// Batches have the columns of [`MergeColumns::output_schema`] and as many rows as those of the
/// source, less what was deleted; none is empty.
pub struct MergedRows<'a> {
    base: Batches<'a>,
    apply: Apply,
    done: bool,
}

impl<'a> MergedRows<'a> {
    /// Folds the logs of `source` and gets ready to stream its base rows.
    ///
    /// # Errors
    /// Files that cannot be read and log records that cannot be merged.
    pub fn new(
        source: &'a dyn SliceSource,
        columns: Arc<MergeColumns>,
        rules: Arc<MergeRules>,
    ) -> Result<Self, MergeError> {
        let mut fold = Fold::new(columns.clone(), rules.clone());
        for records in source.logs(columns.read_schema())? {
            fold.push(&records?)?;
        }
        let base = source.base(columns.read_schema())?;
        Ok(Self { base, apply: Apply::new(columns, rules, fold.finish()?), done: false })
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, MergeError> {
        for batch in self.base.by_ref() {
            let merged = self.apply.base(&batch?)?;
            if merged.num_rows() > 0 {
                return Ok(Some(merged));
            }
        }
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        let rest = self.apply.rest()?;
        Ok((rest.num_rows() > 0).then_some(rest))
    }
}

impl Iterator for MergedRows<'_> {
    type Item = Result<RecordBatch, MergeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

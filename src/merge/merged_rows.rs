//! A whole slice, from its files' rows to merged rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::apply::Apply;
use super::columns::columns_for;
use super::fold::{Fold, RowRef};
use super::partitioned::PartitionedRows;
use super::resources::REST_ROWS;
use super::{Batches, MergeColumns, MergeCounts, MergeError, MergeResources, MergeRules, SliceSource};
use crate::table::conform;

/// The rows of a slice as they are now: base rows in their order, then new keys.
///
/// Batches have the columns of [`MergeColumns::output_schema`] and as many rows as those of the
/// source, less what was deleted; none is empty. The rows and their order do not depend on the
/// budget.
pub struct MergedRows<'a> {
    stage: Stage<'a>,
    counts: MergeCounts,
}

enum Stage<'a> {
    /// There is nothing to merge.
    Base { base: Batches<'a>, schema: SchemaRef },
    /// All log records fit the budget.
    InMemory { base: Batches<'a>, apply: Box<Apply>, columns: Arc<MergeColumns> },
    /// The rows of new keys, and how many of them are out.
    Rest { apply: Box<Apply>, columns: Arc<MergeColumns>, rows: Vec<RowRef>, at: usize },
    /// All rows are out.
    Over,
    /// They do not fit it.
    Partitioned(Box<PartitionedRows<'a>>),
}

impl Stage<'_> {
    /// What comes after the base rows.
    fn rest(self) -> Self {
        match self {
            Self::InMemory { apply, columns, .. } => {
                let rows = apply.unmet().into_iter().map(|(_, row)| row).collect();
                Self::Rest { apply, columns, rows, at: 0 }
            }
            other => other,
        }
    }
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
        resources: &MergeResources,
    ) -> Result<Self, MergeError> {
        let all = columns;
        let columns = columns_for(source, &all);
        let Some((fold, counts)) = Fold::of_logs(source, &columns, &rules, resources.budget_bytes)? else {
            return Self::in_parts(source, &all, &rules, resources);
        };
        let stage = if fold.keys() == 0 {
            let schema = columns.output_schema();
            Stage::Base { base: source.base(&schema)?, schema }
        } else {
            let base = source.base(columns.read_schema())?;
            let apply = Box::new(Apply::new(columns.clone(), rules, fold.finish()?));
            Stage::InMemory { base, apply, columns }
        };
        Ok(Self { stage, counts })
    }

    /// The same rows, where it is known that the logs do not fit the budget.
    ///
    /// # Errors
    /// As [`MergedRows::new`].
    pub fn in_parts(
        source: &'a dyn SliceSource,
        columns: &Arc<MergeColumns>,
        rules: &Arc<MergeRules>,
        resources: &MergeResources,
    ) -> Result<Self, MergeError> {
        let columns = columns_for(source, columns);
        let (rows, counts) = PartitionedRows::new(source, columns, rules, resources)?;
        Ok(Self { stage: Stage::Partitioned(Box::new(rows)), counts })
    }

    /// What the merge did up to the last batch that came out.
    pub fn counts(&self) -> MergeCounts {
        self.counts
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, MergeError> {
        loop {
            match &mut self.stage {
                Stage::Base { base, schema } => {
                    let batch = base.next().transpose()?;
                    return batch.map(|batch| Ok(conform(&batch, schema)?)).transpose();
                }
                Stage::InMemory { base, apply, .. } => {
                    let Some(batch) = base.next().transpose()? else {
                        self.stage = std::mem::replace(&mut self.stage, Stage::Over).rest();
                        continue;
                    };
                    let merged = apply.base(&batch, &mut self.counts)?;
                    if merged.num_rows() > 0 {
                        return Ok(Some(merged));
                    }
                }
                Stage::Rest { apply, columns, rows, at } => {
                    let next = rows.get(*at..rows.len().min(*at + REST_ROWS)).unwrap_or_default();
                    *at += next.len();
                    self.counts.added += next.len() as u64;
                    return if next.is_empty() { Ok(None) } else { apply.rows_of(next, columns).map(Some) };
                }
                Stage::Over => return Ok(None),
                Stage::Partitioned(rows) => return rows.next_batch(&mut self.counts),
            }
        }
    }
}

impl Iterator for MergedRows<'_> {
    type Item = Result<RecordBatch, MergeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

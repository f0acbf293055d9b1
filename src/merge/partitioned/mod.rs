//! A slice whose log records do not fit the memory: keys are partitioned by hash.
//!
//! ```text
//! log records ─┐ by key hash                       ┌─> patches of base rows ─┐
//!              ├───────────> partition: fold, apply ┤                         ├─> rows
//! base keys ───┘                                   └─> new rows ─────────────┘
//! ```
//!
//! All records of a key meet in one partition, in log order, so each partition is folded as a
//! whole slice would be. One that is still too large is divided by another hash, and what its
//! parts end in is merged again. Each leaves a run of its patches, in order of base rows, and one
//! of its new rows, in order of first arrival; then the base is read once more and both are merged
//! into its stream. So there are never more runs open than a partition has parts, and each
//! division costs one more pass over its records.

mod frame;
mod partitioning;
mod run;

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::patch::patched;
use super::resources::REST_ROWS;
use super::spill::SpillFile;
use super::{Batches, Fill, MergeColumns, MergeCounts, MergeError, MergeResources, MergeRules, SliceSource};
use crate::table::conform;
use partitioning::{Partitioning, Runs};
use run::MergedRuns;

/// The rows of a slice, merged partition by partition.
pub(super) struct PartitionedRows<'a> {
    columns: Arc<MergeColumns>,
    base_fill: Fill,
    file: SpillFile,
    patches: MergedRuns,
    rest: MergedRuns,
    base: Batches<'a>,
    base_rows: u64,
    base_done: bool,
}

impl<'a> PartitionedRows<'a> {
    /// Folds all log records of `source`, and looks up its base keys; with what was read of the logs.
    pub(super) fn new(
        source: &'a dyn SliceSource,
        columns: Arc<MergeColumns>,
        rules: &Arc<MergeRules>,
        resources: &MergeResources,
    ) -> Result<(Self, MergeCounts), MergeError> {
        let work = Partitioning::new(columns.clone(), rules.clone(), resources)?;
        let Runs { file, patches, rest, partial, counts } = work.run(source)?;
        let base_fill = if partial { Fill::Nothing } else { rules.fill.clone() };
        let base = source.base(columns.kept_schema())?;
        let rows = Self { columns, base_fill, file, patches, rest, base, base_rows: 0, base_done: false };
        Ok((rows, counts))
    }

    pub(super) fn next_batch(&mut self, counts: &mut MergeCounts) -> Result<Option<RecordBatch>, MergeError> {
        while !self.base_done {
            let Some(batch) = self.base.next().transpose()? else {
                self.base_done = true;
                break;
            };
            let merged = self.patch(&conform(&batch, self.columns.kept_schema())?, counts)?;
            if merged.num_rows() > 0 {
                return Ok(Some(self.columns.output(&merged)?));
            }
        }
        let Some(rest) = self.rest.next(&mut self.file, u64::MAX, REST_ROWS)? else { return Ok(None) };
        let rest = rest.rows.rows;
        counts.added += rest.num_rows() as u64;
        self.columns.output(&rest).map(Some)
    }

    /// Applies the patches of the next base rows, `base`.
    fn patch(&mut self, base: &RecordBatch, counts: &mut MergeCounts) -> Result<RecordBatch, MergeError> {
        let first = self.base_rows;
        self.base_rows += base.num_rows() as u64;
        let Some(found) = self.patches.next(&mut self.file, self.base_rows, base.num_rows())? else {
            return Ok(base.clone());
        };
        let patches = found.patches(first);
        counts.add_patches(&patches);
        patched(base, &patches, &[&found.rows], &self.base_fill)
    }
}

//! Step two: entries are put over base rows.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{interleave, take_record_batch};

use super::fold::{Folded, FoldedEntry, has_no_value};
use super::ordering::{EntryOrdering, RowOrdering};
use super::{Fill, MergeColumns, MergeError, MergeRules};
use crate::table::conform;

/// What happens to a base row that the logs name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It goes.
    Delete,
    /// The entry's row takes its place.
    Replace(u32),
    /// It stays, filled from the entry's row.
    Fill(u32),
}

#[derive(Debug, Clone, Copy)]
struct Patch {
    base_row: usize,
    verdict: Verdict,
}

/// Puts folded entries over base rows, batch by batch.
#[derive(Debug)]
pub(super) struct Apply {
    columns: Arc<MergeColumns>,
    rules: Arc<MergeRules>,
    folded: Folded,
    /// Entries that met their base row: a second row of the same key in the base stays as it is.
    met: Vec<bool>,
}

impl Apply {
    pub(super) fn new(columns: Arc<MergeColumns>, rules: Arc<MergeRules>, folded: Folded) -> Self {
        let met = vec![false; folded.entries.len()];
        Self { columns, rules, folded, met }
    }

    /// The rows that stay of a batch of base rows, as they are now.
    pub(super) fn base(&mut self, batch: &RecordBatch) -> Result<RecordBatch, MergeError> {
        let base = conform(batch, self.columns.read_schema())?;
        let patches = self.patches(&base)?;
        let merged = if patches.is_empty() { base } else { self.patched(&base, &patches)? };
        self.columns.output(&merged)
    }

    /// The rows of keys that no base row had, in order of arrival.
    pub(super) fn rest(&self) -> Result<RecordBatch, MergeError> {
        let unmet = self.folded.entries.iter().zip(&self.met).filter(|(_, met)| !**met);
        let rows: UInt32Array = unmet.filter_map(|(entry, _)| entry.row).map(Some).collect();
        let all = rows.len() == self.folded.rows.num_rows();
        let rest = if all { self.folded.rows.clone() } else { take_record_batch(&self.folded.rows, &rows)? };
        self.columns.output(&rest)
    }

    fn patches(&mut self, base: &RecordBatch) -> Result<Vec<Patch>, MergeError> {
        if self.folded.keys.len() == 0 {
            return Ok(Vec::new());
        }
        let keys = self.columns.keys(base, "base file")?;
        let ordering = self.columns.ordering(base)?;
        let mut patches = Vec::new();
        for base_row in 0..base.num_rows() {
            let Some(number) = self.folded.keys.get(keys.value(base_row)) else { continue };
            let number = number as usize;
            let (Some(entry), Some(met)) = (self.folded.entries.get(number), self.met.get_mut(number)) else {
                continue;
            };
            if std::mem::replace(met, true) {
                continue;
            }
            let verdict = verdict(&self.rules, entry, &ordering, base_row).map_err(|source| {
                MergeError::Ordering { record_key: keys.value(base_row).to_owned(), source }
            })?;
            let fills = self.folded.base_fill != Fill::Nothing;
            patches.extend(
                verdict
                    .filter(|v| fills || !matches!(v, Verdict::Fill(_)))
                    .map(|verdict| Patch { base_row, verdict }),
            );
        }
        Ok(patches)
    }

    fn patched(&self, base: &RecordBatch, patches: &[Patch]) -> Result<RecordBatch, MergeError> {
        let deletes = patches.iter().filter(|p| p.verdict == Verdict::Delete).count();
        let rows = base.num_rows() - deletes;
        let mut columns = Vec::with_capacity(base.num_columns());
        for column in 0..base.num_columns() {
            let (ours, theirs) = (base.column(column), self.folded.rows.column(column));
            let base_open = has_no_value(ours, &self.folded.base_fill);
            let entry_open = self.folded.open.get(column).and_then(Option::as_ref);
            let mut indices = Vec::with_capacity(rows);
            let mut next = 0;
            for patch in patches {
                indices.extend((next..patch.base_row).map(|row| (0, row)));
                next = patch.base_row + 1;
                let from_base = (0, patch.base_row);
                match patch.verdict {
                    Verdict::Delete => {}
                    Verdict::Replace(row) => {
                        let open = entry_open.is_some_and(|open| open.value(row as usize));
                        indices.push(if open { from_base } else { (1, row as usize) });
                    }
                    Verdict::Fill(row) => {
                        let open = base_open.as_ref().is_some_and(|open| open.value(patch.base_row));
                        indices.push(if open { (1, row as usize) } else { from_base });
                    }
                }
            }
            indices.extend((next..base.num_rows()).map(|row| (0, row)));
            columns.push(interleave(&[ours.as_ref(), theirs.as_ref()], &indices)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(base.schema(), columns, &options)?)
    }
}

/// What becomes of a base row; `None` where it stays as it is.
fn verdict(
    rules: &MergeRules,
    entry: &FoldedEntry,
    ordering: &RowOrdering,
    base_row: usize,
) -> Result<Option<Verdict>, lakebed_hudi::ordering_value::OrderingError> {
    let unconditional = entry.row.is_none() && entry.ordering.is_commit_time();
    let base_stays = rules.event_time() && !unconditional && {
        let base: EntryOrdering = ordering.get(base_row);
        entry.ordering.compare(&base)?.is_lt()
    };
    Ok(match (entry.row, base_stays) {
        (None, true) => None,
        (None, false) => Some(Verdict::Delete),
        (Some(row), true) => Some(Verdict::Fill(row)),
        (Some(row), false) => Some(Verdict::Replace(row)),
    })
}

//! Step two: what entries do to base rows.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray, UInt32Array};

use super::fold::{Folded, FoldedEntry};
use super::ordering::{EntryOrdering, RowOrdering};
use super::patch::{Patch, PatchRows, Verdict, patched};
use super::{Fill, MergeColumns, MergeCounts, MergeError, MergeRules};
use crate::table::conform;

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
    pub(super) fn base(
        &mut self,
        batch: &RecordBatch,
        counts: &mut MergeCounts,
    ) -> Result<RecordBatch, MergeError> {
        let base = conform(batch, self.columns.read_schema())?;
        let patches = self.patches(&base)?;
        counts.add_patches(&patches);
        let base = self.columns.kept(&base)?;
        if patches.is_empty() {
            return self.columns.output(&base);
        }
        let merged = patched(&base, &patches, &[&self.folded.rows], &self.folded.base_fill)?;
        self.columns.output(&merged)
    }

    /// The rows of keys that no base row had, in order of arrival.
    pub(super) fn rest(&self) -> Result<RecordBatch, MergeError> {
        self.rest_of(&self.columns)
    }

    /// [`Apply::rest`] with the columns that the logs were folded with.
    pub(super) fn rest_of(&self, columns: &MergeColumns) -> Result<RecordBatch, MergeError> {
        let rows: UInt32Array = self.unmet().into_iter().map(|(_, row)| Some(row)).collect();
        let folded = &self.folded.rows.rows;
        if rows.len() == folded.num_rows() {
            return columns.output(folded);
        }
        columns.output(&self.folded.rows.take(&rows)?.rows)
    }

    /// Whether a log record names one of `keys`.
    pub(super) fn names_any(&self, keys: &StringArray) -> bool {
        !self.folded.keys.find_all(keys).is_empty()
    }

    /// How base rows that stay are filled.
    pub(super) fn base_fill(&self) -> &Fill {
        &self.folded.base_fill
    }

    /// The entries that are no deletes and that no base row met, with their rows.
    pub(super) fn unmet(&self) -> Vec<(usize, u32)> {
        let entries = self.folded.entries.iter().zip(&self.met).enumerate();
        let unmet = entries.filter(|(_, (_, met))| !**met);
        unmet.filter_map(|(number, (entry, _))| Some((number, entry.row?))).collect()
    }

    /// The rows of the entries.
    pub(super) fn entry_rows(&self) -> &PatchRows {
        &self.folded.rows
    }

    /// What happens to the rows of `base`, which has the columns of a [`MergeColumns::read_schema`].
    pub(super) fn patches(&mut self, base: &RecordBatch) -> Result<Vec<Patch>, MergeError> {
        let keys = self.columns.keys(base, "base file")?;
        let ordering = self.columns.ordering(base)?;
        let mut patches = Vec::new();
        for (base_row, number) in self.folded.keys.find_all(keys) {
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
            let verdict = verdict.filter(|v| fills || !matches!(v, Verdict::Fill(_)));
            patches.extend(verdict.map(|verdict| Patch { base_row, source: 0, verdict }));
        }
        Ok(patches)
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

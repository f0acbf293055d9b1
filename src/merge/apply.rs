//! Step two: what entries do to base rows.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions, StringArray, new_empty_array};

use super::fold::{Folded, FoldedEntry, RowRef};
use super::ordering::{EntryOrdering, RowOrdering};
use super::patch::{Patch, PatchRows, Verdict, patched};
use super::runs::{Run, Runs, join_runs};
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

/// The rows of a batch whose keys log records name, and the numbers of the entries.
#[derive(Debug)]
pub struct NamedRows(Vec<(usize, u32)>);

impl NamedRows {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
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
        let merged = patched(&base, &patches, &self.sources(), &self.folded.base_fill)?;
        self.columns.output(&merged)
    }

    /// Some rows of entries, with the columns of `columns`, which are those that the logs were folded with.
    pub(super) fn rows_of(&self, rows: &[RowRef], columns: &MergeColumns) -> Result<RecordBatch, MergeError> {
        let runs = Runs::of_rows(rows.iter().map(|at| (at.batch as usize, at.row as usize)));
        if let [Run { array, rows }] = runs.as_slice()
            && let Some(source) = self.folded.sources.get(*array)
        {
            return columns.output(&source.rows.slice(rows.start, rows.len()));
        }
        let sources = &self.folded.sources;
        let joined = (0..columns.kept_schema().fields().len()).map(|column| {
            let arrays: Vec<&dyn Array> =
                sources.iter().map(|source| source.rows.column(column).as_ref()).collect();
            match arrays.is_empty() {
                true => Ok(new_empty_array(columns.kept_schema().field(column).data_type())),
                false => join_runs(&arrays, &runs),
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let joined = joined.collect::<Result<Vec<_>, _>>()?;
        columns.output(&RecordBatch::try_new_with_options(columns.kept_schema().clone(), joined, &options)?)
    }

    /// Which of `keys` a log record names.
    pub(super) fn named(&self, keys: &StringArray) -> NamedRows {
        NamedRows(self.folded.keys.find_all(keys))
    }

    /// How base rows that stay are filled.
    pub(super) fn base_fill(&self) -> &Fill {
        &self.folded.base_fill
    }

    /// The entries that are no deletes and that no base row met, with their rows, in order of arrival.
    pub(super) fn unmet(&self) -> Vec<(usize, RowRef)> {
        let entries = self.folded.entries.iter().zip(&self.met).enumerate();
        let unmet = entries.filter(|(_, (_, met))| !**met);
        unmet.filter_map(|(number, (entry, _))| Some((number, entry.row?))).collect()
    }

    /// Where the rows of the entries lie.
    pub(super) fn sources(&self) -> Vec<&PatchRows> {
        self.folded.sources.iter().collect()
    }

    /// What happens to the rows of `base`, which has the columns of a [`MergeColumns::read_schema`].
    pub(super) fn patches(&mut self, base: &RecordBatch) -> Result<Vec<Patch>, MergeError> {
        let named = self.named(self.columns.keys(base, "base file")?);
        self.patches_of(&named, base)
    }

    /// The same, where it was asked before which rows are named.
    pub(super) fn patches_of(
        &mut self,
        named: &NamedRows,
        base: &RecordBatch,
    ) -> Result<Vec<Patch>, MergeError> {
        let keys = self.columns.keys(base, "base file")?;
        let ordering = self.columns.ordering(base)?;
        let mut patches = Vec::with_capacity(named.0.len());
        for &(base_row, number) in &named.0 {
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
            let source = entry.row.map_or(0, |row| row.batch);
            patches.extend(verdict.map(|verdict| Patch { base_row, source, verdict }));
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
        (Some(at), true) => Some(Verdict::Fill(at.row)),
        (Some(at), false) => Some(Verdict::Replace(at.row)),
    })
}

//! What is done to base rows, and how it is done to a whole batch of them.

use std::sync::OnceLock;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;

use super::runs::{Run, Runs, join_runs};
use super::{Fill, MergeCounts, MergeError};

/// What happens to a base row that the logs name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes.
    Delete,
    /// The entry's row takes its place.
    Replace(u32),
    /// It stays, filled from the entry's row.
    Fill(u32),
}

/// What happens to one base row of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patch {
    pub(super) base_row: usize,
    /// Which of several [`PatchRows`] the entry's row is in.
    pub(super) source: u32,
    pub(super) verdict: Verdict,
}

impl MergeCounts {
    pub(super) fn add_patches(&mut self, patches: &[Patch]) {
        let deleted = patches.iter().filter(|patch| patch.verdict == Verdict::Delete).count();
        self.deleted += deleted as u64;
        self.updated += (patches.len() - deleted) as u64;
    }
}

/// Rows of entries.
#[derive(Debug)]
pub(super) struct PatchRows {
    pub(super) rows: RecordBatch,
    /// For each column the rows that leave it to the base row; `None` where none does.
    pub(super) open: Vec<Option<BooleanBuffer>>,
}

impl PatchRows {
    /// Whether a row says something of a column.
    pub(super) fn says(&self, column: usize) -> bool {
        let open = self.open.get(column).and_then(Option::as_ref);
        open.map_or(self.rows.num_rows() > 0, |open| open.count_set_bits() < open.len())
    }

    /// Some of the rows; null ones where a row is null.
    pub(super) fn take(&self, rows: &UInt32Array) -> Result<Self, MergeError> {
        let columns = self.rows.columns().iter().map(|column| take(column, rows, None));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let open = |mask: &Option<BooleanBuffer>| {
            let mask = mask.as_ref()?;
            let at = |row: Option<u32>| row.is_some_and(|row| mask.value(row as usize));
            Some(rows.iter().map(at).collect())
        };
        let count = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(Self {
            rows: RecordBatch::try_new_with_options(self.rows.schema(), columns, &count)?,
            open: self.open.iter().map(open).collect(),
        })
    }
}

/// The rows of `base` after `patches`, which are sorted by base row.
pub(super) fn patched(
    base: &RecordBatch,
    patches: &[Patch],
    sources: &[&PatchRows],
    base_fill: &Fill,
) -> Result<RecordBatch, MergeError> {
    let places = Places::new(base.num_rows(), patches);
    let columns = base.columns().iter().enumerate();
    let columns = columns.map(|(column, base)| places.patched(column, base, patches, sources, base_fill));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(places.runs.rows()));
    Ok(RecordBatch::try_new_with_options(base.schema(), columns, &options)?)
}

/// Where the rows come from that patches make of base rows.
#[derive(Debug)]
pub(super) struct Places {
    runs: Runs,
    whole: OnceLock<Vec<(usize, usize)>>,
}

impl Places {
    pub(super) fn new(base_rows: usize, patches: &[Patch]) -> Self {
        Self { runs: Runs::new(replaced_runs(base_rows, patches)), whole: OnceLock::new() }
    }

    /// A column number `column` of `sources` after the patches; text as views of its bytes where `base` has views.
    pub(super) fn patched(
        &self,
        column: usize,
        base: &ArrayRef,
        patches: &[Patch],
        sources: &[&PatchRows],
        base_fill: &Fill,
    ) -> Result<ArrayRef, MergeError> {
        let mut arrays: Vec<&dyn Array> = vec![base.as_ref()];
        arrays.extend(sources.iter().map(|source| source.rows.column(column).as_ref()));
        let base_open = base_fill.open_rows(base);
        let is_open = |source: &&PatchRows| source.open.get(column).is_some_and(Option::is_some);
        if base_open.is_none() && !sources.iter().any(is_open) {
            return Ok(join_runs(&arrays, &self.runs)?);
        }
        let whole = self.whole.get_or_init(|| whole_rows(base.len(), patches));
        let filled = filled_rows(whole, patches, column, sources, base_open.as_ref());
        Ok(join_runs(&arrays, &Runs::of_rows(filled))?)
    }
}

/// The runs of rows that stay of the base, which is the first of several arrays, and the rows that
/// take the place of others. Patches are few as a rule: what lies between them is copied in one go.
fn replaced_runs(base_rows: usize, patches: &[Patch]) -> Vec<Run> {
    let mut runs = Vec::with_capacity(2 * patches.len() + 1);
    let mut next = 0;
    for patch in patches {
        let run = match patch.verdict {
            Verdict::Fill(_) => continue,
            Verdict::Replace(row) => {
                Some(Run { array: patch.source as usize + 1, rows: row as usize..row as usize + 1 })
            }
            Verdict::Delete => None,
        };
        if next < patch.base_row {
            runs.push(Run { array: 0, rows: next..patch.base_row });
        }
        runs.extend(run);
        next = patch.base_row + 1;
    }
    runs.push(Run { array: 0, rows: next..base_rows });
    runs
}

/// Where each row comes from, as (array, row): array 0 is the base.
fn whole_rows(base_rows: usize, patches: &[Patch]) -> Vec<(usize, usize)> {
    let mut indices = Vec::with_capacity(base_rows);
    let mut next = 0;
    for patch in patches {
        indices.extend((next..patch.base_row).map(|row| (0, row)));
        next = patch.base_row + 1;
        match patch.verdict {
            Verdict::Delete => {}
            Verdict::Replace(row) => indices.push((patch.source as usize + 1, row as usize)),
            Verdict::Fill(_) => indices.push((0, patch.base_row)),
        }
    }
    indices.extend((next..base_rows).map(|row| (0, row)));
    indices
}

/// [`whole_rows`] for a column that some rows leave to the other side.
fn filled_rows(
    whole: &[(usize, usize)],
    patches: &[Patch],
    column: usize,
    sources: &[&PatchRows],
    base_open: Option<&BooleanBuffer>,
) -> Vec<(usize, usize)> {
    let mut indices = whole.to_vec();
    let mut deleted = 0;
    for patch in patches {
        let source = patch.source as usize;
        let filled = match patch.verdict {
            Verdict::Delete => {
                deleted += 1;
                continue;
            }
            Verdict::Replace(row) => {
                let open = sources.get(source).and_then(|s| s.open.get(column)).and_then(Option::as_ref);
                open.is_some_and(|open| open.value(row as usize)).then_some((0, patch.base_row))
            }
            Verdict::Fill(row) => {
                let open = base_open.is_some_and(|open| open.value(patch.base_row));
                open.then_some((source + 1, row as usize))
            }
        };
        if let (Some(filled), Some(index)) = (filled, indices.get_mut(patch.base_row - deleted)) {
            *index = filled;
        }
    }
    indices
}

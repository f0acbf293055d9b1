//! The rows of one slice as they are shown: merged, filtered, with what the path decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{and_kleene, cast, filter_record_batch, take};
use arrow::error::ArrowError;

use super::ReadError;
use super::filter::BoundFilter;
use super::planned::{PlannedSlice, Shape};
use super::scan_options::ScanOptions;
use super::slice::SliceReader;
use crate::merge::{MergeColumns, MergeResources, MergedRows};

/// The rows of one slice, merged as they are asked for: batches of the columns of
/// [`Scan::schema`](super::Scan::schema), of 1 to [`ScanOptions::batch_rows`] rows. Ends after the first
/// error: of files that are gone or damaged, of rows that cannot be merged, or [`ReadError::Stopped`] once
/// nobody waits for what is made of them.
///
/// For a thread that may block: it waits for the storage.
pub struct SliceRows<'a> {
    /// `None` when they have ended.
    merged: Option<MergedRows<'a>>,
    shape: &'a Shape,
    filters: Vec<&'a BoundFilter>,
    shown: PathColumns,
    is_waited_for: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> SliceRows<'a> {
    /// Merges the logs of the slice, and gets ready for the rest.
    pub(super) fn new(
        reader: &'a SliceReader,
        shape: &'a Shape,
        options: &ScanOptions,
        planned: &PlannedSlice,
        is_waited_for: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self, ReadError> {
        let shown = PathColumns::new(planned.shown.clone());
        // What the path decides is not read, nor filtered by: the partition has passed.
        let filters: Vec<&BoundFilter> = shape.filters.iter().filter(|f| !shown.decides(&f.column)).collect();
        let mut names: Vec<String> = Vec::new();
        let wanted = shape.output.fields().iter().map(|field| field.name());
        for name in wanted.chain(filters.iter().map(|filter| &filter.column)) {
            if !shown.decides(name) && !names.contains(name) {
                names.push(name.clone());
            }
        }
        let columns = Arc::new(MergeColumns::new(&shape.stored, Some(&names), &shape.rules)?);
        let share = options.memory_budget_bytes / options.parallelism.max(1);
        let resources = MergeResources { budget_bytes: share / 4 * 3, spill: Some(shape.spill.clone()) };
        let merged = Some(MergedRows::new(reader, columns, shape.rules.clone(), &resources)?);
        Ok(Self { merged, shape, filters, shown, is_waited_for })
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        for batch in self.merged.iter_mut().flatten() {
            if !(self.is_waited_for)() {
                return Err(ReadError::Stopped);
            }
            let shown = shown_rows(&batch?, self.shape, &self.filters, &mut self.shown)?;
            if shown.num_rows() > 0 {
                return Ok(Some(shown));
            }
        }
        Ok(None)
    }
}

impl Iterator for SliceRows<'_> {
    type Item = Result<RecordBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_batch().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.merged = None;
        }
        next
    }
}

/// Merged rows as they come out: filtered, with what the path decides.
fn shown_rows(
    merged: &RecordBatch,
    shape: &Shape,
    filters: &[&BoundFilter],
    shown: &mut PathColumns,
) -> Result<RecordBatch, ReadError> {
    let rows = merged.num_rows();
    shown.make_rows(rows)?;
    let column = |name: &str, data_type| match (merged.column_by_name(name), shown.get(name)) {
        (_, Some(values)) => Ok(values.slice(0, rows)),
        (Some(column), None) if column.data_type() == data_type => Ok(column.clone()),
        (Some(column), None) => cast(column, data_type),
        (None, None) => Err(ArrowError::SchemaError(format!("column {name} was not read"))),
    };
    let mut passes: Option<BooleanArray> = None;
    for filter in filters {
        let own = filter.passes(&column(&filter.column, &filter.data_type)?)?;
        passes = Some(match passes {
            Some(others) => and_kleene(&others, &own)?,
            None => own,
        });
    }
    let columns = shape.output.fields().iter().map(|field| column(field.name(), field.data_type()));
    let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
    let row_count = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(shape.output.clone(), columns, &row_count)?;
    match passes.filter(|passes| passes.true_count() < rows) {
        Some(passes) => Ok(filter_record_batch(&batch, &passes)?),
        None => Ok(batch),
    }
}

/// The columns of a slice that its path decides: the same value in each row.
struct PathColumns {
    values: Arc<BTreeMap<String, ArrayRef>>,
    /// The values as columns of so many rows, of which batches take their parts.
    columns: BTreeMap<String, ArrayRef>,
    rows: usize,
}

impl PathColumns {
    fn new(values: Arc<BTreeMap<String, ArrayRef>>) -> Self {
        Self { values, columns: BTreeMap::new(), rows: 0 }
    }

    fn decides(&self, column: &str) -> bool {
        self.values.contains_key(column)
    }

    /// Sees to it that there are at least `rows` rows.
    fn make_rows(&mut self, rows: usize) -> Result<(), ArrowError> {
        if self.rows < rows {
            let first = UInt32Array::from(vec![0; rows]);
            let repeat = |(name, value): (&String, &ArrayRef)| Ok((name.clone(), take(value, &first, None)?));
            self.columns = self.values.iter().map(repeat).collect::<Result<_, ArrowError>>()?;
            self.rows = rows;
        }
        Ok(())
    }

    fn get(&self, column: &str) -> Option<&ArrayRef> {
        self.columns.get(column)
    }
}

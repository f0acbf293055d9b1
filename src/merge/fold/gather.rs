//! Bringing the rows of all entries into one batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::interleave;
use arrow::datatypes::DataType;

use super::Fold;
use super::entry::RowRef;
use crate::merge::{Fill, MergeError};

#[derive(Debug)]
pub(super) struct LogBatch {
    pub(super) rows: RecordBatch,
    pub(super) present: Presence,
}

/// Which values a row really has.
#[derive(Debug, Clone)]
pub(super) enum Presence {
    /// All of them.
    All,
    /// Those of some columns.
    Columns(Arc<[bool]>),
    /// By row: columns without a mask are there.
    Masks(Vec<Option<BooleanBuffer>>),
}

impl Presence {
    /// Which of `rows` rows have no value in a column; `None` if all have one.
    fn open(&self, column: usize, rows: usize) -> Option<BooleanBuffer> {
        match self {
            Self::All => None,
            Self::Columns(columns) => {
                (!columns.get(column).copied().unwrap_or(true)).then(|| BooleanBuffer::new_set(rows))
            }
            Self::Masks(masks) => masks.get(column)?.as_ref().map(|mask| !mask),
        }
    }

    fn has(&self, column: usize, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::Columns(columns) => columns.get(column).copied().unwrap_or(true),
            Self::Masks(masks) => masks.get(column).is_none_or(|m| m.as_ref().is_none_or(|m| m.value(row))),
        }
    }
}

impl Fold {
    /// Which rows of a batch leave each column to the base row.
    pub(super) fn open_rows(&self, batch: &LogBatch) -> Vec<Option<BooleanBuffer>> {
        let columns = batch.rows.columns().iter().enumerate();
        let open = |(column, values): (usize, &ArrayRef)| match self.partial {
            true => batch.present.open(column, values.len()),
            false => self.rules.fill.open_rows(values),
        };
        columns.map(open).collect()
    }

    /// Brings the rows of all entries into one batch, in the order of their first arrival, each
    /// filled from the rows behind it. Rows that lost are let go.
    pub(super) fn compact(&mut self) -> Result<(), MergeError> {
        let live: Vec<usize> = (0..self.entries.len())
            .filter(|n| self.entries.get(*n).is_some_and(|entry| !entry.deleted))
            .collect();
        let batch = match self.only_batch(&live) {
            Some(batch) => batch,
            None => self.gather(&live)?,
        };
        self.batches = Vec::new();
        (self.counted_batches, self.counted_bytes, self.batch_rows) = (0, 0, 0);
        self.put_batch(batch);
        self.links = Vec::new();
        for (row, number) in live.into_iter().enumerate() {
            if let Some(entry) = self.entries.get_mut(number) {
                entry.row = RowRef { batch: 0, row: row as u32 };
                entry.fill = None;
            }
        }
        Ok(())
    }

    /// The one batch there is, if its rows are the entries' already.
    fn only_batch(&mut self, live: &[usize]) -> Option<LogBatch> {
        let [batch] = self.batches.as_slice() else { return None };
        let fits = live.len() == batch.rows.num_rows()
            && !matches!(batch.present, Presence::Columns(_))
            && live.iter().enumerate().all(|(row, number)| {
                self.entries.get(*number).is_some_and(|e| e.row.row == row as u32 && e.fill.is_none())
            });
        if fits { self.batches.pop() } else { None }
    }

    fn gather(&self, live: &[usize]) -> Result<LogBatch, MergeError> {
        let schema = self.columns.kept_schema();
        let mut columns = Vec::with_capacity(schema.fields().len());
        let mut masks = Vec::with_capacity(schema.fields().len());
        for (column, field) in schema.fields().iter().enumerate() {
            let (values, mask) = self.gather_column(column, field.data_type(), live)?;
            columns.push(values);
            masks.push(mask);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(live.len()));
        let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
        let present = if self.partial { Presence::Masks(masks) } else { Presence::All };
        Ok(LogBatch { rows, present })
    }

    fn gather_column(
        &self,
        column: usize,
        data_type: &DataType,
        live: &[usize],
    ) -> Result<(ArrayRef, Option<BooleanBuffer>), MergeError> {
        if live.is_empty() {
            return Ok((arrow::array::new_empty_array(data_type), None));
        }
        let arrays: Vec<&dyn Array> = self.batches.iter().map(|b| b.rows.column(column).as_ref()).collect();
        let open: Vec<Option<BooleanBuffer>> = match (&self.rules.fill, self.partial) {
            (Fill::Nothing, _) | (_, true) => vec![None; arrays.len()],
            (fill, false) => self.batches.iter().map(|b| fill.open_rows(b.rows.column(column))).collect(),
        };
        let has_value = |at: RowRef| {
            let (batch, row) = (at.batch as usize, at.row as usize);
            let present = self.batches.get(batch).is_none_or(|b| b.present.has(column, row));
            present && open.get(batch).is_none_or(|o| o.as_ref().is_none_or(|o| !o.value(row)))
        };
        let mut mask = self.partial.then(|| Vec::with_capacity(live.len()));
        let mut indices = Vec::with_capacity(live.len());
        for entry in live.iter().filter_map(|number| self.entries.get(*number)) {
            let found = entry.rows(&self.links).find(|at| has_value(*at));
            if let Some(mask) = &mut mask {
                mask.push(found.is_some());
            }
            let at = found.unwrap_or(entry.row);
            indices.push((at.batch as usize, at.row as usize));
        }
        let mask = mask.filter(|mask| mask.contains(&false)).map(BooleanBuffer::from);
        Ok((interleave(&arrays, &indices)?, mask))
    }
}

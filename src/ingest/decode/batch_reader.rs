//! Formats with types of their own: batches as they stand in the file.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayData, ArrayRef, AsArray as _, RecordBatch, RecordBatchOptions, UInt64Array, make_array,
};
use arrow::compute::kernels::length::length;
use arrow::compute::{cast, max, take_record_batch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::{DecodeProblem, Limits};
use crate::memory::batch_bytes;

/// Bytes that a batch is meant to have at most.
pub(super) const BATCH_BYTES: usize = 8 << 20;

/// Reads the batches of one input.
pub trait BatchReader: Send + std::fmt::Debug {
    /// The columns.
    fn schema(&self) -> SchemaRef;

    /// The next records; `None` at the end.
    ///
    /// # Errors
    /// An input that is broken from here on.
    fn next(&mut self) -> Result<Option<RecordBatch>, DecodeProblem>;

    /// Passes over the next `records` records; says how many there were.
    ///
    /// # Errors
    /// As [`BatchReader::next`].
    fn skip(&mut self, records: u64) -> Result<u64, DecodeProblem>;
}

/// Passes over records by reading them, and cuts batches to what is held at once.
#[derive(Debug)]
pub(super) struct Skipping<I> {
    pub(super) batches: I,
    kind: &'static str,
    schema: SchemaRef,
    batch_rows: usize,
    rest: Option<Rest>,
    failed: bool,
}

/// What is left of a batch.
#[derive(Debug)]
struct Rest {
    batch: RecordBatch,
    /// As many of its rows become a batch of their own.
    part_rows: usize,
    /// Whether others of its rows were taken.
    is_part: bool,
}

impl<I> Skipping<I> {
    pub(super) fn new(batches: I, kind: &'static str, schema: SchemaRef, limits: &Limits) -> Self {
        Self { batches, kind, schema, batch_rows: limits.batch_rows, rest: None, failed: false }
    }
}

impl<I, E> Skipping<I>
where
    I: Iterator<Item = Result<RecordBatch, E>> + Send + std::fmt::Debug,
    E: Into<super::guard::Caught>,
{
    /// What is left of a batch, else the next one.
    fn rest(&mut self) -> Result<Option<Rest>, DecodeProblem> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        if self.failed {
            return Ok(None);
        }
        let batch = super::guard::guarded(self.kind, || self.batches.next().transpose());
        self.failed = batch.is_err();
        Ok(batch?.map(|batch| {
            let part_rows = part_rows(&batch, self.batch_rows);
            Rest { batch, part_rows, is_part: false }
        }))
    }
}

impl<I, E> BatchReader for Skipping<I>
where
    I: Iterator<Item = Result<RecordBatch, E>> + Send + std::fmt::Debug,
    E: Into<super::guard::Caught>,
{
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, DecodeProblem> {
        let Some(Rest { batch, part_rows, is_part }) = self.rest()? else { return Ok(None) };
        let rows = batch.num_rows().min(part_rows);
        if rows == batch.num_rows() && !is_part {
            return super::guard::guarded(self.kind, || plain(&batch)).map(Some);
        }
        let part = super::guard::guarded(self.kind, || plain(&copied(&batch, rows)?));
        self.failed |= part.is_err();
        if rows < batch.num_rows() && part.is_ok() {
            let batch = batch.slice(rows, batch.num_rows() - rows);
            self.rest = Some(Rest { batch, part_rows, is_part: true });
        }
        part.map(Some)
    }

    fn skip(&mut self, records: u64) -> Result<u64, DecodeProblem> {
        let mut skipped = 0;
        while skipped < records {
            let Some(Rest { batch, part_rows, .. }) = self.rest()? else { break };
            let rows = batch.num_rows();
            let count = usize::try_from(records - skipped).unwrap_or(usize::MAX).min(rows);
            skipped += count as u64;
            if count < rows {
                let batch = batch.slice(count, rows - count);
                self.rest = Some(Rest { batch, part_rows, is_part: true });
            }
        }
        Ok(skipped)
    }
}

/// How many rows of `batch` may become a batch of their own: of bounded size, once all values stand
/// where they are meant.
fn part_rows(batch: &RecordBatch, rows_max: usize) -> usize {
    let unpacked = batch.columns().iter().map(|column| unpacked_bytes(&column.to_data()));
    let bytes = unpacked.fold(batch_bytes(batch), usize::saturating_add).max(1);
    (batch.num_rows().saturating_mul(BATCH_BYTES) / bytes).clamp(1, rows_max)
}

/// At most as many bytes do values take that the array has once for many rows, when each row has
/// its own.
fn unpacked_bytes(data: &ArrayData) -> usize {
    let children = data.child_data();
    match data.data_type() {
        DataType::Dictionary(..) | DataType::RunEndEncoded(..) => {
            data.len().saturating_mul(children.last().map_or(0, widest_bytes))
        }
        _ => children.iter().map(unpacked_bytes).fold(0, usize::saturating_add),
    }
}

/// The bytes of the widest value.
fn widest_bytes(values: &ArrayData) -> usize {
    let Ok(lengths) = length(&make_array(values.clone())) else {
        return values.data_type().primitive_width().unwrap_or(0);
    };
    let widest = match lengths.as_primitive_opt::<Int32Type>() {
        Some(lengths) => max(lengths).map(i64::from),
        None => lengths.as_primitive_opt::<Int64Type>().and_then(max),
    };
    widest.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0)
}

/// The first `rows` of `batch`, without the memory of the others.
fn copied(batch: &RecordBatch, rows: usize) -> Result<RecordBatch, ArrowError> {
    let indices: UInt64Array = (0..rows as u64).collect();
    take_record_batch(batch, &indices)
}

/// Columns whose rows share values, with a value for each row.
fn plain(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| match plain_type(column.data_type()) {
        // What does not convert is left to who needs it otherwise.
        Some(to) => cast(column, &to).unwrap_or_else(|_| column.clone()),
        None => column.clone(),
    });
    let columns: Vec<ArrayRef> = columns.collect();
    let fields = batch.schema_ref().fields().iter().zip(&columns);
    let fields = fields.map(|(field, column)| {
        field.as_ref().clone().with_data_type(column.data_type().clone()).with_nullable(true)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

fn plain_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Dictionary(_, values) => Some(plain_type(values).unwrap_or_else(|| (**values).clone())),
        DataType::Utf8View => Some(DataType::Utf8),
        DataType::BinaryView => Some(DataType::Binary),
        _ => None,
    }
}

//! What stands in the frames of a spill file: log records and base keys, with their numbers.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use bytes::Bytes;
use lakebed_hudi::log_file::{DeleteRecord, DeleteRecords, encode_deletes};

use super::super::spill::{Frame, SpillFile};
use super::super::{Deleted, MergeError};
use crate::memory::batch_bytes;

/// What the log records of a frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogKind {
    /// Rows of data blocks.
    Rows { partial: bool },
    /// Records of delete blocks.
    Deletes,
}

/// Frames that are filled one after the other, in the order in which rows come; each has rows of
/// one kind.
#[derive(Debug)]
pub(super) struct FrameWriter<K> {
    written: Vec<(K, Frame)>,
    /// Rows that wait until a frame is worth it, all of one kind and with the same columns.
    waiting: Option<(K, Vec<RecordBatch>)>,
    waiting_bytes: usize,
}

impl<K> Default for FrameWriter<K> {
    fn default() -> Self {
        Self { written: Vec::new(), waiting: None, waiting_bytes: 0 }
    }
}

impl<K: Copy + PartialEq> FrameWriter<K> {
    /// Takes rows, which may be none, and writes a frame where there are `frame_bytes` of them.
    pub(super) fn push(
        &mut self,
        kind: K,
        rows: RecordBatch,
        file: &mut SpillFile,
        frame_bytes: usize,
    ) -> Result<(), MergeError> {
        let fits = |(waiting, batches): &(K, Vec<RecordBatch>)| {
            *waiting == kind && batches.last().is_some_and(|last| last.schema_ref() == rows.schema_ref())
        };
        match self.waiting.as_ref().is_some_and(fits) {
            true if rows.num_rows() == 0 => return Ok(()),
            true => {}
            false => self.flush(file)?,
        }
        self.waiting_bytes += batch_bytes(&rows);
        self.waiting.get_or_insert((kind, Vec::new())).1.push(rows);
        if self.waiting_bytes >= frame_bytes { self.flush(file) } else { Ok(()) }
    }

    fn flush(&mut self, file: &mut SpillFile) -> Result<(), MergeError> {
        self.waiting_bytes = 0;
        let Some((kind, batches)) = self.waiting.take() else { return Ok(()) };
        let Some(first) = batches.first() else { return Ok(()) };
        self.written.push((kind, file.write(&concat_batches(first.schema_ref(), &batches)?)?));
        Ok(())
    }

    /// The frames, in order.
    pub(super) fn finish(mut self, file: &mut SpillFile) -> Result<Vec<(K, Frame)>, MergeError> {
        self.flush(file)?;
        Ok(self.written)
    }
}

/// `batch` with a column of numbers behind all others.
pub(super) fn numbered(
    batch: &RecordBatch,
    name: &str,
    numbers: UInt64Array,
) -> Result<RecordBatch, MergeError> {
    let mut fields: Vec<_> = batch.schema_ref().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(name, DataType::UInt64, false)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(numbers));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// What [`numbered`] was given.
pub(super) fn unnumbered(batch: &RecordBatch) -> Result<(RecordBatch, UInt64Array), MergeError> {
    let last = batch.num_columns().saturating_sub(1);
    let numbers = batch.column(last).as_primitive::<UInt64Type>().clone();
    Ok((batch.project(&(0..last).collect::<Vec<_>>())?, numbers))
}

/// Deletes as a column, each in the form of a delete block.
pub(super) fn encoded(deletes: &[Deleted]) -> Result<RecordBatch, MergeError> {
    let content = |delete: &Deleted| {
        let record = DeleteRecord {
            record_key: delete.record_key.clone(),
            partition_path: None,
            ordering: delete.ordering.clone(),
        };
        encode_deletes(&[record]).map_err(MergeError::SpilledDelete)
    };
    let contents = deletes.iter().map(content).collect::<Result<Vec<_>, _>>()?;
    let column: ArrayRef = Arc::new(BinaryArray::from_iter_values(contents));
    Ok(RecordBatch::try_from_iter([("delete", column)])?)
}

/// What [`encoded`] was given.
pub(super) fn decoded(batch: &RecordBatch) -> Result<Vec<Deleted>, MergeError> {
    let mut deletes = Vec::with_capacity(batch.num_rows());
    for content in batch.column(0).as_binary::<i32>().iter().flatten() {
        let records = DeleteRecords::try_new(&Bytes::copy_from_slice(content));
        for record in records.map_err(MergeError::SpilledDelete)? {
            let record = record.map_err(MergeError::SpilledDelete)?;
            deletes.push(Deleted { record_key: record.record_key, ordering: record.ordering });
        }
    }
    Ok(deletes)
}

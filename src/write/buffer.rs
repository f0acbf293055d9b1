//! Rows that wait in memory.

use arrow::array::RecordBatch;

use crate::memory::batch_bytes;

/// Rows that wait.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    batches: Vec<RecordBatch>,
    bytes: usize,
}

impl Buffer {
    /// Takes rows.
    pub(super) fn push(&mut self, batch: RecordBatch) {
        self.bytes += batch_bytes(&batch);
        self.batches.push(batch);
    }

    /// Bytes of memory that they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All rows, in the order in which they came; the buffer is empty then.
    pub(super) fn take(&mut self) -> Vec<RecordBatch> {
        self.bytes = 0;
        std::mem::take(&mut self.batches)
    }
}

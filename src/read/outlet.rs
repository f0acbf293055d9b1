//! Where the rows of a slice wait to be taken.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::ReadError;
use super::scan_options::ScanOptions;

/// Slices that are open for each that is merged: those that are read next, and those whose rows wait.
pub(super) const OPEN_PER_SLOT: usize = 2;

/// What waits to be taken of a slice.
pub(super) enum Waiting {
    /// A batch, with the memory that is set aside for it.
    Batch(RecordBatch, OwnedSemaphorePermit),
    Failed(ReadError),
    /// All rows are out. A thread that stopped before that cannot say so.
    End,
}

/// Where a slice's batches go; waits while too many bytes of them have not been taken.
pub(super) struct Outlet {
    rows: mpsc::UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
    room_kib: u32,
    runtime: Handle,
}

impl Outlet {
    pub(super) fn new(options: &ScanOptions, rows: mpsc::UnboundedSender<Waiting>, runtime: Handle) -> Self {
        let share_kib = options.memory_budget_bytes / options.parallelism.max(1) / (4 * OPEN_PER_SLOT) / 1024;
        let room_kib = u32::try_from(share_kib.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { rows, room: Arc::new(Semaphore::new(room_kib as usize)), room_kib, runtime }
    }

    /// Hands a batch out when there is room for it.
    pub(super) fn send(&self, batch: RecordBatch) -> Result<(), ReadError> {
        // Batches are often slices of larger ones: only their own part counts.
        let part = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default();
        let bytes: usize = batch.columns().iter().map(part).sum();
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let wanted = self.room.clone().acquire_many_owned(kib.min(self.room_kib));
        let room = self.runtime.block_on(async {
            tokio::select! {
                room = wanted => room.map_err(|_| ReadError::Stopped),
                () = self.rows.closed() => Err(ReadError::Stopped),
            }
        })?;
        self.rows.send(Waiting::Batch(batch, room)).map_err(|_| ReadError::Stopped)
    }
}

//! Where what comes of a slice waits to be taken.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::ReadError;
use super::scan_options::ScanOptions;

/// Slices that are open for each that is merged: those that are read next, and those whose rows wait.
pub(super) const OPEN_PER_SLOT: usize = 2;

/// What waits to be taken of a slice.
pub(super) enum Waiting<T> {
    /// A piece, with the memory that is set aside for it.
    Piece(T, OwnedSemaphorePermit),
    Failed(ReadError),
    /// All is out. A thread that stopped before that cannot say so.
    End,
}

/// Where the pieces that come of a slice go; waits while too many bytes of them have not been taken.
pub(super) struct Outlet<T> {
    pieces: mpsc::UnboundedSender<Waiting<T>>,
    room: Arc<Semaphore>,
    room_kib: u32,
    runtime: Handle,
}

impl<T> Outlet<T> {
    pub(super) fn new(
        options: &ScanOptions,
        pieces: mpsc::UnboundedSender<Waiting<T>>,
        runtime: Handle,
    ) -> Self {
        let share_kib = options.memory_budget_bytes / options.parallelism.max(1) / (4 * OPEN_PER_SLOT) / 1024;
        let room_kib = u32::try_from(share_kib.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { pieces, room: Arc::new(Semaphore::new(room_kib as usize)), room_kib, runtime }
    }

    /// Hands a piece out when there is room for its bytes.
    pub(super) fn send(&self, piece: T, bytes: usize) -> Result<(), ReadError> {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let wanted = self.room.clone().acquire_many_owned(kib.min(self.room_kib));
        let room = self.runtime.block_on(async {
            tokio::select! {
                room = wanted => room.map_err(|_| ReadError::Stopped),
                () = self.pieces.closed() => Err(ReadError::Stopped),
            }
        })?;
        self.pieces.send(Waiting::Piece(piece, room)).map_err(|_| ReadError::Stopped)
    }
}

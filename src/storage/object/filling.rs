//! What waits for an upload, within the memory that all uploads of a storage share.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use object_store::PutPayload;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::memory::SpillArea;

/// Size of a part, the least that S3 takes. All parts but the last have it exactly, as some
/// stores demand.
pub(super) const PART_BYTES: usize = 5 << 20;

/// How many parts of all files are sent at the same time.
const PARTS_IN_FLIGHT: usize = 4;

/// Bytes that wait in memory for a part to be full, of all files together.
const WAITING_BYTES_MAX: usize = 2 * PART_BYTES;

/// The memory that the files of one storage share while they are written.
#[derive(Debug)]
pub(super) struct UploadMemory {
    in_flight: Arc<Semaphore>,
    waiting_bytes: AtomicUsize,
    spill: SpillArea,
}

impl UploadMemory {
    /// Bytes of it in all.
    pub(super) const BYTES: usize = PARTS_IN_FLIGHT * PART_BYTES + WAITING_BYTES_MAX;

    /// Memory of which all is free; what does not fit waits in `spill`.
    pub(super) fn new(spill: SpillArea) -> Self {
        let in_flight = Arc::new(Semaphore::new(PARTS_IN_FLIGHT));
        Self { in_flight, waiting_bytes: AtomicUsize::new(0), spill }
    }

    /// Waits until one more part, or small file, may be in flight.
    pub(super) async fn part(&self) -> Option<OwnedSemaphorePermit> {
        // Nobody closes the semaphore.
        self.in_flight.clone().acquire_owned().await.ok()
    }
}

/// The next part of a file: its start in a temporary file if memory was short, the rest in memory.
#[derive(Debug)]
pub(super) struct Filling {
    memory: Arc<UploadMemory>,
    pieces: Vec<Bytes>,
    pieces_bytes: usize,
    aside: Option<File>,
    aside_bytes: usize,
}

impl Filling {
    pub(super) fn new(memory: Arc<UploadMemory>) -> Self {
        Self { memory, pieces: Vec::new(), pieces_bytes: 0, aside: None, aside_bytes: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.aside_bytes + self.pieces_bytes
    }

    /// Appends `piece`. If too much waits in memory and no part is full yet, all goes to the
    /// temporary file.
    pub(super) async fn push(&mut self, piece: Bytes) -> io::Result<()> {
        self.pieces_bytes += piece.len();
        let waiting_bytes = self.memory.waiting_bytes.fetch_add(piece.len(), Ordering::Relaxed) + piece.len();
        self.pieces.push(piece);
        if waiting_bytes > WAITING_BYTES_MAX && self.bytes() < PART_BYTES {
            self.put_aside().await?;
        }
        Ok(())
    }

    async fn put_aside(&mut self) -> io::Result<()> {
        let (bytes, pieces, aside) = (self.bytes(), self.take_pieces(), self.aside.take());
        let spill = self.memory.spill.clone();
        self.aside = Some(
            blocking(move || {
                let mut file = aside.map_or_else(|| spill.file(), Ok)?;
                pieces.iter().try_for_each(|piece| file.write_all(piece))?;
                Ok(file)
            })
            .await?,
        );
        self.aside_bytes = bytes;
        Ok(())
    }

    /// The first [`PART_BYTES`] bytes, or all if there are fewer.
    pub(super) async fn take_part(&mut self) -> io::Result<PutPayload> {
        let mut part = Vec::new();
        let mut missing_bytes = PART_BYTES;
        if let Some(mut file) = self.aside.take() {
            let start = blocking(move || {
                let mut start = Vec::new();
                file.rewind()?;
                file.read_to_end(&mut start)?;
                Ok(start)
            })
            .await?;
            if start.len() != self.aside_bytes {
                let problem = format!("a temporary file of {} bytes has {}", self.aside_bytes, start.len());
                return Err(io::Error::other(problem));
            }
            missing_bytes -= start.len();
            self.aside_bytes = 0;
            part.push(Bytes::from(start));
        }
        let mut rest = Vec::new();
        for mut piece in self.take_pieces() {
            let head = piece.split_to(missing_bytes.min(piece.len()));
            missing_bytes -= head.len();
            let is_split = !head.is_empty() && !piece.is_empty();
            part.extend(Some(head).filter(|head| !head.is_empty()));
            if is_split && piece.len() < PART_BYTES {
                // A little that is left over must not keep the whole piece alive.
                piece = Bytes::copy_from_slice(&piece);
            }
            rest.extend(Some(piece).filter(|piece| !piece.is_empty()));
        }
        self.pieces_bytes = rest.iter().map(Bytes::len).sum();
        self.memory.waiting_bytes.fetch_add(self.pieces_bytes, Ordering::Relaxed);
        self.pieces = rest;
        Ok(PutPayload::from_iter(part))
    }

    fn take_pieces(&mut self) -> Vec<Bytes> {
        self.memory.waiting_bytes.fetch_sub(self.pieces_bytes, Ordering::Relaxed);
        self.pieces_bytes = 0;
        std::mem::take(&mut self.pieces)
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.take_pieces();
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `n`th 64 KiB of file `file`.
    fn piece(file: usize, n: usize) -> Bytes {
        let unit = (file as u32) << 16 | n as u32;
        unit.to_le_bytes().repeat((64 << 10) / 4).into()
    }

    #[tokio::test]
    async fn what_many_files_wait_with_takes_little_memory_and_stays_whole() {
        const FILES: usize = 12;
        const PIECES: usize = 100;
        let memory = Arc::new(UploadMemory::new(SpillArea::default()));
        let mut files: Vec<_> = (0..FILES).map(|_| (Filling::new(memory.clone()), Vec::new())).collect();
        for n in 0..PIECES {
            for (file, (filling, written)) in files.iter_mut().enumerate() {
                filling.push(piece(file, n)).await.unwrap();
                while filling.bytes() >= PART_BYTES {
                    let part = filling.take_part().await.unwrap();
                    assert_eq!(part.content_length(), PART_BYTES);
                    written.extend(part.iter().flatten().copied());
                }
                assert!(memory.waiting_bytes.load(Ordering::Relaxed) <= WAITING_BYTES_MAX);
            }
        }
        assert!(files.iter().any(|(filling, _)| filling.aside.is_some()));
        for (file, (mut filling, mut written)) in files.into_iter().enumerate() {
            assert!(filling.bytes() > 0);
            written.extend(filling.take_part().await.unwrap().iter().flatten().copied());
            assert_eq!(filling.bytes(), 0);
            let whole: Vec<u8> = (0..PIECES).flat_map(|n| piece(file, n)).collect();
            assert!(whole == written);
        }
        assert_eq!(memory.waiting_bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn what_does_not_fit_waits_in_the_area_that_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = SpillArea::in_folder(folder.path().join("nowhere"));
        let memory = Arc::new(UploadMemory::new(nowhere));
        memory.waiting_bytes.store(WAITING_BYTES_MAX, Ordering::Relaxed);
        let error = Filling::new(memory).push(piece(0, 0)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}

//! Creating data files so that whoever comes after a crash finds them, and filling them.

use bytes::Bytes;
use lakebed_hudi::file_name::{MarkerKind, PARTITION_METADATA};
use lakebed_hudi::properties::Properties;

use super::WriteError;
use crate::storage::{FileWriter, Storage, StorageError, TablePath};
use crate::table::{Attempt, partition_folder};

/// Pieces of a file that may wait for the storage while the next ones are encoded.
pub(super) const PIECES_WAITING: usize = 1;

/// Makes the folder of `partition` a partition: without this file Spark sees no rows in it.
///
/// Source: `HoodiePartitionMetadata`.
pub(super) async fn make_partition(
    storage: &dyn Storage,
    attempt: &Attempt,
    partition: &str,
) -> Result<(), WriteError> {
    let folder = partition_folder(partition)?;
    let depth = folder.segments().count().to_string();
    let entries = [("commitTime", attempt.instant.to_string()), ("partitionDepth", depth)];
    let bytes = Properties::from_iter(entries).to_bytes("partition metadata");
    match storage.put_if_absent(&folder.join(PARTITION_METADATA)?, bytes.into()).await {
        Ok(_) | Err(StorageError::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Creates a data file after its marker.
pub(super) async fn create(
    storage: &dyn Storage,
    attempt: &Attempt,
    partition: &str,
    name: &str,
    kind: MarkerKind,
) -> Result<(TablePath, Box<dyn FileWriter>), WriteError> {
    let path = partition_folder(partition)?.join(name)?;
    let marker = attempt.marker(&path, kind)?;
    let writer = storage.create(&path, Some(&marker)).await?;
    Ok((path, writer))
}

/// Takes the bytes of a file from a thread that encodes them.
pub(super) type Pieces = tokio::sync::mpsc::Sender<Vec<Bytes>>;

/// Runs `encode` off the async runtime and writes what it sends to `file` meanwhile.
pub(super) async fn encode_into<T: Send + 'static>(
    file: &mut dyn FileWriter,
    encode: impl FnOnce(&Pieces) -> Result<T, WriteError> + Send + 'static,
) -> Result<T, WriteError> {
    let (pieces, mut arriving) = tokio::sync::mpsc::channel(PIECES_WAITING);
    let encoding = on_rayon(move || encode(&pieces));
    // A failed write drops the receiver, which stops the encoder at its next piece.
    let writing = async move {
        while let Some(pieces) = arriving.recv().await {
            for piece in pieces {
                file.write(piece).await?;
            }
        }
        Ok::<_, WriteError>(())
    };
    let (encoded, written) = futures::join!(encoding, writing);
    written?;
    encoded
}

/// Sends bytes from the encoding thread, if there are any.
pub(super) fn send(pieces: &Pieces, bytes: Vec<Bytes>) -> Result<(), WriteError> {
    if bytes.is_empty() {
        return Ok(());
    }
    pieces.blocking_send(bytes).map_err(|_| WriteError::Abandoned)
}

/// Runs CPU work off the async runtime: it has begun when this returns.
pub(super) fn on_rayon<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WriteError> + Send + 'static,
) -> impl Future<Output = Result<T, WriteError>> + Send + 'static {
    let (done, wait) = tokio::sync::oneshot::channel();
    rayon::spawn(move || {
        // A panic drops `done`, which is an answer of its own; it must not reach rayon, which
        // would end the process. Nobody waits any more if the write was given up.
        if let Ok(worked) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
            let _ = done.send(worked);
        }
    });
    async { wait.await.unwrap_or(Err(WriteError::Panicked)) }
}

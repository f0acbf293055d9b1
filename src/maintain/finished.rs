//! Which parts of a plan are done: noted in the table, so that whoever goes on does not do them again.
//!
//! A note is put when all files of its part are durable, beside Hudi's own files and not among its markers, whose
//! names Hudi reads. It counts if the files that it names are there with their sizes: another engine that took
//! the service over has deleted them.

use std::collections::BTreeMap;

use lakebed_hudi::instant::InstantTime;

use crate::commit::{CommitError, Committer};
use crate::storage::{StorageError, TablePath};
use crate::table::StagedFile;
use crate::timeline::Instant;

/// No note is longer: it holds the ranges of all columns of its files.
const NOTE_BYTES_MAX: u64 = 64 << 20;

/// The notes of all services, a folder for each instant.
fn root() -> TablePath {
    TablePath::literal(".hoodie/.aux/lakebed-services")
}

fn folder(instant: InstantTime) -> TablePath {
    // Digits are a name.
    root().join(instant.as_str()).unwrap_or_else(|_| root())
}

/// The parts of the service `instant` that are done, by their numbers in the plan, with the files that were made;
/// `sizes` are those of all files there.
pub(super) async fn read(
    committer: &Committer,
    instant: InstantTime,
    sizes: &BTreeMap<String, u64>,
) -> Result<BTreeMap<u32, Vec<StagedFile>>, StorageError> {
    let is_whole = |file: &StagedFile| sizes.get(file.path.as_str()) == Some(&file.size_bytes);
    let storage = &committer.table().storage;
    let mut finished = BTreeMap::new();
    for file in storage.list(&folder(instant)).await?.files {
        let number = file.path.file_name().strip_suffix(".json").and_then(|digits| digits.parse().ok());
        let Some(number) = number else { continue };
        let bytes = storage.get(&file.path, NOTE_BYTES_MAX).await?.bytes;
        // A note that cannot be read is none.
        let Ok(staged) = serde_json::from_slice::<Vec<StagedFile>>(&bytes) else { continue };
        if staged.iter().all(is_whole) {
            finished.insert(number, staged);
        }
    }
    Ok(finished)
}

/// Notes that part `number` of the service `instant` is done.
pub(super) async fn note(
    committer: &Committer,
    instant: InstantTime,
    number: u32,
    staged: &[StagedFile],
) -> Result<(), StorageError> {
    let path = folder(instant).join(&format!("{number}.json")).unwrap_or_else(|_| root());
    committer.table().storage.put(&path, serde_json::to_vec(staged).unwrap_or_default().into()).await
}

/// Removes the notes of a service that is over.
pub(super) async fn forget(committer: &Committer, instant: InstantTime) -> Result<(), StorageError> {
    committer.table().storage.delete_dir(&folder(instant)).await
}

/// Removes the notes of services that are over, whoever ended them.
pub(super) async fn sweep(committer: &Committer) -> Result<(), CommitError> {
    let folders = committer.table().storage.list(&root()).await?.folders;
    if folders.is_empty() {
        return Ok(());
    }
    // Read last: what is noted from now on is of a service that is pending then.
    let timeline = committer.timeline().await?;
    for folder in folders {
        let Ok(instant) = folder.file_name().parse::<InstantTime>() else { continue };
        if timeline.write_at(instant).is_none_or(Instant::is_completed) {
            committer.table().storage.delete_dir(&folder).await?;
        }
    }
    Ok(())
}

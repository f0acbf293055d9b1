//! Which file groups of a compaction are done: noted in the table, so that whoever goes on does not do them
//! again.
//!
//! A note is put when its file is durable, beside Hudi's own files and not among its markers, whose names Hudi
//! reads. It counts if the file that it names is there with its size: another engine that took the compaction
//! over has deleted it.

use std::collections::BTreeMap;

use lakebed_hudi::instant::InstantTime;

use crate::commit::{CommitError, Committer};
use crate::storage::{StorageError, TablePath};
use crate::table::StagedFile;
use crate::timeline::Instant;

/// No note is longer: it holds the ranges of all columns.
const NOTE_BYTES_MAX: u64 = 64 << 20;

/// The notes of all services, a folder for each instant.
fn root() -> TablePath {
    TablePath::literal(".hoodie/.aux/lakebed-services")
}

fn folder(instant: InstantTime) -> TablePath {
    // Digits are a name.
    root().join(instant.as_str()).unwrap_or_else(|_| root())
}

/// The groups of the compaction `instant` that are done, by their numbers in the plan.
pub(super) async fn read(
    committer: &Committer,
    instant: InstantTime,
    sizes: &BTreeMap<String, u64>,
) -> Result<BTreeMap<u32, StagedFile>, StorageError> {
    let storage = &committer.table().storage;
    let mut finished = BTreeMap::new();
    for file in storage.list(&folder(instant)).await?.files {
        let number = file.path.file_name().strip_suffix(".json").and_then(|digits| digits.parse().ok());
        let Some(number) = number else { continue };
        let bytes = storage.get(&file.path, NOTE_BYTES_MAX).await?.bytes;
        // A note that cannot be read is none.
        let Ok(staged) = serde_json::from_slice::<StagedFile>(&bytes) else { continue };
        if sizes.get(staged.path.as_str()) == Some(&staged.size_bytes) {
            finished.insert(number, staged);
        }
    }
    Ok(finished)
}

/// Notes that group `number` of the compaction `instant` is done.
pub(super) async fn note(
    committer: &Committer,
    instant: InstantTime,
    number: u32,
    staged: &StagedFile,
) -> Result<(), StorageError> {
    let path = folder(instant).join(&format!("{number}.json")).unwrap_or_else(|_| root());
    committer.table().storage.put(&path, serde_json::to_vec(staged).unwrap_or_default().into()).await
}

/// Removes the notes of a compaction that is over.
pub(super) async fn forget(committer: &Committer, instant: InstantTime) -> Result<(), StorageError> {
    committer.table().storage.delete_dir(&folder(instant)).await
}

/// Removes the notes of compactions that are over, whoever ended them.
pub(in crate::maintain) async fn sweep(committer: &Committer) -> Result<(), CommitError> {
    let folders = committer.table().storage.list(&root()).await?.folders;
    if folders.is_empty() {
        return Ok(());
    }
    // Read last: what is noted from now on is of a compaction that is pending then.
    let timeline = committer.timeline().await?;
    for folder in folders {
        let Ok(instant) = folder.file_name().parse::<InstantTime>() else { continue };
        if timeline.write_at(instant).is_none_or(Instant::is_completed) {
            committer.table().storage.delete_dir(&folder).await?;
        }
    }
    Ok(())
}

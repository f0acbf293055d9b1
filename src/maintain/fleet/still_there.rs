//! Whether files are there that a table is known to have.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::maintain::SliceFiles;
use crate::table::{TableError, TableSnapshot};

/// How many folders are listed at the same time.
const LISTINGS: usize = 16;

/// Whether all files of `slices` are there with the bytes they are known to have.
///
/// # Errors
/// Those of the storage.
pub(super) async fn are_there<'a>(
    snapshot: &TableSnapshot,
    slices: impl Iterator<Item = &'a SliceFiles>,
) -> Result<bool, TableError> {
    let mut known: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (partition, file) in slices.flat_map(SliceFiles::files) {
        known.entry(partition.to_owned()).or_default().insert(file.name.clone(), file.bytes);
    }
    let mut checks = stream::iter(known)
        .map(|(partition, mut missing)| async move {
            for found in snapshot.partition_files(&partition).await? {
                if missing.get(found.path.file_name()) == Some(&found.size) {
                    missing.remove(found.path.file_name());
                }
            }
            Ok::<_, TableError>(missing.is_empty())
        })
        .buffer_unordered(LISTINGS);
    while let Some(are_there) = checks.try_next().await? {
        if !are_there {
            return Ok(false);
        }
    }
    Ok(true)
}

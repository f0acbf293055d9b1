//! Whether files are there that a table is known to have.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::maintain::SliceFile;
use crate::table::{TableError, TableSnapshot};

/// How many folders are listed at the same time.
const LISTINGS: usize = 16;

/// Whether all of `files`, which come with their partitions, are there with the bytes they are known to have.
///
/// # Errors
/// Those of the storage.
pub(super) async fn are_there<'a>(
    snapshot: &TableSnapshot,
    files: impl Iterator<Item = (&'a str, &'a SliceFile)>,
) -> Result<bool, TableError> {
    let mut known: BTreeMap<&str, Vec<&SliceFile>> = BTreeMap::new();
    for (partition, file) in files {
        known.entry(partition).or_default().push(file);
    }
    let mut checks = stream::iter(known)
        .map(|(partition, files)| async move {
            let listed = snapshot.partition_files(partition).await?;
            let sizes: BTreeMap<&str, u64> =
                listed.iter().map(|entry| (entry.path.file_name(), entry.size)).collect();
            let is_there = |file: &&SliceFile| sizes.get(file.name.as_str()) == Some(&file.bytes);
            Ok::<_, TableError>(files.iter().all(is_there))
        })
        .buffer_unordered(LISTINGS);
    while let Some(are_there) = checks.try_next().await? {
        if !are_there {
            return Ok(false);
        }
    }
    Ok(true)
}

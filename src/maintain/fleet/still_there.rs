//! Whether files are there that a table is known to have.

use std::collections::BTreeMap;

use crate::maintain::SliceFiles;
use crate::storage::Entry;
use crate::table::{TableError, TableSnapshot};

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
    let listed = snapshot.files_in(known.keys().cloned().collect::<Vec<_>>()).await?;
    let is_there = |files: &[Entry], known: &BTreeMap<String, u64>| {
        let sizes: BTreeMap<&str, u64> =
            files.iter().map(|file| (file.path.file_name(), file.size)).collect();
        known.iter().all(|(name, bytes)| sizes.get(name.as_str()) == Some(bytes))
    };
    // Both are in the order of the partitions.
    Ok(listed.iter().zip(known.values()).all(|((_, files), known)| is_there(files, known)))
}

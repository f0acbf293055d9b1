//! Whether files are there that a table is known to have.

use std::collections::BTreeMap;

use crate::maintain::SliceFiles;
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
    for (partition, files) in snapshot.files_in(known.keys().cloned().collect::<Vec<_>>()).await? {
        let sizes: BTreeMap<&str, u64> =
            files.iter().map(|file| (file.path.file_name(), file.size)).collect();
        if known[&partition].iter().any(|(name, bytes)| sizes.get(name.as_str()) != Some(bytes)) {
            return Ok(false);
        }
    }
    Ok(true)
}

//! Where a new table may be.

use bytes::Bytes;

use super::{TableError, properties};
use crate::storage::{Entry, Storage, StorageError, TablePath};

/// Refuses to make a table out of a folder that is in use, or is part of another table.
pub(crate) async fn check_place(storage: &dyn Storage) -> Result<(), TableError> {
    let uri = storage.uri().to_string();
    if properties::exist(storage, &TablePath::root()).await? {
        return Err(TableError::Exists { uri });
    }
    if let Some(table) = enclosing_table(storage).await? {
        return Err(TableError::Inside { uri, table });
    }
    let listing = storage.list(&TablePath::root()).await?;
    let in_the_way = |path: &TablePath| path.file_name() != ".hoodie";
    let others = listing.files.iter().map(|entry| &entry.path).chain(&listing.folders);
    if let Some(found) = others.filter(|path| in_the_way(path)).min() {
        return Err(TableError::NotEmpty { uri, found: found.to_string() });
    }
    // What is left of a table that lost its properties must not become part of a new one.
    let timeline = storage.list(&timeline_folder()).await?;
    let is_instant = |entry: &&Entry| entry.path.file_name().starts_with(|c: char| c.is_ascii_digit());
    match timeline.files.iter().find(is_instant) {
        Some(instant) => Err(TableError::NotEmpty { uri, found: instant.path.to_string() }),
        None => Ok(()),
    }
}

/// The table that a folder is in, were it a partition or one of Hudi's own folders.
async fn enclosing_table(storage: &dyn Storage) -> Result<Option<String>, StorageError> {
    let mut above = storage.parent();
    while let Some(folder) = above {
        match properties::exist(folder.as_ref(), &TablePath::root()).await {
            Ok(false) => above = folder.parent(),
            Ok(true) => return Ok(Some(folder.uri().to_string())),
            // Who may write here need not be allowed to look there.
            Err(StorageError::PermissionDenied { .. }) => above = folder.parent(),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn timeline_folder() -> TablePath {
    TablePath::literal(".hoodie/timeline")
}

/// Makes the folder of the timeline by an empty file in it whose name no engine takes for an
/// instant's.
pub(super) async fn keep_timeline_folder(storage: &dyn Storage) -> Result<(), TableError> {
    let path = timeline_folder().join(".keep")?;
    Ok(storage.put(&path, Bytes::new()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::storage::object::ObjectStorage;

    #[tokio::test]
    async fn tables_are_found_in_all_prefixes_above() {
        let uri = "s3://memory/lake/t/p=1".parse().unwrap();
        let place = ObjectStorage::in_memory(&uri, &Environment::real());
        check_place(&place).await.unwrap();
        let lake = place.parent().unwrap().parent().unwrap();
        lake.put(&TablePath::literal(".hoodie/hoodie.properties"), Bytes::new()).await.unwrap();
        let refused = check_place(&place).await.unwrap_err();
        assert!(
            matches!(&refused, TableError::Inside { table, .. } if table == "s3://memory/lake"),
            "{refused}"
        );
        assert!(lake.parent().unwrap().parent().is_none());
    }
}

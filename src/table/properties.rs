//! Reading and changing `hoodie.properties` so that a crash at any step leaves a readable table.

use bytes::Bytes;
use lakebed_hudi::properties::{Properties, PropertiesError};
use lakebed_hudi::table_config::{TableConfig, TableConfigError, checksum, key};

use crate::storage::{Storage, StorageError, TablePath};

const MAX_BYTES: u64 = 64 << 20;

/// Why a table's properties could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum PropertiesFileError {
    /// There is no table.
    #[error("{uri} is no Hudi table: {}", match is_empty {
        true => "there is no such folder, or nothing in it",
        false => "it has neither .hoodie/hoodie.properties nor a backup of it",
    })]
    NoTable {
        /// Where a table was expected.
        uri: String,
        /// Whether nothing is there at all.
        is_empty: bool,
    },
    /// The text is broken.
    #[error("{path}: {source}")]
    Text {
        /// The file.
        path: TablePath,
        /// What is wrong with it.
        source: PropertiesError,
    },
    /// The text is no table that can be understood.
    #[error(transparent)]
    Config(#[from] TableConfigError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn current() -> TablePath {
    TablePath::literal(".hoodie/hoodie.properties")
}

fn backup() -> TablePath {
    TablePath::literal(".hoodie/hoodie.properties.backup")
}

/// What the properties of the table in `storage` say; those of the backup where an update was
/// cut off.
///
/// # Errors
/// No table, or one that cannot be understood.
pub async fn load(storage: &dyn Storage) -> Result<TableConfig, PropertiesFileError> {
    Ok(TableConfig::from_properties(newest(storage).await?.0)?)
}

/// The properties that count, and their bytes.
///
/// The backup counts only where it is whole and the properties are not: an update by Hudi is cut off
/// while it writes the one or the other, never both.
///
/// Source: `ConfigUtils.fetchConfigs` and `recoverIfNeeded`.
async fn newest(storage: &dyn Storage) -> Result<(Properties, Bytes), PropertiesFileError> {
    let found = newest_of(|path| async move { find(storage, &path).await }).await?;
    match found {
        Some(found) => Ok(found),
        None => {
            let there = storage.list(&TablePath::root()).await;
            let is_empty = there.is_ok_and(|there| there.files.is_empty() && there.folders.is_empty());
            Err(PropertiesFileError::NoTable { uri: storage.uri().to_string(), is_empty })
        }
    }
}

/// As [`newest`], of the files that `find` finds; `None` where there are none.
async fn newest_of<F: Future<Output = Result<Option<Bytes>, StorageError>>>(
    find: impl Fn(TablePath) -> F,
) -> Result<Option<(Properties, Bytes)>, PropertiesFileError> {
    let found = find(current()).await?;
    if let Some(bytes) = &found
        && let Some(properties) = whole(bytes)
    {
        return Ok(Some((properties, bytes.clone())));
    }
    let (path, bytes) = match (found, find(backup()).await?) {
        (Some(found), Some(kept)) if whole(&kept).is_none() => (current(), found),
        (_, Some(kept)) => (backup(), kept),
        // An update that was under way at the first look has ended since, or there is no table.
        (_, None) => match find(current()).await? {
            Some(found) => (current(), found),
            None => return Ok(None),
        },
    };
    match Properties::parse(&bytes) {
        Ok(properties) => Ok(Some((properties, bytes))),
        Err(source) => Err(PropertiesFileError::Text { path, source }),
    }
}

async fn find(storage: &dyn Storage, path: &TablePath) -> Result<Option<Bytes>, StorageError> {
    match storage.get(path, MAX_BYTES).await {
        Ok(object) => Ok(Some(object.bytes)),
        Err(StorageError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The properties in `bytes`, if these do not look cut off: Java and Lakebed end the last line, and
/// write a checksum of the table's names.
fn whole(bytes: &[u8]) -> Option<Properties> {
    let properties = Properties::parse(bytes).ok().filter(|_| bytes.ends_with(b"\n"))?;
    let database = properties.get(key::DATABASE).unwrap_or_default();
    let expected = checksum(database, properties.get(key::NAME)?).to_string();
    (properties.get(key::CHECKSUM) == Some(expected.as_str())).then_some(properties)
}

/// Whether the folder `table` has properties, or a backup of them, readable or not.
///
/// # Errors
/// Those of the storage.
pub async fn exist(storage: &dyn Storage, table: &TablePath) -> Result<bool, StorageError> {
    // Once more the first: an update may end between the two looks.
    for path in [current(), backup(), current()] {
        let Ok(path) = table.join(path.as_str()) else { return Ok(false) };
        match storage.stat(&path).await {
            Ok(_) => return Ok(true),
            Err(StorageError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Writes the properties of a new table.
///
/// # Errors
/// [`StorageError::AlreadyExists`] if there is a table.
pub(super) async fn create(storage: &dyn Storage, properties: &Properties) -> Result<(), StorageError> {
    let bytes = properties.to_bytes("Properties of a Hudi table, written by Lakebed").into();
    storage.put_if_absent(&current(), bytes).await.map(|_| ())
}

/// Replaces the properties by `properties`: backup, new file, no backup. The caller holds the
/// table lock.
///
/// Source: `HoodieTableConfig.modify`, with the difference that the file is replaced atomically.
///
/// # Errors
/// Those of the storage; the table then still reads with the old or the new properties.
pub(crate) async fn update(
    storage: &dyn Storage,
    properties: &Properties,
) -> Result<(), PropertiesFileError> {
    let (_, old) = newest(storage).await?;
    storage.put(&backup(), old).await?;
    let bytes = properties.to_bytes("Properties of a Hudi table, written by Lakebed").into();
    storage.put(&current(), bytes).await?;
    storage.delete(&backup()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What counts where the looks at the files find `looks`, one after the other.
    async fn seen(looks: [Option<&str>; 3]) -> Option<Bytes> {
        let looks = RefCell::new(looks.into_iter());
        let find = |_| Ok(looks.borrow_mut().next().unwrap().map(|text| Bytes::from(text.to_owned())));
        newest_of(|path| std::future::ready(find(path))).await.unwrap().map(|(_, bytes)| bytes)
    }

    #[tokio::test]
    async fn an_update_that_ends_between_two_looks_hides_no_table() {
        let whole = format!("hoodie.table.name=t\nhoodie.table.checksum={}\n", checksum("", "t"));
        let cut = "hoodie.table.na";
        for first in [None, Some(cut)] {
            assert_eq!(
                seen([first, None, Some(&whole)]).await.as_deref(),
                Some(whole.as_bytes()),
                "{first:?}"
            );
            assert_eq!(
                seen([first, Some(&whole), None]).await.as_deref(),
                Some(whole.as_bytes()),
                "{first:?}"
            );
        }
        assert_eq!(seen([None, None, None]).await, None);
    }
}

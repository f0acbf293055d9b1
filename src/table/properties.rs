//! Reading and changing `hoodie.properties` so that a crash at any step leaves a readable table.

use lakebed_hudi::properties::{Properties, PropertiesError};
use lakebed_hudi::table_config::{TableConfig, TableConfigError, key};

use crate::storage::{Storage, StorageError, TablePath};

const MAX_BYTES: u64 = 64 << 20;

/// Why a table's properties could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum PropertiesFileError {
    /// There is no table.
    #[error("{uri} is no Hudi table: it has neither .hoodie/hoodie.properties nor a backup of it")]
    NoTable {
        /// Where a table was expected.
        uri: String,
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
    for path in [current(), backup()] {
        match storage.get(&path, MAX_BYTES).await {
            Ok(object) => match Properties::parse(&object.bytes) {
                // A file that was cut off while it was written has no checksum line yet.
                Ok(properties) if properties.get(key::NAME).is_some() => {
                    return Ok(TableConfig::from_properties(properties)?);
                }
                Ok(_) => {}
                Err(source) => return Err(PropertiesFileError::Text { path, source }),
            },
            Err(StorageError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(PropertiesFileError::NoTable { uri: storage.uri().to_string() })
}

/// Whether there are properties, or a backup of them, readable or not.
///
/// # Errors
/// Those of the storage.
pub async fn exist(storage: &dyn Storage) -> Result<bool, StorageError> {
    for path in [current(), backup()] {
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
pub(crate) async fn update(storage: &dyn Storage, properties: &Properties) -> Result<(), StorageError> {
    let old = match storage.get(&current(), MAX_BYTES).await {
        Err(StorageError::NotFound { .. }) => storage.get(&backup(), MAX_BYTES).await?,
        found => found?,
    };
    storage.put(&backup(), old.bytes).await?;
    let bytes = properties.to_bytes("Properties of a Hudi table, written by Lakebed").into();
    storage.put(&current(), bytes).await?;
    storage.delete(&backup()).await.map(|_| ())
}

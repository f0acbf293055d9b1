//! A table: what it declares and which files its rows are in.

mod column_range;
mod conform;
mod create;
mod data_file;
mod features;
mod file_group;
mod file_schema;
mod grown_schema;
mod log_outline;
mod new_table_error;
#[cfg(test)]
pub(crate) mod one_column;
mod past;
mod place;
pub mod properties;
mod reader;
pub(crate) mod schema_history;
mod sharing;
mod snapshot;
mod staged;
mod table_files;
mod undeclared_index;

use std::sync::Arc;

use lakebed_hudi::instant::{InstantTime, TimelineZone};
use lakebed_hudi::schema::SchemaError;
use lakebed_hudi::table_config::{DeclaredZone, NewTable, TableConfig};

use crate::environment::Environment;
use crate::storage::{Storage, StorageError, TablePath, TablePathError};
use crate::timeline::{TimelineError, TimelineStore};

pub use column_range::{ColumnBound, ColumnRange};
pub(crate) use conform::conform_array;
pub use conform::{ConformError, conform};
pub use create::{check_new, differences};
pub use data_file::DataFileError;
pub(crate) use data_file::{ByteSource, FooterParts, load_footer};
pub use features::{Refusal, check_readable, check_writable};
pub use file_group::{BaseFile, FileGroup, FileGroupId, FileSlice, LogFile, SliceRules, file_groups};
pub(crate) use grown_schema::grown_schema;
pub(crate) use log_outline::{KeptHeaders, scan_log};
pub use new_table_error::{NewTableError, Role};
pub use past::PastError;
pub(crate) use place::check_place;
pub use reader::{Reader, check_readers};
pub use sharing::{Engine, writer_options};
pub use snapshot::TableSnapshot;
pub(crate) use snapshot::{hidden_partition, partition_folder};
pub use staged::{
    Attempt, BucketTarget, CompactedLogs, RowCounts, StagedFile, StagedFiles, StagedKind, WriteOperation,
    WriteTask,
};
pub(crate) use staged::{marker_folder, marker_root};
pub use table_files::TableFiles;
pub(crate) use undeclared_index::{CONSISTENT_HASHING, LIKELY_BUCKETS, has_consistent_hashing};

/// Why a table could not be opened, created or looked at.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Its properties cannot be read.
    #[error(transparent)]
    Properties(#[from] properties::PropertiesFileError),
    /// It uses what Lakebed does not support.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It cannot be read as of the time that was asked for.
    #[error(transparent)]
    Past(#[from] PastError),
    /// Its timeline cannot be read.
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    /// A path in its metadata leads out of it.
    #[error(transparent)]
    Path(#[from] TablePathError),
    /// A data file that was asked for the schema cannot be read.
    #[error(transparent)]
    File(#[from] DataFileError),
    /// Its schema cannot be understood.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Nothing in it says which columns it has.
    #[error(
        "table {uri} has no schema: no commit has one, nor has a data file, nor have its properties \
         (hoodie.table.create.schema)"
    )]
    NoSchema {
        /// The table.
        uri: String,
    },
    /// There is a table already.
    #[error("there is a table at {uri} already: it was left as it is")]
    Exists {
        /// The place.
        uri: String,
    },
    /// A new table cannot be as it was asked for.
    #[error(transparent)]
    New(#[from] NewTableError),
    /// There is something else where a new table was to be.
    #[error("{uri} is not empty: it has {found}; create the table in a folder of its own")]
    NotEmpty {
        /// The place.
        uri: String,
        /// What is there.
        found: String,
    },
    /// A new table was to be within another one.
    #[error("{uri} is inside of the table {table}; create the table in a folder outside of it")]
    Inside {
        /// The place.
        uri: String,
        /// The table around it.
        table: String,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A table of which the properties were read.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its files.
    pub storage: Arc<dyn Storage>,
    /// What its properties say.
    pub config: TableConfig,
    /// The zone of its instant times.
    pub zone: TimelineZone,
    /// The files of its timeline.
    pub timeline: TimelineStore,
    /// Time and ids.
    pub environment: Environment,
}

impl Table {
    /// Opens the table in `storage` for reading.
    ///
    /// `zone` is that of a table whose timeline is in LOCAL time; it is not used otherwise.
    ///
    /// # Errors
    /// No table, or one that cannot be read without a JVM.
    pub async fn open(
        storage: Arc<dyn Storage>,
        environment: &Environment,
        zone: Option<TimelineZone>,
    ) -> Result<Self, TableError> {
        let config = properties::load(storage.as_ref()).await?;
        check_readable(&config)?;
        let zone = match config.zone {
            DeclaredZone::Utc => TimelineZone::Utc,
            DeclaredZone::Local => zone.unwrap_or_default(),
        };
        let timeline = TimelineStore::new(storage.clone(), &config)?;
        Ok(Self { storage, config, zone, timeline, environment: environment.clone() })
    }

    /// Creates an empty table in `storage`.
    ///
    /// One file makes the table, its properties, so a crash leaves a table or none. Before it goes
    /// one that means nothing into the timeline's folder: Spark fails on a table without that
    /// folder, while it makes all others itself.
    ///
    /// # Errors
    /// What [`check_new`] refuses; [`TableError::Exists`] if there is a table,
    /// [`TableError::Inside`] if the place is part of one, and [`TableError::NotEmpty`] if there is
    /// something else. Nothing is changed then.
    pub async fn create(
        storage: Arc<dyn Storage>,
        environment: &Environment,
        new: &NewTable,
    ) -> Result<Self, TableError> {
        check_new(new)?;
        check_place(storage.as_ref()).await?;
        place::keep_timeline_folder(storage.as_ref()).await?;
        match properties::create(storage.as_ref(), &new.to_properties()).await {
            Err(StorageError::AlreadyExists { .. }) => {
                return Err(TableError::Exists { uri: storage.uri().to_string() });
            }
            created => created?,
        }
        Self::open(storage, environment, None).await
    }

    /// The table as it is, or was as of the instant `as_of`.
    ///
    /// # Errors
    /// A timeline that cannot be read, and [`PastError`].
    pub async fn snapshot(&self, as_of: Option<InstantTime>) -> Result<TableSnapshot, TableError> {
        TableSnapshot::load(self, as_of).await
    }

    /// The folder of Hudi's own files.
    pub fn meta_folder() -> TablePath {
        TablePath::literal(".hoodie")
    }
}

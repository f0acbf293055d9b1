//! Reading the files of a timeline.

use std::sync::Arc;

use bytes::Bytes;
use lakebed_hudi::table_config::TableConfig;
use lakebed_hudi::timeline_file::{TimelineFile, TimelineLayout};
use lakebed_hudi::timeline_metadata::{CommitMetadata, MetadataError};

use super::{Instant, Timeline, TimelineError};
use crate::storage::{Storage, TablePath, TablePathError};

/// Larger metadata than this is refused, so that a damaged table cannot exhaust memory.
const MAX_METADATA_BYTES: u64 = 1 << 30;

/// The files of one table's timeline.
#[derive(Debug, Clone)]
pub struct TimelineStore {
    pub(super) storage: Arc<dyn Storage>,
    layout: TimelineLayout,
    folder: TablePath,
    pub(super) history: TablePath,
}

impl TimelineStore {
    /// The timeline of the table in `storage` that `config` describes.
    ///
    /// # Errors
    /// Timeline folders in the properties that lead out of the table.
    pub fn new(storage: Arc<dyn Storage>, config: &TableConfig) -> Result<Self, TablePathError> {
        let folder = config.timeline_folder().parse()?;
        let history = config.history_folder().parse()?;
        Ok(Self { storage, layout: config.version.layout(), folder, history })
    }

    /// Lists the active timeline.
    ///
    /// # Errors
    /// A file that starts like an instant and cannot be understood.
    pub async fn load(&self) -> Result<Timeline, TimelineError> {
        let listing = self.storage.list(&self.folder).await?;
        let mut timeline = Timeline::default();
        for entry in listing.files {
            if let Some(file) = TimelineFile::parse(entry.path.file_name(), self.layout)? {
                timeline.add(file);
            }
        }
        Ok(timeline)
    }

    /// Where a file of the timeline lies.
    pub fn path(&self, file: &TimelineFile) -> TablePath {
        // The names of timeline files are digits, letters, dots and '_'.
        self.folder.join(&file.name()).unwrap_or_else(|_| self.folder.clone())
    }

    /// The bytes of a file of the timeline.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn read(&self, file: &TimelineFile) -> Result<Bytes, TimelineError> {
        Ok(self.storage.get(&self.path(file), MAX_METADATA_BYTES).await?.bytes)
    }

    /// What a completed write says of itself; an empty file says nothing.
    ///
    /// # Errors
    /// A file that is gone or cannot be understood.
    pub async fn commit_metadata(&self, instant: &Instant) -> Result<CommitMetadata, TimelineError> {
        let file = instant.file();
        match CommitMetadata::from_bytes(&self.read(&file).await?) {
            Err(MetadataError::Empty) => Ok(CommitMetadata::default()),
            read => read.map_err(|source| TimelineError::Metadata { path: self.path(&file), source }),
        }
    }
}

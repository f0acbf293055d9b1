//! Reading the files of a timeline.

use std::sync::Arc;

use bytes::Bytes;
use lakebed_hudi::table_config::TableConfig;
use lakebed_hudi::timeline_file::{Action, TimelineFile, TimelineLayout};
use lakebed_hudi::timeline_metadata::{
    CleanMetadata, CommitMetadata, MetadataError, RequestedReplaceMetadata, SavepointMetadata,
};

use super::{Instant, Timeline, TimelineError};
use crate::storage::{FolderStamp, Storage, TablePath, TablePathError};

/// Larger metadata than this is refused, so that a damaged table cannot exhaust memory.
const MAX_METADATA_BYTES: u64 = 1 << 30;

/// The files of one table's timeline.
#[derive(Debug, Clone)]
pub struct TimelineStore {
    pub(super) storage: Arc<dyn Storage>,
    layout: TimelineLayout,
    pub(crate) folder: TablePath,
    pub(crate) history: TablePath,
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

    /// Brings `timeline` up to date and returns it: what is new is listed, not what is old.
    ///
    /// New instants are later than all older ones, since all writers draw them under the table
    /// lock; older ones can only still change while they are pending. Instants that went into the
    /// archive meanwhile stay, as what they are: completed. Everything is listed anew after a rollback
    /// or a restore, which alone take completed instants away; and where the archive may have come past
    /// the place to list from, since it may hold later ones that nobody here has seen:
    /// [`Timeline::start`] tells.
    ///
    /// # Errors
    /// As [`TimelineStore::load`].
    pub async fn advance(&self, timeline: &Timeline) -> Result<Timeline, TimelineError> {
        let Some(settled) = timeline.settled_time() else { return self.load().await };
        // A name is longer than its instant, so files of the instant itself are listed, too.
        let entries = self.storage.list_after(&self.folder, settled.as_str()).await?;
        let mut advanced = timeline.before(settled);
        let (mut is_there, mut is_kept) = (false, false);
        for entry in entries {
            if let Some(file) = TimelineFile::parse(entry.path.file_name(), self.layout)? {
                is_there |= file.instant == settled;
                is_kept |= file.instant == settled && file.action == Action::Savepoint;
                advanced.add(file);
            }
        }
        let undoes = |i: &&Instant| matches!(i.action, Action::Rollback | Action::Restore);
        let is_new = |i: &&Instant| timeline.get(i.time, i.action) != Some(i);
        // Of an instant that a savepoint keeps it does not tell that none after it was archived.
        if !is_there || is_kept || advanced.instants().filter(undoes).any(|i| is_new(&i)) {
            return self.load().await;
        }
        Ok(advanced)
    }

    /// The stamp of the active timeline's folder, see [`Storage::stamp`].
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn stamp(&self) -> Result<Option<FolderStamp>, TimelineError> {
        Ok(self.storage.stamp(&self.folder).await?)
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

    /// Whether a pending instant is a clustering, which layout 1 calls a replacement like any other: its
    /// plan tells.
    ///
    /// Source: `ClusteringUtils.isClusteringInstant`.
    ///
    /// # Errors
    /// A plan that cannot be read.
    pub async fn is_clustering(&self, pending: &Instant) -> Result<bool, TimelineError> {
        if pending.requested_as != Action::ReplaceCommit {
            return Ok(pending.requested_as == Action::Clustering);
        }
        let file = TimelineFile::requested(pending.time, pending.requested_as);
        let bytes = match self.read(&file).await {
            Err(error) if error.is_not_found() => return Ok(false),
            bytes => bytes?,
        };
        match RequestedReplaceMetadata::from_avro(&bytes) {
            Ok(plan) => Ok(plan.clustering_plan.is_some()),
            Err(MetadataError::Empty) => Ok(false),
            Err(source) => Err(TimelineError::Metadata { path: self.path(&file), source }),
        }
    }

    /// What a completed clean says of itself.
    ///
    /// # Errors
    /// A file that is gone or cannot be understood.
    pub async fn clean_metadata(&self, instant: &Instant) -> Result<CleanMetadata, TimelineError> {
        let file = instant.file();
        let read = CleanMetadata::from_avro(&self.read(&file).await?);
        read.map_err(|source| TimelineError::Metadata { path: self.path(&file), source })
    }

    /// What a completed savepoint keeps.
    ///
    /// # Errors
    /// A file that is gone or cannot be understood.
    pub async fn savepoint_metadata(&self, instant: &Instant) -> Result<SavepointMetadata, TimelineError> {
        let file = instant.file();
        let read = SavepointMetadata::from_avro(&self.read(&file).await?);
        read.map_err(|source| TimelineError::Metadata { path: self.path(&file), source })
    }
}

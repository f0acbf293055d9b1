//! Reading the files of a timeline.

use std::sync::Arc;

use bytes::Bytes;
use lakebed_hudi::history::{HistoryColumns, HistoryEntry};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::TableConfig;
use lakebed_hudi::timeline_file::{Action, TimelineFile, TimelineFileError, TimelineLayout};
use lakebed_hudi::timeline_metadata::{
    CleanMetadata, CommitMetadata, MetadataError, RequestedReplaceMetadata, RollbackMetadata,
    SavepointMetadata,
};

use super::{Instant, Timeline, TimelineError};
use crate::storage::{Entry, FolderStamp, Storage, StorageError, TablePath, TablePathError};

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

    /// The active timeline.
    ///
    /// A listing is none of one moment: an instant may be archived after those before it were listed, and
    /// before it is. It would look as if it had never been, since what comes before it is there. But who
    /// archives deletes the oldest first. So what is gone after the listing from its beginning is left out.
    ///
    /// Source: `TimelineArchiverV2.deleteArchivedActions` for the order.
    ///
    /// # Errors
    /// A file that starts like an instant and cannot be understood.
    pub async fn load(&self) -> Result<Timeline, TimelineError> {
        let listing = self.storage.list(&self.folder).await?;
        self.without_gone(Timeline::from_files(self.parsed(&listing.files)?)).await
    }

    /// The active timeline as far as it is understood, and the files that are not, with why.
    ///
    /// # Errors
    /// Those of the storage.
    pub(crate) async fn load_known(
        &self,
    ) -> Result<(Timeline, Vec<(TablePath, TimelineFileError)>), TimelineError> {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for Entry { path, .. } in self.storage.list(&self.folder).await?.files {
            match TimelineFile::parse(path.file_name(), self.layout) {
                Ok(file) => known.extend(file),
                Err(error) => unknown.push((path, error)),
            }
        }
        Ok((self.without_gone(Timeline::from_files(known)).await?, unknown))
    }

    /// A timeline that was listed, without what was archived meanwhile.
    async fn without_gone(&self, mut timeline: Timeline) -> Result<Timeline, TimelineError> {
        while let Some(first) = timeline.first_to_archive().copied() {
            match self.storage.stat(&self.path(&first.file())).await {
                Ok(_) => break,
                Err(StorageError::NotFound { .. }) => timeline.remove(&first),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(timeline)
    }

    /// The files of the instants from `from` on, until `upto`.
    ///
    /// # Errors
    /// A file that starts like an instant and cannot be understood.
    pub(crate) async fn files_between(
        &self,
        from: InstantTime,
        upto: InstantTime,
    ) -> Result<Vec<TimelineFile>, TimelineError> {
        // A name is longer than its instant, and ends in letters.
        let behind = format!("{upto}~");
        self.parsed(&self.storage.list_between(&self.folder, from.as_str(), &behind).await?)
    }

    fn parsed(&self, entries: &[Entry]) -> Result<Vec<TimelineFile>, TimelineError> {
        let parse = |entry: &Entry| TimelineFile::parse(entry.path.file_name(), self.layout).transpose();
        Ok(entries.iter().filter_map(parse).collect::<Result<_, _>>()?)
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
        for file in self.parsed(&entries)? {
            advanced.add(file);
        }
        let undoes = |i: &&Instant| matches!(i.action, Action::Rollback | Action::Restore);
        // One that is not completed may take more away without a trace.
        let is_new = |i: &Instant| !i.is_completed() || timeline.get(i.time, i.action) != Some(i);
        let holds = timeline.holds_archive(settled) && advanced.holds_archive(settled);
        if !holds || advanced.instants().filter(undoes).any(is_new) {
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

    /// The bytes of a completed instant's file, from the archive if it has gone there since it was listed.
    ///
    /// # Errors
    /// A file that is gone, not to the archive; those of the storage.
    pub(crate) async fn read_anywhere(&self, instant: &Instant) -> Result<Bytes, TimelineError> {
        match self.read(&instant.file()).await {
            Err(error) if error.is_not_found() => {
                let archived = self.archived(instant.time, HistoryColumns::All).await?;
                let of_instant = |e: &HistoryEntry| e.instant == instant.time && e.action == instant.action;
                let entry = archived.into_iter().find(of_instant).ok_or(error)?;
                Ok(entry.metadata.unwrap_or_default())
            }
            read => read,
        }
    }

    /// What a completed write says of itself, as [`TimelineStore::commit_metadata`] but also if it has been
    /// archived since it was listed.
    ///
    /// # Errors
    /// See there.
    pub(crate) async fn metadata_anywhere(&self, instant: &Instant) -> Result<CommitMetadata, TimelineError> {
        self.decoded(instant, &self.read_anywhere(instant).await?)
    }

    /// What a completed write says of itself.
    ///
    /// # Errors
    /// A file that is gone, is empty or cannot be understood: what the write did is lost then, and nobody is to
    /// go on as if it had done nothing.
    pub async fn commit_metadata(&self, instant: &Instant) -> Result<CommitMetadata, TimelineError> {
        self.decoded(instant, &self.read(&instant.file()).await?)
    }

    fn decoded(&self, instant: &Instant, bytes: &[u8]) -> Result<CommitMetadata, TimelineError> {
        let read = CommitMetadata::from_bytes(bytes);
        read.map_err(|source| TimelineError::Metadata { path: self.path(&instant.file()), source })
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
        let read = CleanMetadata::from_avro(&self.read_anywhere(instant).await?);
        read.map_err(|source| TimelineError::Metadata { path: self.path(&instant.file()), source })
    }

    /// What a completed rollback says of itself.
    ///
    /// # Errors
    /// A file that is gone or cannot be understood.
    pub async fn rollback_metadata(&self, instant: &Instant) -> Result<RollbackMetadata, TimelineError> {
        let read = RollbackMetadata::from_avro(&self.read_anywhere(instant).await?);
        read.map_err(|source| TimelineError::Metadata { path: self.path(&instant.file()), source })
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

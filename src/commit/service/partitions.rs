//! Removing partitions of which nothing is left.

use std::collections::BTreeSet;

use lakebed_hudi::file_name::PARTITION_METADATA;

use crate::commit::{CommitError, Committer};
use crate::storage::StorageError;
use crate::storage::lock::LockGuard;
use crate::table::{FileGroupId, partition_folder};
use crate::timeline::Timeline;

/// Whether somebody may be about to write to the partition `path`: a write that is not completed to any, a
/// service to those of the groups that are `planned`.
pub fn may_write_to<'a>(
    path: &str,
    timeline: &Timeline,
    planned: impl IntoIterator<Item = &'a FileGroupId>,
) -> bool {
    let mut pending = timeline.pending();
    pending.any(|i| i.action.writes_data() && !i.is_pending_service())
        || planned.into_iter().any(|group| group.partition == path)
}

impl Committer {
    /// Removes those of `partitions` of which nothing is left but the file that says that they are some;
    /// returns which.
    ///
    /// A writer that has seen that file relies on it. So it goes under the lock, while nobody is writing
    /// who may have; a partition that cannot go stays, and is empty.
    ///
    /// # Errors
    /// No lock in time; those of the storage. Call it again.
    pub async fn remove_partitions(
        &self,
        partitions: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, CommitError> {
        if partitions.is_empty() {
            return Ok(BTreeSet::new());
        }
        let guard = self.locked().await?;
        let removed = self.remove_partitions_locked(partitions, &guard).await;
        guard.release().await?;
        removed
    }

    async fn remove_partitions_locked(
        &self,
        partitions: &BTreeSet<String>,
        guard: &LockGuard,
    ) -> Result<BTreeSet<String>, CommitError> {
        let mut removed = BTreeSet::new();
        let timeline = self.timeline().await?;
        let planned = self.planned_groups(&timeline).await?;
        for partition in partitions.iter().filter(|path| !path.is_empty()) {
            let folder = partition_folder(partition)?;
            let listing = self.table.storage.list(&folder).await?;
            let is_mark = |name: &str| name.starts_with(PARTITION_METADATA);
            let is_empty =
                listing.folders.is_empty() && listing.files.iter().all(|file| is_mark(file.path.file_name()));
            if !is_empty || may_write_to(partition, &timeline, planned.keys()) {
                tracing::info!(%partition, "the partition stays: it has files, or somebody may write to it");
                continue;
            }
            guard.check().await?;
            match self.table.storage.delete_dir(&folder).await {
                Err(StorageError::NotFound { .. }) => {}
                deleted => deleted?,
            }
            removed.insert(partition.clone());
        }
        Ok(removed)
    }
}

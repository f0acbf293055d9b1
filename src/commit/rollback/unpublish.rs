//! Taking what is completed off the timeline.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{State, TimelineFile};
use lakebed_hudi::timeline_metadata::{InstantInfo, RollbackPlan, RollbackRequest};

use crate::commit::{CommitError, Committer};
use crate::storage::TablePath;
use crate::storage::lock::LockGuard;
use crate::table::partition_folder;
use crate::timeline::Instant;

/// How many partitions are listed at the same time.
const LISTINGS: usize = 16;

impl Committer {
    /// The plan to roll a completed write back: its files are those that it names, and whatever else has its time
    /// in its name where it wrote.
    ///
    /// Source: `ListingBasedRollbackStrategy`, which deletes those alone that the write names.
    pub(super) async fn rollback_plan_of_commit(
        &self,
        target: &Instant,
    ) -> Result<RollbackPlan, CommitError> {
        let mut requests = Vec::new();
        for path in self.files_of_commit(target).await? {
            requests.push(RollbackRequest {
                partition_path: path.parent().map(|parent| parent.to_string()).unwrap_or_default(),
                file_id: String::new(),
                latest_base_instant: String::new(),
                files_to_be_deleted: vec![self.table.storage.uri().without_scheme(&path)],
                log_blocks_to_be_deleted: BTreeMap::new(),
            });
        }
        Ok(RollbackPlan {
            instant_to_rollback: Some(InstantInfo { commit_time: target.time, action: target.action }),
            rollback_requests: requests,
            version: 1,
        })
    }

    /// The files of a completed write, whether they are there or not.
    pub(super) async fn files_of_commit(&self, target: &Instant) -> Result<BTreeSet<TablePath>, CommitError> {
        let metadata = self.table.timeline.commit_metadata(target).await?;
        let is_own = |path: &TablePath| {
            DataFileName::parse(path.file_name()).is_some_and(|name| name.instant() == target.time)
        };
        let named = metadata.write_stats().filter_map(|(_, stat)| stat.path.as_deref()?.parse().ok());
        let mut files: BTreeSet<TablePath> = named.filter(is_own).collect();
        let partitions: BTreeSet<&str> = metadata.write_stats().map(|(partition, _)| partition).collect();
        let folders = partitions.into_iter().map(partition_folder).collect::<Result<Vec<_>, _>>()?;
        let storage = &self.table.storage;
        let listings: Vec<_> = stream::iter(folders)
            .map(|folder| async move { storage.list(&folder).await })
            .buffer_unordered(LISTINGS)
            .try_collect()
            .await?;
        files.extend(listings.into_iter().flat_map(|listing| listing.files).map(|e| e.path).filter(is_own));
        Ok(files)
    }

    /// Makes a completed write one that is not: what readers see from then on is without it. Its plan of a
    /// rollback is on the timeline, so that whoever comes next deletes its files. The caller holds the lock.
    ///
    /// Source: `ActiveTimelineV2.revertCompleteToInflight`.
    pub(super) async fn unpublish(&self, target: &Instant, guard: &LockGuard) -> Result<(), CommitError> {
        let requested = TimelineFile::requested(target.time, target.requested_as);
        let inflight = TimelineFile::inflight(target.time, target.requested_as);
        for pending in [requested, inflight] {
            self.put_or_keep(&pending, Bytes::new()).await?;
        }
        guard.check().await?;
        self.delete_files_of(target.time, |state| matches!(state, State::Completed(_))).await
    }

    /// Takes an instant that is not completed off the timeline: its inflight file first, since whoever finds that
    /// alone would take it for one that was begun. The caller holds the lock.
    pub(super) async fn remove_pending(
        &self,
        time: InstantTime,
        guard: &LockGuard,
    ) -> Result<(), CommitError> {
        guard.check().await?;
        self.delete_files_of(time, |state| state == State::Inflight).await?;
        self.delete_files_of(time, |state| state == State::Requested).await
    }

    /// Deletes the files of a write, or of a service that writes, in some of its states.
    async fn delete_files_of(
        &self,
        time: InstantTime,
        is_gone: impl Fn(State) -> bool,
    ) -> Result<(), CommitError> {
        for file in self.table.timeline.files_between(time, time).await? {
            if file.instant == time && file.action.writes_data() && is_gone(file.state) {
                self.table.storage.delete(&self.table.timeline.path(&file)).await?;
            }
        }
        Ok(())
    }
}

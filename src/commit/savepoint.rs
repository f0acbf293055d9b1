//! Savepoints: commits of which no file is deleted, so that the table can be taken back to them.
//!
//! | step | on the timeline | lock |
//! |---|---|---|
//! | look | nothing: the files of `t` are listed | no |
//! | create | `t.savepoint.inflight`, `t_c.savepoint`, which names the files | from the checks to the put |
//! | delete | the completed file goes, then what is left | all of it |
//!
//! Source: `SavepointActionExecutor`, `SavepointHelpers` of Hudi 1.2.0; table versions 8 and 9.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, State, TimelineFile};
use lakebed_hudi::timeline_metadata::{SavepointMetadata, SavepointPartitionMetadata};

use super::{CommitError, Committer, UndoError};
use crate::storage::lock::LockGuard;
use crate::table::{FileGroup, FileSlice, partition_folder};
use crate::timeline::{Instant, Timeline};

/// What became of a savepoint that was to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Savepointed {
    /// The commit that it keeps.
    pub instant: InstantTime,
    /// What it says.
    pub metadata: SavepointMetadata,
    /// Whether it is new: else it was there already, and stays as it is.
    pub is_new: bool,
    /// What was not completed when the commit was chosen, so that later ones were not.
    pub held_by: Option<Instant>,
}

impl Committer {
    /// Savepoints the commit `instant`, else the newest one that nothing can come before any more.
    ///
    /// Hudi keeps the files of all commits up to `instant`, whatever may still complete before it.
    ///
    /// # Errors
    /// No such commit, or files of it that a clean has deleted, or is to:
    /// [`UndoError`], [`PastError`](crate::table::PastError). Those of the storage and the lock.
    pub async fn savepoint(
        &self,
        instant: Option<InstantTime>,
        user: &str,
        comment: &str,
    ) -> Result<Savepointed, CommitError> {
        // A large table takes long to list: writers need not wait so long for the lock.
        let timeline = self.timeline_anew().await?;
        let (commit, held_by) = match instant {
            Some(instant) => (self.commit_to_keep(&timeline, instant).await?, None),
            None => newest_settled(&timeline)?,
        };
        let kept = match timeline.get(commit.time, Action::Savepoint).is_some_and(Instant::is_completed) {
            true => BTreeMap::new(),
            false => self.files_to_keep(commit.time).await?,
        };
        let says = SavepointMetadata {
            savepointed_by: user.to_owned(),
            savepointed_at_ms: self.table.environment.clock.unix_millis(),
            comments: comment.to_owned(),
            partition_metadata: kept,
            version: 1,
        };
        let guard = self.locked().await?;
        let made = self.savepoint_locked(commit.time, says, &timeline, &guard).await;
        let released = guard.release().await;
        let made = made?;
        released?;
        Ok(Savepointed { held_by, ..made })
    }

    /// Savepoints `instant` with `metadata`, which tells of the files that there were as of `seen`.
    async fn savepoint_locked(
        &self,
        instant: InstantTime,
        mut metadata: SavepointMetadata,
        seen: &Timeline,
        guard: &LockGuard,
    ) -> Result<Savepointed, CommitError> {
        let timeline = self.timeline_anew().await?;
        self.refuse_restoring(&timeline).await?;
        self.commit_to_keep(&timeline, instant).await?;
        if let Some(there) = timeline.get(instant, Action::Savepoint).filter(|i| i.is_completed()) {
            let metadata = self.table.timeline.savepoint_metadata(there).await?;
            return Ok(Savepointed { instant, metadata, is_new: false, held_by: None });
        }
        if may_have_lost_files(seen, &timeline, instant) {
            metadata.partition_metadata = self.files_to_keep(instant).await?;
        }
        self.check_not_going(&timeline, instant, &metadata.partition_metadata).await?;
        guard.check().await?;
        self.put_or_keep(&TimelineFile::inflight(instant, Action::Savepoint), Bytes::new()).await?;
        let completion = self.new_time(&timeline).await?;
        let file = TimelineFile::completed(instant, Action::Savepoint, completion);
        self.put_surely(file, metadata.to_avro()?.into(), guard).await?;
        Ok(Savepointed { instant, metadata, is_new: true, held_by: None })
    }

    async fn commit_to_keep(
        &self,
        timeline: &Timeline,
        instant: InstantTime,
    ) -> Result<Instant, CommitError> {
        match timeline.write_at(instant) {
            Some(commit) if commit.is_completed() => Ok(*commit),
            Some(pending) => Err(UndoError::Incomplete { instant, action: pending.requested_as }.into()),
            None => {
                self.check_not_archived(instant).await?;
                Err(UndoError::Unknown { instant }.into())
            }
        }
    }

    /// The files that readers of the table as of `instant` need, by partition.
    async fn files_to_keep(
        &self,
        instant: InstantTime,
    ) -> Result<BTreeMap<String, SavepointPartitionMetadata>, CommitError> {
        let snapshot = self.table.snapshot(Some(instant)).await?;
        let mut kept = BTreeMap::new();
        for (partition, groups) in snapshot.all_file_groups().await? {
            let paths = groups.iter().filter_map(FileGroup::latest).flat_map(FileSlice::paths);
            let files = paths.map(|path| path.file_name().to_owned()).collect();
            let metadata =
                SavepointPartitionMetadata { partition_path: partition.clone(), savepoint_data_file: files };
            kept.insert(partition, metadata);
        }
        Ok(kept)
    }

    /// Refuses to keep what a clean is to delete that is planned: not everybody who carries it out looks for
    /// savepoints again.
    async fn check_not_going(
        &self,
        timeline: &Timeline,
        instant: InstantTime,
        kept: &BTreeMap<String, SavepointPartitionMetadata>,
    ) -> Result<(), CommitError> {
        for clean in timeline.pending().filter(|i| i.action == Action::Clean) {
            let going: BTreeSet<(String, String)> = self.going_files(clean.time).await?;
            let is_kept = |(partition, name): &&(String, String)| {
                kept.get(partition).is_some_and(|of| of.savepoint_data_file.contains(name))
            };
            if let Some((partition, name)) = going.iter().find(is_kept) {
                let path = partition_folder(partition)?.join(name)?;
                return Err(UndoError::GoingFile { instant, clean: clean.time, path }.into());
            }
        }
        Ok(())
    }

    /// Deletes the savepoint of `instant`, or what was left of one that was being made or deleted. Its files go
    /// with the next clean that has no other reason to keep them.
    ///
    /// # Errors
    /// [`UndoError::NoSavepoint`]; those of the storage and the lock.
    pub async fn delete_savepoint(&self, instant: InstantTime) -> Result<(), CommitError> {
        let guard = self.locked().await?;
        let deleted = self.delete_savepoint_locked(instant, &guard).await;
        guard.release().await?;
        deleted
    }

    async fn delete_savepoint_locked(
        &self,
        instant: InstantTime,
        guard: &LockGuard,
    ) -> Result<(), CommitError> {
        let timeline = self.timeline_anew().await?;
        self.refuse_restoring(&timeline).await?;
        if timeline.get(instant, Action::Savepoint).is_none() {
            let savepoints = timeline.completed().filter(|i| i.action == Action::Savepoint);
            let savepoints = savepoints.map(|savepoint| savepoint.time).collect();
            return Err(UndoError::NoSavepoint { instant, savepoints }.into());
        }
        guard.check().await?;
        let mut files = self.table.timeline.files_between(instant, instant).await?;
        files.retain(|file| file.instant == instant && file.action == Action::Savepoint);
        files.sort_by_key(|file| !matches!(file.state, State::Completed(_)));
        for file in files {
            self.table.storage.delete(&self.table.timeline.path(&file)).await?;
        }
        Ok(())
    }
}

/// Whether files of the past may have gone between two states of the timeline, or a savepoint of `instant` was
/// deleted, whose files were not looked at.
fn may_have_lost_files(then: &Timeline, now: &Timeline, instant: InstantTime) -> bool {
    let takes = |i: &&Instant| matches!(i.action, Action::Clean | Action::Rollback | Action::Restore);
    let is_new = |i: &Instant| then.get(i.time, i.action) != Some(i);
    let was_kept = then.get(instant, Action::Savepoint).is_some_and(Instant::is_completed);
    was_kept || now.instants().filter(takes).any(is_new)
}

/// The newest completed write before everything that may still complete, and what that is.
fn newest_settled(timeline: &Timeline) -> Result<(Instant, Option<Instant>), UndoError> {
    let mut pending = timeline.pending().filter(|i| i.action.writes_data() && !i.is_pending_service());
    let first = pending.next().copied();
    let is_before = |i: &&Instant| first.is_none_or(|first| i.time < first.time);
    let newest = timeline.completed_writes().rfind(is_before).copied();
    let held = |first: &Instant| timeline.completed_writes().any(|i| i.time > first.time);
    match newest {
        Some(newest) => Ok((newest, first.filter(held))),
        None => Err(UndoError::NothingToKeep { pending: first.map(|first| first.time) }),
    }
}

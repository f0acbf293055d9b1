//! Undoing a write that will not be finished, or is not to be part of the table any more.

mod by_hand;
mod cut_off;
mod leftover;
mod newest;
mod restored;
mod unpublish;

pub use by_hand::RollbackDraft;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::file_name::{DataFileName, MarkerKind};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, State, TimelineFile};
use lakebed_hudi::timeline_metadata::{
    InstantInfo, RollbackMetadata, RollbackPartitionMetadata, RollbackPlan, RollbackRequest,
};

use super::{CommitError, Committer, Epoch, ServiceRun, heartbeat};
use crate::storage::lock::LockGuard;
use crate::storage::{StorageError, TablePath};
use crate::table::{marker_folder, partition_folder};
use crate::timeline::{Instant, Timeline};

/// The lists of markers that Hudi's timeline server keeps instead of one file each.
const SERVER_MARKERS: &str = "MARKERS";
const MAX_MARKERS_BYTES: u64 = 256 << 20;
/// How many files are deleted at the same time.
const DELETES: usize = 16;

/// What is undone.
#[derive(Debug, Clone, Copy)]
pub(super) enum Undo<'a> {
    /// A write, by a run if it is one of its pipeline: it leaves the timeline.
    Write(Option<&'a Epoch>),
    /// An attempt at a service that `run` has taken over, but for files that it goes on with: the plan stays.
    Attempt { run: &'a ServiceRun, kept: &'a BTreeSet<TablePath> },
    /// Whatever an instant has come to: it leaves the timeline.
    ByHand,
    /// The same, by the restore `run`, which tells of it itself.
    Restored { run: &'a ServiceRun },
}

/// What a rollback has deleted.
struct Deleted {
    target: InstantInfo,
    rollback: InstantTime,
    files: BTreeMap<String, RollbackPartitionMetadata>,
    took: Duration,
}

impl Deleted {
    /// What a rollback says of itself.
    ///
    /// Source: `TimelineMetadataUtils.convertRollbackMetadata`.
    fn metadata(self) -> RollbackMetadata {
        let Self { target, rollback, files, took } = self;
        let total: usize = files.values().map(|p| p.success_delete_files.len()).sum();
        RollbackMetadata {
            start_rollback_time: rollback,
            time_taken_in_millis: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            total_files_deleted: i32::try_from(total).unwrap_or(i32::MAX),
            commits_rollback: vec![target.commit_time],
            partition_metadata: files,
            version: 1,
            instants_rollback: vec![target],
        }
    }
}

impl Undo<'_> {
    /// Refuses to undo what somebody else may be at by now.
    fn check_alive(&self, committer: &Committer) -> Result<(), CommitError> {
        match self {
            Self::Write(_) | Self::ByHand => Ok(()),
            Self::Attempt { run, .. } | Self::Restored { run } => committer.check_alive(run),
        }
    }

    /// Whether what is completed is undone as well.
    fn takes_back(&self) -> bool {
        matches!(self, Self::ByHand | Self::Restored { .. })
    }

    fn keeps(&self, path: &TablePath) -> bool {
        matches!(self, Self::Attempt { kept, .. } if kept.contains(path))
    }
}

impl Committer {
    /// Rolls the pending instant `target` back: its files go, then it leaves the timeline. Its markers
    /// stay as long as its writer may live, see [`Committer::sweep_late`].
    ///
    /// Every step may be repeated: a rollback that was cut off is found on the timeline and
    /// finished first. The caller is sure that the writer is dead, or that it is one of `run`'s
    /// pipeline: then nothing is done once that run is fenced, since its successor may have adopted the
    /// instant.
    ///
    /// # Errors
    /// [`CommitError::Unsettled`] while it may still become visible. Those of the storage and the lock;
    /// call it again.
    pub async fn rollback(&self, target: &Instant, run: Option<&Epoch>) -> Result<(), CommitError> {
        if self.undo(target, Undo::Write(run)).await?.is_some() {
            // The plan may be older than some of the files.
            self.sweep_rolled_back(target.time).await?;
        }
        Ok(())
    }

    /// Deletes the files of an instant, and tells of it on the timeline, or the caller. `None` if it did not:
    /// the instant is not pending any more, or not for the run to undo.
    pub(super) async fn undo(
        &self,
        target: &Instant,
        undo: Undo<'_>,
    ) -> Result<Option<RollbackMetadata>, CommitError> {
        // What still comes is swept by its markers.
        let files = match target.action.writes_data() && !target.is_completed() {
            true => self.written_files(target.time).await?,
            false => BTreeSet::new(),
        };
        self.undo_files(target, &files, undo).await
    }

    /// As [`Committer::undo`], where the `files` of what is pending are known.
    pub(super) async fn undo_files(
        &self,
        target: &Instant,
        files: &BTreeSet<TablePath>,
        undo: Undo<'_>,
    ) -> Result<Option<RollbackMetadata>, CommitError> {
        let started = self.table.environment.clock.monotonic();
        let guard = self.locked().await?;
        let scheduled = self.schedule_rollback(target, files, undo, &guard).await;
        let released = guard.release().await;
        let Some((rollback, plan)) = scheduled? else { return Ok(None) };
        released?;
        let deleted = self.delete_files(&plan).await?;
        undo.check_alive(self)?;
        let partitions = plan.rollback_requests.iter().map(|request| request.partition_path.clone());
        self.sweep_partitions(target.time, &partitions.collect()).await?;
        let guard = self.locked().await?;
        let pending = InstantInfo { commit_time: target.time, action: target.requested_as };
        let done = Deleted {
            target: plan.instant_to_rollback.filter(|_| undo.takes_back()).unwrap_or(pending),
            rollback,
            files: deleted,
            took: self.table.environment.clock.monotonic().saturating_sub(started),
        };
        let finished = match undo {
            Undo::Write(_) => self.finish_rollback(done, &guard).await,
            Undo::Attempt { run, .. } => self.finish_attempt(run, done, &guard).await,
            Undo::ByHand => self.finish_by_hand(done, &guard).await,
            Undo::Restored { run } => self.finish_restored(run, done, &guard).await,
        };
        guard.release().await?;
        let told = finished?;
        tracing::info!(instant = %target.time, action = %target.requested_as, "rolled back");
        Ok(Some(told))
    }

    /// Puts the plan of a rollback of the `files` of what is pending, or finds the one that is there, and begins
    /// it. `None` if `target` is not pending any more, or not for `run` to undo. The caller holds the lock, under
    /// which runs are fenced as well, and without which others may complete and archive the rollback.
    async fn schedule_rollback(
        &self,
        target: &Instant,
        files: &BTreeSet<TablePath>,
        undo: Undo<'_>,
        guard: &LockGuard,
    ) -> Result<Option<(InstantTime, RollbackPlan)>, CommitError> {
        if let Undo::Write(Some(run)) = undo
            && run.fenced_by(&self.table).await?.is_some()
        {
            return Ok(None);
        }
        undo.check_alive(self)?;
        let timeline = match undo.takes_back() {
            true => self.timeline_anew().await?,
            false => self.timeline().await?,
        };
        if let Some(file) = self.unsettled(&timeline, target.time).await? {
            return Err(self.still_unsettled(&file));
        }
        let is_undone = |found: &Instant| found.is_completed() && !undo.takes_back();
        let target = match timeline.get(target.time, target.action) {
            Some(found) if !is_undone(found) => found,
            _ => return Ok(None),
        };
        if undo.takes_back() {
            self.check_takes_back(&timeline, target, undo).await?;
        }
        let (rollback, plan) = match self.planned_rollback(&timeline, target.time).await? {
            Some(planned) => planned,
            None => {
                let plan = match target.is_completed() {
                    true => self.rollback_plan_of_commit(target).await?,
                    false => self.rollback_plan(target, files, undo),
                };
                let rollback = self.new_time(&timeline).await?;
                let requested = TimelineFile::requested(rollback, Action::Rollback);
                // One that came late would be carried out, whatever has become of its target.
                self.put_surely(requested, plan.to_avro()?.into(), guard).await?;
                (rollback, plan)
            }
        };
        self.put_or_keep(&TimelineFile::inflight(rollback, Action::Rollback), Bytes::new()).await?;
        if target.is_completed() {
            self.unpublish(target, guard).await?;
        }
        Ok(Some((rollback, plan)))
    }

    /// The rollback of `target` that is under way, or was cut off.
    pub(super) async fn planned_rollback(
        &self,
        timeline: &Timeline,
        target: InstantTime,
    ) -> Result<Option<(InstantTime, RollbackPlan)>, CommitError> {
        for rollback in timeline.pending().filter(|i| i.action == Action::Rollback) {
            let Some(plan) = self.read_rollback_plan(rollback.time).await? else { continue };
            if plan.instant_to_rollback.is_some_and(|i| i.commit_time == target) {
                return Ok(Some((rollback.time, plan)));
            }
        }
        Ok(None)
    }

    /// The plan of a pending rollback. `None` where nothing but `.inflight` is there: somebody put that
    /// after others had completed and archived the rollback, or a broken plan was deleted.
    ///
    /// Hudi passes such rollbacks by and leaves them for ever.
    ///
    /// Source: `BaseHoodieTableServiceClient.getPendingRollbackInfos`.
    async fn read_rollback_plan(&self, rollback: InstantTime) -> Result<Option<RollbackPlan>, CommitError> {
        let file = TimelineFile::requested(rollback, Action::Rollback);
        let bytes = match self.table.timeline.read(&file).await {
            Err(error) if error.is_not_found() => return Ok(None),
            bytes => bytes?,
        };
        let broken = |source| CommitError::RollbackPlan { path: self.table.timeline.path(&file), source };
        RollbackPlan::from_avro(&bytes).map(Some).map_err(broken)
    }

    fn rollback_plan(&self, target: &Instant, files: &BTreeSet<TablePath>, undo: Undo<'_>) -> RollbackPlan {
        let requests = files.iter().filter(|path| !undo.keeps(path)).map(|path| {
            let partition_path = path.parent().map(|p| p.to_string()).unwrap_or_default();
            let file_id = DataFileName::parse(path.file_name()).map(|name| name.file_id().to_string());
            RollbackRequest {
                partition_path,
                file_id: file_id.unwrap_or_default(),
                latest_base_instant: target.time.to_string(),
                files_to_be_deleted: vec![self.table.storage.uri().without_scheme(path)],
                log_blocks_to_be_deleted: BTreeMap::new(),
            }
        });
        RollbackPlan {
            instant_to_rollback: Some(InstantInfo { commit_time: target.time, action: target.requested_as }),
            rollback_requests: requests.collect(),
            version: 1,
        }
    }

    /// Deletes what writers left behind under instants that are no longer on the timeline, or that
    /// completed: files and markers that came after a rollback, markers and heartbeats that outlived
    /// a commit.
    ///
    /// Such files are invisible now and would show up once the timeline is archived past them.
    ///
    /// # Errors
    /// Those of the storage; call it again.
    pub async fn sweep(&self) -> Result<(), CommitError> {
        self.sweep_markers().await?;
        heartbeat::sweep(self).await
    }

    async fn sweep_markers(&self) -> Result<(), CommitError> {
        let marked = self.marked_instants().await?;
        if marked.is_empty() {
            return Ok(());
        }
        let timeline = self.timeline().await?;
        self.sweep_late(&marked, &timeline).await?;
        for instant in marked {
            if timeline.write_at(instant).is_some_and(Instant::is_completed) {
                self.remove_markers(instant).await?;
            }
        }
        Ok(())
    }

    /// The data files that the markers of `instant` name, whether they are there or not.
    pub(super) async fn files_of(&self, instant: InstantTime) -> Result<BTreeSet<TablePath>, CommitError> {
        let folder = marker_folder(instant)?;
        let mut files = BTreeSet::new();
        for entry in self.table.storage.list_all(&folder).await? {
            let Some(name) = entry.path.strip_dir(&folder) else { continue };
            // A marker lies in the folder of its partition, whatever that is called.
            let is_list = name.starts_with(SERVER_MARKERS) && !name.contains('/');
            if is_list && !name.ends_with(".type") {
                let list = self.table.storage.get(&entry.path, MAX_MARKERS_BYTES).await?.bytes;
                let list = String::from_utf8_lossy(&list);
                files.extend(list.lines().filter_map(|line| data_file(line.trim())));
            } else {
                files.extend(data_file(name));
            }
        }
        Ok(files)
    }

    /// Deletes what the writer of `target` left half-written in `partitions`, where it wrote. Of other writers
    /// only what is older than their instants is surely not theirs.
    pub(super) async fn sweep_partitions(
        &self,
        target: InstantTime,
        partitions: &BTreeSet<String>,
    ) -> Result<(), CommitError> {
        let now = self.table.environment.clock.unix_millis();
        let timeline = self.timeline().await?;
        // Nobody writes a file before the instant is inflight.
        let writing = |i: &&Instant| i.state == State::Inflight && i.action.writes_data();
        let others = timeline.pending().filter(writing).filter(|i| i.time != target);
        let begun = others.filter_map(|i| i.time.to_unix_millis(self.table.zone)).min();
        let before = begun.map_or(now, |begun| begun.min(now));
        for partition in partitions {
            self.table.storage.sweep(&partition_folder(partition)?, before).await?;
        }
        Ok(())
    }

    async fn delete_files(
        &self,
        plan: &RollbackPlan,
    ) -> Result<BTreeMap<String, RollbackPartitionMetadata>, CommitError> {
        let storage = &self.table.storage;
        let files = plan.rollback_requests.iter().flat_map(|request| &request.files_to_be_deleted);
        let paths = files.map(|file| storage.uri().relative(file)).collect::<Result<Vec<_>, _>>();
        stream::iter(paths.map_err(StorageError::from)?)
            .map(|path| async move { storage.delete(&path).await })
            .buffer_unordered(DELETES)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        Ok(deleted_by(plan))
    }

    /// Ends the rollback of a write, which leaves the timeline.
    async fn finish_rollback(
        &self,
        done: Deleted,
        guard: &LockGuard,
    ) -> Result<RollbackMetadata, CommitError> {
        let timeline = self.timeline().await?;
        let InstantInfo { commit_time, action } = done.target;
        guard.check().await?;
        for file in
            [TimelineFile::inflight(commit_time, action), TimelineFile::requested(commit_time, action)]
        {
            self.table.storage.delete(&self.table.timeline.path(&file)).await?;
        }
        self.complete_rollback(&timeline, done, guard).await
    }

    /// Ends the rollback of an attempt: its service is as it was requested then.
    ///
    /// Source: `HoodieTable.rollbackInflightInstant`, which takes this order.
    async fn finish_attempt(
        &self,
        run: &ServiceRun,
        done: Deleted,
        guard: &LockGuard,
    ) -> Result<RollbackMetadata, CommitError> {
        self.check_alive(run)?;
        let timeline = self.timeline().await?;
        let inflight = TimelineFile::inflight(done.target.commit_time, done.target.action);
        let told = self.complete_rollback(&timeline, done, guard).await?;
        // It may be that of who has taken over.
        guard.check().await?;
        self.table.storage.delete(&self.table.timeline.path(&inflight)).await?;
        Ok(told)
    }

    async fn complete_rollback(
        &self,
        timeline: &Timeline,
        done: Deleted,
        guard: &LockGuard,
    ) -> Result<RollbackMetadata, CommitError> {
        let rollback = done.rollback;
        let metadata = done.metadata();
        // Others may have completed it, and archived it since.
        if timeline.get(rollback, Action::Rollback).is_none_or(Instant::is_completed) {
            return Ok(metadata);
        }
        let file = match self.unsettled(timeline, rollback).await? {
            Some(file) => file,
            None => TimelineFile::completed(rollback, Action::Rollback, self.new_time(timeline).await?),
        };
        self.put_surely(file, metadata.to_avro()?.into(), guard).await?;
        Ok(metadata)
    }

    /// Puts a file of a rollback that an earlier try may have put already.
    pub(super) async fn put_or_keep(&self, file: &TimelineFile, bytes: Bytes) -> Result<(), CommitError> {
        match self.put(file, bytes).await {
            Err(CommitError::Storage(StorageError::AlreadyExists { .. })) => Ok(()),
            put => put,
        }
    }
}

/// What a plan says is deleted, by partition.
fn deleted_by(plan: &RollbackPlan) -> BTreeMap<String, RollbackPartitionMetadata> {
    let mut deleted: BTreeMap<String, RollbackPartitionMetadata> = BTreeMap::new();
    for request in &plan.rollback_requests {
        let partition = deleted.entry(request.partition_path.clone()).or_default();
        partition.partition_path.clone_from(&request.partition_path);
        partition.success_delete_files.extend(request.files_to_be_deleted.iter().cloned());
    }
    deleted
}

fn data_file(marker: &str) -> Option<TablePath> {
    MarkerKind::parse_marker(marker)?.0.parse().ok()
}

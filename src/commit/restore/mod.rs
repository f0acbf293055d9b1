//! Taking a table back to a savepoint.
//!
//! | step | on the timeline | lock |
//! |---|---|---|
//! | plan | heartbeat of `r`, `r.restore.requested` | from the checks to the put |
//! | begin | `r.restore.inflight` | no |
//! | each later instant `t`, the last completed first | `q.rollback.requested` and `.inflight`; the completed file of `t` goes | yes |
//! | | the data files of `t` go | no |
//! | | `.inflight` and `.requested` of `t` go | yes |
//! | complete | `r_c.restore`, if nothing later is left | from the check to the put |
//! | forget | all rollbacks after the savepoint go: the restore tells of them | yes |
//!
//! Readers see the table as of ever earlier commits. Who is stopped leaves a plan to go on with: a commit
//! whose completed file is gone has a plan of a rollback that names its files. As long as a restore is not
//! completed nobody begins or completes anything else.
//!
//! Source: `RestorePlanActionExecutor`, `BaseRestoreActionExecutor` of Hudi 1.2.0; table versions 8 and 9.

mod check;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{InstantInfo, RestoreMetadata, RestorePlan, RollbackMetadata};

use super::rollback::Undo;
use super::{CommitError, Committer, ServiceRun, Taken, UndoError};
use crate::storage::lock::LockGuard;
use crate::timeline::{Instant, Timeline, TimelineError};

pub use order::later_than;

/// What became of the plan of a restore.
#[derive(Debug)]
pub enum RestorePlanned {
    /// It is on the timeline, and may be carried out by who has taken it.
    At(InstantTime, Taken),
    /// Nothing came after the savepoint.
    Nothing,
}

impl Committer {
    /// The instants that a restore to `savepoint` would take back, in their turn. Changes nothing.
    ///
    /// # Errors
    /// [`UndoError`]; those of the storage.
    pub async fn plan_restore(&self, savepoint: InstantTime) -> Result<Vec<Instant>, CommitError> {
        let timeline = self.timeline_anew().await?;
        if let Some(restore) = timeline.pending_restore() {
            self.check_same_restore(&timeline, restore, savepoint).await?;
        }
        self.later_than_restorable(&timeline, savepoint).await
    }

    /// Puts the plan of a restore to `savepoint` on the timeline, or finds the one that was cut off, and takes
    /// it.
    ///
    /// # Errors
    /// [`UndoError`], before anything is changed; those of the storage and the lock.
    pub async fn schedule_restore(&self, savepoint: InstantTime) -> Result<RestorePlanned, CommitError> {
        let guard = self.locked().await?;
        let planned = self.schedule_restore_locked(savepoint, &guard).await;
        let released = guard.release().await;
        let planned = planned?;
        released?;
        Ok(planned)
    }

    async fn schedule_restore_locked(
        &self,
        savepoint: InstantTime,
        guard: &LockGuard,
    ) -> Result<RestorePlanned, CommitError> {
        let timeline = self.timeline_anew().await?;
        if let Some(restore) = timeline.pending_restore() {
            self.check_same_restore(&timeline, restore, savepoint).await?;
            let taken = self.take_locked(restore.time, Action::Restore).await?;
            return Ok(RestorePlanned::At(restore.time, taken));
        }
        let later = self.later_than_restorable(&timeline, savepoint).await?;
        if later.is_empty() {
            return Ok(RestorePlanned::Nothing);
        }
        let plan = RestorePlan {
            instants_to_rollback: later.iter().map(told).collect(),
            version: RestorePlan::VERSION,
            savepoint_to_restore_timestamp: Some(savepoint),
        };
        let instant = self.new_time(&timeline).await?;
        // Who finds the plan finds somebody at work on it.
        let heartbeat = self.heartbeat(instant).await?;
        let file = TimelineFile::requested(instant, Action::Restore);
        self.put_surely(file, plan.to_avro()?.into(), guard).await?;
        let run = ServiceRun { instant, action: Action::Restore, heartbeat, was_begun: false };
        Ok(RestorePlanned::At(instant, Taken::Run(run)))
    }

    /// What is left for a restore to take back, in its turn: also what others have begun since it was planned.
    ///
    /// # Errors
    /// A plan that cannot be read; those of the storage.
    pub async fn left_to_restore(&self, restore: InstantTime) -> Result<Vec<Instant>, CommitError> {
        let timeline = self.timeline().await?;
        let savepoint = self.savepoint_of(&timeline, restore).await?;
        let commit = timeline.write_at(savepoint).filter(|commit| commit.is_completed());
        let commit = commit.ok_or(UndoError::NoCommit { savepoint })?;
        Ok(later_than(&timeline, commit, self.table.config.table_type))
    }

    /// Takes an instant back for a restore. `None` if it is gone already.
    ///
    /// # Errors
    /// [`UndoError::Alive`] of a writer that came meanwhile; [`CommitError::Lapsed`]; those of the storage and
    /// the lock.
    pub async fn take_back(
        &self,
        run: &ServiceRun,
        target: &Instant,
    ) -> Result<Option<RollbackMetadata>, CommitError> {
        let told = self.undo(target, Undo::Restored { run }).await?;
        if told.is_some() {
            self.sweep_rolled_back(target.time).await?;
        }
        Ok(told)
    }

    /// What a restore says of itself, of which `undone` were taken back now, and all others earlier.
    ///
    /// Source: `TimelineMetadataUtils.convertRestoreMetadata`; Hudi tells of its last attempt alone.
    ///
    /// # Errors
    /// A plan that cannot be read; those of the storage.
    pub async fn restore_metadata(
        &self,
        restore: InstantTime,
        undone: &BTreeMap<InstantTime, RollbackMetadata>,
        took: Duration,
    ) -> Result<RestoreMetadata, CommitError> {
        let timeline = self.timeline().await?;
        let plan = self.read_restore_plan(restore).await?;
        let mut told = undone.clone();
        for rollback in timeline.pending().filter(|i| i.action == Action::Rollback) {
            let Some(earlier) = self.told_by_plan(rollback.time).await? else { continue };
            for instant in earlier.commits_rollback.clone() {
                told.entry(instant).or_insert_with(|| earlier.clone());
            }
        }
        let planned: BTreeSet<InstantTime> =
            plan.instants_to_rollback.iter().map(|i| i.commit_time).collect();
        let others = undone.iter().filter(|(instant, _)| !planned.contains(instant));
        let others = others.flat_map(|(_, rollback)| rollback.instants_rollback.clone());
        let infos: Vec<InstantInfo> = others.chain(plan.instants_to_rollback.iter().copied()).collect();
        told.retain(|instant, _| infos.iter().any(|info| info.commit_time == *instant));
        Ok(RestoreMetadata {
            start_restore_time: restore,
            time_taken_in_millis: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            instants_to_rollback: infos.iter().map(|info| info.commit_time).collect(),
            hoodie_restore_metadata: told
                .into_iter()
                .map(|(time, rollback)| (time, vec![rollback]))
                .collect(),
            version: 1,
            restore_instant_info: infos,
        })
    }

    /// Takes all rollbacks after the savepoint off the timeline of which `restore`, which is completed, tells.
    ///
    /// Source: `BaseRestoreActionExecutor.finishRestore`.
    ///
    /// # Errors
    /// Those of the storage and the lock. What is left does no harm: whoever writes next completes it.
    pub async fn forget_rollbacks(&self, restore: InstantTime) -> Result<(), CommitError> {
        let guard = self.locked().await?;
        let forgotten = self.forget_rollbacks_locked(restore, &guard).await;
        guard.release().await?;
        forgotten
    }

    async fn forget_rollbacks_locked(
        &self,
        restore: InstantTime,
        guard: &LockGuard,
    ) -> Result<(), CommitError> {
        let timeline = self.timeline().await?;
        let savepoint = self.savepoint_of(&timeline, restore).await?;
        let files = self.table.timeline.files_between(savepoint, restore_end(&timeline, restore)).await?;
        guard.check().await?;
        let mut rollbacks: Vec<TimelineFile> = files
            .into_iter()
            .filter(|file| file.action == Action::Rollback && file.instant > savepoint)
            .collect();
        // Completed files first, and the plan last: half of a rollback is one that is gone on with.
        rollbacks.sort_by_key(|file| (file.instant, std::cmp::Reverse(file.state)));
        for file in rollbacks {
            self.table.storage.delete(&self.table.timeline.path(&file)).await?;
        }
        Ok(())
    }
}

/// No rollback that a restore has made comes after that.
fn restore_end(timeline: &Timeline, restore: InstantTime) -> InstantTime {
    timeline.get(restore, Action::Restore).and_then(Instant::completion).unwrap_or(restore)
}

/// An instant as plans name it.
fn told(instant: &Instant) -> InstantInfo {
    InstantInfo { commit_time: instant.time, action: instant.file().action }
}

impl Committer {
    /// Refuses to begin anything while a restore is not completed.
    ///
    /// Source: `BaseHoodieWriteClient.startCommit`.
    ///
    /// # Errors
    /// [`CommitError::Restoring`].
    pub(super) async fn refuse_restoring(&self, timeline: &Timeline) -> Result<(), CommitError> {
        let Some(restore) = timeline.pending_restore() else { return Ok(()) };
        let savepoint = self.savepoint_of(timeline, restore.time).await.ok();
        Err(CommitError::Restoring { restore: restore.time, savepoint })
    }

    /// The savepoint that a restore goes back to.
    ///
    /// Source: `RestoreUtils.getSavepointToRestoreTimestamp`, for plans of version 1, too.
    ///
    /// # Errors
    /// A plan that cannot be read.
    pub async fn savepoint_of(
        &self,
        timeline: &Timeline,
        restore: InstantTime,
    ) -> Result<InstantTime, CommitError> {
        let plan = self.read_restore_plan(restore).await?;
        let first = plan.instants_to_rollback.last().map(|info| info.commit_time);
        let before = |i: &&Instant| i.action == Action::Savepoint && Some(i.time) < first;
        let last = || timeline.completed().rfind(before).map(|savepoint| savepoint.time);
        let savepoint = plan.savepoint_to_restore_timestamp.or_else(last);
        Ok(savepoint.ok_or(UndoError::OtherRestore { restore, savepoint: None })?)
    }

    async fn read_restore_plan(&self, restore: InstantTime) -> Result<RestorePlan, CommitError> {
        let file = TimelineFile::requested(restore, Action::Restore);
        let path = self.table.timeline.path(&file);
        let plan = RestorePlan::from_avro(&self.table.timeline.read(&file).await?);
        Ok(plan.map_err(|source| TimelineError::Metadata { path, source })?)
    }
}

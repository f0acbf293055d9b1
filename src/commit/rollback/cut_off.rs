//! Going on with rollbacks that were cut off.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{InstantInfo, RollbackPlan};

use super::{Deleted, deleted_by};
use crate::commit::{CommitError, Committer, heartbeat};
use crate::storage::lock::LockGuard;
use crate::timeline::{Instant, Timeline};

impl Committer {
    /// Completes the rollbacks that were cut off when what they undo had left the timeline already, or before
    /// a completed commit was taken off it.
    ///
    /// Whoever takes an instant off the timeline completes the rollback under the same lock, and whoever plans to
    /// roll a commit back makes it pending under the same lock; so who holds the lock and finds the one without
    /// the other knows that nobody is at it. What undoes a commit on which something is built by now has deleted
    /// nothing, and goes.
    ///
    /// Nor does it take two to complete one rollback while the lock holds: we look again under it, and
    /// Hudi, which does not, fails when what it undoes is gone. Should somebody who lost the lock complete
    /// it once more all the same, readers take the two files for one instant; Hudi's do, too.
    ///
    /// Source: `BaseRollbackActionExecutor.finishRollback`, `ActiveTimelineV2.deletePending`,
    /// `TimelineLayout.filterHoodieInstantsByLatestState`.
    ///
    /// # Errors
    /// Those of the storage and the lock; call it again.
    pub(in crate::commit) async fn finish_rollbacks(&self) -> Result<(), CommitError> {
        // Others need not wait for that.
        let swept = self.delete_cut_off().await?;
        let guard = self.locked().await?;
        let finished = self.finish_rollbacks_locked(&swept, &guard).await;
        guard.release().await?;
        finished
    }

    /// Deletes the files of rollbacks that were cut off when what they undo had left the timeline, where it never
    /// comes back to; returns the rollbacks.
    async fn delete_cut_off(&self) -> Result<BTreeSet<InstantTime>, CommitError> {
        let timeline = self.timeline().await?;
        let mut swept = BTreeSet::new();
        for rollback in timeline.pending().filter(|i| i.action == Action::Rollback) {
            let Some(plan) = self.read_rollback_plan(rollback.time).await? else { continue };
            let Some(target) = plan.instant_to_rollback else { continue };
            let is_gone = timeline.write_at(target.commit_time).is_none();
            if is_gone && !self.is_archived(target.commit_time).await? {
                self.delete_files(&plan).await?;
                swept.insert(rollback.time);
            }
        }
        Ok(swept)
    }

    /// As [`Committer::finish_rollbacks`], where the files of those `swept` are deleted. The caller holds the lock.
    pub(in crate::commit) async fn finish_rollbacks_locked(
        &self,
        swept: &BTreeSet<InstantTime>,
        guard: &LockGuard,
    ) -> Result<(), CommitError> {
        let timeline = self.timeline().await?;
        for rollback in timeline.pending().filter(|i| i.action == Action::Rollback) {
            let Some(plan) = self.read_rollback_plan(rollback.time).await? else {
                guard.check().await?;
                self.table.storage.delete(&self.table.timeline.path(&rollback.file())).await?;
                tracing::warn!(rollback = %rollback.time, "removed what was left of a rollback without a plan");
                continue;
            };
            let Some(target) = plan.instant_to_rollback else { continue };
            match timeline.write_at(target.commit_time) {
                Some(commit) if commit.is_completed() => {
                    self.finish_rollback_of_commit(&timeline, (rollback, &plan), commit, guard).await?;
                }
                Some(_) => {}
                None if self.is_archived(target.commit_time).await? => {}
                None => {
                    let inflight = TimelineFile::inflight(rollback.time, Action::Rollback);
                    self.put_or_keep(&inflight, Bytes::new()).await?;
                    let files = match swept.contains(&rollback.time) {
                        true => deleted_by(&plan),
                        false => self.delete_files(&plan).await?,
                    };
                    let (rollback, took) = (rollback.time, Duration::ZERO);
                    self.finish_rollback(Deleted { target, rollback, files, took }, guard).await?;
                }
            }
        }
        Ok(())
    }

    /// Carries a rollback out that was cut off before it took a completed commit off the timeline. If that commit
    /// has to stay by now the plan goes.
    async fn finish_rollback_of_commit(
        &self,
        timeline: &Timeline,
        (rollback, plan): (&Instant, &RollbackPlan),
        commit: &Instant,
        guard: &LockGuard,
    ) -> Result<(), CommitError> {
        if !self.is_dead(rollback.time).await? {
            return Ok(());
        }
        match self.check_newest(timeline, commit).await {
            Err(CommitError::Undo(reason)) => {
                // Hudi's writers unpublish without the lock: one may be about to.
                let expiry = self.options.heartbeat_expiry();
                if !heartbeat::is_expired(&self.table, rollback.time, expiry).await? {
                    return Ok(());
                }
                tracing::warn!(rollback = %rollback.time, %reason, "a rollback is given up that was not begun");
                return self.forget_rollback(rollback.time, guard).await;
            }
            checked => checked?,
        }
        self.unpublish(commit, guard).await?;
        let files = self.delete_files(plan).await?;
        let target = InstantInfo { commit_time: commit.time, action: commit.action };
        let (rollback, took) = (rollback.time, Duration::ZERO);
        self.finish_by_hand(Deleted { target, rollback, files, took }, guard).await?;
        Ok(())
    }

    /// Takes the plan of a rollback off the timeline that has deleted nothing.
    async fn forget_rollback(&self, rollback: InstantTime, guard: &LockGuard) -> Result<(), CommitError> {
        guard.check().await?;
        for file in [
            TimelineFile::inflight(rollback, Action::Rollback),
            TimelineFile::requested(rollback, Action::Rollback),
        ] {
            self.table.storage.delete(&self.table.timeline.path(&file)).await?;
        }
        Ok(())
    }

    /// What a rollback on the timeline undoes, if its plan is there and says so.
    ///
    /// # Errors
    /// A plan that cannot be read.
    pub async fn rollback_target(&self, rollback: InstantTime) -> Result<Option<InstantTime>, CommitError> {
        let plan = self.read_rollback_plan(rollback).await?;
        Ok(plan.and_then(|plan| plan.instant_to_rollback).map(|target| target.commit_time))
    }
}

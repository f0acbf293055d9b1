//! Rolling back what somebody names: a write that died, a plan that is to go, or the newest commit.

use std::time::Duration;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::{RollbackMetadata, RollbackPlan};

use super::{Deleted, Undo};
use crate::commit::{CommitError, Committer, UndoError, later_than};
use crate::storage::lock::LockGuard;
use crate::timeline::{Instant, Timeline};

/// What a rollback by hand takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackDraft {
    /// What is taken back.
    pub target: Instant,
    /// The rollback that was begun already, if one was.
    pub begun: Option<InstantTime>,
    /// What is deleted.
    pub plan: RollbackPlan,
}

impl Committer {
    /// The completed write after which no other came: the one that can be rolled back, if any can.
    ///
    /// # Errors
    /// A timeline that cannot be read.
    pub async fn newest_commit(&self) -> Result<Option<InstantTime>, CommitError> {
        let timeline = self.timeline().await?;
        let is_newest = |commit: &&Instant| {
            let later = later_than(&timeline, commit, self.table.config.table_type);
            !later.iter().any(Instant::is_completed)
        };
        Ok(timeline.completed_writes().rfind(is_newest).map(|commit| commit.time))
    }

    /// What [`Committer::roll_back`] would do to `instant`. Changes nothing.
    ///
    /// # Errors
    /// [`UndoError`]; those of the storage.
    pub async fn plan_rollback(&self, instant: InstantTime) -> Result<RollbackDraft, CommitError> {
        let timeline = self.timeline_anew().await?;
        let target = match self.target(&timeline, instant).await {
            Err(CommitError::Undo(unknown @ UndoError::Unknown { .. })) => {
                let files = self.listed_files(instant).await?;
                let (target, plan) = self.leftover_plan(&timeline, instant, &files).ok_or(unknown)?;
                return Ok(RollbackDraft { target, begun: None, plan });
            }
            target => target?,
        };
        self.check_takes_back(&timeline, &target, Undo::ByHand).await?;
        let (begun, plan) = match self.planned_rollback(&timeline, instant).await? {
            Some((rollback, plan)) => (Some(rollback), plan),
            None if target.is_completed() => (None, self.rollback_plan_of_commit(&target).await?),
            None => {
                let files = self.written_files(instant).await?;
                (None, self.rollback_plan(&target, &files, Undo::ByHand))
            }
        };
        Ok(RollbackDraft { target, begun, plan })
    }

    /// Rolls `instant` back, whatever it has come to: a write or a service that nobody is at any more, the newest
    /// commit, or a write of which nothing is left but files. Readers do not see it from the moment at which the plan is on the timeline; what was
    /// cut off is gone on with by the same call, or by whoever writes next.
    ///
    /// # Errors
    /// [`UndoError`], before anything is changed; those of the storage and the lock: call it again.
    pub async fn roll_back(&self, instant: InstantTime) -> Result<RollbackMetadata, CommitError> {
        let timeline = self.timeline_anew().await?;
        let target = match self.target(&timeline, instant).await {
            Err(CommitError::Undo(unknown @ UndoError::Unknown { .. })) => {
                return self.finish_cut_off(&timeline, instant).await?.ok_or_else(|| unknown.into());
            }
            target => target?,
        };
        let told = self.undo(&target, Undo::ByHand).await?;
        let told = told.ok_or(UndoError::Unknown { instant })?;
        self.sweep_rolled_back(instant).await?;
        Ok(told)
    }

    /// Completes a rollback of which nothing is left to do but to say so, or deletes what is left of a write that
    /// is nowhere on the timeline.
    async fn finish_cut_off(
        &self,
        timeline: &Timeline,
        instant: InstantTime,
    ) -> Result<Option<RollbackMetadata>, CommitError> {
        let (rollback, plan) = match self.planned_rollback(timeline, instant).await? {
            Some(planned) => {
                self.finish_rollbacks().await?;
                planned
            }
            None => match self.roll_back_leftover(instant).await? {
                Some(planned) => planned,
                None => return Ok(None),
            },
        };
        let Some(target) = plan.instant_to_rollback else { return Ok(None) };
        self.sweep_rolled_back(instant).await?;
        let files = super::deleted_by(&plan);
        Ok(Some(Deleted { target, rollback, files, took: Duration::ZERO }.metadata()))
    }

    /// The instant that is to be rolled back.
    async fn target(&self, timeline: &Timeline, instant: InstantTime) -> Result<Instant, CommitError> {
        if let Some(target) = timeline.write_at(instant) {
            return Ok(*target);
        }
        if let Some(other) = timeline.instants().find(|i| i.time == instant) {
            let (action, advice) = (other.requested_as, advice(other.requested_as));
            return Err(UndoError::NoWrite { instant, action, advice }.into());
        }
        self.check_not_archived(instant).await?;
        Err(UndoError::Unknown { instant }.into())
    }

    /// Refuses to undo what somebody is at, or what others are built on.
    pub(super) async fn check_takes_back(
        &self,
        timeline: &Timeline,
        target: &Instant,
        undo: Undo<'_>,
    ) -> Result<(), CommitError> {
        let is_by_hand = matches!(undo, Undo::ByHand);
        if is_by_hand {
            self.refuse_restoring(timeline).await?;
        }
        match target.is_completed() {
            true if is_by_hand => self.check_newest(timeline, target).await,
            true => Ok(()),
            false => self.check_dead(timeline, target).await,
        }
    }

    /// Refuses where somebody may be at work on a pending instant. What was planned to be rolled back is nobody's
    /// any more.
    ///
    /// # Errors
    /// [`UndoError::Alive`]; those of the storage.
    pub(in crate::commit) async fn check_dead(
        &self,
        timeline: &Timeline,
        pending: &Instant,
    ) -> Result<(), CommitError> {
        let Some((heard, expiry)) = self.last_heard(pending).await? else { return Ok(()) };
        if self.planned_rollback(timeline, pending.time).await?.is_some() {
            return Ok(());
        }
        let now = self.table.environment.clock.unix_millis();
        let since =
            |then: i64| Duration::from_millis(u64::try_from(now.saturating_sub(then)).unwrap_or_default());
        let (begun, heard) = (pending.time.to_unix_millis(self.table.zone).unwrap_or(now), since(heard));
        let who = self.pipeline_of(pending).await.ok().flatten();
        Err(UndoError::Alive {
            instant: pending.time,
            action: pending.requested_as,
            who: who.map_or_else(|| "an unknown writer".to_owned(), |name| format!("pipeline {name:?}")),
            begun: since(begun),
            heard,
            expires: expiry.saturating_sub(heard) + Duration::from_millis(1),
        }
        .into())
    }

    /// Ends a rollback by hand. Meanwhile others may have taken the rollback for one of an attempt that was cut off,
    /// ended it, and gone on with what was to go.
    ///
    /// # Errors
    /// [`UndoError::TakenOver`]; those of the storage and the lock.
    pub(super) async fn finish_by_hand(
        &self,
        done: Deleted,
        guard: &LockGuard,
    ) -> Result<RollbackMetadata, CommitError> {
        let timeline = self.timeline().await?;
        let is_ended = timeline.get(done.rollback, Action::Rollback).is_none_or(Instant::is_completed);
        if let Some(found) = timeline.write_at(done.target.commit_time).filter(|_| is_ended) {
            return Err(UndoError::TakenOver { instant: found.time, action: found.requested_as }.into());
        }
        self.remove_pending(done.target.commit_time, guard).await?;
        self.complete_rollback(&timeline, done, guard).await
    }
}

fn advice(action: Action) -> &'static str {
    match action {
        Action::Clean => {
            "what it has deleted is gone; one that is not completed is gone on with (lakebed clean TABLE)"
        }
        Action::Savepoint => "delete it (lakebed savepoint delete TABLE INSTANT)",
        Action::Restore => {
            "what it took back is gone; one that is not completed is gone on with (lakebed restore)"
        }
        Action::Rollback => "roll back what it undoes, and it is gone on with",
        _ => "its engine goes on with it",
    }
}

//! Carrying a restore out.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_metadata::RollbackMetadata;

use crate::commit::{CommitError, RestorePlanned, ServiceRun};
use crate::maintain::run::begun;
use crate::maintain::{MaintainError, Maintainer, RunLimits, RunOutcome, finished};
use crate::table::StagedFiles;
use crate::timeline::Instant;

/// What a run tells as it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreEvent {
    /// So many instants are to be taken back.
    Begun {
        /// The restore.
        restore: InstantTime,
        /// How many.
        instants: usize,
    },
    /// One more is.
    TakenBack {
        /// It.
        instant: InstantTime,
    },
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// The restore.
    pub restore: InstantTime,
    /// How it ended.
    pub outcome: RunOutcome,
    /// The instants that it took back, in its turns.
    pub instants: Vec<Instant>,
    /// How many are left to be taken back.
    pub left: usize,
    /// Files that were deleted.
    pub files: usize,
}

impl RestoreReport {
    fn of(restore: InstantTime, outcome: RunOutcome) -> Self {
        Self { restore, outcome, instants: Vec::new(), left: 0, files: 0 }
    }
}

impl Maintainer {
    /// The instants that a restore to `savepoint` would take back, in their turn. Changes nothing.
    ///
    /// # Errors
    /// [`UndoError`](crate::commit::UndoError); those of the storage.
    pub async fn plan_restore(&self, savepoint: InstantTime) -> Result<Vec<Instant>, MaintainError> {
        Ok(self.committer().plan_restore(savepoint).await?)
    }

    /// Takes the table back to `savepoint`, or goes on with a restore to it that was cut off. `None` if nothing
    /// came after it.
    ///
    /// # Errors
    /// [`UndoError`](crate::commit::UndoError), before anything is changed; those of the storage, after which the
    /// restore is not completed, and gone on with by the same call.
    pub async fn restore(
        &self,
        savepoint: InstantTime,
        limits: &RunLimits,
        tell: &(dyn Fn(RestoreEvent) + Sync),
    ) -> Result<Option<RestoreReport>, MaintainError> {
        let (restore, taken) = match self.committer().schedule_restore(savepoint).await? {
            RestorePlanned::Nothing => return Ok(None),
            RestorePlanned::At(restore, taken) => (restore, taken),
        };
        let run = match begun(taken) {
            Ok(run) => run,
            Err(outcome) => return Ok(Some(RestoreReport::of(restore, outcome))),
        };
        let worked = self.take_all_back(&run, limits, tell).await;
        let is_over = worked.as_ref().is_ok_and(|report| report.outcome.is_over());
        let let_go = match is_over {
            true => self.clear_restore(run).await,
            false => Ok(self.committer().release(run).await?),
        };
        if let Err(error) = let_go {
            tracing::warn!(%restore, %error, "what was left of the restore could not be removed");
        }
        worked.map(Some)
    }

    /// Removes what a restore leaves that is over.
    async fn clear_restore(&self, run: ServiceRun) -> Result<(), MaintainError> {
        let committer = self.committer();
        committer.forget_rollbacks(run.instant).await?;
        committer.clear_service(run).await?;
        Ok(finished::sweep(committer).await?)
    }

    async fn take_all_back(
        &self,
        run: &ServiceRun,
        limits: &RunLimits,
        tell: &(dyn Fn(RestoreEvent) + Sync),
    ) -> Result<RestoreReport, MaintainError> {
        let (committer, clock) = (self.committer(), self.table().environment.clock.clone());
        let started = clock.monotonic();
        committer.begin_attempt(run, &BTreeSet::new()).await?;
        let left = committer.left_to_restore(run.instant).await?;
        tell(RestoreEvent::Begun { restore: run.instant, instants: left.len() });
        let mut report =
            RestoreReport { left: left.len(), ..RestoreReport::of(run.instant, RunOutcome::Stopped) };
        let mut undone: BTreeMap<InstantTime, RollbackMetadata> = BTreeMap::new();
        for target in &left {
            if limits.are_reached(clock.as_ref()) {
                return Ok(report);
            }
            report.left -= 1;
            if let Some(told) = committer.take_back(run, target).await? {
                report.files += usize::try_from(told.total_files_deleted).unwrap_or_default();
                report.instants.push(*target);
                undone.insert(target.time, told);
            }
            tell(RestoreEvent::TakenBack { instant: target.time });
        }
        let took = clock.monotonic().saturating_sub(started);
        let metadata = committer.restore_metadata(run.instant, &undone, took).await?;
        let metadata = metadata.to_avro().map_err(CommitError::from)?;
        report.outcome = RunOutcome::of(committer.complete(run, &StagedFiles::default(), metadata).await?)?;
        Ok(report)
    }
}

//! What a restore takes back.

use std::time::Duration;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_metadata::RollbackMetadata;

use super::{Deleted, deleted_by};
use crate::commit::{CommitError, Committer, ServiceRun};
use crate::storage::lock::LockGuard;

impl Committer {
    /// Ends the rollback of an instant by a restore, which tells of it: the plan stays until it has.
    ///
    /// Source: `BaseRollbackActionExecutor` with `skipTimelinePublish`.
    pub(super) async fn finish_restored(
        &self,
        run: &ServiceRun,
        done: Deleted,
        guard: &LockGuard,
    ) -> Result<RollbackMetadata, CommitError> {
        self.check_alive(run)?;
        self.remove_pending(done.target.commit_time, guard).await?;
        Ok(done.metadata())
    }

    /// What a rollback would say of itself that was planned, and of which everything is done.
    pub(in crate::commit) async fn told_by_plan(
        &self,
        rollback: InstantTime,
    ) -> Result<Option<RollbackMetadata>, CommitError> {
        let Some(plan) = self.read_rollback_plan(rollback).await? else { return Ok(None) };
        let Some(target) = plan.instant_to_rollback else { return Ok(None) };
        Ok(Some(Deleted { target, rollback, files: deleted_by(&plan), took: Duration::ZERO }.metadata()))
    }
}

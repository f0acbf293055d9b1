//! Rolling back what is left of a write that is nowhere on the timeline.

use std::collections::BTreeSet;

use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::TableType;
use lakebed_hudi::timeline_file::{Action, State, TimelineFile};
use lakebed_hudi::timeline_metadata::RollbackPlan;

use super::Undo;
use crate::commit::{CommitError, Committer};
use crate::storage::TablePath;
use crate::storage::lock::LockGuard;
use crate::timeline::{Instant, Timeline};

impl Committer {
    /// The data files of `instant`, wherever they are in the table, which is listed as a whole.
    pub(super) async fn listed_files(
        &self,
        instant: InstantTime,
    ) -> Result<BTreeSet<TablePath>, CommitError> {
        let is_own = |path: &TablePath| {
            let name = DataFileName::parse(path.file_name());
            name.is_some_and(|name| name.instant() == instant) && !path.as_str().starts_with(".hoodie/")
        };
        let files = self.table.storage.list_all(&TablePath::root()).await?;
        Ok(files.into_iter().map(|file| file.path).filter(is_own).collect())
    }

    /// The files of a write by its markers, whether they are there or not; those that are there if it has none, be it
    /// that it had begun none, or that others have removed them.
    pub(in crate::commit) async fn written_files(
        &self,
        instant: InstantTime,
    ) -> Result<BTreeSet<TablePath>, CommitError> {
        let marked = self.files_of(instant).await?;
        if marked.is_empty() { self.listed_files(instant).await } else { Ok(marked) }
    }

    /// The plan to delete `files` of `instant`, which is not on `timeline`; `None` if there are none, or none that
    /// may be deleted: readers take those of before the active timeline for part of the table.
    pub(super) fn leftover_plan(
        &self,
        timeline: &Timeline,
        instant: InstantTime,
        files: &BTreeSet<TablePath>,
    ) -> Option<(Instant, RollbackPlan)> {
        let is_known =
            timeline.is_committed(instant) || timeline.instants().any(|known| known.time == instant);
        if is_known || files.is_empty() {
            return None;
        }
        let action = match self.table.config.table_type {
            TableType::CopyOnWrite => Action::Commit,
            TableType::MergeOnRead => Action::DeltaCommit,
        };
        let target = Instant { time: instant, action, requested_as: action, state: State::Requested };
        let plan = self.rollback_plan(&target, files, Undo::ByHand);
        Some((target, plan))
    }

    /// Puts the plan to delete what is left of `instant` on the timeline and carries it out. `None` if nothing is.
    pub(super) async fn roll_back_leftover(
        &self,
        instant: InstantTime,
    ) -> Result<Option<(InstantTime, RollbackPlan)>, CommitError> {
        // Others need not wait for that; what still comes is swept by its markers.
        let files = self.listed_files(instant).await?;
        let guard = self.locked().await?;
        let planned = self.plan_leftover(instant, &files, &guard).await;
        guard.release().await?;
        let planned = planned?;
        if planned.is_some() {
            self.finish_rollbacks().await?;
        }
        Ok(planned)
    }

    async fn plan_leftover(
        &self,
        instant: InstantTime,
        files: &BTreeSet<TablePath>,
        guard: &LockGuard,
    ) -> Result<Option<(InstantTime, RollbackPlan)>, CommitError> {
        let timeline = self.timeline_anew().await?;
        self.refuse_restoring(&timeline).await?;
        let Some((target, plan)) = self.leftover_plan(&timeline, instant, files) else { return Ok(None) };
        self.check_not_archived(instant).await?;
        self.check_dead(&timeline, &target).await?;
        let rollback = self.new_time(&timeline).await?;
        let requested = TimelineFile::requested(rollback, Action::Rollback);
        self.put_surely(requested, plan.to_avro()?.into(), guard).await?;
        Ok(Some((rollback, plan)))
    }
}

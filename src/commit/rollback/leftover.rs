//! Rolling back what is left of a write that is nowhere on the timeline.

use std::collections::BTreeMap;

use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::TableType;
use lakebed_hudi::timeline_file::{Action, State, TimelineFile};
use lakebed_hudi::timeline_metadata::{InstantInfo, RollbackPlan, RollbackRequest};

use crate::commit::{CommitError, Committer};
use crate::storage::TablePath;
use crate::storage::lock::LockGuard;
use crate::timeline::{Instant, Timeline};

impl Committer {
    /// The plan to delete the files of `instant`, which is not on `timeline`; `None` if there are none, or none that
    /// may be deleted: readers take those of before the active timeline for part of the table.
    pub(super) async fn leftover_plan(
        &self,
        timeline: &Timeline,
        instant: InstantTime,
    ) -> Result<Option<(Instant, RollbackPlan)>, CommitError> {
        if timeline.is_committed(instant) || timeline.instants().any(|known| known.time == instant) {
            return Ok(None);
        }
        let storage = &self.table.storage;
        let mut requests = Vec::new();
        for file in storage.list_all(&TablePath::root()).await? {
            let Some(name) = DataFileName::parse(file.path.file_name()) else { continue };
            if name.instant() == instant && !file.path.as_str().starts_with(".hoodie/") {
                requests.push(RollbackRequest {
                    partition_path: file.path.parent().map(|parent| parent.to_string()).unwrap_or_default(),
                    file_id: name.file_id().to_string(),
                    latest_base_instant: String::new(),
                    files_to_be_deleted: vec![storage.uri().without_scheme(&file.path)],
                    log_blocks_to_be_deleted: BTreeMap::new(),
                });
            }
        }
        if requests.is_empty() {
            return Ok(None);
        }
        let action = match self.table.config.table_type {
            TableType::CopyOnWrite => Action::Commit,
            TableType::MergeOnRead => Action::DeltaCommit,
        };
        let target = Instant { time: instant, action, requested_as: action, state: State::Requested };
        let undone = Some(InstantInfo { commit_time: instant, action });
        Ok(Some((
            target,
            RollbackPlan { instant_to_rollback: undone, rollback_requests: requests, version: 1 },
        )))
    }

    /// Puts the plan to delete what is left of `instant` on the timeline and carries it out. `None` if nothing is.
    pub(super) async fn roll_back_leftover(
        &self,
        instant: InstantTime,
    ) -> Result<Option<InstantTime>, CommitError> {
        let guard = self.locked().await?;
        let done = self.roll_back_leftover_locked(instant, &guard).await;
        guard.release().await?;
        done
    }

    async fn roll_back_leftover_locked(
        &self,
        instant: InstantTime,
        guard: &LockGuard,
    ) -> Result<Option<InstantTime>, CommitError> {
        let timeline = self.timeline_anew().await?;
        self.refuse_restoring(&timeline).await?;
        let Some((target, plan)) = self.leftover_plan(&timeline, instant).await? else { return Ok(None) };
        self.check_not_archived(instant).await?;
        self.check_dead(&timeline, &target).await?;
        let rollback = self.new_time(&timeline).await?;
        let requested = TimelineFile::requested(rollback, Action::Rollback);
        self.put_surely(requested, plan.to_avro()?.into(), guard).await?;
        self.finish_rollbacks_locked(guard).await?;
        Ok(Some(rollback))
    }
}

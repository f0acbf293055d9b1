//! What is pending is to do, as far as it can be read.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::facts::{FileInPartition, Plan};
use crate::commit::{CommitError, Committer};
use crate::maintain::MaintainError;
use crate::table::FileGroupId;
use crate::timeline::{Instant, Timeline, TimelineError};

/// The plans of what is pending.
#[derive(Debug, Default)]
pub(super) struct Plans {
    /// Those of compactions and clusterings, and all others that cannot be read.
    pub(super) plans: Vec<(Instant, Plan)>,
    /// The files that cleans are to delete.
    pub(super) going: BTreeSet<FileInPartition>,
    /// What rollbacks undo.
    pub(super) rollbacks: BTreeMap<InstantTime, Option<InstantTime>>,
    /// The restore, and where it goes.
    pub(super) restore: Option<(InstantTime, Option<InstantTime>)>,
}

impl Plans {
    /// Reads the plans of all that is pending.
    pub(super) async fn of(committer: &Committer, timeline: &Timeline) -> Result<Self, MaintainError> {
        let mut plans = Self::default();
        for pending in timeline.pending() {
            if let Some(why) = unless_broken(plans.add(committer, timeline, pending).await)? {
                plans.plans.push((*pending, Plan::Broken(why)));
            }
        }
        Ok(plans)
    }

    async fn add(
        &mut self,
        committer: &Committer,
        timeline: &Timeline,
        pending: &Instant,
    ) -> Result<(), CommitError> {
        match pending.requested_as {
            Action::Clean => self.going.extend(committer.going_files(pending.time).await?),
            Action::Rollback => {
                self.rollbacks.insert(pending.time, committer.rollback_target(pending.time).await?);
            }
            Action::Restore => {
                self.restore = Some((pending.time, None));
                let savepoint = committer.savepoint_of(timeline, pending.time).await?;
                self.restore = Some((pending.time, Some(savepoint)));
            }
            _ if pending.is_pending_service() => {
                let slices = committer.files_read_by(pending).await?;
                self.plans.push((*pending, plan(slices)));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Why a plan cannot be read, if so.
fn unless_broken(read: Result<(), CommitError>) -> Result<Option<String>, MaintainError> {
    match read {
        Ok(()) => Ok(None),
        Err(
            error @ (CommitError::ServicePlan { .. }
            | CommitError::RollbackPlan { .. }
            | CommitError::Timeline(TimelineError::Metadata { .. })
            | CommitError::Undo(_)),
        ) => Ok(Some(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn plan(slices: Vec<(FileGroupId, Vec<String>)>) -> Plan {
    let (mut groups, mut files) = (BTreeSet::new(), BTreeSet::new());
    for (group, names) in slices {
        let names = names.into_iter().filter(|name| !name.is_empty());
        files.extend(names.map(|name| (group.partition.clone(), name)));
        if !groups.insert(group.clone()) {
            return Plan::Repeats(group);
        }
    }
    Plan::Reads(files)
}

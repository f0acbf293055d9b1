//! A compaction goes on after whatever stopped it, and does no group again that was done.

use lakebed::maintain::{MaintainError, RunOutcome};
use lakebed::storage::fault::FaultStorage;
use lakebed::storage::{Operation, TablePath};
use lakebed::table::FileGroup;
use lakebed_hudi::timeline_file::Action;

use super::matrix::{Crashing, Disk, Template};
use super::place::{GROUPS, Place};
use crate::recovery::audit;
use crate::recovery::faults::{ALL_KINDS, ON_DISK};
use crate::test_table::services;

/// Compactions of a table with log files in all of its groups.
struct Compacting;

impl Crashing for Compacting {
    async fn run(process: Place) -> Result<Vec<RunOutcome>, MaintainError> {
        let reports = services::maintain(&process.open().await?).await?;
        Ok(reports.into_iter().map(|report| report.outcome).collect())
    }

    async fn go_on(place: Place) -> Result<Vec<String>, MaintainError> {
        let (left, later) = (Left::of(&place).await, place.later(8));
        let counting = FaultStorage::new(place.disk.clone());
        Self::run(later.by(&counting)).await?;
        let mut problems = Vec::new();
        let made = counting.operations().iter().filter(|o| o.operation == Operation::Finish).count();
        if !left.may_take(made) {
            problems.push(format!("{made} files were made where {left:?}"));
        }
        let groups = later.table().await.snapshot(None).await.unwrap().all_file_groups().await.unwrap();
        let is_one_file = |group: &FileGroup| {
            group.latest().is_some_and(|slice| slice.base.is_some() && slice.logs.is_empty())
        };
        let groups = groups.into_iter().flat_map(|(_, groups)| groups);
        problems.extend(groups.filter(|group| !is_one_file(group)).map(|group| format!("{group:?}")));
        Ok(problems)
    }
}

/// How much of a compaction is left to do.
#[derive(Debug, PartialEq)]
struct Left {
    groups: usize,
    /// Whether somebody is about to roll an attempt back: then all of it may be done again.
    is_rolled_back: bool,
}

impl Left {
    async fn of(place: &Place) -> Self {
        let timeline = place.table().await.timeline.load().await.unwrap();
        let is_rolled_back = timeline.pending().any(|instant| instant.action == Action::Rollback);
        let is_done = timeline.completed().any(|instant| instant.requested_as == Action::Compaction);
        let notes: TablePath = ".hoodie/.aux/lakebed-services".parse().unwrap();
        let noted = place.disk.list_all(&notes).await.unwrap().len();
        Self { groups: if is_done { 0 } else { GROUPS - noted }, is_rolled_back }
    }

    /// Whether no group is done again that was done. What a dead process had sent off may still come.
    fn may_take(&self, files: usize) -> bool {
        files <= self.groups || self.is_rolled_back && files == GROUPS
    }
}

async fn template() -> Template {
    Template::of(Place::template().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_goes_on_after_any_operation_failed_or_stopped_it() {
    template().await.matrix::<Compacting>(Disk::Memory, &ALL_KINDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_on_local_disk_goes_on_after_a_stop_at_any_operation() {
    template().await.matrix::<Compacting>(Disk::Local, &ON_DISK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_goes_on_after_death_upon_death() {
    template().await.death_upon_death::<Compacting>().await;
}

#[tokio::test]
async fn metadata_that_is_half_written_goes_when_nobody_can_be_at_it_any_more() {
    let (template, folder) = (template().await, tempfile::tempdir().unwrap());
    let place = Place::on_disk(folder.path(), &template.files).await;
    for name in [".hoodie/dead", ".hoodie/timeline/dead", ".hoodie/.heartbeat/dead"] {
        std::mem::forget(place.disk.create(&name.parse().unwrap(), None).await.unwrap());
    }
    for (place, left) in [(place.clone(), 3), (place.later(1), 0)] {
        place.maintainer().await.sweep().await.unwrap();
        assert_eq!(audit::temporary_files(folder.path()).len(), left);
    }
}

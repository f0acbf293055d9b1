//! Every operation of a compaction fails, or stops the process, before and after it is done.

use std::error::Error as _;
use std::sync::Arc;

use lakebed::maintain::compaction::CompactionReport;
use lakebed::maintain::{MaintainError, RunOutcome};
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage, LoggedOperation};
use lakebed::storage::{self, Operation, Storage, TablePath};
use lakebed::table::FileGroup;
use lakebed_hudi::timeline_file::Action;

use super::place::{GROUPS, Place};
use crate::recovery::audit;
use crate::recovery::clock::QuickClock;
use crate::recovery::faults::{
    ALL_KINDS, DIES, Files, ON_DISK, all_survive, disk_of, faults_at, files_of, put_all,
};
use crate::recovery::model::Model;
use crate::test_table::services;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    Memory,
    Local,
}

/// A table with log files in all of its groups, in which nothing has gone wrong yet, or in which a process
/// was stopped.
#[derive(Clone)]
struct Template {
    files: Arc<Files>,
    model: Arc<Model>,
}

impl Template {
    async fn new() -> Self {
        let (files, model) = Place::template().await;
        Self { files: Arc::new(files), model: Arc::new(model) }
    }

    /// The table after a process was stopped by `fault`.
    async fn after(&self, fault: Fault) -> Self {
        let place = self.place().await;
        let faulty = FaultStorage::with_fault(place.disk.clone(), fault);
        faulty.outlive(maintain(&place, Arc::new(faulty.clone()))).await;
        assert!(faulty.has_died(), "{fault:?}");
        Self { files: Arc::new(files_of(place.disk.as_ref()).await), model: self.model.clone() }
    }

    /// A process of an hour later.
    async fn place(&self) -> Place {
        let environment = QuickClock::an_hour_after(&QuickClock::environment(2), 3);
        Place { disk: disk_of(&self.files, &environment).await, environment }
    }

    async fn place_on(&self, folder: &tempfile::TempDir) -> Place {
        let environment = QuickClock::an_hour_after(&QuickClock::environment(2), 3);
        let uri = folder.path().join("t").display().to_string().parse().unwrap();
        let disk = storage::open(&uri, &environment).await.unwrap();
        put_all(disk.as_ref(), &self.files).await;
        Place { disk, environment }
    }

    /// What a process does to the table that meets no fault.
    async fn operations(&self) -> Vec<LoggedOperation> {
        let place = self.place().await;
        let counting = FaultStorage::new(place.disk.clone());
        maintain(&place, Arc::new(counting.clone())).await.unwrap();
        assert_eq!(place.problems(&self.model).await, [""; 0], "without a fault");
        counting.operations()
    }
}

/// One process, from its start to its end, as the program does it.
async fn maintain(place: &Place, disk: Arc<dyn Storage>) -> Result<Vec<CompactionReport>, MaintainError> {
    let process = Place { disk, environment: place.environment.clone() };
    services::maintain(&process.open().await?).await
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

/// Has the next process do the rest, and says what is wrong then.
async fn go_on(place: &Place, model: &Model) -> Vec<String> {
    let (left, later) = (Left::of(place).await, place.later(8));
    let counting = FaultStorage::new(place.disk.clone());
    if let Err(error) = maintain(&later, Arc::new(counting.clone())).await {
        return vec![format!("the next run failed: {error}: {:?}", error.source())];
    }
    let mut problems = later.problems(model).await;
    let made = counting.operations().iter().filter(|o| o.operation == Operation::Finish).count();
    if !left.may_take(made) {
        problems.push(format!("{made} files were made where {left:?}"));
    }
    let groups = later.table().await.snapshot(None).await.unwrap().all_file_groups().await.unwrap();
    let is_one_file =
        |group: &FileGroup| group.latest().is_some_and(|slice| slice.base.is_some() && slice.logs.is_empty());
    let groups = groups.into_iter().flat_map(|(_, groups)| groups);
    problems.extend(groups.filter(|group| !is_one_file(group)).map(|group| format!("{group:?}")));
    problems
}

/// Has a process that lives try again at once: it must not take itself for another one.
async fn try_again(place: &Place, faulty: &FaultStorage, fault: Fault) -> Vec<String> {
    let is_beat = faulty.operations()[fault.at].path.as_str().starts_with(".hoodie/.heartbeat/");
    let again = Place { environment: QuickClock::next(&place.environment, faulty, 4), ..place.clone() };
    let again = match maintain(&again, again.disk.clone()).await {
        Err(error) => return vec![format!("it could not try again: {error}: {:?}", error.source())],
        Ok(reports) => reports,
    };
    let is_committed = |r: &CompactionReport| matches!(r.outcome, RunOutcome::Committed { .. });
    match again.iter().all(is_committed) || is_beat {
        true => Vec::new(),
        false => vec![format!("it did not try again: {again:?}")],
    }
}

/// Has a process meet a fault, and the next one do the rest. Returns what is wrong then.
async fn survives(template: Template, disk: Disk, fault: Fault) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let place = match disk {
        Disk::Memory => template.place().await,
        Disk::Local => template.place_on(&folder).await,
    };
    let faulty = FaultStorage::with_fault(place.disk.clone(), fault);
    let ended = faulty.outlive(maintain(&place, Arc::new(faulty.clone()))).await;
    let mut problems = if faulty.has_died() { Vec::new() } else { try_again(&place, &faulty, fault).await };
    problems.extend(go_on(&place, &template.model).await);
    problems.extend(audit::temporary_files(folder.path()));
    // A lock file of a dead process waits for whoever locks next.
    problems.retain(|problem| problem != "left behind: .hoodie/lock");
    let at = faulty.operations().get(fault.at).map(|o| format!("{} {}", o.operation, o.path));
    (!problems.is_empty()).then(|| format!("{fault:?}, {at:?}, {ended:?}:\n  {}", problems.join("\n  ")))
}

async fn matrix(template: Template, disk: Disk, kinds: &[FaultKind]) {
    let faults = faults_at(&template.operations().await, kinds);
    assert!(faults.len() > 15, "{}", faults.len());
    all_survive(faults, |fault| survives(template.clone(), disk, fault)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_goes_on_after_any_operation_failed_or_stopped_it() {
    matrix(Template::new().await, Disk::Memory, &ALL_KINDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_on_local_disk_goes_on_after_a_stop_at_any_operation() {
    matrix(Template::new().await, Disk::Local, &ON_DISK).await;
}

/// Where the first process dies: with a file begun, with one that is there and not noted, with all done.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_goes_on_after_death_upon_death() {
    let template = Template::new().await;
    let operations = template.operations().await;
    let is_file = |o: &LoggedOperation| o.path.file_name().ends_with(".parquet");
    let first = |of: Operation| operations.iter().position(|o| o.operation == of && is_file(o)).unwrap();
    let noted = |o: &LoggedOperation| o.path.as_str().contains("lakebed-services");
    let last_note = operations.iter().rposition(|o| o.operation == Operation::Put && noted(o)).unwrap();
    for at in [first(Operation::Create), first(Operation::Finish), last_note] {
        let after = template.after(Fault { at, kind: FaultKind::DieAfter }).await;
        matrix(after, Disk::Memory, &DIES).await;
    }
}

#[tokio::test]
async fn metadata_that_is_half_written_goes_when_nobody_can_be_at_it_any_more() {
    let (template, folder) = (Template::new().await, tempfile::tempdir().unwrap());
    let place = Place::on_disk(folder.path(), &template.files).await;
    for name in [".hoodie/dead", ".hoodie/timeline/dead", ".hoodie/.heartbeat/dead"] {
        std::mem::forget(place.disk.create(&name.parse().unwrap(), None).await.unwrap());
    }
    for (place, left) in [(place.clone(), 3), (place.later(1), 0)] {
        place.maintainer().await.sweep().await.unwrap();
        assert_eq!(audit::temporary_files(folder.path()).len(), left);
    }
}

//! Every operation of a clustering fails, or stops the process, before and after it is done.

use std::error::Error as _;
use std::sync::Arc;

use lakebed::maintain::RunOutcome;
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage, LoggedOperation};
use lakebed::storage::{self, Operation, Storage};

use super::*;
use crate::recovery::audit;
use crate::recovery::clock::QuickClock;
use crate::recovery::faults::{ALL_KINDS, DIES, ON_DISK, all_survive, disk_of, faults_at, put_all};

/// A table of small files in which nothing has gone wrong yet, or in which a process was stopped.
#[derive(Clone)]
struct Template {
    files: Arc<Files>,
    model: Arc<Model>,
}

impl Template {
    async fn new() -> Self {
        let (files, model) = Place::small_files_template().await;
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

/// One process, from its start to its end, as the program does it: group after group.
async fn maintain(place: &Place, disk: Arc<dyn Storage>) -> Result<Vec<ClusteringReport>, MaintainError> {
    let process = Place { disk, environment: place.environment.clone() };
    services::cluster(&process.open_within(MEMORY_OF_ONE).await?, &everything()).await
}

/// Has the next process do the rest, and says what is wrong then.
async fn go_on(place: &Place, model: &Model) -> Vec<String> {
    let later = place.later(8);
    if let Err(error) = maintain(&later, place.disk.clone()).await {
        return vec![format!("the next run failed: {error}: {:?}", error.source())];
    }
    let mut problems = later.problems(model).await;
    let slices = later.slices().await;
    if slices.len() != PARTITIONS.len() {
        problems.push(format!("{} file groups are left: {slices:?}", slices.len()));
    }
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
    let is_committed = |r: &ClusteringReport| matches!(r.outcome, RunOutcome::Committed { .. });
    match again.iter().all(is_committed) || is_beat {
        true => Vec::new(),
        false => vec![format!("it did not try again: {again:?}")],
    }
}

/// Has a process meet a fault, and the next one do the rest. Returns what is wrong then.
async fn survives(template: Template, on_disk: bool, fault: Fault) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let place = if on_disk { template.place_on(&folder).await } else { template.place().await };
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

async fn matrix(template: Template, on_disk: bool, kinds: &[FaultKind]) {
    let faults = faults_at(&template.operations().await, kinds);
    assert!(faults.len() > 15, "{}", faults.len());
    all_survive(faults, |fault| survives(template.clone(), on_disk, fault)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clustering_goes_on_after_any_operation_failed_or_stopped_it() {
    matrix(Template::new().await, false, &ALL_KINDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clustering_on_local_disk_goes_on_after_a_stop_at_any_operation() {
    matrix(Template::new().await, true, &ON_DISK).await;
}

/// Where the first process dies: with a file begun, with one that is there and not noted, with all done.
#[tokio::test(flavor = "multi_thread")]
async fn a_clustering_goes_on_after_death_upon_death() {
    let template = Template::new().await;
    let operations = template.operations().await;
    let is_file = |o: &LoggedOperation| o.path.file_name().ends_with(".parquet");
    let first = |of: Operation| operations.iter().position(|o| o.operation == of && is_file(o)).unwrap();
    let noted = |o: &LoggedOperation| o.path.as_str().contains("lakebed-services");
    let last_note = operations.iter().rposition(|o| o.operation == Operation::Put && noted(o)).unwrap();
    for at in [first(Operation::Create), first(Operation::Finish), last_note] {
        let after = template.after(Fault { at, kind: FaultKind::DieAfter }).await;
        matrix(after, false, &DIES).await;
    }
}

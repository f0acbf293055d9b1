//! Every operation of a service fails, or stops the process, before and after it is done.

use std::error::Error as _;
use std::sync::Arc;

use lakebed::maintain::{MaintainError, RunOutcome};
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage, LoggedOperation};
use lakebed::storage::{self, Operation};

use super::place::Place;
use crate::recovery::audit;
use crate::recovery::clock::QuickClock;
use crate::recovery::faults::{DIES, Files, all_survive, disk_of, faults_at, files_of, put_all};
use crate::recovery::model::Model;

/// A service of which every operation fails.
pub trait Crashing: Sized + 'static {
    /// One process, from its start to its end, as the program does it: how its runs ended.
    fn run(process: Place) -> impl Future<Output = Result<Vec<RunOutcome>, MaintainError>> + Send;

    /// Has the next process do the rest, and says what is wrong then beside what is wrong with any table.
    fn go_on(place: Place) -> impl Future<Output = Result<Vec<String>, MaintainError>> + Send;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    Memory,
    Local,
}

/// A table in which something is due and nothing has gone wrong yet, or in which a process was stopped.
#[derive(Clone)]
pub struct Template {
    pub files: Arc<Files>,
    pub model: Arc<Model>,
}

impl Template {
    pub fn of((files, model): (Files, Model)) -> Self {
        Self { files: Arc::new(files), model: Arc::new(model) }
    }

    /// The table after a process was stopped by `fault`.
    async fn after<S: Crashing>(&self, fault: Fault) -> Self {
        let place = self.place().await;
        let faulty = FaultStorage::with_fault(place.disk.clone(), fault);
        faulty.outlive(S::run(place.by(&faulty))).await;
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
    async fn operations<S: Crashing>(&self) -> Vec<LoggedOperation> {
        let place = self.place().await;
        let counting = FaultStorage::new(place.disk.clone());
        S::run(place.by(&counting)).await.unwrap();
        assert_eq!(place.problems(&self.model).await, [""; 0], "without a fault");
        counting.operations()
    }

    /// Every operation meets faults of `kinds`.
    pub async fn matrix<S: Crashing>(self, disk: Disk, kinds: &[FaultKind]) {
        let faults = faults_at(&self.operations::<S>().await, kinds);
        assert!(faults.len() > 15, "{}", faults.len());
        all_survive(faults, |fault| survives::<S>(self.clone(), disk, fault)).await;
    }

    /// The first process dies with a file begun, with one that is there and not noted, or with all done; and then
    /// the next one at every operation.
    pub async fn death_upon_death<S: Crashing>(self) {
        let operations = self.operations::<S>().await;
        let is_file = |o: &LoggedOperation| o.path.file_name().ends_with(".parquet");
        let first = |of: Operation| operations.iter().position(|o| o.operation == of && is_file(o)).unwrap();
        let noted = |o: &LoggedOperation| o.path.as_str().contains("lakebed-services");
        let last_note = operations.iter().rposition(|o| o.operation == Operation::Put && noted(o)).unwrap();
        for at in [first(Operation::Create), first(Operation::Finish), last_note] {
            let after = self.after::<S>(Fault { at, kind: FaultKind::DieAfter }).await;
            after.matrix::<S>(Disk::Memory, &DIES).await;
        }
    }
}

impl Place {
    /// The same process, which reaches the table by `disk`.
    pub fn by(&self, disk: &FaultStorage) -> Self {
        Self { disk: Arc::new(disk.clone()), environment: self.environment.clone() }
    }
}

/// Has a process that lives try again at once: it must not take itself for another one.
async fn try_again<S: Crashing>(place: &Place, faulty: &FaultStorage, fault: Fault) -> Vec<String> {
    let is_beat = faulty.operations()[fault.at].path.as_str().starts_with(".hoodie/.heartbeat/");
    let environment = QuickClock::next(&place.environment, faulty, 4);
    let again = match S::run(Place { environment, ..place.clone() }).await {
        Err(error) => return vec![format!("it could not try again: {error}: {:?}", error.source())],
        Ok(outcomes) => outcomes,
    };
    match again.iter().all(|outcome| matches!(outcome, RunOutcome::Committed { .. })) || is_beat {
        true => Vec::new(),
        false => vec![format!("it did not try again: {again:?}")],
    }
}

/// Has a process meet a fault, and the next one do the rest. Returns what is wrong then.
async fn survives<S: Crashing>(template: Template, disk: Disk, fault: Fault) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let place = match disk {
        Disk::Memory => template.place().await,
        Disk::Local => template.place_on(&folder).await,
    };
    let faulty = FaultStorage::with_fault(place.disk.clone(), fault);
    let ended = faulty.outlive(S::run(place.by(&faulty))).await;
    let mut problems = match faulty.has_died() {
        true => Vec::new(),
        false => try_again::<S>(&place, &faulty, fault).await,
    };
    match S::go_on(place.clone()).await {
        Ok(more) => {
            problems.extend(place.later(8).problems(&template.model).await);
            problems.extend(more);
        }
        Err(error) => problems.push(format!("the next run failed: {error}: {:?}", error.source())),
    }
    problems.extend(audit::temporary_files(folder.path()));
    // A lock file of a dead process waits for whoever locks next.
    problems.retain(|problem| problem != "left behind: .hoodie/lock");
    let at = faulty.operations().get(fault.at).map(|o| format!("{} {}", o.operation, o.path));
    (!problems.is_empty()).then(|| format!("{fault:?}, {at:?}, {ended:?}:\n  {}", problems.join("\n  ")))
}

//! Every operation of a job fails, or stops the process, before and after it is done.

use std::sync::Arc;

use lakebed::environment::Environment;
use lakebed::sink::Sink;
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage, LoggedOperation};
use lakebed::storage::{self, Storage};
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::table_config::{NewTable, TableType};

use super::audit;
use super::clock::QuickClock;
use super::engine::{Engine, Step, Store, model_of, options};
use super::faults::{DIES, FAILS, Files, ON_DISK, all_survive, disk_of, faults_at, files_of, put_all};
use super::model::{Change, batch};
use crate::test_table::{append_table, bucket_table, progress};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    Memory,
    Local,
}

/// Where prepared checkpoints are kept beside the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nowhere,
    InAStore,
}

/// A table, and what a job does to it.
#[derive(Debug, Clone)]
struct Work {
    table: NewTable,
    steps: Arc<Vec<Step>>,
}

impl Work {
    /// Rows that are upserted, deleted and overwritten by bucket.
    fn upserts(table_type: TableType) -> Self {
        let upsert = |changes: &[Change]| step(WriteOperation::Upsert, changes);
        let put = Change::put;
        let steps = vec![
            upsert(&[
                put("a", "x", 1, "a1"),
                put("b", "x", 1, "b1"),
                put("c", "x", 5, "c5"),
                put("d", "y", 1, "d1"),
            ]),
            upsert(&[put("a", "x", 2, "a2"), Change::delete("b", "x", 3), put("e", "y", 1, "e1")]),
            upsert(&[put("c", "x", 4, "late"), put("f", "x", 1, "f1"), Change::delete("d", "y", 2)]),
            step(WriteOperation::InsertOverwrite, &[put("a", "x", 1, "new a1"), put("g", "x", 1, "g1")]),
            upsert(&[put("a", "x", 3, "a3"), put("h", "x", 1, "h1"), put("e", "y", 2, "e2")]),
        ];
        Self { table: NewTable { table_type, ..bucket_table() }, steps: Arc::new(steps) }
    }

    /// Rows that are added to a table without keys: one that is written twice is there twice.
    fn inserts() -> Self {
        let insert = |changes: &[Change]| step(WriteOperation::Insert, changes);
        let put = Change::put;
        let steps = vec![
            insert(&[put("a", "x", 1, "a1"), put("b", "y", 1, "b1")]),
            insert(&[put("c", "x", 1, "c1"), put("d", "x", 1, "d1")]),
            insert(&[put("e", "y", 1, "e1")]),
            step(WriteOperation::InsertOverwrite, &[put("f", "x", 1, "f1"), put("g", "x", 1, "g1")]),
            insert(&[put("h", "x", 1, "h1"), put("i", "y", 1, "i1")]),
            step(WriteOperation::InsertOverwriteTable, &[put("j", "y", 1, "j1")]),
        ];
        Self { table: append_table(), steps: Arc::new(steps) }
    }

    /// The files of a table in which a process of this pipeline and one of another were stopped.
    async fn template(&self) -> Files {
        let environment = QuickClock::environment(1);
        let disk = disk_of(&Files::new(), &environment).await;
        Table::create(disk.clone(), &environment, &self.table).await.unwrap();
        for pipeline in ["p", "another"] {
            let options = options(self.steps[0].operation);
            let mut sink = Sink::open(disk.clone(), &environment, pipeline, vec![], options).await.unwrap();
            let (rows, _) = batch(&[Change::put("a", "x", 9, "lost"), Change::put("z", "z", 9, "lost")]);
            sink.write(&rows, None).await.unwrap();
            sink.prepare(progress(1)).await.unwrap().unwrap();
        }
        files_of(disk.as_ref()).await
    }

    /// What is wrong with a table on which this should be done.
    async fn problems(&self, disk: &Arc<dyn Storage>, environment: &Environment) -> Vec<String> {
        audit::problems(disk, environment, &model_of(&self.steps)).await
    }
}

fn step(operation: WriteOperation, changes: &[Change]) -> Step {
    Step { operation, changes: changes.to_vec() }
}

/// One table, its clock, and what the engine keeps.
struct Place {
    work: Work,
    disk: Arc<dyn Storage>,
    environment: Environment,
    store: Option<Store>,
    folder: Option<tempfile::TempDir>,
}

impl Place {
    async fn new(work: &Work, disk: Disk, kept: Kept, template: &Files) -> Self {
        let environment = QuickClock::an_hour_after(&QuickClock::environment(0), 7);
        let folder = (disk == Disk::Local).then(|| tempfile::tempdir().unwrap());
        let disk = match &folder {
            Some(folder) => {
                let uri = folder.path().join("t").display().to_string().parse().unwrap();
                let disk = storage::open(&uri, &environment).await.unwrap();
                put_all(disk.as_ref(), template).await;
                disk
            }
            None => disk_of(template, &environment).await,
        };
        let store = (kept == Kept::InAStore).then(Store::default);
        Self { work: work.clone(), disk, environment, store, folder }
    }

    fn engine(&self, storage: Arc<dyn Storage>, take_over_at: Option<u64>) -> Engine {
        let (environment, store) = (self.environment.clone(), self.store.clone());
        Engine { storage, environment, steps: self.work.steps.clone(), store, take_over_at }
    }

    /// Runs the job with a fault, then without; returns what is wrong then.
    async fn survive(&self, fault: Fault) -> Option<String> {
        let faulty = Arc::new(FaultStorage::with_fault(self.disk.clone(), fault));
        let ended = faulty.outlive(self.engine(faulty.clone(), Some(3)).run()).await;
        let environment = QuickClock::next(&self.environment, &faulty, 8);
        let next = Engine { environment: environment.clone(), ..self.engine(self.disk.clone(), None) };
        let mut problems = match next.run().await {
            Ok(()) => self.work.problems(&self.disk, &environment).await,
            Err(error) => vec![format!("the second run failed: {error}")],
        };
        problems.extend(self.folder.iter().flat_map(|folder| audit::temporary_files(folder.path())));
        let at = faulty.operations().get(fault.at).map(|o| format!("{} {}", o.operation, o.path));
        (!problems.is_empty()).then(|| format!("{fault:?}, {at:?}, {ended:?}:\n  {}", problems.join("\n  ")))
    }
}

/// The operations of the job without any fault.
async fn operations(work: &Work, disk: Disk, template: &Files) -> Vec<LoggedOperation> {
    let place = Place::new(work, disk, Kept::Nowhere, template).await;
    let counting = Arc::new(FaultStorage::new(place.disk.clone()));
    place.engine(counting.clone(), Some(3)).run().await.unwrap();
    assert_eq!(work.problems(&place.disk, &place.environment).await, [""; 0], "without a fault");
    counting.operations()
}

/// Runs the job with faults of `kinds` at every operation.
async fn matrix(work: Work, disk: Disk, kept: Kept, kinds: &[FaultKind]) {
    let template = Arc::new(work.template().await);
    let faults = faults_at(&operations(&work, disk, &template).await, kinds);
    all_survive(faults, |fault| {
        let (work, template) = (work.clone(), template.clone());
        async move { Place::new(&work, disk, kept, &template).await.survive(fault).await }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upserts_of_merge_on_read_go_on_after_any_operation_failed() {
    matrix(Work::upserts(TableType::MergeOnRead), Disk::Memory, Kept::Nowhere, &FAILS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upserts_of_copy_on_write_go_on_after_any_operation_failed() {
    matrix(Work::upserts(TableType::CopyOnWrite), Disk::Memory, Kept::Nowhere, &FAILS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inserts_go_on_after_any_operation_failed() {
    matrix(Work::inserts(), Disk::Memory, Kept::Nowhere, &FAILS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_upserts_of_merge_on_read_are_adopted_after_a_stop_at_any_operation() {
    matrix(Work::upserts(TableType::MergeOnRead), Disk::Memory, Kept::InAStore, &DIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_upserts_of_copy_on_write_are_adopted_after_a_stop_at_any_operation() {
    matrix(Work::upserts(TableType::CopyOnWrite), Disk::Memory, Kept::InAStore, &DIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_inserts_are_adopted_after_a_stop_at_any_operation() {
    matrix(Work::inserts(), Disk::Memory, Kept::InAStore, &DIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upserts_of_merge_on_read_on_local_disk_are_written_anew_after_a_stop_at_any_operation() {
    matrix(Work::upserts(TableType::MergeOnRead), Disk::Local, Kept::Nowhere, &ON_DISK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inserts_on_local_disk_are_written_anew_after_a_stop_at_any_operation() {
    matrix(Work::inserts(), Disk::Local, Kept::Nowhere, &ON_DISK).await;
}

//! Every operation of a job fails, or stops the process, before and after it is done.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use lakebed::environment::Environment;
use lakebed::sink::Sink;
use lakebed::storage::fault::FaultKind::{self, DieAfter, DieBefore, FailAfter, FailBefore};
use lakebed::storage::fault::{Fault, FaultStorage, LoggedOperation};
use lakebed::storage::object::ObjectStorage;
use lakebed::storage::{self, Storage, TablePath};
use lakebed::table::{Table, WriteOperation};

use super::audit;
use super::clock::{QuickClock, until_death};
use super::engine::{Engine, Step, Store, model_of, options};
use super::model::{Change, batch};
use super::writes;
use crate::test_table::{bucket_table, progress};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    Memory,
    Local,
}

fn steps() -> Vec<Step> {
    let upsert = |changes: &[Change]| Step { operation: WriteOperation::Upsert, changes: changes.to_vec() };
    let put = Change::put;
    vec![
        upsert(&[
            put("a", "x", 1, "a1"),
            put("b", "x", 1, "b1"),
            put("c", "x", 5, "c5"),
            put("d", "y", 1, "d1"),
        ]),
        upsert(&[put("a", "x", 2, "a2"), Change::delete("b", "x", 3), put("e", "y", 1, "e1")]),
        upsert(&[put("c", "x", 4, "late"), put("f", "x", 1, "f1"), Change::delete("d", "y", 2)]),
        Step {
            operation: WriteOperation::InsertOverwrite,
            changes: vec![put("a", "x", 1, "new a1"), put("g", "x", 1, "g1")],
        },
        upsert(&[put("a", "x", 3, "a3"), put("h", "x", 1, "h1"), put("e", "y", 2, "e2")]),
    ]
}

/// The files of a table in which a process of this pipeline and one of another were stopped.
type Template = Vec<(TablePath, Bytes)>;

async fn template() -> Template {
    let environment = QuickClock::environment(1);
    let disk: Arc<dyn Storage> =
        Arc::new(ObjectStorage::in_memory(&"s3://memory/t".parse().unwrap(), &environment));
    Table::create(disk.clone(), &environment, &bucket_table()).await.unwrap();
    for pipeline in ["p", "another"] {
        let options = options(WriteOperation::Upsert);
        let mut sink = Sink::open(disk.clone(), &environment, pipeline, vec![], options).await.unwrap();
        let (rows, _) = batch(&[Change::put("a", "x", 9, "lost"), Change::put("z", "z", 9, "lost")]);
        sink.write(&rows, None).await.unwrap();
        sink.prepare(progress(1)).await.unwrap().unwrap();
    }
    let mut files = Vec::new();
    for file in disk.list_all(&TablePath::root()).await.unwrap() {
        files.push((file.path.clone(), disk.get(&file.path, u64::MAX).await.unwrap().bytes));
    }
    files
}

/// One table, its clock, and what the engine keeps.
struct Place {
    disk: Arc<dyn Storage>,
    environment: Environment,
    store: Option<Store>,
    folder: Option<tempfile::TempDir>,
}

impl Place {
    async fn new(disk: Disk, stores: bool, template: &Template) -> Self {
        let environment = QuickClock::an_hour_after(&QuickClock::environment(0), 7);
        let folder = (disk == Disk::Local).then(|| tempfile::tempdir().unwrap());
        let disk: Arc<dyn Storage> = match &folder {
            Some(folder) => {
                let uri = folder.path().join("t").display().to_string().parse().unwrap();
                storage::open(&uri, &environment).await.unwrap()
            }
            None => Arc::new(ObjectStorage::in_memory(&"s3://memory/t".parse().unwrap(), &environment)),
        };
        for (path, bytes) in template {
            disk.put(path, bytes.clone()).await.unwrap();
        }
        Self { disk, environment, store: stores.then(Store::default), folder }
    }

    fn engine(&self, storage: Arc<dyn Storage>, take_over_at: Option<u64>) -> Engine {
        let (environment, store) = (self.environment.clone(), self.store.clone());
        Engine { storage, environment, steps: Arc::new(steps()), store, take_over_at }
    }

    /// Runs the job with a fault, then without; returns what is wrong then.
    async fn survive(&self, fault: Fault) -> Option<String> {
        let faulty = Arc::new(FaultStorage::with_fault(self.disk.clone(), fault));
        let ended = until_death(&faulty, self.engine(faulty.clone(), Some(3)).run()).await;
        let environment = QuickClock::next(&self.environment, &faulty, 8);
        let next = Engine { environment: environment.clone(), ..self.engine(self.disk.clone(), None) };
        let mut problems = match next.run().await {
            Ok(()) => audit::problems(&self.disk, &environment, &model_of(&steps())).await,
            Err(error) => vec![format!("the second run failed: {error}")],
        };
        problems.extend(self.folder.iter().flat_map(|folder| audit::temporary_files(folder.path())));
        let at = faulty.operations().get(fault.at).map(|o| format!("{} {}", o.operation, o.path));
        (!problems.is_empty()).then(|| format!("{fault:?}, {at:?}, {ended:?}:\n  {}", problems.join("\n  ")))
    }
}

/// The operations of the job without any fault.
async fn operations(disk: Disk, template: &Template) -> Vec<LoggedOperation> {
    let place = Place::new(disk, false, template).await;
    let counting = Arc::new(FaultStorage::new(place.disk.clone()));
    place.engine(counting.clone(), Some(3)).run().await.unwrap();
    let problems = audit::problems(&place.disk, &place.environment, &model_of(&steps())).await;
    assert_eq!(problems, [""; 0], "without a fault");
    counting.operations()
}

/// Runs the job with faults of `kinds` at every `stride`-th operation.
///
/// Where an operation only reads there is one case of its own, that it fails: a process that stops
/// there leaves what it leaves when it stops after the write before it.
async fn matrix(disk: Disk, stores: bool, kinds: &[FaultKind], stride: usize) {
    let template = Arc::new(template().await);
    let operations = operations(disk, &template).await;
    let mut faults = Vec::new();
    for (at, operation) in operations.iter().enumerate().step_by(stride) {
        let fits = |kind: &&FaultKind| writes(operation.operation) || **kind == FailBefore;
        faults.extend(kinds.iter().filter(fits).map(|kind| Fault { at, kind: *kind }));
    }
    let runs = futures::stream::iter(faults).map(|fault| {
        let template = template.clone();
        tokio::spawn(async move { Place::new(disk, stores, &template).await.survive(fault).await })
    });
    let runs: Vec<_> = runs.buffer_unordered(4).map(Result::unwrap).collect().await;
    let failed: Vec<&str> = runs.iter().flatten().map(String::as_str).collect();
    let (count, all) = (runs.len(), operations.len());
    assert!(
        failed.is_empty(),
        "{} of {count} runs of {all} operations went wrong:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_survives_a_fault_at_any_operation() {
    matrix(Disk::Memory, false, &[FailBefore, FailAfter, DieBefore, DieAfter], 1).await;
}

/// What a process leaves that stops before a write it has left after the write before it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_is_adopted_after_a_stop_at_any_operation() {
    matrix(Disk::Memory, true, &[DieAfter], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_on_local_disk_survives_faults() {
    matrix(Disk::Local, true, &[FailBefore, FailAfter, DieBefore, DieAfter], 11).await;
}

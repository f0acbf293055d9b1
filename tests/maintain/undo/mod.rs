//! Rollbacks by hand, savepoints and restores.

mod crashes;
mod golden;
mod history;
mod markers;
mod refused;
mod together;

use std::sync::Arc;

use lakebed::commit::{CommitError, UndoError};
use lakebed::environment::Environment;
use lakebed::maintain::{MaintainError, MaintainOptions, Maintainer, RunOutcome};
use lakebed::sink::{Sink, SinkError};
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage, LoggedOperation};
use lakebed::storage::{Operation, Storage};
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::{NewTable, TableType};
use lakebed_hudi::timeline_file::Action;

use crate::recovery::clock::QuickClock;
use crate::recovery::engine::options;
use crate::recovery::faults::{Files, disk_of, files_of};
use crate::recovery::model::{Change, Model, batch};
use crate::test_table::services::no_limits;
use crate::test_table::*;

/// A table and its one pipeline.
struct Scene {
    disk: Arc<dyn Storage>,
    environment: Environment,
    table_type: TableType,
}

impl Scene {
    async fn new(table_type: TableType) -> Self {
        let environment = QuickClock::environment(1);
        let disk = disk_of(&Files::new(), &environment).await;
        let new = NewTable { table_type, ..bucket_table() };
        Table::create(disk.clone(), &environment, &new).await.unwrap();
        Self { disk, environment, table_type }
    }

    /// A process of an hour later: whoever was at work is dead.
    fn later(self, seed: u64) -> Self {
        let environment = QuickClock::an_hour_after(&self.environment, seed);
        Self { environment, ..self }
    }

    async fn maintainer(&self) -> Maintainer {
        open(&self.disk, &self.environment).await.unwrap()
    }

    async fn sink(&self, pipeline: &str, operation: WriteOperation) -> Result<Sink, SinkError> {
        Sink::open(self.disk.clone(), &self.environment, pipeline, vec![], options(operation)).await
    }

    /// Commits the next checkpoint; returns its instant.
    async fn write(&self, operation: WriteOperation, changes: &[Change]) -> InstantTime {
        let mut sink = self.sink("p", operation).await.unwrap();
        let (rows, deletes) = batch(changes);
        sink.write(&rows, Some(&deletes)).await.unwrap();
        let next = sink.progress().unwrap_or_default().checkpoint + 1;
        let prepared = sink.prepare(progress(next)).await.unwrap().unwrap();
        let outcome = sink.committer().commit(&prepared).await.unwrap();
        assert!(is_committed(&outcome), "{outcome:?}");
        prepared.task.instant
    }

    async fn upsert(&self, changes: &[Change]) -> InstantTime {
        self.write(WriteOperation::Upsert, changes).await
    }

    /// A write that dies before it is completed.
    async fn dies(&self, changes: &[Change]) -> InstantTime {
        let mut sink = self.sink("q", WriteOperation::Upsert).await.unwrap();
        sink.write(&batch(changes).0, None).await.unwrap();
        sink.prepare(progress(1)).await.unwrap().unwrap().task.instant
    }

    async fn compact(&self) {
        if self.table_type == TableType::MergeOnRead {
            services::compact(self.maintainer().await.table()).await;
        }
    }

    async fn savepoint(&self) -> InstantTime {
        self.maintainer().await.committer().savepoint(None, "u", "c").await.unwrap().instant
    }

    async fn restore(&self, savepoint: InstantTime) -> Result<Option<RunOutcome>, MaintainError> {
        let report = self.maintainer().await.restore(savepoint, &no_limits(), &|_| {}).await?;
        Ok(report.map(|report| report.outcome))
    }

    async fn roll_back(&self, instant: InstantTime) -> Result<(), UndoError> {
        match self.maintainer().await.committer().roll_back(instant).await {
            Ok(_) => Ok(()),
            Err(CommitError::Undo(refused)) => Err(refused),
            Err(other) => panic!("{other}"),
        }
    }

    async fn texts(&self) -> Vec<String> {
        texts_of(&self.maintainer().await.table().snapshot(None).await.unwrap()).await
    }
}

async fn open(disk: &Arc<dyn Storage>, environment: &Environment) -> Result<Maintainer, MaintainError> {
    Maintainer::open(disk.clone(), environment, MaintainOptions::default()).await
}

/// The instants of some action that are completed.
async fn completed(maintainer: &Maintainer, action: Action) -> Vec<InstantTime> {
    let timeline = maintainer.table().timeline.load().await.unwrap();
    timeline.completed().filter(|i| i.action == action).map(|i| i.time).collect()
}

fn put(id: &str, partition: &str, ts: i64) -> Change {
    Change::put(id, partition, ts, &format!("{id}{ts}"))
}

/// The number of the first operation at which `is_it` holds, when `work` is done undisturbed on a copy.
async fn number_of(
    scene: &Scene,
    work: impl AsyncFnOnce(Maintainer),
    is_it: impl Fn(&LoggedOperation) -> bool,
) -> usize {
    let copy = FaultStorage::new(disk_of(&files_of(scene.disk.as_ref()).await, &scene.environment).await);
    work(open(&(Arc::new(copy.clone()) as Arc<dyn Storage>), &scene.environment).await.unwrap()).await;
    let operations = copy.operations();
    operations.iter().position(is_it).unwrap_or_else(|| panic!("{operations:?}"))
}

/// Begins a compaction and dies when its first file is there.
async fn compaction_dies(scene: &Scene, compaction: InstantTime) {
    let compact = async |maintainer: Maintainer| {
        drop(maintainer.compact(compaction, &no_limits(), &|_| {}).await);
    };
    let at = number_of(scene, compact, |o| o.operation == Operation::Finish).await;
    let dying = FaultStorage::with_fault(scene.disk.clone(), Fault { at, kind: FaultKind::DieAfter });
    let maintainer = open(&(Arc::new(dying.clone()) as Arc<dyn Storage>), &scene.environment).await.unwrap();
    dying.outlive(compact(maintainer)).await;
    assert!(dying.has_died());
}

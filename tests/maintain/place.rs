//! A table in memory that is written to and compacted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lakebed::commit::Outcome;
use lakebed::environment::{Environment, SeededIds};
use lakebed::maintain::compaction::CompactionReport;
use lakebed::maintain::{MaintainError, MaintainOptions, Maintainer};
use lakebed::sink::{Prepared, Sink, SinkOptions};
use lakebed::storage::fault::{Fault, FaultStorage};
use lakebed::storage::{self, Storage};
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::NewTable;
use tokio::task::JoinHandle;

use crate::recovery::audit;
use crate::recovery::clock::QuickClock;
use crate::recovery::faults::{Files, disk_of, files_of, put_all};
use crate::recovery::model::{Change, Model, batch};
use crate::test_table::{bucket_table, is_committed, progress, services};

/// A table, as one process reaches it.
#[derive(Clone)]
pub struct Place {
    pub disk: Arc<dyn Storage>,
    pub environment: Environment,
}

/// What is written before anything is compacted. "a" and "b" are in buckets of their own.
pub fn changes() -> [Vec<Change>; 3] {
    let put = Change::put;
    [
        vec![
            put("a", "x", 1, "a1"),
            put("b", "x", 1, "b1"),
            put("c", "x", 5, "c5"),
            put("a", "y", 1, "ya1"),
            put("b", "y", 1, "yb1"),
        ],
        vec![put("a", "x", 2, "a2"), Change::delete("b", "x", 3), put("a", "y", 0, "late")],
        vec![put("c", "x", 6, "c6"), put("d", "x", 1, "d1"), Change::delete("b", "y", 2)],
    ]
}

/// As much memory as one group needs: groups are done one after the other.
pub const MEMORY_OF_ONE: u64 = 64 << 20;

/// So many groups have log files then.
pub const GROUPS: usize = 4;

impl Place {
    /// An empty table.
    pub async fn new(new: &NewTable) -> Self {
        Self::in_time(QuickClock::environment(1), new).await
    }

    pub async fn in_time(environment: Environment, new: &NewTable) -> Self {
        let disk = disk_of(&Files::new(), &environment).await;
        Table::create(disk.clone(), &environment, new).await.unwrap();
        Self { disk, environment }
    }

    /// A table with [`changes`], and its rows.
    pub async fn written() -> (Self, Model) {
        let place = Self::new(&bucket_table()).await;
        let model = place.write_all().await;
        (place, model)
    }

    pub async fn write_all(&self) -> Model {
        let (mut sink, mut model) = (self.sink("before").await, Model::default());
        for changes in changes() {
            commit(&mut sink, &changes).await;
            model.upsert(&changes);
        }
        model
    }

    /// The files of a table with [`changes`], and its rows.
    pub async fn template() -> (Files, Model) {
        let (place, model) = Self::written().await;
        (files_of(place.disk.as_ref()).await, model)
    }

    /// A table of these files in a folder of this machine.
    pub async fn on_disk(folder: &Path, files: &Files) -> Self {
        let environment = Environment::real();
        let uri = folder.join("t").display().to_string().parse().unwrap();
        let disk = storage::open(&uri, &environment).await.unwrap();
        put_all(disk.as_ref(), files).await;
        Self { disk, environment }
    }

    /// Another process of the same time, which reaches the table by `disk`.
    pub fn process(&self, disk: Arc<dyn Storage>, seed: u64) -> Self {
        let environment = Environment { ids: Arc::new(SeededIds::new(seed)), ..self.environment.clone() };
        Self { disk, environment }
    }

    /// A process of an hour later.
    pub fn later(&self, seed: u64) -> Self {
        Self { environment: QuickClock::an_hour_after(&self.environment, seed), disk: self.disk.clone() }
    }

    pub async fn table(&self) -> Table {
        Table::open(self.disk.clone(), &self.environment, None).await.unwrap()
    }

    pub async fn open(&self) -> Result<Maintainer, MaintainError> {
        self.open_within(128 << 20).await
    }

    pub async fn open_within(&self, memory_bytes: u64) -> Result<Maintainer, MaintainError> {
        self.open_with(MaintainOptions { memory_bytes, ..MaintainOptions::default() }).await
    }

    pub async fn open_with(&self, options: MaintainOptions) -> Result<Maintainer, MaintainError> {
        Maintainer::open(self.disk.clone(), &self.environment, options).await
    }

    pub async fn maintainer(&self) -> Maintainer {
        self.open().await.unwrap()
    }

    pub async fn sink(&self, pipeline: &str) -> Sink {
        self.sink_for(pipeline, WriteOperation::Upsert).await
    }

    pub async fn sink_for(&self, pipeline: &str, operation: WriteOperation) -> Sink {
        let options = SinkOptions { operation, memory_bytes: Some(128 << 20), ..SinkOptions::default() };
        Sink::open(self.disk.clone(), &self.environment, pipeline, Vec::new(), options).await.unwrap()
    }

    pub async fn rows(&self) -> Model {
        audit::rows(&self.table().await).await.unwrap()
    }

    /// What is wrong with a table that should have the rows of `model` and nothing pending.
    pub async fn problems(&self, model: &Model) -> Vec<String> {
        let table = self.table().await;
        let mut problems = audit::strays(&table).await;
        match audit::rows(&table).await {
            Ok(found) => problems.extend(model.differences(&found)),
            Err(error) => problems.push(error),
        }
        problems
    }
}

pub type Ran = Result<CompactionReport, MaintainError>;

/// A process that carries a compaction out, group after group.
pub struct Process {
    pub storage: FaultStorage,
    pub run: JoinHandle<Ran>,
}

impl Process {
    pub fn start(place: &Place, planned: InstantTime, seed: u64, fault: Option<Fault>) -> Self {
        let storage = FaultStorage::new(place.disk.clone());
        fault.into_iter().for_each(|fault| storage.add_fault(fault));
        let place = place.process(Arc::new(storage.clone()), seed);
        let run = tokio::spawn(async move {
            let maintainer = place.open_within(MEMORY_OF_ONE).await?;
            maintainer.compact(planned, &services::no_limits(), &|_| {}).await
        });
        Self { storage, run }
    }

    /// Until it stands still, or has ended.
    pub async fn stands_still(&self) -> bool {
        while !self.storage.stands_still() && !self.run.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.storage.stands_still()
    }

    pub async fn wakes(self) -> Ran {
        self.storage.wake();
        self.run.await.unwrap()
    }
}

/// Ends the checkpoint that comes so many after the last committed one.
pub async fn prepare(sink: &mut Sink, ahead: u64, changes: &[Change]) -> Prepared {
    let last = sink.progress().unwrap_or_default().checkpoint;
    let (rows, deletes) = batch(changes);
    let deletes = changes.iter().any(|change| change.delete).then_some(&deletes);
    assert!(sink.write(&rows, deletes).await.unwrap().is_empty());
    sink.prepare(progress(last + ahead)).await.unwrap().unwrap()
}

pub async fn publish(sink: &Sink, prepared: &Prepared) -> Outcome {
    sink.committer().commit(prepared).await.unwrap()
}

pub async fn commit(sink: &mut Sink, changes: &[Change]) {
    let prepared = prepare(sink, 1, changes).await;
    let outcome = publish(sink, &prepared).await;
    assert!(is_committed(&outcome), "{outcome:?}");
}

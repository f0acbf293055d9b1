//! What a process had sent off when it was killed arrives after others have taken over.

use std::sync::Arc;
use std::time::Duration;

use lakebed::environment::Environment;
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage};
use lakebed::storage::{Operation, Storage};
use lakebed::table::Table;
use lakebed_hudi::table_config::{NewTable, TableType};
use tokio::task::JoinHandle;

use super::audit;
use super::clock::QuickClock;
use super::faults::{Files, disk_of};
use super::model::{Change, Model, batch};
use crate::test_table::{bucket_table, is_committed, progress, services};

#[derive(Debug, Clone, Copy)]
struct Case {
    table_type: TableType,
    /// Whether the table has rows before.
    has_rows: bool,
    /// Whether the first run begins its files when the second one has come and gone, or before.
    begins_late: bool,
    /// Whether others archive past the first run before the third one begins its next write.
    archived: bool,
}

/// Rows for two buckets.
fn changes(text: &str, ts: i64) -> [Change; 2] {
    ["a", "b"].map(|id| Change::put(id, "x", ts, text))
}

struct Place {
    disk: Arc<dyn Storage>,
    environment: Environment,
    model: Model,
}

impl Place {
    async fn new(case: Case) -> Self {
        let environment = QuickClock::environment(1);
        let disk = disk_of(&Files::new(), &environment).await;
        let new = NewTable { table_type: case.table_type, ..bucket_table() };
        Table::create(disk.clone(), &environment, &new).await.unwrap();
        let mut place = Self { disk, environment, model: Model::default() };
        if case.has_rows {
            let mut sink = place.open(place.disk.clone()).await;
            place.commit(&mut sink, "before").await;
        }
        place
    }

    async fn open(&self, disk: Arc<dyn Storage>) -> Sink {
        let options = SinkOptions { memory_bytes: Some(128 << 20), ..SinkOptions::default() };
        Sink::open(disk, &self.environment, "p", Vec::new(), options).await.unwrap()
    }

    async fn commit(&mut self, sink: &mut Sink, text: &str) {
        let checkpoint = sink.progress().unwrap_or_default().checkpoint + 1;
        let changes = changes(text, checkpoint as i64);
        sink.write(&batch(&changes).0, None).await.unwrap();
        let prepared = sink.prepare(progress(checkpoint)).await.unwrap().unwrap();
        let outcome = sink.committer().commit(&prepared).await.unwrap();
        assert!(is_committed(&outcome), "{outcome:?}");
        self.model.upsert(&changes);
    }

    /// A run that has rows which would win over all others, and has begun no file.
    async fn doomed(&self, storage: &FaultStorage) -> Sink {
        let mut sink = self.open(Arc::new(storage.clone())).await;
        sink.write(&batch(&changes("never committed", 99)).0, None).await.unwrap();
        sink
    }

    async fn take_over(&mut self) {
        let mut sink = self.open(self.disk.clone()).await;
        self.commit(&mut sink, "second").await;
    }

    async fn table(&self) -> Table {
        Table::open(self.disk.clone(), &self.environment, None).await.unwrap()
    }

    async fn check(&self, what: &str) {
        let found = audit::rows(&self.table().await).await.unwrap();
        assert_eq!(self.model.differences(&found), [""; 0], "{what}");
    }
}

/// Has a run write its files until it is killed.
async fn kill(mut sink: Sink, storage: &FaultStorage) -> JoinHandle<()> {
    let dying = tokio::spawn(async move {
        sink.prepare(progress(1)).await.unwrap_err();
    });
    while !storage.has_died() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    dying
}

/// The operations that begin and end the files of the doomed run.
async fn operations(case: Case) -> Vec<usize> {
    let place = Place::new(case).await;
    let storage = FaultStorage::new(place.disk.clone());
    let mut sink = place.doomed(&storage).await;
    let begun = storage.operations().len();
    sink.prepare(progress(1)).await.unwrap();
    let operations = storage.operations().into_iter().enumerate().skip(begun);
    let is_file = |o: Operation| matches!(o, Operation::Create | Operation::Finish);
    operations.filter(|(_, o)| is_file(o.operation)).map(|(at, _)| at).collect()
}

/// A first run is killed while its operation `at` is on its way; a second one takes over, commits and
/// ends; what the first had sent arrives between two checkpoints of a third.
async fn nothing_shows(case: Case, at: usize) {
    let what = format!("{case:?}, operation {at}");
    let mut place = Place::new(case).await;
    let storage = FaultStorage::with_fault(place.disk.clone(), Fault { at, kind: FaultKind::DieDuring });
    let first = place.doomed(&storage).await;
    if case.begins_late {
        place.take_over().await;
    }
    let dying = kill(first, &storage).await;
    if !case.begins_late {
        place.take_over().await;
    }
    let mut third = place.open(place.disk.clone()).await;
    place.commit(&mut third, "third").await;
    storage.land();
    dying.await.unwrap();
    if case.archived {
        services::archive(&place.table().await, 1).await;
    }
    place.commit(&mut third, "fourth").await;
    place.check(&what).await;
    services::archive(&place.table().await, 1).await;
    place.check(&what).await;
    let problems = audit::problems(&place.disk, &place.environment, &place.model).await;
    assert_eq!(problems, [""; 0], "{what}");
}

async fn nothing_ever_shows(table_type: TableType) {
    for [has_rows, begins_late, archived] in (0..8).map(|n| [n & 1 > 0, n & 2 > 0, n & 4 > 0]) {
        let case = Case { table_type, has_rows, begins_late, archived };
        let operations = operations(case).await;
        assert!(operations.len() >= 6, "two files with their markers: {operations:?}");
        for at in operations {
            nothing_shows(case, at).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_files_of_merge_on_read_never_show() {
    nothing_ever_shows(TableType::MergeOnRead).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_files_of_copy_on_write_never_show() {
    nothing_ever_shows(TableType::CopyOnWrite).await;
}

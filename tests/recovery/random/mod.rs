//! Random workloads against a model. `LAKEBED_TEST_SEEDS=N` runs N more of each kind.

mod expected;
mod workload;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use lakebed::commit::Outcome;
use lakebed::environment::Environment;
use lakebed::sink::{Prepared, Sink, SinkOptions};
use lakebed::storage::Storage;
use lakebed::storage::object::ObjectStorage;
use lakebed::table::{Table, TableFiles, TableSnapshot, WriteOperation};
use lakebed_hudi::table_config::{NewTable, TableType};
use lakebed_hudi::timeline_file::Action;

use super::audit;
use super::clock::QuickClock;
use super::model::{Change, batch};
use crate::maintain::archive::archive;
use crate::test_table::{bucket_table, progress, services};
use expected::Expected;
use workload::{Late, Service, Step, Workload};

const FIXED_SEEDS: u64 = 3;
/// So many commits stay on the active timeline, or more.
const KEPT: usize = 1;

struct Run {
    storage: Arc<dyn Storage>,
    environment: Environment,
    sink: Sink,
    expected: Expected,
    /// The files of the table, as of an earlier step.
    known: TableFiles,
}

impl Run {
    async fn new(seed: u64, late: Late, table_type: TableType) -> Self {
        let environment = QuickClock::environment(seed);
        let storage = ObjectStorage::in_memory(&"s3://memory/t".parse().unwrap(), &environment);
        let storage: Arc<dyn Storage> = Arc::new(storage);
        Table::create(storage.clone(), &environment, &NewTable { table_type, ..bucket_table() })
            .await
            .unwrap();
        let sink = open(&storage, &environment, "p", WriteOperation::Upsert, Vec::new()).await;
        let known = TableFiles::default();
        Self { storage, environment, sink, expected: Expected::new(late, table_type), known }
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Upsert(changes) => {
                let prepared = prepare(&mut self.sink, 1, changes).await;
                self.commit(&prepared).await;
                self.expected.upsert(changes);
            }
            Step::InFlight(first, second) => {
                let prepared =
                    [prepare(&mut self.sink, 1, first).await, prepare(&mut self.sink, 2, second).await];
                for prepared in prepared {
                    self.commit(&prepared).await;
                }
                self.expected.upsert(first);
                self.expected.upsert(second);
            }
            Step::Overwrite { changes, whole_table } => {
                // It does not agree with a pending compaction.
                self.run_planned().await;
                let operation = match whole_table {
                    true => WriteOperation::InsertOverwriteTable,
                    false => WriteOperation::InsertOverwrite,
                };
                self.reopen(operation, Vec::new()).await;
                let prepared = prepare(&mut self.sink, 1, changes).await;
                self.commit(&prepared).await;
                self.expected.overwrite(changes, *whole_table);
                self.reopen(WriteOperation::Upsert, Vec::new()).await;
            }
            Step::Foreign(changes) => {
                self.foreign(changes).await;
                self.expected.upsert(changes);
            }
            Step::Race { ours, theirs, then } => self.race(ours, theirs, *then).await,
            Step::Service(service) => {
                self.serve(*service).await;
                self.expected.serve(*service);
            }
            Step::Restart => self.reopen(WriteOperation::Upsert, Vec::new()).await,
            Step::StopWriting(changes) => {
                let (rows, deletes) = batch(changes);
                self.sink.write(&rows, Some(&deletes)).await.unwrap();
                self.reopen(WriteOperation::Upsert, Vec::new()).await;
            }
            Step::StopPrepared { changes, adopted } => {
                let prepared = prepare(&mut self.sink, 1, changes).await;
                if *adopted {
                    self.reopen(WriteOperation::Upsert, vec![prepared]).await;
                    for prepared in self.sink.take_restored() {
                        self.commit(&prepared).await;
                    }
                } else {
                    self.reopen(WriteOperation::Upsert, Vec::new()).await;
                    let prepared = prepare(&mut self.sink, 1, changes).await;
                    self.commit(&prepared).await;
                }
                self.expected.upsert(changes);
            }
        }
    }

    async fn commit(&self, prepared: &Prepared) {
        let outcome = self.sink.committer().commit(prepared).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    }

    async fn reopen(&mut self, operation: WriteOperation, restored: Vec<Prepared>) {
        self.sink = open(&self.storage, &self.environment, "p", operation, restored).await;
    }

    async fn foreign(&mut self, changes: &[Change]) {
        let mut sink = open(&self.storage, &self.environment, "q", WriteOperation::Upsert, Vec::new()).await;
        let prepared = prepare(&mut sink, 1, changes).await;
        let outcome = sink.committer().commit(&prepared).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    }

    /// Where theirs is in the way ours is written once more.
    async fn race(&mut self, ours: &[Change], theirs: &[Change], then: Option<Service>) {
        let prepared = prepare(&mut self.sink, 1, ours).await;
        self.foreign(theirs).await;
        if let Some(service) = then {
            self.serve(service).await;
        }
        let outcome = self.sink.committer().commit(&prepared).await.unwrap();
        if let Outcome::Conflicted { .. } = outcome {
            self.expected.upsert_beside(ours, theirs);
            then.into_iter().for_each(|service| self.expected.serve(service));
            self.sink.rewind().await.unwrap();
            let prepared = prepare(&mut self.sink, 1, ours).await;
            self.commit(&prepared).await;
            self.expected.upsert(ours);
        } else {
            assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
            self.expected.side_by_side(ours, theirs, then);
        }
    }

    async fn serve(&self, service: Service) {
        let table = self.table().await;
        match service {
            Service::Clean => services::clean_to_latest(&table).await,
            Service::Schedule => _ = services::schedule(&services::maintainer(&table).await).await.unwrap(),
            Service::Compact => services::compact(&table).await,
            Service::Archive => {
                services::clean_to_latest(&table).await;
                archive(&self.storage, &self.environment, KEPT).await.unwrap();
            }
        }
    }

    async fn run_planned(&mut self) {
        services::run_planned(&self.table().await).await;
        self.expected.run_planned();
    }

    async fn table(&self) -> Table {
        Table::open(self.storage.clone(), &self.environment, None).await.unwrap()
    }

    async fn check(&mut self) {
        let table = self.table().await;
        let found = audit::rows(&table).await.unwrap();
        assert_eq!(self.expected.rows().differences(&found), [""; 0]);
        if self.environment.ids.uuid().as_u128().is_multiple_of(2) {
            self.check_known(&table.snapshot(None).await.unwrap()).await;
        }
    }

    /// Whether what follows of the files from the timeline is what a listing of all of them shows.
    async fn check_known(&mut self, snapshot: &TableSnapshot) {
        self.known = std::mem::take(&mut self.known).advance(snapshot).await.unwrap();
        let known = snapshot.file_groups_in(self.known.partitions()).await.unwrap().concat();
        let listed = TableFiles::list(snapshot).await.unwrap();
        let listed = snapshot.file_groups_in(listed.partitions()).await.unwrap().concat();
        // Of partitions without files nothing is told.
        assert_eq!(known, listed);
    }
}

async fn open(
    storage: &Arc<dyn Storage>,
    environment: &Environment,
    pipeline: &str,
    operation: WriteOperation,
    restored: Vec<Prepared>,
) -> Sink {
    let options = SinkOptions { operation, memory_bytes: Some(128 << 20), ..SinkOptions::default() };
    Sink::open(storage.clone(), environment, pipeline, restored, options).await.unwrap()
}

/// Prepares the checkpoint that comes so many after the last committed one.
async fn prepare(sink: &mut Sink, ahead: u64, changes: &[Change]) -> Prepared {
    let last = sink.progress().unwrap_or_default().checkpoint;
    let (rows, deletes) = batch(changes);
    let deletes = changes.iter().any(|change| change.delete).then_some(&deletes);
    assert!(sink.write(&rows, deletes).await.unwrap().is_empty());
    sink.prepare(progress(last + ahead)).await.unwrap().unwrap()
}

/// Returns what was done to the table, and how much of it is in the archive.
async fn run(seed: u64, late: Late, table_type: TableType) -> (BTreeSet<Action>, usize) {
    let steps = Workload::steps(seed, late);
    let mut run = Run::new(seed, late, table_type).await;
    for (number, step) in steps.iter().enumerate() {
        let taken = AssertUnwindSafe(async {
            run.take(step).await;
            run.check().await;
        });
        if taken.catch_unwind().await.is_err() {
            let taken: Vec<_> = steps[..=number].iter().map(|step| format!("  {step:?}")).collect();
            panic!(
                "seed {seed}, {table_type:?}, late rows follow {late:?}: the last of these steps went wrong:\n{}",
                taken.join("\n")
            );
        }
    }
    run.run_planned().await;
    run.reopen(WriteOperation::Upsert, Vec::new()).await;
    let problems = audit::problems(&run.storage, &run.environment, &run.expected.rows()).await;
    assert_eq!(problems, [""; 0], "seed {seed}, {table_type:?}, late rows follow {late:?}");
    let done = audit::history(&run.table().await).await.into_iter().map(|(action, _)| action).collect();
    let first = "00000000000000000".parse().unwrap();
    let archived = run.table().await.timeline.archived_completions(first).await.unwrap();
    (done, archived.len())
}

async fn all_seeds(late: Late, table_type: TableType) {
    let more = std::env::var("LAKEBED_TEST_SEEDS").map_or(0, |text| text.parse().unwrap());
    let (mut done, mut archived) = (BTreeSet::new(), 0);
    for seed in 0..FIXED_SEEDS + more {
        let (actions, instants) = run(seed, late, table_type).await;
        done.extend(actions);
        archived += instants;
    }
    // Pending compactions hold what comes after them.
    assert!(archived > 4, "{archived} instants were archived");
    // On merge-on-read tables no other commit than a compaction is called so.
    for action in [Action::Clean, Action::Commit, Action::ReplaceCommit, Action::Rollback] {
        assert!(done.contains(&action), "{action:?} is not in {done:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_on_read_without_late_rows_of_deleted_keys_has_the_plain_rows() {
    all_seeds(Late::Rows, TableType::MergeOnRead).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_on_read_with_late_rows_of_deleted_keys_has_the_rows_of_hudi() {
    all_seeds(Late::Deletes, TableType::MergeOnRead).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_on_write_without_late_rows_of_deleted_keys_has_the_plain_rows() {
    all_seeds(Late::Rows, TableType::CopyOnWrite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_on_write_with_late_rows_of_deleted_keys_has_the_rows_of_hudi() {
    all_seeds(Late::Deletes, TableType::CopyOnWrite).await;
}

//! Every operation of an ingestion fails, or stops the process; each record is taken once.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use lakebed::environment::Environment;
use lakebed::ingest::job::Job;
use lakebed::ingest::{Event, IngestError, RunOptions, Summary, run};
use lakebed::sink::Sink;
use lakebed::storage::Storage;
use lakebed::storage::fault::{Fault, FaultStorage};
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::table_config::{NewTable, TableType};
use tokio::sync::watch;

use super::audit;
use super::clock::QuickClock;
use super::engine::{Step, model_of, options};
use super::faults::{DIES, FAILS, Files, all_survive, disk_of, faults_at, files_of};
use super::model::{Change, batch};
use crate::test_table::{append_table, bucket_table, progress};

const FILES: i64 = 4;
const ROWS_PER_FILE: i64 = 5;
const KEYS: i64 = 6;

/// What a job does to a table that has rows already.
#[derive(Debug, Clone)]
struct Work {
    operation: WriteOperation,
    table: NewTable,
}

impl Work {
    fn before(&self) -> Step {
        let operation = if self.operation.adds_only() { WriteOperation::Insert } else { self.operation };
        let put = |partition| Change::put("before", partition, 0, "before");
        Step { operation, changes: vec![put("x"), put("z")] }
    }

    /// The good records of a file. Only upserts come back to keys, and delete some of them.
    fn records(&self, file: i64) -> Vec<Change> {
        let upserts = self.operation == WriteOperation::Upsert;
        let record = |row: i64| {
            let (id, partition) = (if upserts { row % KEYS } else { row }, ["x", "y"][row as usize % 2]);
            let put = Change::put(&format!("k{id}"), partition, row, &format!("v{row}"));
            Change { delete: upserts && row % ROWS_PER_FILE == 4, ..put }
        };
        (file * ROWS_PER_FILE..(file + 1) * ROWS_PER_FILE).map(record).collect()
    }

    /// Puts the input into `folder`: in every file one record is bad.
    fn deliver(&self, folder: &Path) {
        for file in 0..FILES {
            let mut text = format!("id,p,ts,v,op\nk0,x,{},v,U\n", bad_value(file));
            for Change { id, partition, ts, text: v, delete } in self.records(file) {
                writeln!(text, "{id},{partition},{ts},{v},{}", if delete { "D" } else { "U" }).unwrap();
            }
            std::fs::write(folder.join(format!("{file}.csv")), text).unwrap();
        }
    }

    fn job(&self, folder: &Path) -> Job {
        let operation = serde_json::to_value(self.operation).unwrap();
        let more = match self.operation {
            WriteOperation::Upsert => "commit: {rows: 7}, mapping: {operation: {column: op}}",
            WriteOperation::Insert => "commit: {rows: 7}, mapping: {unknown_columns: ignore}",
            _ => "mapping: {unknown_columns: ignore}",
        };
        let text = format!(
            "{{pipeline: p, operation: {operation}, table: {{uri: \"s3://memory/t\"}}, memory: 128 MiB, \
             source: {{files: [\"{}/*.csv\"]}}, \
             bad_records: {{policy: dead_letter, path: \"s3://memory/dead\"}}, {more}}}",
            folder.display()
        );
        Job::from_yaml(&text).unwrap()
    }

    /// The files of the table before the job.
    async fn template(&self) -> Files {
        let environment = QuickClock::environment(1);
        let disk = disk_of(&Files::new(), &environment).await;
        Table::create(disk.clone(), &environment, &self.table).await.unwrap();
        let Step { operation, changes } = self.before();
        let options = options(operation);
        let mut sink = Sink::open(disk.clone(), &environment, "before", vec![], options).await.unwrap();
        sink.write(&batch(&changes).0, None).await.unwrap();
        let prepared = sink.prepare(progress(1)).await.unwrap().unwrap();
        sink.committer().commit(&prepared).await.unwrap();
        files_of(disk.as_ref()).await
    }

    fn steps(&self) -> [Step; 2] {
        let changes = (0..FILES).flat_map(|file| self.records(file)).collect();
        [self.before(), Step { operation: self.operation, changes }]
    }
}

fn bad_value(file: i64) -> String {
    format!("bad{file}")
}

struct Place {
    work: Work,
    job: Job,
    disk: Arc<dyn Storage>,
    letters: Arc<dyn Storage>,
    environment: Environment,
}

impl Place {
    async fn new(work: &Work, job: &Job, template: &Files) -> Self {
        let environment = QuickClock::an_hour_after(&QuickClock::environment(0), 7);
        let disk = disk_of(template, &environment).await;
        let letters = disk_of(&Files::new(), &environment).await;
        Self { work: work.clone(), job: job.clone(), disk, letters, environment }
    }

    fn again(&self, environment: Environment) -> Self {
        let (work, job, disk, letters) =
            (self.work.clone(), self.job.clone(), self.disk.clone(), self.letters.clone());
        Self { work, job, disk, letters, environment }
    }

    async fn run(&self) -> Result<Summary, IngestError> {
        self.run_on(self.disk.clone(), self.letters.clone()).await
    }

    async fn run_on(
        &self,
        disk: Arc<dyn Storage>,
        letters: Arc<dyn Storage>,
    ) -> Result<Summary, IngestError> {
        let (_keep, stop) = watch::channel(false);
        let options =
            RunOptions { storage: Some(disk), dead_letters: Some(letters), ..RunOptions::default() };
        run(self.job.clone(), options, &self.environment, stop, Arc::new(|_: &Event| ())).await
    }

    /// Runs the job with a fault, then without; returns what is wrong then.
    async fn survive(&self, fault: Fault) -> Option<String> {
        let faulty = FaultStorage::with_fault(self.disk.clone(), fault);
        let letters = faulty.beside(self.letters.clone());
        let ended = faulty.outlive(self.run_on(Arc::new(faulty.clone()), Arc::new(letters))).await;
        let next = self.again(QuickClock::next(&self.environment, &faulty, 8));
        let problems = match next.run().await {
            Ok(_) => next.problems().await,
            Err(error) => vec![format!("the second run failed: {error}")],
        };
        let at = faulty.operations().get(fault.at).map(|o| format!("{} {}", o.operation, o.path));
        (!problems.is_empty()).then(|| format!("{fault:?}, {at:?}, {ended:?}:\n  {}", problems.join("\n  ")))
    }

    /// What is wrong when all leases and heartbeats have ended.
    async fn problems(&self) -> Vec<String> {
        let mut problems = self.letter_problems().await;
        // Progress is at the end: nothing is left to read.
        let later = self.again(QuickClock::an_hour_after(&self.environment, 9));
        let again = later.run().await.unwrap();
        if again.records != 0 {
            problems.push(format!("{} records were read once more", again.records));
        }
        problems.extend(audit::problems(&self.disk, &self.environment, &model_of(&self.work.steps())).await);
        problems
    }

    async fn letter_problems(&self) -> Vec<String> {
        let table = Table::open(self.disk.clone(), &self.environment, None).await.unwrap();
        audit::letter_problems(&table, &self.letters, (0..FILES).map(bad_value)).await
    }
}

/// Runs a job with a fault at every operation on the table and on the dead letters.
async fn each_record_is_taken_once(operation: WriteOperation, table: NewTable, commits: u64) {
    let work = Work { operation, table };
    let folder = tempfile::tempdir().unwrap();
    work.deliver(folder.path());
    let (job, template) = (work.job(folder.path()), Arc::new(work.template().await));
    let place = Place::new(&work, &job, &template).await;
    let counting = FaultStorage::new(place.disk.clone());
    let letters = Arc::new(counting.beside(place.letters.clone()));
    let summary = place.run_on(Arc::new(counting.clone()), letters).await.unwrap();
    assert_eq!((summary.commits, summary.bad_records), (commits, FILES as u64));
    assert_eq!(place.problems().await, [""; 0], "without a fault");
    let kinds = [FAILS.as_slice(), &DIES].concat();
    all_survive(faults_at(&counting.operations(), &kinds), |fault| {
        let (work, job, template) = (work.clone(), job.clone(), template.clone());
        async move { Place::new(&work, &job, &template).await.survive(fault).await }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_inserted_once_after_a_fault_at_any_operation() {
    each_record_is_taken_once(WriteOperation::Insert, append_table(), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_upserted_to_merge_on_read_after_a_fault_at_any_operation() {
    each_record_is_taken_once(WriteOperation::Upsert, bucket_table(), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_upserted_to_copy_on_write_after_a_fault_at_any_operation() {
    let table = NewTable { table_type: TableType::CopyOnWrite, ..bucket_table() };
    each_record_is_taken_once(WriteOperation::Upsert, table, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_overwritten_once_after_a_fault_at_any_operation() {
    each_record_is_taken_once(WriteOperation::InsertOverwrite, append_table(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_overwritten_once_after_a_fault_at_any_operation() {
    each_record_is_taken_once(WriteOperation::InsertOverwriteTable, bucket_table(), 1).await;
}

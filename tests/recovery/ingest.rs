//! Every operation of an ingestion fails, or stops the process; each record is taken once.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use futures::{StreamExt as _, TryStreamExt as _};
use lakebed::environment::Environment;
use lakebed::ingest::job::Job;
use lakebed::ingest::{Event, IngestError, RunOptions, Summary, run};
use lakebed::read::{Scan, ScanOptions};
use lakebed::storage::Storage;
use lakebed::storage::fault::FaultKind::{DieAfter, DieBefore, FailAfter, FailBefore};
use lakebed::storage::fault::{Fault, FaultStorage};
use lakebed::storage::object::ObjectStorage;
use lakebed::table::Table;
use lakebed_hudi::table_config::{NewTable, TableType};
use tokio::sync::watch;

use super::audit;
use super::clock::{QuickClock, until_death};
use super::writes;
use crate::test_table::bucket_table;

const FILES: i64 = 4;
const ROWS_PER_FILE: i64 = 5;

/// A table without keys: a record that was taken twice is there twice.
pub fn append_table() -> NewTable {
    NewTable {
        record_key_fields: Vec::new(),
        ordering_fields: Vec::new(),
        bucket_index: None,
        table_type: TableType::CopyOnWrite,
        ..bucket_table()
    }
}

struct Place {
    disk: Arc<dyn Storage>,
    environment: Environment,
}

impl Place {
    async fn new() -> Self {
        let environment = QuickClock::environment(7);
        let disk = ObjectStorage::in_memory(&"s3://memory/t".parse().unwrap(), &environment);
        let disk: Arc<dyn Storage> = Arc::new(disk);
        Table::create(disk.clone(), &environment, &append_table()).await.unwrap();
        Self { disk, environment }
    }

    async fn run(&self, job: Job, storage: Arc<dyn Storage>) -> Result<Summary, IngestError> {
        let (_keep, stop) = watch::channel(false);
        let options = RunOptions { storage: Some(storage), ..RunOptions::default() };
        run(job, options, &self.environment, stop, Arc::new(|_: &Event| ())).await
    }

    async fn survive(&self, job: Job, fault: Fault) -> Option<String> {
        let faulty = Arc::new(FaultStorage::with_fault(self.disk.clone(), fault));
        let ended = until_death(&faulty, self.run(job.clone(), faulty.clone())).await;
        let environment = QuickClock::next(&self.environment, &faulty, 8);
        let next = Self { disk: self.disk.clone(), environment };
        let problems = match next.run(job.clone(), self.disk.clone()).await {
            Ok(_) => next.problems(job).await,
            Err(error) => vec![format!("the second run failed: {error}")],
        };
        let at = faulty.operations().get(fault.at).map(|o| format!("{} {}", o.operation, o.path));
        (!problems.is_empty()).then(|| format!("{fault:?}, {at:?}, {ended:?}:\n  {}", problems.join("\n  ")))
    }

    /// What is wrong when all leases and heartbeats have ended.
    async fn problems(&self, job: Job) -> Vec<String> {
        let mut problems = Vec::new();
        // Progress is at the end: nothing is left to read.
        let later =
            Self { disk: self.disk.clone(), environment: QuickClock::an_hour_after(&self.environment, 9) };
        let again = later.run(job, self.disk.clone()).await.unwrap();
        if again.records != 0 {
            problems.push(format!("{} records were read once more", again.records));
        }
        let table = Table::open(self.disk.clone(), &self.environment, None).await.unwrap();
        problems.extend(audit::strays(&table).await);
        let scan = Scan::plan(&table.snapshot(None).await.unwrap(), ScanOptions::default()).await.unwrap();
        let mut found: Vec<i64> = Vec::new();
        for batch in scan.stream().try_collect::<Vec<_>>().await.unwrap() {
            found.extend(batch.column_by_name("ts").unwrap().as_primitive::<Int64Type>().values());
        }
        found.sort_unstable();
        if found != (0..FILES * ROWS_PER_FILE).collect::<Vec<_>>() {
            problems.push(format!("found rows {found:?}"));
        }
        problems
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_taken_once_after_a_fault_at_any_operation() {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..FILES {
        let mut text = "id,p,ts,v\n".to_owned();
        for row in file * ROWS_PER_FILE..(file + 1) * ROWS_PER_FILE {
            writeln!(text, "k{row},{},{row},v{row}", ["x", "y"][row as usize % 2]).unwrap();
        }
        std::fs::write(folder.path().join(format!("{file}.csv")), text).unwrap();
    }
    let job = Job::from_yaml(&format!(
        "{{pipeline: p, operation: insert, table: {{uri: \"s3://memory/t\"}}, commit: {{rows: 7}}, memory: 128 MiB, \
         source: {{files: [\"{}/*.csv\"]}}}}",
        folder.path().display()
    ))
    .unwrap();
    let place = Place::new().await;
    let counting = Arc::new(FaultStorage::new(place.disk.clone()));
    assert_eq!(place.run(job.clone(), counting.clone()).await.unwrap().commits, 3);
    assert_eq!(place.problems(job.clone()).await, [""; 0], "without a fault");
    let mut faults = Vec::new();
    for (at, operation) in counting.operations().iter().enumerate() {
        let kinds = if writes(operation.operation) {
            &[FailBefore, FailAfter, DieBefore, DieAfter][..]
        } else {
            &[FailBefore]
        };
        faults.extend(kinds.iter().map(|kind| Fault { at, kind: *kind }));
    }
    let runs = futures::stream::iter(faults).map(|fault| {
        let job = job.clone();
        tokio::spawn(async move { Place::new().await.survive(job, fault).await })
    });
    let runs: Vec<_> = runs.buffer_unordered(4).map(Result::unwrap).collect().await;
    let failed: Vec<&str> = runs.iter().flatten().map(String::as_str).collect();
    assert!(failed.is_empty(), "{} runs went wrong:\n{}", failed.len(), failed.join("\n"));
}

//! A process that is run once for each fault that may meet it.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use lakebed::environment::Environment;
use lakebed::storage::fault::FaultKind::{self, DieAfter, DieBefore, FailAfter, FailBefore};
use lakebed::storage::fault::{Fault, LoggedOperation};
use lakebed::storage::object::ObjectStorage;
use lakebed::storage::{Operation, Storage, TablePath};

pub const ALL_KINDS: [FaultKind; 4] = [FailBefore, FailAfter, DieBefore, DieAfter];
/// The process lives on, and tries again.
pub const FAILS: [FaultKind; 2] = [FailBefore, FailAfter];
pub const DIES: [FaultKind; 2] = [DieBefore, DieAfter];
/// On a disk, where each case takes its syncs: a process that stops before a write leaves what it leaves
/// after the write before it, but for writes at the same time.
pub const ON_DISK: [FaultKind; 1] = [DieAfter];

/// Whether an operation changes what the storage holds.
pub fn writes(operation: Operation) -> bool {
    use Operation::{Get, GetRanges, List, ListAll, Open, Stamp, Stat};
    !matches!(operation, Open | Get | GetRanges | Stat | Stamp | List | ListAll)
}

/// Faults of `kinds` at every one of `operations`.
///
/// Where an operation only reads there is one case of its own, that it fails: a process that stops
/// there leaves what it leaves when it stops after the write before it.
pub fn faults_at(operations: &[LoggedOperation], kinds: &[FaultKind]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        let fits = |kind: &&FaultKind| writes(operation.operation) || **kind == FailBefore;
        faults.extend(kinds.iter().filter(fits).map(|kind| Fault { at, kind: *kind }));
    }
    faults
}

/// Has a process survive each fault, some at a time. `survive` says what went wrong, if anything.
pub async fn all_survive<F>(faults: Vec<Fault>, survive: impl Fn(Fault) -> F)
where
    F: Future<Output = Option<String>> + Send + 'static,
{
    let count = faults.len();
    let runs = futures::stream::iter(faults).map(|fault| tokio::spawn(survive(fault)));
    let runs: Vec<_> = runs.buffer_unordered(4).map(Result::unwrap).collect().await;
    let failed: Vec<&str> = runs.iter().flatten().map(String::as_str).collect();
    assert!(failed.is_empty(), "{} of {count} runs went wrong:\n{}", failed.len(), failed.join("\n"));
}

/// The files of a table before anything goes wrong.
pub type Files = Vec<(TablePath, Bytes)>;

pub async fn files_of(disk: &dyn Storage) -> Files {
    let mut files = Vec::new();
    for file in disk.list_all(&TablePath::root()).await.unwrap() {
        files.push((file.path.clone(), disk.get(&file.path, u64::MAX).await.unwrap().bytes));
    }
    files
}

/// A bucket of its own in memory, with `files` in it.
pub async fn disk_of(files: &Files, environment: &Environment) -> Arc<dyn Storage> {
    let disk = ObjectStorage::in_memory(&"s3://memory/t".parse().unwrap(), environment);
    put_all(&disk, files).await;
    Arc::new(disk)
}

pub async fn put_all(disk: &dyn Storage, files: &Files) {
    for (path, bytes) in files {
        disk.put(path, bytes.clone()).await.unwrap();
    }
}

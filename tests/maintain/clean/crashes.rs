//! Every operation of a clean fails, or stops the process, before and after it is done.

use std::collections::BTreeSet;

use lakebed::sink::Sink;
use lakebed::storage::fault::{Fault, FaultStorage, LoggedOperation};
use lakebed::storage::{Operation, TablePath};
use lakebed::table::{PastError, Table, TableError, WriteOperation};
use lakebed_hudi::table_config::{NewTable, TableType};
use lakebed_hudi::timeline_file::Action;

use super::*;
use crate::recovery::clock::QuickClock;
use crate::recovery::engine::options;
use crate::recovery::faults::{ALL_KINDS, Files, all_survive, disk_of, faults_at, files_of};

/// A table of which some files are superfluous: of groups that are there, of such that were replaced, and all
/// of a partition.
async fn template(table_type: TableType) -> Files {
    let environment = QuickClock::environment(1);
    let disk = disk_of(&Files::new(), &environment).await;
    let new = NewTable { table_type, ..bucket_table() };
    let table = Table::create(disk.clone(), &environment, &new).await.unwrap();
    let mut number = 0;
    let mut write = async |operation, written: &[Row<'_>]| {
        let mut sink = Sink::open(disk.clone(), &environment, "p", vec![], options(operation)).await.unwrap();
        number += 1;
        sink.write(&rows(written), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, number).await));
    };
    for ts in 1..=3 {
        write(WriteOperation::Upsert, &[("a", "x", ts, None), ("b", "y", ts, None)]).await;
        if table_type == TableType::MergeOnRead {
            services::compact(&table).await;
        }
    }
    write(WriteOperation::InsertOverwriteTable, &[("a", "x", 4, None), ("c", "x", 4, None)]).await;
    write(WriteOperation::Upsert, &[("a", "x", 5, None)]).await;
    files_of(disk.as_ref()).await
}

/// Cleans as the program does: what is pending first, then what is due.
async fn run(maintainer: &Maintainer) -> Result<(), MaintainError> {
    let timeline = maintainer.table().timeline.load().await?;
    for pending in timeline.pending().filter(|i| i.action == Action::Clean) {
        maintainer.clean(pending.time, &no_limits(), &|_| {}).await?;
    }
    clean(maintainer, commits(1)).await?;
    Ok(())
}

/// All files but those of the timeline, and the rows as of each instant that can be read.
async fn state(storage: &Arc<dyn Storage>, environment: &Environment) -> BTreeSet<String> {
    let maintainer = maintainer(storage, environment).await;
    // Nobody sweeps away what beats.
    maintainer.committer().sweep().await.unwrap();
    let mut state = BTreeSet::new();
    for file in storage.list_all(&TablePath::root()).await.unwrap() {
        let path = file.path.as_str();
        if !path.starts_with(".hoodie/timeline/") && path != ".hoodie/lock" {
            state.insert(path.to_owned());
        }
    }
    let table = maintainer.table();
    let timeline = table.timeline.load().await.unwrap();
    state.extend(timeline.pending().map(|i| format!("pending: {} {}", i.time, i.requested_as)));
    let cleans = timeline.completed().filter(|i| i.action == Action::Clean).count();
    state.insert(format!("{cleans} cleans"));
    for instant in timeline.completed_writes() {
        let rows = match table.snapshot(Some(instant.time)).await {
            Ok(snapshot) => texts_of(&snapshot).await.join(", "),
            Err(TableError::Past(PastError::Cleaned { kept, .. })) => format!("cleaned up to {kept}"),
            Err(error) => panic!("{error}"),
        };
        state.insert(format!("{}: {rows}", instant.time));
    }
    state
}

/// Runs with a fault, then without; returns in what the table differs from `expected` then.
async fn survive(files: &Files, fault: Fault, expected: &BTreeSet<String>) -> Option<String> {
    let first = QuickClock::an_hour_after(&QuickClock::environment(0), 7);
    let disk = disk_of(files, &first).await;
    let faulty = FaultStorage::with_fault(disk.clone(), fault);
    let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
    let work = async { run(&open(&storage, &first).await?).await };
    let ended = faulty.outlive(work).await;
    let mut environment = first;
    // At once, if the process lives; and when whatever it could not end counts as dead.
    for seed in [8, 9] {
        environment = match seed {
            8 => QuickClock::next(&environment, &faulty, seed),
            _ => QuickClock::an_hour_after(&environment, seed),
        };
        if let Err(error) = run(&maintainer(&disk, &environment).await).await {
            return Some(format!("{fault:?}, {ended:?}: the next run failed: {error}"));
        }
    }
    let found = state(&disk, &QuickClock::an_hour_after(&environment, 10)).await;
    let differences: Vec<&String> = expected.symmetric_difference(&found).collect();
    let at = faulty.operations().get(fault.at).map(|o| format!("{} {}", o.operation, o.path));
    (!differences.is_empty()).then(|| format!("{fault:?}, {at:?}, {ended:?}:\n  {differences:?}"))
}

async fn open(storage: &Arc<dyn Storage>, environment: &Environment) -> Result<Maintainer, MaintainError> {
    Maintainer::open(storage.clone(), environment, MaintainOptions::default()).await
}

/// What a table is like after a clean, and the operations that it takes.
async fn undisturbed(files: &Files) -> (BTreeSet<String>, Vec<LoggedOperation>) {
    let environment = QuickClock::an_hour_after(&QuickClock::environment(0), 7);
    let disk = disk_of(files, &environment).await;
    let counting = FaultStorage::new(disk.clone());
    let storage: Arc<dyn Storage> = Arc::new(counting.clone());
    run(&open(&storage, &environment).await.unwrap()).await.unwrap();
    let operations = counting.operations();
    (state(&disk, &QuickClock::an_hour_after(&environment, 10)).await, operations)
}

async fn matrix(table_type: TableType) {
    let files = Arc::new(template(table_type).await);
    let (expected, operations) = undisturbed(&files).await;
    let deleted =
        operations.iter().filter(|o| o.operation == Operation::Delete && o.path.as_str().starts_with("p="));
    assert!(deleted.count() >= 6, "{operations:?}");
    assert!(operations.iter().any(|o| o.operation == Operation::DeleteDir && o.path.as_str() == "p=y"));
    assert!(
        !expected.iter().any(|path| path.starts_with("p=y/") || path.starts_with("pending")),
        "{expected:?}"
    );
    let expected = Arc::new(expected);
    all_survive(faults_at(&operations, &ALL_KINDS), |fault| {
        let (files, expected) = (files.clone(), expected.clone());
        async move { survive(&files, fault, &expected).await }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_of_copies_survives_a_fault_at_any_operation() {
    matrix(TableType::CopyOnWrite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_of_slices_survives_a_fault_at_any_operation() {
    matrix(TableType::MergeOnRead).await;
}

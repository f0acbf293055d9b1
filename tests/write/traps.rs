//! What Spark + Hudi falls into if a writer does not see to it: rows that nobody sees or that nobody wrote.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, Int64Array, RecordBatch};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::fault::{FaultStorage, LoggedOperation};
use lakebed::storage::{Operation, TablePath};
use lakebed::table::{StagedKind, WriteOperation};
use lakebed::write::RefusedRow;
use lakebed_hudi::file_name::{MarkerKind, PARTITION_METADATA};
use lakebed_hudi::properties::Properties;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{NewTable, TableType};

use crate::fixtures;
use crate::recovery::faults::writes;
use crate::test_table::*;

const TABLE_TYPES: [TableType; 2] = [TableType::MergeOnRead, TableType::CopyOnWrite];

fn of_type(table_type: TableType) -> NewTable {
    NewTable { table_type, ..bucket_table() }
}

/// A sink whose operations are logged.
async fn logged_sink(table: &TestTable, operation: WriteOperation) -> (Sink, FaultStorage) {
    let storage = FaultStorage::new(table.storage.clone());
    let options = SinkOptions { operation, commit_empty: true, ..SinkOptions::default() };
    let opened = Sink::open(Arc::new(storage.clone()), &table.environment, "p1", Vec::new(), options).await;
    (opened.unwrap(), storage)
}

/// Upserts with updates and deletes, an overwrite, and a checkpoint without rows.
async fn write_everything(table: &TestTable) -> Vec<LoggedOperation> {
    let (mut sink, storage) = logged_sink(table, WriteOperation::Upsert).await;
    let first = [("a", "x", 1, None), ("b", "x", 1, None), ("c", "y", 1, None), ("d", "y", 1, None)];
    sink.write(&rows(&first), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    let deletes = BooleanArray::from(vec![false, true]);
    sink.write(&rows(&[("a", "x", 2, Some("a2")), ("c", "y", 2, None)]), Some(&deletes)).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 2).await));
    assert!(is_committed(&checkpoint(&mut sink, 3).await));
    let (mut sink, more) = logged_sink(table, WriteOperation::InsertOverwrite).await;
    sink.write(&rows(&[("e", "x", 1, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 4).await));
    [storage.operations(), more.operations()].concat()
}

fn is_data(path: &TablePath) -> bool {
    !path.as_str().starts_with(".hoodie/") && path.file_name() != PARTITION_METADATA
}

/// Whether the file is written that makes an instant visible.
fn completes(o: &LoggedOperation) -> bool {
    let path = o.path.as_str();
    writes(o.operation) && path.starts_with(".hoodie/timeline/2") && path.contains('_')
}

/// Spark takes an instant with only `.requested` for one without files, and finds files by markers.
#[tokio::test]
async fn an_instant_is_inflight_before_its_first_marker_and_a_marker_is_there_before_its_file() {
    for table_type in TABLE_TYPES {
        let table = TestTable::create(&of_type(table_type)).await;
        let operations = write_everything(&table).await;
        let done = |wanted: Operation, is_it: &dyn Fn(&str) -> bool| {
            operations.iter().position(|o| o.operation == wanted && is_it(o.path.as_str()))
        };
        let mut created = 0;
        for (at, file) in operations.iter().enumerate() {
            if file.operation != Operation::Create || !is_data(&file.path) {
                continue;
            }
            created += 1;
            let marked = format!("/{}.marker.", file.path);
            let marker = done(Operation::Create, &|path| path.contains(&marked));
            let marker = marker.unwrap_or_else(|| panic!("{} has no marker", file.path));
            assert!(marker < at, "{} was begun before its marker", file.path);
            let instant = operations[marker].path.segments().nth(2).unwrap();
            let begun = |path: &str| path.contains(instant) && path.ends_with("inflight");
            let inflight = done(Operation::PutIfAbsent, &begun).unwrap();
            assert!(inflight < marker, "{} was marked before its instant was inflight", file.path);
            let folder = file.path.parent().unwrap().join(PARTITION_METADATA).unwrap();
            let partition = done(Operation::PutIfAbsent, &|path| path == folder.as_str()).unwrap();
            assert!(partition < at, "{} was begun in what is no partition yet", file.path);
        }
        assert!(created >= 7, "{created} files");
    }
}

/// A completed file of no bytes is a commit of nothing to Spark.
#[tokio::test]
async fn a_completed_file_is_put_once_and_whole_when_all_files_are_there() {
    for table_type in TABLE_TYPES {
        let table = TestTable::create(&of_type(table_type)).await;
        let operations = write_everything(&table).await;
        let put: Vec<_> = operations.iter().enumerate().filter(|(_, o)| completes(o)).collect();
        assert_eq!(put.len(), 4, "{put:#?}");
        for (at, completed) in put {
            assert_eq!(completed.operation, Operation::PutIfAbsent);
            assert!(completed.bytes > 500, "{completed:?}");
            let instant = completed.path.file_name().split('_').next().unwrap();
            let of_instant = |o: &LoggedOperation| is_data(&o.path) && o.path.as_str().contains(instant);
            let late = operations[at..].iter().find(|o| writes(o.operation) && of_instant(o));
            assert_eq!(late, None);
        }
        for entry in table.storage.list(&".hoodie/timeline".parse().unwrap()).await.unwrap().files {
            assert!(!entry.path.file_name().contains('_') || entry.size > 0, "{entry:?}");
        }
    }
}

/// Of two base files of one group and instant Spark reads either.
#[tokio::test]
async fn files_of_stray_attempts_are_deleted_before_the_commit_is_visible() {
    for table_type in TABLE_TYPES {
        let table = TestTable::create(&of_type(table_type)).await;
        let (mut sink, storage) = logged_sink(&table, WriteOperation::Upsert).await;
        let mut strays = Vec::new();
        for number in 1..=2 {
            sink.write(&rows(&[("a", "x", number, None)]), None).await.unwrap();
            let prepared = sink.prepare(progress(number as u64)).await.unwrap().unwrap();
            let [file] = prepared.staged.files.as_slice() else { panic!("{prepared:?}") };
            // Another attempt at the same file ended without being heard of.
            let token = file.path.file_name().split('_').find(|part| part.matches('-').count() == 2).unwrap();
            let stray: TablePath = file.path.as_str().replace(token, "77-88-99").parse().unwrap();
            let kind = match (&file.kind, number) {
                (StagedKind::Base { .. }, 2) => MarkerKind::Merge,
                _ => MarkerKind::Create,
            };
            let marker = prepared.task.attempt().marker(&stray, kind).unwrap();
            let mut attempt = table.storage.create(&stray, Some(&marker)).await.unwrap();
            attempt.write(table.storage.get(&file.path, u64::MAX).await.unwrap().bytes).await.unwrap();
            attempt.finish().await.unwrap();
            assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
            strays.push(stray);
        }
        let operations = storage.operations();
        for (stray, number) in strays.iter().zip(1..) {
            assert!(table.storage.stat(stray).await.is_err(), "{stray} is still there");
            let deleted = |o: &LoggedOperation| o.operation == Operation::Delete && o.path == *stray;
            let deleted = operations.iter().position(deleted).unwrap();
            let before = operations[..deleted].iter().filter(|o| completes(o)).count();
            assert_eq!(before, number - 1, "{stray} was deleted after its commit");
        }
        assert_eq!(table.texts().await, ["a x 2 -"]);
    }
}

/// Keys and values of the metadata of a partition, but for the instant, and its first line.
fn partition_metadata(bytes: &[u8]) -> (String, Vec<(String, String)>) {
    let first = String::from_utf8_lossy(bytes).lines().next().unwrap().to_owned();
    let properties = Properties::parse(bytes).unwrap();
    let instant = properties.get("commitTime").unwrap();
    assert!(instant.len() == 17 && instant.starts_with("20"), "{instant}");
    let mut entries: Vec<_> =
        properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    entries.retain(|(key, _)| key != "commitTime");
    (first, entries)
}

/// Spark lists the partitions of a table by these files: without one it reads no row of a folder.
#[tokio::test]
async fn partitions_are_marked_as_spark_marks_them() {
    let two: Vec<String> = ["p", "v"].map(str::to_owned).to_vec();
    for (fields, folder, fixture, theirs) in [
        (vec!["p".to_owned()], "p=x/", "v9_mor", "p=a/"),
        (Vec::new(), "", "v9_mor_unpartitioned", ""),
        (two, "p=x/v=1/", "partition_two_fields", "2024/01/"),
    ] {
        let table = TestTable::create(&NewTable { partition_fields: fields, ..bucket_table() }).await;
        let (mut sink, _) = logged_sink(&table, WriteOperation::Upsert).await;
        sink.write(&rows(&[("a", "x", 1, Some("1"))]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 1).await));
        let ours: TablePath = format!("{folder}{PARTITION_METADATA}").parse().unwrap();
        let ours = table.storage.get(&ours, u64::MAX).await.unwrap().bytes;
        let spark = fixtures::unpack(fixture);
        let theirs = std::fs::read(spark.path().join(format!("{theirs}{PARTITION_METADATA}"))).unwrap();
        assert_eq!(partition_metadata(&ours), partition_metadata(&theirs), "{fixture}");
    }
}

/// A commit without a schema leaves Spark with one from a data file, or with none.
#[tokio::test]
async fn every_commit_has_the_schema_of_the_rows_without_meta_columns() {
    for table_type in TABLE_TYPES {
        let table = TestTable::create(&of_type(table_type)).await;
        write_everything(&table).await;
        let commits = table.commits().await;
        assert_eq!(commits.len(), 4);
        for commit in commits {
            let schema = TableSchema::from_avro(commit.schema().unwrap()).unwrap();
            assert_eq!(schema.arrow(), TableSchema::from_arrow(&rows(&[]).schema(), "t").unwrap().arrow());
        }
    }
}

/// One row without an ordering value, and Spark cannot read its file group any more.
#[tokio::test]
async fn a_row_without_an_ordering_value_is_refused_and_a_delete_without_one_is_unconditional() {
    for table_type in TABLE_TYPES {
        let table = TestTable::create(&of_type(table_type)).await;
        let (mut sink, _) = logged_sink(&table, WriteOperation::Upsert).await;
        sink.write(&rows(&[("a", "x", 5, None), ("c", "x", 5, None)]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 1).await));
        let batch = rows(&[("a", "x", 0, None), ("b", "x", 0, None), ("c", "x", 9, None)]);
        let orders: ArrayRef = Arc::new(Int64Array::from(vec![None, None, Some(9)]));
        let mut columns = batch.columns().to_vec();
        columns[2] = orders;
        let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
        let deletes = BooleanArray::from(vec![true, false, false]);
        let refused = sink.write(&batch, Some(&deletes)).await.unwrap();
        assert_eq!(refused, [RefusedRow::NullOrdering { row: 1, column: "ts".into() }]);
        assert_eq!(refused[0].to_string(), "row 1 has no ordering value: \"ts\" is null");
        assert!(is_committed(&checkpoint(&mut sink, 2).await));
        assert_eq!(table.texts().await, ["c x 9 -"]);
        for read in read(&table.snapshot().await, Default::default()).await {
            assert_eq!(
                read.column_by_name("ts").unwrap().as_primitive::<arrow::datatypes::Int64Type>().null_count(),
                0
            );
        }
    }
}

/// Hudi's logs keep what a delete leaves, and its base files do not; the README tells what follows.
#[tokio::test]
async fn a_late_row_of_a_deleted_key_meets_what_its_delete_left() {
    use TableType::{CopyOnWrite, MergeOnRead};
    for (table_type, deleted_at, in_one_commit, left) in [
        (MergeOnRead, Some(20), false, &[][..]),
        (MergeOnRead, Some(20), true, &[]),
        (MergeOnRead, None, false, &["a x 10 first"]),
        (CopyOnWrite, Some(20), false, &["a x 5 late"]),
        (CopyOnWrite, Some(20), true, &[]),
        (CopyOnWrite, None, false, &["a x 5 late"]),
        (CopyOnWrite, None, true, &["a x 10 first"]),
    ] {
        let table = TestTable::create(&of_type(table_type)).await;
        let (mut sink, _) = logged_sink(&table, WriteOperation::Upsert).await;
        sink.write(&rows(&[("a", "x", 10, Some("first"))]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 1).await));
        let batch = rows(&[("a", "x", 0, None)]);
        let mut columns = batch.columns().to_vec();
        columns[2] = Arc::new(Int64Array::from(vec![deleted_at]));
        let delete = RecordBatch::try_new(batch.schema(), columns).unwrap();
        sink.write(&delete, Some(&BooleanArray::from(vec![true]))).await.unwrap();
        if !in_one_commit {
            assert!(is_committed(&checkpoint(&mut sink, 2).await));
        }
        sink.write(&rows(&[("a", "x", 5, Some("late"))]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 3).await));
        assert_eq!(table.texts().await, left, "{table_type:?}, {deleted_at:?}, {in_one_commit}");
    }
}

//! What the operations of a sink leave in a table.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use lakebed::environment::Environment;
use lakebed::sink::{Sink, SinkError, SinkOptions};
use lakebed::storage::Storage;
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage};
use lakebed::storage::object::ObjectStorage;
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::schema::TableSchema;

use crate::test_table::*;

fn options(operation: WriteOperation) -> SinkOptions {
    SinkOptions { operation, ..SinkOptions::default() }
}

#[tokio::test]
async fn checkpoints_become_commits_that_carry_progress() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    assert_eq!(sink.progress(), None);
    let first =
        rows(&[("a", "x", 1, Some("a1")), ("b", "x", 1, None), ("c", "y", 1, None), ("a", "x", 2, None)]);
    assert!(sink.write(&first, None).await.unwrap().is_empty());
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    assert_eq!(table.live_files().await, [("p=x".to_owned(), (2, 0)), ("p=y".to_owned(), (1, 0))].into());
    let second = rows(&[("a", "x", 1, Some("late")), ("b", "x", 5, None), ("d", "y", 3, Some("d3"))]);
    let deletes = BooleanArray::from(vec![false, true, false]);
    sink.write(&second, Some(&deletes)).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 2).await));

    let sink = table.sink("p1", SinkOptions::default()).await;
    let progress = sink.progress().unwrap();
    assert_eq!((progress.checkpoint, progress.epoch, sink.epoch().number), (2, 1, 2));
    assert!(table.files_named(".marker.").is_empty());
}

#[tokio::test]
async fn inserted_rows_go_to_new_base_files_and_are_numbered_without_keys() {
    let table = TestTable::create(&append_table()).await;
    let mut sink = table.sink("p1", options(WriteOperation::Insert)).await;
    for number in 1..=2 {
        sink.write(&rows(&[("a", "x", 1, None), ("a", "x", 1, None), ("b", "y", 1, None)]), None)
            .await
            .unwrap();
        assert!(is_committed(&checkpoint(&mut sink, number).await));
    }
    assert_eq!(table.live_files().await, [("p=x".to_owned(), (2, 0)), ("p=y".to_owned(), (2, 0))].into());
    let deletes = BooleanArray::from(vec![true]);
    let refused = sink.write(&rows(&[("a", "x", 1, None)]), Some(&deletes)).await;
    assert!(matches!(refused, Err(SinkError::DeleteInInsert { row: 0 })), "{refused:?}");
}

#[tokio::test]
async fn an_upsert_without_a_bucket_index_is_refused_and_changes_nothing() {
    let table = TestTable::create(&append_table()).await;
    let opened = Sink::open(table.storage.clone(), &table.environment, "p1", vec![], SinkOptions::default());
    let refused = opened.await.unwrap_err().to_string();
    assert!(refused.contains("without a bucket index"), "{refused}");
    assert_eq!(table.snapshot().await.timeline.instants().count(), 0, "not even an instant was begun");
}

#[tokio::test]
async fn an_overwrite_replaces_the_partitions_it_has_rows_for() {
    for new in [bucket_table(), append_table()] {
        let table = TestTable::create(&new).await;
        let insert = if new.bucket_index.is_some() { WriteOperation::Upsert } else { WriteOperation::Insert };
        let mut sink = table.sink("p1", options(insert)).await;
        sink.write(&rows(&[("a", "x", 1, None), ("b", "y", 1, None)]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 1).await));

        let mut sink = table.sink("p1", options(WriteOperation::InsertOverwrite)).await;
        sink.write(&rows(&[("c", "x", 1, None)]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 2).await));
        assert_eq!(table.live_files().await, [("p=x".to_owned(), (1, 0)), ("p=y".to_owned(), (1, 0))].into());
        let commits = table.commits().await;
        let replaced = commits[1].partition_to_replace_file_ids.as_ref().unwrap();
        assert_eq!(replaced.keys().collect::<Vec<_>>(), ["p=x"]);

        let mut sink = table.sink("p1", options(WriteOperation::InsertOverwriteTable)).await;
        sink.write(&rows(&[("d", "z", 1, None)]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 3).await));
        assert_eq!(table.live_files().await, [("p=z".to_owned(), (1, 0))].into());

        // A bucket whose group was replaced gets a new group, and the sink goes on in it.
        let mut sink = table.sink("p1", options(insert)).await;
        for number in 4..=5 {
            sink.write(&rows(&[("a", "x", number, None)]), None).await.unwrap();
            assert!(is_committed(&checkpoint(&mut sink, number as u64).await));
        }
        let of_x = if new.bucket_index.is_some() { (1, 1) } else { (2, 0) };
        assert_eq!(table.live_files().await, [("p=x".to_owned(), of_x), ("p=z".to_owned(), (1, 0))].into());
    }
}

#[tokio::test]
async fn rows_that_cannot_be_written_are_returned_and_the_others_are_written() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    let refused =
        sink.write(&rows(&[("a", "x", 1, None), ("", "x", 1, None), ("b", "x", 1, None)]), None).await;
    assert_eq!(refused.unwrap().iter().map(|row| row.row()).collect::<Vec<_>>(), [1]);
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    let written: i64 = table.commits().await[0].write_stats().map(|(_, stat)| stat.num_writes).sum();
    assert_eq!(written, 2);
}

#[tokio::test]
async fn a_column_that_the_table_lacks_is_refused_by_name() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    let batch = rows(&[("a", "x", 1, None)]);
    let misspelt =
        RecordBatch::try_from_iter([("id", batch.column(0).clone()), ("tss", batch.column(2).clone())]);
    let refused = sink.write(&misspelt.unwrap(), None).await.unwrap_err().to_string();
    assert_eq!(refused, "the table has no column \"tss\"; did you mean \"ts\"?");
}

#[tokio::test]
async fn a_column_that_others_have_added_meanwhile_is_written() {
    let table = TestTable::create(&bucket_table()).await;
    let mut ours = table.sink("p1", SinkOptions::default()).await;
    ours.write(&rows(&[("a", "x", 1, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut ours, 1).await));

    let old = rows(&[("a", "x", 2, None)]);
    let mut fields = old.schema().fields().to_vec();
    fields.push(Arc::new(Field::new("w", DataType::Int64, true)));
    let columns = old.columns().iter().chain([old.column(2)]).cloned().collect();
    let more = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let schema = Some(TableSchema::from_arrow(&more.schema(), "t").unwrap());
    let mut theirs = table.sink("p2", SinkOptions { schema, ..SinkOptions::default() }).await;
    theirs.write(&rows(&[("b", "x", 1, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut theirs, 1).await));

    ours.write(&more, None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut ours, 2).await));
    assert!(table.snapshot().await.schema().await.unwrap().arrow().field_with_name("w").is_ok());
}

#[tokio::test]
async fn whatever_fails_while_rows_are_written_none_are_lost() {
    let environment = Environment::real();
    let uri = "s3://memory/t".parse().unwrap();
    let run = async |fault: Option<usize>| {
        let disk: Arc<dyn Storage> = Arc::new(ObjectStorage::in_memory(&uri, &environment));
        Table::create(disk.clone(), &environment, &bucket_table()).await.unwrap();
        let storage = match fault {
            Some(at) => FaultStorage::with_fault(disk.clone(), Fault { at, kind: FaultKind::FailBefore }),
            None => FaultStorage::new(disk.clone()),
        };
        let opened =
            Sink::open(Arc::new(storage.clone()), &environment, "p", Vec::new(), SinkOptions::default());
        let Ok(mut sink) = opened.await else { return storage };
        let batch = rows(&[("a", "x", 1, None), ("b", "y", 1, None)]);
        let written = sink.write(&batch, None).await.is_ok();
        let prepared = match written {
            true => sink.prepare(progress(1)).await,
            false => Err(SinkError::Rewind { reason: String::new() }),
        };
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(_) => {
                // Tried again it is either refused until all is given up, or takes all rows.
                if let Err(error) = sink.write(&batch, None).await {
                    assert!(matches!(error, SinkError::Rewind { .. }), "{error}");
                    assert!(matches!(sink.prepare(progress(1)).await, Err(SinkError::Rewind { .. })));
                    sink.rewind().await.unwrap();
                    sink.write(&batch, None).await.unwrap();
                }
                sink.prepare(progress(1)).await.unwrap()
            }
        };
        let committed = sink.committer().commit(&prepared.unwrap()).await;
        if committed.is_ok_and(|outcome| is_committed(&outcome)) {
            let table = Table::open(disk, &environment, None).await.unwrap();
            assert_eq!(
                texts_of(&table.snapshot(None).await.unwrap()).await,
                ["a x 1 -", "b y 1 -"],
                "{fault:?}"
            );
        }
        storage
    };
    let operations = run(None).await.operations().len();
    for at in 0..operations {
        run(Some(at)).await;
    }
}

#[tokio::test]
async fn without_a_row_that_can_be_written_there_is_no_checkpoint() {
    let table = TestTable::create(&bucket_table()).await;
    write(&mut table.sink("p1", SinkOptions::default()).await, "a", 1).await;
    let mut sink = table.sink("p1", options(WriteOperation::InsertOverwriteTable)).await;
    assert!(sink.write(&rows(&[]), None).await.unwrap().is_empty());
    let refused = sink.write(&rows(&[("", "x", 1, None), ("", "x", 2, None)]), None).await.unwrap();
    assert_eq!(refused.iter().map(|row| row.row()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(sink.prepare(progress(1)).await.unwrap(), None);
    assert_eq!(table.snapshot().await.timeline.pending().count(), 0, "no instant was opened");
    // The next rows are of the same checkpoint.
    write(&mut sink, "b", 1).await;
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    assert_eq!(table.texts().await, ["b x 1 -"]);
}

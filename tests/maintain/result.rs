//! What a compaction makes of tables that we wrote.

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use futures::TryStreamExt as _;
use lakebed::read::{Scan, ScanOptions};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::table::WriteOperation;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{NewTable, PartialUpdateMode, TableType};
use lakebed_hudi::timeline_metadata::{CommitMetadata, OperationType};

use crate::fixtures::rows as of_rows;
use crate::recovery::model::Random;
use crate::test_table::*;

const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// Tables that merge in every way there is, and one without partitions.
fn tables() -> [NewTable; 5] {
    let by_order = bucket_table();
    let by_commit = NewTable { ordering_fields: Vec::new(), ..bucket_table() };
    let unpartitioned = NewTable { partition_fields: Vec::new(), ..bucket_table() };
    let filled = |mode| NewTable { partial_update: Some(mode), ..bucket_table() };
    let marker = Some(UNAVAILABLE.to_owned());
    [
        by_order,
        by_commit,
        unpartitioned,
        filled(PartialUpdateMode::IgnoreDefaults),
        filled(PartialUpdateMode::FillUnavailable { marker }),
    ]
}

/// All rows and meta columns, but for the name of the file.
async fn with_meta(table: &TestTable) -> Vec<RecordBatch> {
    let options = ScanOptions { with_meta: true, ..ScanOptions::default() };
    let scan = Scan::plan(&table.snapshot().await, options).await.unwrap();
    let mut batches = vec![RecordBatch::new_empty(scan.schema())];
    batches.extend(scan.stream().try_collect::<Vec<_>>().await.unwrap());
    let name = batches[0].schema().index_of("_hoodie_file_name").unwrap();
    batches.iter_mut().for_each(|batch| _ = batch.remove_column(name));
    batches
}

/// Commits some rows and deletes of few keys, of late and of tied ordering values.
async fn commit_some(sink: &mut Sink, random: &mut Random, number: u64) {
    let texts = ["some", "other", UNAVAILABLE];
    let ids: Vec<String> = (0..6).map(|_| format!("k{}", random.below(8))).collect();
    let some: Vec<Row<'_>> = ids
        .iter()
        .map(|id| {
            let text = texts.get(random.below(4) as usize).copied();
            let partition = ["x", "y"][random.below(2) as usize];
            (id.as_str(), partition, number as i64 * 2 + random.below(6) as i64, text)
        })
        .collect();
    let deletes: BooleanArray = some.iter().map(|_| Some(random.below(5) == 0)).collect();
    assert!(sink.write(&rows(&some), Some(&deletes)).await.unwrap().is_empty());
    assert!(is_committed(&checkpoint(sink, number).await));
}

async fn assert_same_rows_after_compaction(table: &TestTable, what: &str) {
    let before = with_meta(table).await;
    let snapshot = table.snapshot().await;
    services::compact(&snapshot.table).await;
    let difference = of_rows::difference(&before, &with_meta(table).await).unwrap();
    assert!(difference.is_none(), "{what}: {}", difference.unwrap());
    assert!(table.live_files().await.values().all(|(_, logs)| *logs == 0), "{what}");
    let left: Vec<String> = crate::recovery::audit::strays(&snapshot.table).await;
    assert_eq!(left, [""; 0], "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_the_same_after_a_compaction_whatever_the_merge() {
    for (number, new) in tables().into_iter().enumerate() {
        let table = TestTable::create(&new).await;
        let mut sink = table.sink("p", SinkOptions::default()).await;
        let mut random = Random(number as u64);
        for round in 1..=12 {
            commit_some(&mut sink, &mut random, round).await;
            if round % 4 == 0 {
                assert_same_rows_after_compaction(&table, &format!("{number}, round {round}")).await;
            }
        }
    }
}

#[tokio::test]
async fn a_group_of_which_all_rows_are_deleted_is_an_empty_file_and_is_written_to_again() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    sink.write(&rows(&[("a", "x", 1, None), ("b", "y", 1, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    let deletes = BooleanArray::from(vec![true]);
    sink.write(&rows(&[("a", "x", 2, None)]), Some(&deletes)).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 2).await));

    let maintainer = services::maintainer(&table.snapshot().await.table).await;
    let planned = services::schedule(&maintainer).await.unwrap().unwrap();
    let report = services::run(&maintainer, planned).await.unwrap();
    assert_eq!((report.groups, report.finished, report.resumed, report.rows), (1, 1, 0, 0), "{report:?}");
    assert_eq!(table.texts().await, ["b y 1 -"]);
    assert_eq!(table.live_files().await["p=x"], (1, 0));
    // The delete is forgotten: an older row comes back.
    write(&mut sink, "a", 1).await;
    assert!(is_committed(&checkpoint(&mut sink, 3).await));
    assert_eq!(table.live_files().await["p=x"], (1, 1));
    assert_same_rows_after_compaction(&table, "written to again").await;
    assert_eq!(table.texts().await, ["a x 1 -", "b y 1 -"]);
}

/// Rows with one more column.
fn wider(id: &str, ts: i64, more: &str) -> RecordBatch {
    let narrow = rows(&[(id, "x", ts, None)]);
    let mut fields: Vec<_> = narrow.schema().fields().iter().cloned().collect();
    fields.push(Field::new("more", DataType::Utf8, true).into());
    let mut columns = narrow.columns().to_vec();
    columns.push(std::sync::Arc::new(arrow::array::StringArray::from(vec![more])));
    RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns).unwrap()
}

async fn wider_sink(table: &TestTable) -> Sink {
    let schema = TableSchema::from_arrow(&wider("", 0, "").schema(), "t").unwrap();
    table.sink("p", SinkOptions { schema: Some(schema), ..SinkOptions::default() }).await
}

/// The column that was added, by id.
async fn more(table: &TestTable) -> Vec<String> {
    let mut found = Vec::new();
    for batch in read(&table.snapshot().await, ScanOptions::default()).await {
        let [id, more] = ["id", "more"].map(|name| batch.column_by_name(name).unwrap().as_string::<i32>());
        let ts = batch.column_by_name("ts").unwrap().as_primitive::<Int64Type>();
        let pairs = id.iter().zip(more.iter()).zip(ts.values());
        found.extend(pairs.map(|((id, more), ts)| format!("{} {ts} {}", id.unwrap(), more.unwrap_or("-"))));
    }
    found.sort();
    found
}

#[tokio::test]
async fn columns_that_were_added_before_and_after_the_plan_are_in_the_new_base_file() {
    for added_before in [true, false] {
        let table = TestTable::create(&bucket_table()).await;
        let mut sink = table.sink("p", SinkOptions::default()).await;
        sink.write(&rows(&[("a", "x", 1, None), ("c", "x", 1, None)]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 1).await));
        sink.write(&rows(&[("a", "x", 2, None)]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 2).await));
        let maintainer = services::maintainer(&table.snapshot().await.table).await;
        let mut planned = None;
        if !added_before {
            planned = services::schedule(&maintainer).await.unwrap();
        }
        let mut sink = wider_sink(&table).await;
        sink.write(&wider("c", 3, "m3"), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 3).await));
        if added_before {
            planned = services::schedule(&maintainer).await.unwrap();
        }
        services::run(&maintainer, planned.unwrap()).await.unwrap();
        assert_eq!(more(&table).await, ["a 2 -", "c 3 m3"], "added before: {added_before}");
        let is_compaction = |c: &CommitMetadata| c.operation_type == Some(OperationType::Compact);
        let done = table.commits().await.into_iter().find(is_compaction).unwrap();
        assert!(done.schema().unwrap().contains("more"));
        assert_same_rows_after_compaction(&table, "and once more").await;
        assert_eq!(more(&table).await, ["a 2 -", "c 3 m3"]);
    }
}

/// A file whose rows all had to have a text has no place for a null.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_was_required_may_be_null_once_the_table_says_so() {
    let schema = |nullable: bool| {
        let arrow = rows(&[]).schema();
        let text = Field::new("v", DataType::Utf8, nullable);
        let others = arrow.fields().iter().filter(|field| field.name() != "v");
        let fields: Vec<Field> = others.map(|field| field.as_ref().clone()).chain([text]).collect();
        TableSchema::from_arrow(&Schema::new(fields), "t").unwrap()
    };
    for table_type in [TableType::MergeOnRead, TableType::CopyOnWrite] {
        let new = NewTable { table_type, create_schema: schema(false).to_avro(), ..bucket_table() };
        let table = TestTable::create(&new).await;
        let options = SinkOptions { operation: WriteOperation::Upsert, ..SinkOptions::default() };
        let mut sink = table.sink("p", options.clone()).await;
        let first = [("a", "x", 1, Some("a1")), ("b", "x", 1, Some("b1")), ("c", "x", 1, Some("c1"))];
        assert!(sink.write(&rows(&first), None).await.unwrap().is_empty());
        assert!(is_committed(&checkpoint(&mut sink, 1).await));
        if table_type == TableType::MergeOnRead {
            assert_same_rows_after_compaction(&table, "required").await;
        }
        drop(sink);
        let mut sink = table.sink("p", SinkOptions { schema: Some(schema(true)), ..options }).await;
        assert!(
            sink.write(&rows(&[("a", "x", 2, None), ("z", "x", 2, None)]), None).await.unwrap().is_empty()
        );
        assert!(is_committed(&checkpoint(&mut sink, 2).await));
        if table_type == TableType::MergeOnRead {
            assert_same_rows_after_compaction(&table, "nullable").await;
        }
        let found = texts_of(&table.snapshot().await).await;
        assert_eq!(found, ["a x 2 -", "b x 1 b1", "c x 1 c1", "z x 2 -"], "{table_type:?}");
    }
}

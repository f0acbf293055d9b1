//! Writing through the sink.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use lakebed::commit::{Outcome, PipelineProgress};
use lakebed::environment::Environment;
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::{self, TableUri};
use lakebed::table::Table;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{BucketIndex, NewTable, TableType};

fn rows(rows: &[(&str, &str, i64, Option<&str>)]) -> RecordBatch {
    let id: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.0)).collect::<StringArray>());
    let p: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.1)).collect::<StringArray>());
    let ts: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Int64Array>());
    let v: ArrayRef = Arc::new(rows.iter().map(|r| r.3).collect::<StringArray>());
    RecordBatch::try_from_iter_with_nullable([
        ("id", id, false),
        ("p", p, true),
        ("ts", ts, true),
        ("v", v, true),
    ])
    .unwrap()
}

fn new_table() -> NewTable {
    let schema = TableSchema::from_arrow(&rows(&[]).schema(), "t").unwrap();
    NewTable {
        name: "t".into(),
        table_type: TableType::MergeOnRead,
        record_key_fields: vec!["id".into()],
        partition_fields: vec!["p".into()],
        ordering_fields: vec!["ts".into()],
        partial_update: None,
        bucket_index: Some(BucketIndex { buckets: 2, hash_fields: vec!["id".into()] }),
        hive_style: true,
        url_encode: true,
        create_schema: schema.to_avro(),
        readers: vec!["spark".into()],
    }
}

async fn checkpoint(sink: &mut Sink, number: u64) -> Outcome {
    let progress = PipelineProgress { checkpoint: number, ..PipelineProgress::default() };
    let prepared = sink.prepare(progress).await.unwrap().unwrap();
    sink.commit(prepared).await.unwrap()
}

#[tokio::test]
async fn checkpoints_become_commits_that_carry_progress() {
    let folder = tempfile::tempdir().unwrap();
    let place =
        std::env::var("LAKEBED_TEST_TABLE").unwrap_or_else(|_| folder.path().join("t").display().to_string());
    let uri: TableUri = place.parse().unwrap();
    let environment = Environment::real();
    let storage = storage::open(&uri, &environment).await.unwrap();
    Table::create(storage.clone(), &environment, &new_table()).await.unwrap();

    let open = || Sink::open(storage.clone(), &environment, "p1", Vec::new(), SinkOptions::default());
    let mut sink = open().await.unwrap();
    assert_eq!(sink.progress(), None);
    let first = rows(&[
        ("a", "x", 1, Some("a1")),
        ("b", "x", 1, Some("b1")),
        ("c", "y", 1, None),
        ("a", "x", 2, Some("a2")),
    ]);
    assert!(sink.write(&first, None).await.unwrap().is_empty());
    assert!(matches!(checkpoint(&mut sink, 1).await, Outcome::Committed { .. }));
    let second = rows(&[("a", "x", 1, Some("late")), ("b", "x", 5, None), ("d", "y", 3, Some("d3"))]);
    let deletes = BooleanArray::from(vec![false, true, false]);
    sink.write(&second, Some(&deletes)).await.unwrap();
    assert!(matches!(checkpoint(&mut sink, 2).await, Outcome::Committed { .. }));

    let sink = open().await.unwrap();
    let progress = sink.progress().unwrap();
    assert_eq!((progress.checkpoint, progress.epoch, sink.epoch().number), (2, 1, 2));
}

//! A table that is changed between the end of a checkpoint and its commit.

use arrow::datatypes::{DataType, Field, Schema};
use lakebed::commit::Outcome;
use lakebed::sink::{Prepared, Sink, SinkOptions};
use lakebed::storage::TablePath;
use lakebed::table::properties;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::key;

use crate::test_table::*;

async fn prepared(table: &TestTable) -> (Sink, Prepared) {
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    sink.write(&rows(&[("a", "x", 1, None)]), None).await.unwrap();
    let prepared = sink.prepare(progress(1)).await.unwrap().unwrap();
    assert!(!table.files_named(prepared.task.instant.as_str()).is_empty());
    (sink, prepared)
}

/// Commits what was prepared before the change, and expects that it is refused for `reason` and gone.
async fn conflicts(table: &TestTable, (sink, prepared): (Sink, Prepared), reason: &str) {
    let outcome = sink.committer().commit(&prepared).await.unwrap();
    assert!(matches!(&outcome, Outcome::Conflicted { reason: told } if told.contains(reason)), "{outcome:?}");
    assert_eq!(table.files_named(prepared.task.instant.as_str()), [""; 0]);
}

#[tokio::test]
async fn a_change_of_the_properties_conflicts() {
    for (key, value, what) in [
        (key::VERSION, "8", "version"),
        (key::TYPE, "COPY_ON_WRITE", "type"),
        (key::RECORD_KEY_FIELDS, "v", "record key"),
        (key::PARTITION_FIELDS, "v", "partitioning"),
        (key::HIVE_STYLE, "false", "partitioning"),
        (key::ORDERING_FIELDS, "v", "ordering"),
        (key::MERGE_MODE, "COMMIT_TIME_ORDERING", "ordering"),
        (key::PARTIAL_UPDATE_MODE, "IGNORE_DEFAULTS", "partial update mode"),
        (key::BUCKETS, "4", "bucket index"),
        (key::BUCKET_HASH_FIELD, "v", "bucket index"),
        (key::TIMEZONE, "LOCAL", "timeline zone"),
        (key::METADATA_PARTITIONS, "files", "metadata table"),
    ] {
        let table = TestTable::create(&bucket_table()).await;
        let written = prepared(&table).await;
        let mut changed = properties::load(table.storage.as_ref()).await.unwrap().properties;
        assert_ne!(changed.get(key), Some(value), "{key}");
        changed.set(key, value);
        let path: TablePath = ".hoodie/hoodie.properties".parse().unwrap();
        table.storage.put(&path, changed.to_bytes("changed").into()).await.unwrap();
        conflicts(&table, written, &format!("the table's {what} was changed")).await;
    }
}

#[tokio::test]
async fn a_column_whose_type_another_commit_changed_conflicts() {
    let table = TestTable::create(&bucket_table()).await;
    let written = prepared(&table).await;
    let mut theirs = table.sink("p2", SinkOptions::default()).await;
    theirs.write(&rows(&[("b", "y", 1, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut theirs, 1).await));
    let columns = rows(&[]).schema();
    let retyped = columns.fields().iter().map(|field| match field.name().as_str() {
        "v" => Field::new("v", DataType::Int64, true),
        _ => field.as_ref().clone(),
    });
    let retyped = Schema::new(retyped.collect::<Vec<_>>());
    table.restate_schema(&TableSchema::from_arrow(&retyped, "t").unwrap()).await;
    conflicts(&table, written, "\"v\"").await;
}

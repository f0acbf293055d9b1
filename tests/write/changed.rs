//! A table that is changed between the end of a checkpoint and its commit.

use arrow::datatypes::{DataType, Field, Schema};
use lakebed::commit::Outcome;
use lakebed::sink::{Prepared, Sink, SinkError, SinkOptions};
use lakebed::storage::TablePath;
use lakebed::table::properties::load;
use lakebed::{Error, ErrorKind};
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
async fn conflicts(table: &TestTable, (sink, prepared): &(Sink, Prepared), reason: &str) {
    let outcome = sink.committer().commit(prepared).await.unwrap();
    assert!(matches!(&outcome, Outcome::Conflicted { reason: told } if told.contains(reason)), "{outcome:?}");
    assert_eq!(table.files_named(prepared.task.instant.as_str()), [""; 0]);
}

#[tokio::test]
async fn a_change_of_the_properties_conflicts() {
    let delete_field = format!("{}hoodie.payload.delete.field", key::MERGE_PROPERTY_PREFIX);
    let delete_marker = format!("{}hoodie.payload.delete.marker", key::MERGE_PROPERTY_PREFIX);
    let changed = |what| format!("the table's {what} was changed");
    for (properties, reason) in [
        (&[(key::VERSION, "8")][..], changed("version")),
        (&[(key::TYPE, "COPY_ON_WRITE")], changed("type")),
        (&[(key::RECORD_KEY_FIELDS, "v")], changed("record key")),
        (&[(key::PARTITION_FIELDS, "v")], changed("partitioning")),
        (&[(key::HIVE_STYLE, "false")], changed("partitioning")),
        (&[(key::ORDERING_FIELDS, "v")], changed("ordering")),
        (&[(key::MERGE_MODE, "COMMIT_TIME_ORDERING")], changed("ordering")),
        (&[(key::PARTIAL_UPDATE_MODE, "IGNORE_DEFAULTS")], changed("partial update mode")),
        (&[(key::BUCKETS, "4")], changed("bucket index")),
        (&[(key::BUCKET_HASH_FIELD, "v")], changed("bucket index")),
        (&[(key::TIMEZONE, "LOCAL")], changed("timeline zone")),
        (&[(key::METADATA_PARTITIONS, "files")], changed("metadata table")),
        (&[(&delete_field, "v"), (&delete_marker, "D")], changed("delete marker")),
        (&[(key::CDC, "true")], format!("{}=true", key::CDC)),
        (&[(key::POPULATE_META_FIELDS, "false")], format!("{}=false", key::POPULATE_META_FIELDS)),
        (&[(key::DROP_PARTITION_COLUMNS, "true")], format!("{}=true", key::DROP_PARTITION_COLUMNS)),
        (&[(key::BUCKET_EXPRESSIONS, "x=.*,2")], key::BUCKET_EXPRESSIONS.to_owned()),
        (&[(key::BASE_FILE_FORMAT, "ORC")], "format ORC".to_owned()),
    ] {
        let table = TestTable::create(&bucket_table()).await;
        let mut written = prepared(&table).await;
        let mut now = load(table.storage.as_ref()).await.unwrap().properties;
        for (key, value) in properties {
            assert_ne!(now.get(key), Some(*value), "{key}");
            now.set(*key, *value);
        }
        let path: TablePath = ".hoodie/hoodie.properties".parse().unwrap();
        table.storage.put(&path, now.to_bytes("changed").into()).await.unwrap();
        conflicts(&table, &written, &reason).await;
        // Whoever would write the same again and again learns that it is of no use.
        let rewound = written.0.rewind().await;
        assert!(matches!(rewound, Err(SinkError::Changed { .. })), "{rewound:?}");
    }
}

/// The columns of [`rows`], with another type for one of them.
fn retyped(column: &str, data_type: &DataType) -> TableSchema {
    let columns = rows(&[]).schema();
    let retyped = columns.fields().iter().map(|field| match field.name() == column {
        true => Field::new(column, data_type.clone(), true),
        false => field.as_ref().clone(),
    });
    TableSchema::from_arrow(&Schema::new(retyped.collect::<Vec<_>>()), "t").unwrap()
}

#[tokio::test]
async fn a_column_whose_type_another_commit_changed_conflicts() {
    // Any column may widen, but not one that orders rows, or makes keys or partition paths.
    for (column, data_type) in [("v", DataType::Int64), ("ts", DataType::Float64)] {
        let table = TestTable::create(&bucket_table()).await;
        let written = prepared(&table).await;
        let mut theirs = table.sink("p2", SinkOptions::default()).await;
        theirs.write(&rows(&[("b", "y", 1, None)]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut theirs, 1).await));
        table.restate_schema(&retyped(column, &data_type)).await;
        conflicts(&table, &written, &format!("column {column:?}")).await;
    }
}

#[tokio::test]
async fn a_job_may_not_change_the_type_of_an_ordering_column() {
    let table = TestTable::create(&bucket_table()).await;
    let options = SinkOptions { schema: Some(retyped("ts", &DataType::Float64)), ..SinkOptions::default() };
    let opened = Sink::open(table.storage.clone(), &table.environment, "p1", Vec::new(), options).await;
    let error = Error::from(opened.unwrap_err());
    assert_eq!((error.kind(), table.files_named("epoch-").len()), (ErrorKind::Refused, 0), "{error}");
    assert!(error.to_string().contains("\"ts\" as double where it is bigint"), "{error}");
}

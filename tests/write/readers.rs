//! Columns that come after the table was made, and that a declared reader would misread.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use lakebed::sink::{Sink, SinkError, SinkOptions};
use lakebed::{Error, ErrorKind};
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::NewTable;

use crate::test_table::*;

/// A table ordered by text, which therefore has Avro log blocks.
async fn table(readers: &[&str]) -> TestTable {
    let readers = readers.iter().map(|reader| (*reader).to_owned()).collect();
    TestTable::create(&NewTable { readers, ordering_fields: vec!["v".into()], ..bucket_table() }).await
}

/// The table's columns and one that hudi-rs does not read in Avro log blocks.
fn with_nested_time() -> TableSchema {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let inner = Fields::from(vec![Field::new("time", time, true)]);
    let mut fields = rows(&[]).schema().fields().to_vec();
    fields.push(Arc::new(Field::new("at", DataType::Struct(inner), true)));
    TableSchema::from_arrow(&Schema::new(fields), "t").unwrap()
}

async fn open(table: &TestTable, options: SinkOptions) -> Result<Sink, SinkError> {
    Sink::open(table.storage.clone(), &table.environment, "p1", Vec::new(), options).await
}

fn refused(error: SinkError) {
    let error = Error::from(error);
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("reader hudi-rs") && error.to_string().contains("\"at\""), "{error}");
}

#[tokio::test]
async fn a_column_that_a_sink_adds_is_refused_before_anything_is_changed() {
    let options = SinkOptions { schema: Some(with_nested_time()), ..SinkOptions::default() };
    let table_for_all = table(&["spark", "hudi-rs"]).await;
    refused(open(&table_for_all, options.clone()).await.unwrap_err());
    assert_eq!(table_for_all.files_named("epoch-"), [""; 0], "no run was fenced");
    open(&table_for_all, SinkOptions::default()).await.unwrap();
    open(&table(&["spark"]).await, options).await.unwrap();
}

#[tokio::test]
async fn a_column_that_others_add_is_refused_by_the_next_write() {
    let table = table(&["spark", "hudi-rs"]).await;
    let mut sink = open(&table, SinkOptions::default()).await.unwrap();
    sink.write(&rows(&[("a", "x", 1, Some("1"))]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    let mut theirs = table.sink("p2", SinkOptions::default()).await;
    theirs.write(&rows(&[("b", "y", 1, Some("1"))]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut theirs, 1).await));
    table.restate_schema(&with_nested_time()).await;

    let row = rows(&[("a", "x", 2, Some("2"))]);
    refused(sink.write(&row, None).await.unwrap_err());
    sink.rewind().await.unwrap();
    refused(sink.write(&row, None).await.unwrap_err());
    refused(open(&table, SinkOptions::default()).await.unwrap_err());
    assert_eq!(table.texts().await, ["a x 1 1", "b y 1 1"]);
}

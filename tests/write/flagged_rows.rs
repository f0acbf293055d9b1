//! Rows whose own column `_hoodie_is_deleted` says that they are deleted.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{Field, Schema};
use lakebed::sink::SinkOptions;
use lakebed::table::WriteOperation;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{NewTable, TableType};

use crate::test_table::*;

const FLAG: &str = "_hoodie_is_deleted";

/// [`rows`] with a flag each.
fn flagged(of: &[Row<'_>], flags: &[bool]) -> RecordBatch {
    let rows = rows(of);
    let flags: ArrayRef = Arc::new(BooleanArray::from(flags.to_vec()));
    let mut fields: Vec<_> = rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(FLAG, flags.data_type().clone(), true)));
    let columns = rows.columns().iter().cloned().chain([flags]).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn with_flag(new: NewTable) -> NewTable {
    let schema = TableSchema::from_arrow(&flagged(&[], &[]).schema(), "t").unwrap();
    NewTable { create_schema: schema.to_avro(), ..new }
}

#[tokio::test]
async fn an_upsert_of_a_flagged_row_deletes_its_key_unless_it_is_late() {
    for table_type in [TableType::MergeOnRead, TableType::CopyOnWrite] {
        let new = with_flag(NewTable { table_type, ..bucket_table() });
        let table = TestTable::create(&new).await;
        let mut sink = table.sink("p1", SinkOptions::default()).await;
        let first = [("a", "x", 5, None), ("b", "x", 5, None), ("c", "x", 5, None)];
        sink.write(&flagged(&first, &[false; 3]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 1).await));
        let second = [("a", "x", 6, None), ("b", "x", 4, None), ("c", "x", 6, None), ("new", "x", 1, None)];
        sink.write(&flagged(&second, &[true, true, false, true]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 2).await));
        assert_eq!(table.texts().await, ["b x 5 -", "c x 6 -"], "{table_type:?}");
    }
}

/// Base files that are not merged are read as they are.
#[tokio::test]
async fn flagged_rows_are_not_inserted() {
    for new in [append_table(), NewTable { bucket_index: None, ..bucket_table() }] {
        let table = TestTable::create(&with_flag(new)).await;
        let insert = SinkOptions { operation: WriteOperation::Insert, ..SinkOptions::default() };
        let mut sink = table.sink("p1", insert).await;
        let values = [("a", "x", 1, None), ("b", "x", 1, None), ("d", "only deleted", 1, None)];
        assert!(sink.write(&flagged(&values, &[false, true, true]), None).await.unwrap().is_empty());
        assert!(is_committed(&checkpoint(&mut sink, 1).await));
        assert_eq!(table.texts().await, ["a x 1 -"]);
        assert_eq!(table.live_files().await, [("p=x".to_owned(), (1, 0))].into());
        let written: i64 = table.commits().await[0].write_stats().map(|(_, stat)| stat.num_writes).sum();
        assert_eq!(written, 1);
    }
}

//! Rows that say by `_hoodie_operation` that they delete, as Flink's changelog mode writes them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use lakebed::read::ScanOptions;
use lakebed::sink::SinkOptions;
use lakebed::storage::TablePath;
use lakebed::table::StagedKind;
use lakebed_hudi::base_file::OPERATION;
use lakebed_hudi::log_file::{BlockCheck, BlockKind, ScannedBlock, encode_block, scan_bytes};
use lakebed_hudi::table_config::{BucketIndex, NewTable};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::test_table::*;

/// Has the rows of a log file of one block say `operations`, in their order.
async fn restate(table: &TestTable, path: &TablePath, operations: &[Option<&str>]) {
    let bytes = table.storage.get(path, u64::MAX).await.unwrap().bytes;
    let mut found = scan_bytes(&bytes, BlockCheck::Lengths);
    let Some(Ok(ScannedBlock::Block(block))) = found.next() else { panic!("{path} has no block") };
    assert_eq!((block.kind, found.next().is_none()), (BlockKind::Parquet, true));
    let content: Bytes = bytes.slice(block.content.start as usize..block.content.end as usize);
    let mut rows = ParquetRecordBatchReaderBuilder::try_new(content).unwrap().build().unwrap();
    let rows = rows.next().unwrap().unwrap();
    let mut fields = rows.schema().fields().to_vec();
    fields.insert(5, Arc::new(Field::new(OPERATION, DataType::Utf8, true)));
    let mut columns = rows.columns().to_vec();
    columns.insert(5, Arc::new(StringArray::from(operations.to_vec())) as ArrayRef);
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    let mut header = block.header.clone();
    let operation = format!("{{\"name\":\"{OPERATION}\",\"type\":[\"null\",\"string\"],\"default\":null}},");
    let schema = header.schema.unwrap();
    let at = schema.find("{\"name\":\"id\"").unwrap();
    header.schema = Some(format!("{}{operation}{}", &schema[..at], &schema[at..]).into());
    let block = encode_block(BlockKind::Parquet, &header, &writer.into_inner().unwrap()).unwrap();
    table.storage.put(path, block.into()).await.unwrap();
}

/// What Spark shows of such a table.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_logs_that_say_so_delete() {
    let bucket_index = Some(BucketIndex { buckets: 1, hash_fields: vec!["id".into()] });
    let table = TestTable::create(&NewTable { bucket_index, ..bucket_table() }).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    let base = ["k0", "k1", "k2", "k3", "k4"].map(|id| (id, "x", 1, Some("base")));
    sink.write(&rows(&base), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    let log: [Row<'_>; 6] = [
        ("k0", "x", 2, None),
        ("k1", "x", 2, None),
        ("k2", "x", 2, Some("log")),
        ("k3", "x", 0, None),
        ("k5", "x", 1, None),
        ("k6", "x", 1, Some("log")),
    ];
    sink.write(&rows(&log), None).await.unwrap();
    let prepared = sink.prepare(progress(2)).await.unwrap().unwrap();
    assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
    let [file] = prepared.staged.files.as_slice() else { panic!("{:?}", prepared.staged) };
    assert!(matches!(file.kind, StagedKind::Log { .. }));
    restate(&table, &file.path, &[Some("D"), Some("-U"), Some("U"), Some("D"), Some("D"), None]).await;

    let expected = ["k2 x 2 log", "k3 x 1 base", "k4 x 1 base", "k6 x 1 log"];
    // With the second budget the rows go through the spill file.
    for memory_budget_bytes in [64 << 20, 0] {
        let options = ScanOptions { memory_budget_bytes, ..ScanOptions::default() };
        assert_eq!(texts(&read(&table.snapshot().await, options).await), expected);
    }
}

//! Writes that have less memory than rows.

use std::collections::BTreeMap;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::Schema;
use lakebed::table::{
    BaseFile, BucketTarget, RowCounts, StagedFile, StagedKind, Table, WriteOperation, WriteTask,
};
use lakebed::write::{KeyRules, TableWriter, WriteOptions};
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{BucketIndex, NewTable, TableType};
use lakebed_hudi::timeline_file::Action;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::test_table::*;

const KEYS: i64 = 600;

/// A batch of 500 rows, with several rows of a key and its greatest ordering value anywhere; some
/// only delete.
fn batch(round: i64, part: i64) -> (RecordBatch, BooleanArray) {
    let text = "a text that takes some memory, ".repeat(4);
    let key = |row: i64| (row * 7 + part * 131 + round * 17) % KEYS;
    let ids: Vec<String> = (0..500).map(|row| format!("key-{:04}", key(row))).collect();
    let row = |row: i64| {
        (ids[row as usize].as_str(), "x", (row * 31 + part * 57) % 100 + round * 50, Some(text.as_str()))
    };
    let of_part: Vec<Row<'_>> = (0..500).map(row).collect();
    (rows(&of_part), (0..500).map(|row| Some((row + part) % 11 == 0)).collect())
}

/// Writes a round of rows over `base`.
async fn write(test: &TestTable, options: WriteOptions, round: i64, base: Option<BaseFile>) -> StagedFile {
    let table = Table::open(test.storage.clone(), &test.environment, None).await.unwrap();
    let buckets = base.map(|base| {
        let file_id = base.name.file_id.clone();
        (0, BucketTarget { file_id, has_files: true, base_file: Some(base) })
    });
    let task = WriteTask {
        instant: format!("2026010100000000{round}").parse().unwrap(),
        action: Action::Commit,
        operation: WriteOperation::Upsert,
        snapshot_time: None,
        settled_time: None,
        buckets: BTreeMap::from([("p=x".to_owned(), buckets.into_iter().collect())]),
        built_on: Default::default(),
        token_stage: 1,
    };
    let schema = TableSchema::from_arrow(&rows(&[]).schema(), "t").unwrap();
    let most_bytes = options.buffer_bytes + (1 << 20);
    let mut writer = TableWriter::new(&table, task, &schema, options).unwrap();
    let keys = KeyRules::of(&table.config);
    for part in 0..12 {
        let (rows, deletes) = batch(round, part);
        writer.write(keys.key(&rows, Some(&deletes)).unwrap().0).await.unwrap();
        assert!(writer.buffered_bytes() < most_bytes);
    }
    let mut staged = writer.finish().await.unwrap();
    assert_eq!(staged.files.len(), 1, "one base file of a group and instant");
    staged.files.remove(0)
}

async fn read(test: &TestTable, file: &StagedFile) -> Vec<String> {
    let bytes = test.storage.get(&file.path, u64::MAX).await.unwrap().bytes;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    texts(&reader.collect::<Result<Vec<_>, _>>().unwrap())
}

/// What three rounds leave, each over the one before.
async fn rounds(options: &WriteOptions) -> Vec<(RowCounts, Vec<String>)> {
    let test = TestTable::create(&NewTable {
        table_type: TableType::CopyOnWrite,
        bucket_index: Some(BucketIndex { buckets: 1, hash_fields: vec!["id".into()] }),
        ..bucket_table()
    })
    .await;
    let mut base = None;
    let mut seen = Vec::new();
    for round in 0..3 {
        let file = write(&test, options.clone(), round, base.take()).await;
        assert_eq!(file.kind == StagedKind::Base { previous: None }, round == 0);
        seen.push((file.rows, read(&test, &file).await));
        let name = file.path.file_name().parse().unwrap();
        base = Some(BaseFile { name, path: file.path, size_bytes: file.size_bytes });
    }
    seen
}

#[tokio::test]
async fn rows_that_wait_on_disk_and_are_merged_in_parts_give_the_same_file() {
    let ample = rounds(&WriteOptions::of_memory(256 << 20, &Schema::empty())).await;
    assert!(ample.iter().all(|(counts, texts)| counts.written == texts.len() as u64 && texts.len() > 300));
    assert!(ample[1].0.updated > 100 && ample[1].0.deleted > 10, "{:?}", ample[1].0);
    for (buffer_bytes, merge_bytes) in [(20_000, 256 << 20), (20_000, 40_000), (256 << 20, 40_000)] {
        let options =
            WriteOptions { buffer_bytes, merge_bytes, ..WriteOptions::of_memory(64 << 20, &Schema::empty()) };
        assert_eq!(rounds(&options).await, ample, "buffer {buffer_bytes}, merge {merge_bytes}");
    }
}

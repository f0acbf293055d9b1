//! How rows lie in base files: row groups, order, codec, encodings, and where one file ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray as _, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Schema;
use bytes::Bytes;
use lakebed::sink::SinkOptions;
use lakebed::storage::Operation;
use lakebed::storage::fault::FaultStorage;
use lakebed::table::{StagedFile, Table, WriteOperation, WriteTask};
use lakebed::write::{KeyRules, TableWriter, WriteOptions};
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{BucketIndex, NewTable, TableType};
use lakebed_hudi::timeline_file::Action;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::Page;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use crate::test_table::*;

const ROWS: u64 = 120_000;

/// A sequence without a pattern.
fn scattered(n: u64) -> u64 {
    let x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ (x >> 29)
}

fn id(n: u64) -> String {
    format!("user_{:07}", n * 7_919 % 1_000_003)
}

/// A column for each way in which values are spread.
fn wide_rows() -> RecordBatch {
    let texts = |of: &dyn Fn(u64) -> String| -> ArrayRef {
        Arc::new((0..ROWS).map(|n| Some(of(n))).collect::<StringArray>())
    };
    let longs = |of: &dyn Fn(u64) -> i64| -> ArrayRef { Arc::new((0..ROWS).map(of).collect::<Int64Array>()) };
    let days = Date32Array::from_iter_values((0..ROWS).map(|n| 18_000 + (scattered(n) % 30_000) as i32));
    let times = (0..ROWS).map(|n| 1_700_000_000_000_000 + (n * 1_000 + scattered(n) % 900) as i64);
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let measures: Float64Array = (0..ROWS).map(|n| scattered(n) as f64).collect();
    let flags: BooleanArray = (0..ROWS).map(|n| Some(scattered(n).is_multiple_of(2))).collect();
    // Few values where they are looked at, then more than a dictionary takes.
    let turns = texts(&|n| {
        if n < 60_000 { format!("turn {}", n % 3) } else { format!("{:0>40}", scattered(n)) }
    });
    RecordBatch::try_from_iter_with_nullable([
        ("id", texts(&id), false),
        ("p", texts(&|_| "x".to_owned()), true),
        ("ts", longs(&|n| n as i64), true),
        ("status", texts(&|n| ["new", "shipped", "returned"][scattered(n) as usize % 3].to_owned()), true),
        ("note", texts(&|n| format!("{:x}", scattered(n) >> (n % 32))), true),
        ("turns", turns, true),
        ("day", Arc::new(days) as ArrayRef, true),
        ("at", Arc::new(times) as ArrayRef, true),
        ("measure", Arc::new(measures) as ArrayRef, true),
        ("flag", Arc::new(flags) as ArrayRef, true),
    ])
    .unwrap()
}

/// The only base file of a table for `readers` that took [`wide_rows`] in one checkpoint.
async fn base_file(new: NewTable, operation: WriteOperation, readers: &[&str]) -> Bytes {
    let batch = wide_rows();
    let test = TestTable::create(&NewTable {
        create_schema: TableSchema::from_arrow(&batch.schema(), "t").unwrap().to_avro(),
        readers: readers.iter().map(|reader| (*reader).to_owned()).collect(),
        ..new
    })
    .await;
    let mut sink = test.sink("p", SinkOptions { operation, ..SinkOptions::default() }).await;
    assert!(sink.write(&batch, None).await.unwrap().is_empty());
    let prepared = sink.prepare(progress(1)).await.unwrap().unwrap();
    let [file] = prepared.staged.files.as_slice() else { panic!("{prepared:?}") };
    test.storage.get(&file.path, u64::MAX).await.unwrap().bytes
}

fn one_bucket() -> NewTable {
    NewTable {
        bucket_index: Some(BucketIndex { buckets: 1, hash_fields: vec!["id".into()] }),
        ..bucket_table()
    }
}

fn appended() -> NewTable {
    NewTable { bucket_index: None, table_type: TableType::CopyOnWrite, ..bucket_table() }
}

/// The encodings of the values of each column, in the order in which the pages of its chunks stand; asserts
/// what is true of every file.
fn encodings(file: &Bytes) -> BTreeMap<String, BTreeSet<String>> {
    let reader = SerializedFileReader::new(file.clone()).unwrap();
    let groups = reader.metadata().row_groups();
    assert_eq!(groups.iter().map(|group| group.num_rows()).collect::<Vec<_>>(), [50_000, 50_000, 20_000]);
    let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (number, group) in groups.iter().enumerate() {
        for (column, chunk) in group.columns().iter().enumerate() {
            let name = chunk.column_path().string();
            assert!(matches!(chunk.compression(), Compression::ZSTD(_)), "{name}: {:?}", chunk.compression());
            let pages = reader.get_row_group(number).unwrap().get_column_page_reader(column).unwrap();
            let (mut has_dictionary, mut is_plain) = (false, false);
            for (at, page) in pages.map(Result::unwrap).enumerate() {
                let encoding = page.encoding();
                match page {
                    Page::DictionaryPage { .. } => {
                        assert_eq!((at, encoding), (0, Encoding::PLAIN), "{name}: where the dictionary is");
                        has_dictionary = true;
                        continue;
                    }
                    _ if encoding == Encoding::RLE_DICTIONARY => {
                        assert!(has_dictionary && !is_plain, "{name}: a dictionary page after a plain one");
                    }
                    _ => is_plain = true,
                }
                assert_ne!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY, "{name}");
                columns.entry(name.clone()).or_default().insert(encoding.to_string());
            }
        }
    }
    columns
}

#[tokio::test]
async fn base_files_have_rows_as_they_came_in_groups_of_fifty_thousand_with_encodings_that_fit() {
    for (new, operation) in [(one_bucket(), WriteOperation::Upsert), (appended(), WriteOperation::Insert)] {
        let file = base_file(new, operation, &["spark", "hudi-rs"]).await;
        let found = encodings(&file);
        for (column, expected) in [
            ("_hoodie_commit_time", &["RLE_DICTIONARY"][..]),
            ("_hoodie_commit_seqno", &["DELTA_BYTE_ARRAY"]),
            ("_hoodie_record_key", &["DELTA_BYTE_ARRAY"]),
            ("_hoodie_partition_path", &["RLE_DICTIONARY"]),
            ("_hoodie_file_name", &["RLE_DICTIONARY"]),
            ("id", &["DELTA_BYTE_ARRAY"]),
            ("p", &["RLE_DICTIONARY"]),
            ("ts", &["DELTA_BINARY_PACKED"]),
            ("status", &["RLE_DICTIONARY"]),
            ("note", &["PLAIN"]),
            ("turns", &["PLAIN", "RLE_DICTIONARY"]),
            ("day", &["DELTA_BINARY_PACKED"]),
            ("at", &["DELTA_BINARY_PACKED"]),
            ("measure", &["PLAIN"]),
            ("flag", &["PLAIN"]),
        ] {
            let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(found[column], expected, "{operation:?}: {column}");
        }
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let mut row = 0;
        for batch in reader.map(Result::unwrap) {
            for found in batch.column_by_name("id").unwrap().as_string::<i32>().iter().flatten() {
                assert_eq!(found, id(row), "{operation:?}: row {row}");
                row += 1;
            }
        }
        assert_eq!(row, ROWS);
    }
}

#[tokio::test]
async fn readers_that_were_not_tested_get_dictionary_and_plain_only() {
    for readers in [&["spark", "trino"][..], &["flink"]] {
        let found = encodings(&base_file(one_bucket(), WriteOperation::Upsert, readers).await);
        let all: BTreeSet<String> = found.into_values().flatten().collect();
        assert_eq!(all, ["PLAIN", "RLE_DICTIONARY"].map(str::to_owned).into(), "{readers:?}");
    }
}

/// So many rows of a few partitions.
fn spread(from: u64, count: u64, partitions: u64) -> RecordBatch {
    let all: Vec<_> =
        (from..from + count).map(|n| (id(n), format!("p{}", n % partitions), n as i64)).collect();
    rows(&all.iter().map(|(id, p, n)| (id.as_str(), p.as_str(), *n, None)).collect::<Vec<_>>())
}

#[tokio::test]
async fn an_insert_rolls_to_new_files_at_the_target_size_and_has_every_row_once() {
    let test = TestTable::create(&appended()).await;
    let insert = |base_file_target_bytes| SinkOptions {
        operation: WriteOperation::Insert,
        base_file_target_bytes,
        ..SinkOptions::default()
    };
    let mut expected = Vec::new();
    for (number, target_bytes, files) in [(1, 1, 4), (2, 120 << 20, 1)] {
        let mut sink = test.sink("p", insert(target_bytes)).await;
        for from in (0..160_000).step_by(10_000) {
            let batch = spread(number * 200_000 + from, 10_000, 1);
            expected.extend(texts(std::slice::from_ref(&batch)));
            sink.write(&batch, None).await.unwrap();
        }
        let prepared = sink.prepare(progress(number)).await.unwrap().unwrap();
        let staged = &prepared.staged.files;
        assert_eq!(staged.len(), files, "{target_bytes} bytes: {staged:#?}");
        assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
        let groups: BTreeSet<_> = staged.iter().map(|file| file.group.file_id.to_string()).collect();
        assert_eq!(groups.len(), files, "each file is a group of its own");
        assert_eq!(staged.iter().map(|file| file.rows.written).sum::<u64>(), 160_000);
    }
    expected.sort();
    assert!(test.texts().await == expected, "a row is not there once");
}

/// Inserts rows of six partitions with buffers for a few rows only. Returns the files, and how many were
/// open at most between two writes.
async fn insert_with(open_files_max: usize) -> (Vec<StagedFile>, usize) {
    let test = TestTable::create(&appended()).await;
    let storage = FaultStorage::new(test.storage.clone());
    let table = Table::open(Arc::new(storage.clone()), &test.environment, None).await.unwrap();
    let task = WriteTask {
        instant: "20260101000000000".parse().unwrap(),
        action: Action::Commit,
        operation: WriteOperation::Insert,
        snapshot_time: None,
        settled_time: None,
        buckets: Default::default(),
        built_on: Default::default(),
        token_stage: 1,
    };
    let schema = TableSchema::from_arrow(&rows(&[]).schema(), "t").unwrap();
    let options = WriteOptions {
        buffer_bytes: 10_000,
        open_files_max,
        ..WriteOptions::of_memory(64 << 20, &Schema::empty())
    };
    let mut writer = TableWriter::new(&table, task, &schema, options).unwrap();
    let keys = KeyRules::of(&table.config);
    let mut open_max = 0;
    for from in (0..6_000).step_by(600) {
        writer.write(keys.key(&spread(from, 600, 6), None).unwrap().0).await.unwrap();
        let operations = storage.operations();
        let data = operations.iter().filter(|o| o.path.as_str().starts_with("p="));
        let count = |wanted: Operation| data.clone().filter(|o| o.operation == wanted).count();
        open_max = open_max.max(count(Operation::Create) - count(Operation::Finish));
    }
    let files = writer.finish().await.unwrap().files;
    assert_eq!(files.iter().map(|file| file.rows.written).sum::<u64>(), 6_000);
    (files, open_max)
}

#[tokio::test]
async fn an_insert_keeps_few_files_open_and_makes_more_of_them_instead() {
    let (files, open) = insert_with(256).await;
    assert!(files.len() == 6 && open > 2, "{} files, {open} open", files.len());
    let (files, open) = insert_with(2).await;
    assert!(files.len() > 12 && open <= 2, "{} files, {open} open", files.len());
    let names: BTreeSet<_> = files.iter().map(|file| file.path.to_string()).collect();
    assert_eq!(names.len(), files.len());
}

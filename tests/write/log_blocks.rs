//! Log files of several blocks: what a merge-on-read write makes when it has less memory than rows.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::datatypes::Schema;
use bytes::Bytes;
use lakebed::sink::SinkOptions;
use lakebed::table::{BucketTarget, ColumnBound, StagedFile, StagedKind, WriteTask};
use lakebed::write::{KeyRules, TableWriter, WriteOptions};
use lakebed_hudi::base_file::COMMIT_SEQNO;
use lakebed_hudi::log_file::{BlockCheck, BlockKind, ScannedBlock, scan_bytes};
use lakebed_hudi::table_config::{BucketIndex, NewTable};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::test_table::*;

const PARTS: i64 = 12;

/// Rows of many in partition x and few in y, late ones among them; no two have the same ordering value.
fn part(number: i64) -> RecordBatch {
    let of = |row: i64| {
        let partition = if row % 100 == 0 { "y" } else { "x" };
        let order = (number * 600 + row) * 7_919 % 100_003;
        (format!("key-{:03}", (row * 7 + number * 131) % 400), partition, order)
    };
    let text = "a text that takes some memory, ".repeat(4);
    let all: Vec<_> = (0..600).map(of).collect();
    rows(&all.iter().map(|(id, p, order)| (id.as_str(), *p, *order, Some(text.as_str()))).collect::<Vec<_>>())
}

/// Deletes of some keys of both partitions, newer than all of their rows.
fn deletes() -> RecordBatch {
    let ids: Vec<String> = (0..400).step_by(40).map(|key| format!("key-{key:03}")).collect();
    let of = |p| ids.iter().map(move |id| (id.as_str(), p, 200_000, None));
    rows(&of("x").chain(of("y")).collect::<Vec<_>>())
}

/// What the table must hold: the newest row of each key and partition that has not been deleted.
fn expected() -> Vec<String> {
    let mut newest: BTreeMap<String, (i64, String)> = BTreeMap::new();
    for batch in (0..=PARTS).map(part).chain([deletes()]) {
        for text in texts(&[batch]) {
            let words: Vec<&str> = text.splitn(4, ' ').collect();
            let order = words[2].parse().unwrap();
            let known = newest.entry(format!("{} {}", words[0], words[1])).or_insert((-1, String::new()));
            if order > known.0 {
                *known = (order, text.clone());
            }
        }
    }
    let mut left: Vec<String> = newest.into_values().filter(|row| row.0 < 200_000).map(|row| row.1).collect();
    left.sort();
    left
}

/// Has a base file made of the first rows and commits all others with log files that are written
/// with `options`. Returns these.
async fn logs(test: &TestTable, options: WriteOptions) -> Vec<StagedFile> {
    let mut sink = test.sink("p", SinkOptions { commit_empty: true, ..SinkOptions::default() }).await;
    sink.write(&part(0), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    let mut prepared = sink.prepare(progress(2)).await.unwrap().unwrap();
    let snapshot = test.snapshot().await;
    let mut task = WriteTask { buckets: BTreeMap::new(), ..prepared.task.clone() };
    for (partition, groups) in snapshot.all_file_groups().await.unwrap() {
        let [group] = groups.as_slice() else { panic!("{partition}: {groups:?}") };
        let base_file = group.latest().unwrap().base.clone();
        let target = BucketTarget { file_id: group.id.file_id.clone(), has_files: true, base_file };
        task.buckets.insert(partition, BTreeMap::from([(0, target)]));
    }
    let keys = KeyRules::of(&snapshot.table.config);
    let mut writer = TableWriter::new(&snapshot.table, task, sink.schema(), options).unwrap();
    for number in 1..=PARTS {
        writer.write(keys.key(&part(number), None).unwrap().0).await.unwrap();
    }
    let deletes = deletes();
    let all = BooleanArray::from(vec![true; deletes.num_rows()]);
    writer.write(keys.key(&deletes, Some(&all)).unwrap().0).await.unwrap();
    prepared.staged = writer.finish().await.unwrap();
    assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
    prepared.staged.files
}

/// The blocks of a log file: their kinds, and the rows of those that have some.
async fn blocks(test: &TestTable, file: &StagedFile) -> (Vec<BlockKind>, Vec<RecordBatch>) {
    let bytes = test.storage.get(&file.path, u64::MAX).await.unwrap().bytes;
    assert_eq!(bytes.len() as u64, file.size_bytes);
    let (mut kinds, mut rows) = (Vec::new(), Vec::new());
    for found in scan_bytes(&bytes, BlockCheck::Lengths) {
        let ScannedBlock::Block(block) = found.unwrap() else { panic!("{} has a corrupt block", file.path) };
        kinds.push(block.kind);
        if block.kind == BlockKind::Parquet {
            let content: Bytes = bytes.slice(block.content.start as usize..block.content.end as usize);
            let reader = ParquetRecordBatchReaderBuilder::try_new(content).unwrap().build().unwrap();
            rows.extend(reader.map(Result::unwrap));
        }
    }
    (kinds, rows)
}

fn table() -> NewTable {
    NewTable {
        bucket_index: Some(BucketIndex { buckets: 1, hash_fields: vec!["id".into()] }),
        ..bucket_table()
    }
}

#[tokio::test]
async fn a_buffer_that_is_let_go_becomes_a_further_block_of_the_open_log_file_and_the_largest_goes_first() {
    let expected = expected();
    assert!(expected.len() > 350, "{}", expected.len());

    let ample = TestTable::create(&table()).await;
    for file in logs(&ample, WriteOptions::of_memory(256 << 20, &Schema::empty())).await {
        assert_eq!(blocks(&ample, &file).await.0, [BlockKind::Parquet, BlockKind::Delete], "{}", file.path);
    }
    assert_eq!(ample.texts().await, expected);

    let short = TestTable::create(&table()).await;
    let options = WriteOptions {
        buffer_bytes: 40_000,
        files_at_once: 1,
        ..WriteOptions::of_memory(64 << 20, &Schema::empty())
    };
    let files = logs(&short, options).await;
    let [of_x, of_y] = files.as_slice() else { panic!("one log file of a group and instant: {files:?}") };
    let (of_many, many) = blocks(&short, of_x).await;
    let (of_few, _) = blocks(&short, of_y).await;
    let parts = PARTS as usize;
    assert_eq!(of_many, [vec![BlockKind::Parquet; parts], vec![BlockKind::Delete]].concat());
    assert_eq!(of_few, [BlockKind::Parquet, BlockKind::Delete], "the small buffer was let go of");
    assert_eq!(short.texts().await, expected);

    // What is said of the file is said of all of its blocks, and its rows are numbered through.
    assert!(matches!(&of_x.kind, StagedKind::Log { base_file: Some(_) }), "{:?}", of_x.kind);
    let rows: usize = many.iter().map(RecordBatch::num_rows).sum();
    assert_eq!((of_x.rows.written, of_x.rows.deleted), (rows as u64, 10));
    let numbers = many.iter().map(|batch| batch.column_by_name(COMMIT_SEQNO).unwrap().as_string::<i32>());
    let numbers: BTreeSet<&str> = numbers.flat_map(|numbers| numbers.iter().flatten()).collect();
    assert_eq!(numbers.len(), rows);
    let orders = many.iter().map(|batch| {
        batch.column_by_name("ts").unwrap().as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
    });
    let orders: BTreeSet<i64> = orders.flatten().collect();
    let range = of_x.columns.iter().find(|column| column.name == "ts").unwrap();
    let bounds = (*orders.first().unwrap(), *orders.last().unwrap());
    assert_eq!(range.bounds, Some((ColumnBound::Whole(bounds.0), ColumnBound::Whole(bounds.1))));
    assert_eq!(range.values, rows as u64);
}

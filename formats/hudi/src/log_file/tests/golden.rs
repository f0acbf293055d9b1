//! What Hudi wrote is read, and written again byte for byte.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::ordering_value::OrderingValue;
use crate::timeline_file::TimelineLayout;

fn read_avro(file: &Bytes, block: &BlockRef) -> RecordBatch {
    let schema = block.header.schema.as_deref().unwrap();
    let mut reader =
        AvroBlockReader::try_new(content(file, block), schema, AvroReadOptions::default()).unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    batch
}

fn text(batch: &RecordBatch, column: &str, row: usize) -> String {
    let column = batch.column_by_name(column).unwrap();
    let options = FormatOptions::default().with_null("null");
    ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string()
}

#[test]
fn every_type_of_spark_is_read_from_an_avro_block() {
    let file = golden_file("avro");
    let [block] = blocks(&file).try_into().unwrap();
    assert_eq!((block.kind, block.body()), (BlockKind::Avro, Ok(BlockBody::Avro)));
    let batch = read_avro(&file, &block);
    assert_eq!((batch.num_rows(), batch.num_columns()), (3, 25));

    let row = |column: &str| [text(&batch, column, 0), text(&batch, column, 1)];
    assert_eq!(row("_hoodie_commit_seqno"), ["20261123193033308_0_1", "20261123193033308_0_2"]);
    assert_eq!(row("k"), ["k1", "k3"]);
    let cases = [
        ("i", "1"),
        ("l", "10000000000"),
        ("f", "1.5"),
        ("d", "1.25"),
        ("b", "true"),
        ("s", "s1"),
        ("y", "7931"),
        ("dt", "2024-01-02"),
        ("tn", "2023-11-14T22:13:20.123457"),
        ("d5", "1.25"),
        ("d38", "-1.500000000000000000"),
        ("a", "[1, null, 2]"),
        ("ss", "[x, y]"),
        ("m", "{a: 1, b: null}"),
        ("r", "{x: 1, y: r1, z: {x: 1.0, q: [{w: 1}]}}"),
        ("ar", "[{x: 1, y: 1.5}, null]"),
        ("mr", "{k: {x: 1, dd: 2.250}}"),
    ];
    for (column, want) in cases {
        assert_eq!(row(column), [want, "null"], "{column}");
    }
    let date = batch.column_by_name("dt").unwrap().as_primitive::<Date32Type>();
    assert_eq!(date.value(0), 19_724);
    let time = batch.column_by_name("t").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(time.value(0), 1_700_000_000_123_457);
    let decimal = batch.column_by_name("d5").unwrap().as_primitive::<Decimal128Type>();
    assert_eq!((decimal.value(0), decimal.precision(), decimal.scale()), (125, 7, 2));
    assert!(batch.schema().fields().iter().all(|field| field.metadata().is_empty()));
}

#[test]
fn avro_rows_are_encoded_byte_for_byte_as_hudi_encodes_them() {
    for folder in ["avro", "several_blocks", "delete_decimal", "partial_avro"] {
        let file = golden_file(folder);
        for block in blocks(&file).iter().filter(|block| block.kind == BlockKind::Avro) {
            let batch = read_avro(&file, block);
            let schema = block.header.schema.as_deref().unwrap();
            let mut encoder = AvroBlockEncoder::try_new(schema, &batch.schema()).unwrap();
            encoder.push(&batch).unwrap();
            assert_eq!(encoder.finish(), content(&file, block), "{folder}");
        }
    }
}

#[test]
fn columns_can_be_picked_from_an_avro_block() {
    let file = golden_file("avro");
    let [block] = blocks(&file).try_into().unwrap();
    let schema = block.header.schema.as_deref().unwrap();
    let all = read_avro(&file, &block);
    let names: Vec<_> = all.schema().fields().iter().map(|field| field.name().clone()).collect();
    for name in &names {
        let columns = [name.as_str(), "_hoodie_record_key", "no such column"];
        let options = AvroReadOptions { columns: Some(&columns), batch_rows: 2 };
        let reader = AvroBlockReader::try_new(content(&file, &block), schema, options).unwrap();
        let batches: Vec<_> = reader.collect::<Result<_, _>>().unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 1]);
        for (batch, offset) in batches.iter().zip([0, 2]) {
            let got = batch.column_by_name(name).unwrap();
            assert_eq!(got, &all.column_by_name(name).unwrap().slice(offset, got.len()), "{name}");
            assert!(batch.num_columns() <= 2);
        }
    }
}

#[test]
fn the_content_of_a_parquet_block_is_a_parquet_file() {
    for (folder, rows, columns) in [("parquet", 3, 25), ("partial_parquet", 2, 7)] {
        let file = golden_file(folder);
        let [block] = blocks(&file).try_into().unwrap();
        assert_eq!(block.body(), Ok(BlockBody::Parquet));
        let reader = ParquetRecordBatchReaderBuilder::try_new(content(&file, &block)).unwrap();
        let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), rows);
        assert_eq!(batches[0].num_columns(), columns, "{folder}");
    }
}

#[test]
fn partial_blocks_say_so_and_carry_positions() {
    for folder in ["partial_avro", "partial_parquet"] {
        let file = golden_file(folder);
        let [block] = blocks(&file).try_into().unwrap();
        assert!(block.header.is_partial);
        assert!(block.header.record_positions.as_deref().unwrap().starts_with("AQAAAAAAAAAAAAAAOjAA"));
        assert!(block.header.positions_base_instant.unwrap() < block.header.instant.unwrap());
        let schema = block.header.schema.unwrap();
        assert!(schema.contains("\"name\":\"b\"") && !schema.contains("\"name\":\"a\""));
    }
}

#[test]
fn delete_blocks_hold_the_class_that_spark_gives_each_type() {
    let decimal = OrderingValue::Decimal { unscaled: 1_250_000_000_000_000, scale: 15 };
    let pair = OrderingValue::Array(vec![OrderingValue::Int(0), OrderingValue::String("x".into())]);
    let cases = [
        ("delete_bool", OrderingValue::Bool(true)),
        ("delete_int", OrderingValue::Int(20)),
        ("delete_short", OrderingValue::Int(20)),
        ("delete_long", OrderingValue::Long(20)),
        ("delete_float", OrderingValue::Float(2.5)),
        ("delete_double", OrderingValue::Double(2.5)),
        ("delete_string", OrderingValue::String("c".into())),
        ("delete_decimal", decimal),
        ("delete_timestamp", OrderingValue::Long(1_704_240_000_123_456)),
        ("delete_two_fields", pair),
    ];
    for (folder, ordering) in cases {
        let file = golden_file(folder);
        let [rows, deletes] = blocks(&file).try_into().unwrap();
        assert_eq!((rows.kind, deletes.kind), (BlockKind::Avro, BlockKind::Delete), "{folder}");
        let content = content(&file, &deletes);
        let records: Vec<_> = DeleteRecords::try_new(&content).unwrap().map(Result::unwrap).collect();
        let want = DeleteRecord { record_key: "k2".into(), partition_path: Some(String::new()), ordering };
        assert_eq!(records, [want], "{folder}");
        assert_eq!(encode_deletes(&records).unwrap(), content, "{folder}");
    }
}

#[test]
fn deletes_without_an_ordering_value_are_unconditional() {
    let file = golden_file("delete_unconditional");
    let [block] = blocks(&file).try_into().unwrap();
    let content = content(&file, &block);
    let records: Vec<_> = DeleteRecords::try_new(&content).unwrap().map(Result::unwrap).collect();
    assert_eq!(records, [DeleteRecord::unconditional("k3", ""), DeleteRecord::unconditional("k2", "")]);
    assert!(records.iter().all(|record| record.ordering.is_commit_time()));
    assert_eq!(encode_deletes(&records).unwrap(), content);
}

#[test]
fn every_block_is_written_again_byte_for_byte_but_for_the_order_of_its_header() {
    let folders =
        std::fs::read_dir([env!("CARGO_MANIFEST_DIR"), "golden", "log"].iter().collect::<PathBuf>());
    let mut written = 0;
    for folder in folders.unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok()) {
        if folder.ends_with(".md") || matches!(folder.as_str(), "hfile" | "cdc") {
            continue;
        }
        for (_, file) in golden(&folder) {
            let mut again = Vec::new();
            for block in blocks(&file) {
                again.extend(encode_block(block.kind, &block.header, &content(&file, &block)).unwrap());
            }
            assert_eq!(again.len(), file.len(), "{folder}");
            let again = Bytes::from(again);
            for (left, right) in blocks(&file).iter().zip(blocks(&again)) {
                assert_eq!(*left, right);
                assert_eq!(content(&file, left), content(&again, &right));
                written += 1;
            }
        }
    }
    assert!(written > 30, "{written}");
}

#[test]
fn foreign_kinds_are_found_and_refused_by_name() {
    for (folder, kind) in [("hfile", BlockKind::Hfile), ("cdc", BlockKind::Cdc)] {
        let file = golden_file(folder);
        let [block] = blocks(&file).try_into().unwrap();
        assert_eq!(block.kind, kind);
        let error = block.body().unwrap_err();
        assert!(error.to_string().starts_with(&format!("the {folder} block at byte 0 cannot be read")));
        let error = encode_block(kind, &block.header, b"").unwrap_err();
        assert!(matches!(error, WriteBlockError::Kind { .. }));
    }
}

fn scanned(folder: &str) -> Vec<ScannedLogFile> {
    let scan = |(name, file): (LogFileName, Bytes)| ScannedLogFile {
        name,
        blocks: scan_bytes(&file, BlockCheck::Lengths).map(Result::unwrap).collect(),
    };
    golden(folder).into_iter().map(scan).collect()
}

#[test]
fn a_log_compacted_block_takes_the_place_of_its_parts() {
    let files = scanned("log_compacted");
    let rules = ScanRules {
        layout: TimelineLayout::Two,
        is_committed: &|_| true,
        query_instant: "20991231000000000".parse().unwrap(),
    };
    let plan = plan_scan(&files, &rules).unwrap();
    let kinds: Vec<_> = plan.blocks.iter().map(|planned| planned.block.kind).collect();
    assert_eq!(kinds, [BlockKind::Avro, BlockKind::Delete]);
    let compacted = plan.blocks[0].block.header.instant.unwrap();
    assert_eq!(plan.blocks[0].block.header.compacted_instants.len(), 3);
    assert_eq!(plan.skipped.len(), 3);
    assert!(plan.skipped.iter().all(|s| s.why == SkipReason::LogCompacted { into: compacted }));

    // A reader for whom the log compaction is not committed merges the parts.
    let rules = ScanRules { is_committed: &|instant| instant != compacted, ..rules };
    let plan = plan_scan(&files, &rules).unwrap();
    let kinds: Vec<_> = plan.blocks.iter().map(|planned| planned.block.kind).collect();
    assert_eq!(kinds, [BlockKind::Avro, BlockKind::Avro, BlockKind::Delete]);
    assert!(plan.skipped.iter().all(|s| s.why == SkipReason::Uncommitted && !s.why.is_warning()));
}

#[test]
fn a_rollback_block_of_version_6_takes_its_target_back() {
    let files = scanned("v6_rollback");
    let rules = ScanRules {
        layout: TimelineLayout::One,
        is_committed: &|_| true,
        query_instant: "20991231000000000".parse().unwrap(),
    };
    let plan = plan_scan(&files, &rules).unwrap();
    let instants: Vec<_> = plan.blocks.iter().map(|p| p.block.header.instant.unwrap().to_string()).collect();
    assert_eq!(instants, ["20261123192941190", "20261123192943827"]);
    let [skipped] = plan.skipped.as_slice() else { panic!("{:?}", plan.skipped) };
    assert_eq!(skipped.why, SkipReason::RolledBack);
    let values = |planned: &PlannedBlock<'_>| {
        let (_, file) = golden("v6_rollback").into_iter().find(|(name, _)| name == planned.file).unwrap();
        let batch = read_avro(&file, planned.block);
        (text(&batch, "k", 0), batch.column_by_name("ts").unwrap().as_primitive::<Int64Type>().value(0))
    };
    assert_eq!(plan.blocks.iter().map(values).collect::<Vec<_>>(), [("k1".into(), 2), ("k2".into(), 4)]);
}

#[test]
fn a_file_of_several_blocks_keeps_their_order() {
    let file = golden_file("several_blocks");
    let blocks = blocks(&file);
    let kinds: Vec<_> = blocks.iter().map(|block| block.kind).collect();
    assert_eq!(kinds.last(), Some(&BlockKind::Delete));
    assert!(kinds.len() > 3 && kinds[..kinds.len() - 1].iter().all(|kind| *kind == BlockKind::Avro));
    let rows: usize = blocks[..blocks.len() - 1].iter().map(|block| read_avro(&file, block).num_rows()).sum();
    assert_eq!(rows, 190);
    let deletes = DeleteRecords::try_new(&content(&file, blocks.last().unwrap())).unwrap();
    assert_eq!(deletes.map(Result::unwrap).count(), 10);
}

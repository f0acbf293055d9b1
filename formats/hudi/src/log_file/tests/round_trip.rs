//! What we write we read again.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Int32Type;
use proptest::prelude::*;

use super::*;
use crate::instant::{InstantTime, TimelineZone};
use crate::ordering_value::OrderingValue;
use crate::ordering_value::tests::any_value;
use crate::schema::TableSchema;

fn any_instant() -> impl Strategy<Value = InstantTime> {
    (0..4_000_000_000_000_i64).prop_map(|millis| InstantTime::from_unix_millis(millis, TimelineZone::Utc))
}

fn any_header() -> impl Strategy<Value = BlockHeader> {
    let texts = ("\\PC{0,40}", prop::option::of("[A-Za-z0-9+/=]{0,40}"), prop::option::of("\\PC{0,10}"));
    let instants = (any_instant(), prop::option::of(any_instant()), prop::option::of(any_instant()));
    (instants, texts, prop::collection::vec(any_instant(), 0..4), any::<bool>()).prop_map(
        |((instant, target_instant, positions_base_instant), texts, compacted_instants, is_partial)| {
            let (schema, record_positions, block_identifier) = texts;
            BlockHeader {
                instant: Some(instant),
                target_instant,
                schema: Some(schema.into()),
                command: None,
                compacted_instants,
                record_positions,
                block_identifier,
                is_partial,
                positions_base_instant,
            }
        },
    )
}

fn any_delete() -> impl Strategy<Value = DeleteRecord> {
    ("\\PC{0,12}", prop::option::of("\\PC{0,12}"), any_value()).prop_map(
        |(record_key, partition_path, ordering)| DeleteRecord { record_key, partition_path, ordering },
    )
}

/// Rows with nulls in every column that may have some.
fn any_rows() -> impl Strategy<Value = RecordBatch> {
    let row = (
        "\\PC{0,8}",
        prop::option::of(any::<i64>()),
        prop::option::of(any::<f64>()),
        prop::option::of(prop::collection::vec(prop::option::of(any::<i32>()), 0..4)),
    );
    prop::collection::vec(row, 1..40).prop_map(|rows| {
        let key: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.0.clone())).collect::<StringArray>());
        let whole: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
        let floating: ArrayRef = Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>());
        let list: ArrayRef =
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows.iter().map(|row| row.3.clone())));
        let columns = [("k", key, false), ("n", whole, true), ("f", floating, true), ("l", list, true)];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    })
}

proptest! {
    #[test]
    fn blocks_are_found_where_they_were_put(
        parts in prop::collection::vec((any_header(), prop::collection::vec(any::<u8>(), 0..200)), 0..5),
    ) {
        let kinds = [BlockKind::Avro, BlockKind::Parquet, BlockKind::Delete];
        let mut file = Vec::new();
        for ((header, bytes), kind) in parts.iter().zip(kinds.iter().cycle()) {
            file.extend(encode_block(*kind, header, bytes).unwrap());
        }
        let file = Bytes::from(file);
        for check in [BlockCheck::Lengths, BlockCheck::None] {
            let found: Vec<_> = scan_bytes(&file, check).map(Result::unwrap).collect();
            prop_assert_eq!(found.len(), parts.len());
            for ((found, (header, bytes)), kind) in found.iter().zip(&parts).zip(kinds.iter().cycle()) {
                let ScannedBlock::Block(block) = found else { panic!("{found:?}") };
                prop_assert_eq!((block.kind, &block.header), (*kind, header));
                prop_assert_eq!(content(&file, block), bytes);
            }
        }
    }

    #[test]
    fn deletes_are_decoded_as_they_were_encoded(records in prop::collection::vec(any_delete(), 0..20)) {
        // Values that a block has no form for are refused; an array of one comes back as that one.
        let fit = |record: &&DeleteRecord| {
            let is_single = matches!(&record.ordering, OrderingValue::Array(values) if values.len() == 1);
            !is_single && encode_deletes(std::slice::from_ref(*record)).is_ok()
        };
        let records: Vec<_> = records.iter().filter(fit).cloned().collect();
        let encoded = Bytes::from(encode_deletes(&records).unwrap());
        let decoded: Vec<_> = DeleteRecords::try_new(&encoded).unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(encode_deletes(&decoded).unwrap(), encoded);
        prop_assert_eq!(decoded.len(), records.len());
        for (decoded, record) in decoded.iter().zip(&records) {
            prop_assert_eq!(&decoded.record_key, &record.record_key);
            prop_assert_eq!(&decoded.partition_path, &record.partition_path);
            prop_assert_eq!(decoded.ordering.class(), record.ordering.class());
            prop_assert_eq!(decoded.ordering.is_commit_time(), record.ordering.is_commit_time());
            if let Ok(order) = decoded.ordering.compare(&record.ordering) {
                prop_assert!(order.is_eq(), "{:?} from {:?}", decoded.ordering, record.ordering);
            }
        }
    }

    #[test]
    fn avro_rows_are_decoded_as_they_were_encoded(rows in any_rows(), batch_rows in 1_usize..50) {
        let schema = TableSchema::from_arrow(&rows.schema(), "t").unwrap().to_avro();
        let mut encoder = AvroBlockEncoder::try_new(&schema, &rows.schema()).unwrap();
        encoder.push(&rows).unwrap();
        let content = Bytes::from(encoder.finish());
        let options = AvroReadOptions { columns: None, batch_rows };
        let batches: Vec<_> =
            AvroBlockReader::try_new(content, &schema, options).unwrap().map(Result::unwrap).collect();
        prop_assert!(batches.iter().all(|batch| batch.num_rows() <= batch_rows));
        let decoded = concat_batches(&batches[0].schema(), &batches).unwrap();
        let data = |batch: &RecordBatch| {
            batch.columns().iter().map(|column| format!("{column:?}")).collect::<Vec<_>>()
        };
        prop_assert_eq!(data(&decoded), data(&rows));
    }
}

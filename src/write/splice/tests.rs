//! Files that are made of others have the rows that a merge gives, and say of themselves what is true.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use lakebed_hudi::base_file::{
    BaseFileFooter, COMMIT_SEQNO, COMMIT_TIME, FILE_NAME, META_COLUMNS, PARTITION_PATH, RECORD_KEY,
};
use lakebed_hudi::ordering_value::OrderingValue;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{NewTable, PartialUpdateMode, TableConfig, TableType};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

use super::run::splice_small;
use super::*;
use crate::environment::Environment;
use crate::merge::{
    Batches, Deleted, FoldedLogs, LogRecords, MergeError, MergeResources, MergedRows, SliceSource,
};
use crate::storage::Storage as _;
use crate::storage::object::ObjectStorage;
use crate::table::BaseFile;
use crate::write::base_file::BaseFileEncoder;
use crate::write::meta_columns::Place;

const NAME: &str = "00000000-0000-0000-0000-000000000000-0_0-1-0_20260101000000001.parquet";
const NEXT: &str = "00000000-0000-0000-0000-000000000000-0_0-2-0_20260101000000002.parquet";

/// A row: key, ordering value, three columns.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    key: u16,
    ts: i64,
    a: Option<String>,
    b: Option<i64>,
    list: Option<Vec<String>>,
}

#[derive(Debug, Clone)]
enum Piece {
    Rows(Vec<Row>),
    /// Rows of which only `a` (true) or only `b` (false) is in the block.
    Partial(Vec<Row>, bool),
    Deletes(Vec<(u16, Option<i64>)>),
}

#[derive(Debug, Clone)]
struct Case {
    /// Row groups of the base file.
    groups: Vec<Vec<Row>>,
    logs: Vec<Piece>,
    by_event_time: bool,
    partial_update: Option<PartialUpdateMode>,
    small_group_rows: usize,
    columns_at_once: usize,
}

fn user_schema() -> TableSchema {
    let item = Arc::new(Field::new("element", DataType::Utf8, true));
    let fields = vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("ts", DataType::Int64, true),
        Field::new("a", DataType::Utf8, true),
        Field::new("b", DataType::Int64, true),
        Field::new("list", DataType::List(item), true),
    ];
    TableSchema::from_arrow(&Schema::new(fields), "t").unwrap()
}

fn format(case: &Case) -> RowFormat {
    let new = NewTable {
        record_key_fields: vec!["id".to_owned()],
        ordering_fields: if case.by_event_time { vec!["ts".to_owned()] } else { Vec::new() },
        partial_update: case.partial_update.clone(),
        ..NewTable::without_keys("t", TableType::MergeOnRead, user_schema().to_avro())
    };
    let config = TableConfig::from_properties(new.to_properties()).unwrap();
    RowFormat::new("20260101000000002".parse().unwrap(), &config, &user_schema()).unwrap()
}

/// Rows as they are in files, with the commit `commit`.
fn batch(rows: &[Row], commit: u32, columns: &[&str]) -> RecordBatch {
    let text = |of: &dyn Fn(&Row) -> String| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row))).collect::<StringArray>())
    };
    let mut list =
        ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, true));
    for row in rows {
        match &row.list {
            Some(items) => {
                items.iter().for_each(|item| list.values().append_value(item));
                list.append(true);
            }
            None => list.append(false),
        }
    }
    let list: ArrayRef = Arc::new(list.finish());
    let schema = user_schema().arrow_with_meta();
    let column = |name: &str| -> ArrayRef {
        match name {
            COMMIT_TIME => text(&|_| format!("{commit}")),
            COMMIT_SEQNO => text(&|row| format!("{commit}_0_{}", row.key)),
            RECORD_KEY | "id" => text(&|row| format!("k{:03}", row.key)),
            PARTITION_PATH => text(&|_| "p=1".to_owned()),
            FILE_NAME => text(&|_| NAME.to_owned()),
            "ts" => Arc::new(rows.iter().map(|row| Some(row.ts)).collect::<Int64Array>()),
            "a" => Arc::new(rows.iter().map(|row| row.a.as_ref()).collect::<StringArray>()),
            "b" => Arc::new(rows.iter().map(|row| row.b).collect::<Int64Array>()),
            _ => list.clone(),
        }
    };
    let fields: Vec<Field> =
        columns.iter().map(|name| schema.field_with_name(name).unwrap().clone()).collect();
    let arrays = columns.iter().map(|name| column(name)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

const COLUMNS: [&str; 10] = [
    META_COLUMNS[0],
    META_COLUMNS[1],
    META_COLUMNS[2],
    META_COLUMNS[3],
    META_COLUMNS[4],
    "id",
    "ts",
    "a",
    "b",
    "list",
];

/// The base file's rows with the logs of a case on them.
struct Slice<'a> {
    base: &'a SliceReader,
    case: &'a Case,
}

impl SliceSource for Slice<'_> {
    fn logs(
        &self,
        _columns: &SchemaRef,
    ) -> Result<Box<dyn Iterator<Item = Result<LogRecords, MergeError>> + Send + '_>, MergeError> {
        let records = self.case.logs.iter().zip(100..).map(|(piece, commit)| {
            Ok(match piece {
                Piece::Rows(rows) => {
                    LogRecords::Rows { batch: batch(rows, commit, &COLUMNS), partial: false }
                }
                Piece::Partial(rows, with_a) => {
                    let own = if *with_a { "a" } else { "b" };
                    let columns = [COMMIT_TIME, COMMIT_SEQNO, RECORD_KEY, "ts", own];
                    LogRecords::Rows { batch: batch(rows, commit, &columns), partial: true }
                }
                Piece::Deletes(deletes) => {
                    let deleted = |(key, ts): &(u16, Option<i64>)| Deleted {
                        record_key: format!("k{key:03}"),
                        ordering: ts.map_or(OrderingValue::Int(0), OrderingValue::Long),
                    };
                    LogRecords::Deletes(deletes.iter().map(deleted).collect())
                }
            })
        });
        Ok(Box::new(records))
    }

    fn base(&self, columns: &SchemaRef) -> Result<Batches<'_>, MergeError> {
        self.base.base(columns)
    }
}

fn place(name: &str) -> Place {
    Place {
        instant: "20260101000000002".parse().unwrap(),
        partition: "p=1".to_owned(),
        file_name: name.to_owned(),
        task: 0,
        rows_numbered: 0,
    }
}

fn base_bytes(case: &Case, format: &RowFormat) -> Vec<u8> {
    let mut encoder = BaseFileEncoder::new(format.base.clone(), Default::default());
    let mut file = Vec::new();
    for group in &case.groups {
        file.extend(encoder.write(&batch(group, 1, &COLUMNS)).unwrap());
        file.extend(encoder.flush().unwrap());
    }
    file.extend(encoder.finish().unwrap().0);
    file.concat()
}

/// The rows that a merge gives, and the file that is made of the base file; `None` if it cannot be copied.
fn made(case: &Case) -> Option<(RecordBatch, Bytes)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let format = format(case);
    let bytes = base_bytes(case, &format);
    let opened = runtime.block_on(async {
        let uri = "s3://memory/t".parse().unwrap();
        let storage = Arc::new(ObjectStorage::in_memory(&uri, &Environment::real()));
        let path: crate::storage::TablePath = format!("p=1/{NAME}").parse().unwrap();
        storage.put(&path, bytes.clone().into()).await.unwrap();
        let base = BaseFile { name: NAME.parse().unwrap(), path, size_bytes: bytes.len() as u64 };
        SliceReader::open_base_file(storage, &base).await.unwrap()
    });
    let slice = Slice { base: &opened, case };
    let resources = MergeResources::default();
    let merged = MergedRows::new(&slice, format.rewritten.clone(), format.rules.clone(), &resources).unwrap();
    let merged: Vec<RecordBatch> = merged.map(Result::unwrap).collect();
    let expected = concat_batches(&format.rewritten.output_schema(), &merged).unwrap();
    let source = Source::of(&opened, &format).unwrap()?;
    let logs = FoldedLogs::fold(&slice, &format.rewritten, &format.rules, &resources).unwrap().unwrap();
    let (pieces, mut arriving) = tokio::sync::mpsc::channel(1_000);
    let (summary, counts) = splice_small(
        source,
        logs,
        &format,
        &place(NEXT),
        (&pieces, case.columns_at_once),
        case.small_group_rows,
    )
    .unwrap();
    drop(pieces);
    let mut file = Vec::new();
    while let Some(piece) = runtime.block_on(arriving.recv()) {
        file.extend(piece);
    }
    assert_eq!(summary.rows, expected.num_rows() as u64);
    let base_rows: usize = case.groups.iter().map(Vec::len).sum();
    assert_eq!(base_rows as u64 - counts.deleted + counts.added, summary.rows);
    Some((expected, file.concat().into()))
}

/// What a file says: its rows, and that its statistics, its index and its footer are true of them.
fn checked(file: &Bytes) -> RecordBatch {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let metadata = ArrowReaderMetadata::load(file, options).unwrap();
    let parquet = metadata.metadata().clone();
    let entries = parquet.file_metadata().key_value_metadata().unwrap();
    let pairs = entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_deref().unwrap()));
    let footer = BaseFileFooter::from_key_values(pairs).unwrap();
    let filter = footer.bloom_filter.unwrap();
    let (mut batches, mut all_keys) = (Vec::new(), Vec::new());
    for group in 0..parquet.num_row_groups() {
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata.clone());
        let rows = reader.with_row_groups(vec![group]).build().unwrap();
        let rows = concat_batches(metadata.schema(), &rows.map(Result::unwrap).collect::<Vec<_>>()).unwrap();
        assert_eq!(parquet.row_group(group).num_rows(), rows.num_rows() as i64);
        for (leaf, column) in parquet.row_group(group).columns().iter().enumerate() {
            let offsets = &parquet.offset_index().unwrap()[group][leaf];
            let first = offsets.page_locations()[0].offset;
            assert!(first == column.data_page_offset(), "{}", column.column_path());
        }
        check_statistics(&rows, parquet.row_group(group));
        let keys = rows.column_by_name(RECORD_KEY).unwrap().as_string::<i32>();
        for key in keys.iter().map(Option::unwrap) {
            assert!(filter.might_contain(key), "{key}");
            all_keys.push(key.to_owned());
        }
        batches.push(rows);
    }
    assert_eq!(footer.min_record_key, all_keys.iter().min().cloned());
    assert_eq!(footer.max_record_key, all_keys.iter().max().cloned());
    concat_batches(metadata.schema(), &batches).unwrap()
}

fn check_statistics(rows: &RecordBatch, group: &parquet::file::metadata::RowGroupMetaData) {
    let of = |name: &str| {
        let column = group.columns().iter().find(|column| column.column_path().string() == name).unwrap();
        column.statistics().unwrap()
    };
    let numbers = rows.column_by_name("b").unwrap();
    let Statistics::Int64(found) = of("b") else { panic!("b has other statistics") };
    let numbers = numbers.as_primitive::<Int64Type>();
    assert_eq!(found.null_count_opt(), Some(numbers.null_count() as u64));
    assert_eq!(found.min_opt().copied(), arrow::compute::min(numbers));
    assert_eq!(found.max_opt().copied(), arrow::compute::max(numbers));
    let texts = rows.column_by_name("a").unwrap().as_string::<i32>();
    let Statistics::ByteArray(found) = of("a") else { panic!("a has other statistics") };
    let text = |bound: Option<&parquet::data_type::ByteArray>| {
        bound.map(|bound| bound.as_utf8().unwrap().to_owned())
    };
    assert_eq!(text(found.min_opt()), arrow::compute::min_string(texts).map(str::to_owned));
    assert_eq!(text(found.max_opt()), arrow::compute::max_string(texts).map(str::to_owned));
}

/// Makes a file of a case, and compares its rows with those of a merge. Says whether it could be copied.
fn check(case: &Case) -> bool {
    let Some((expected, file)) = made(case) else { return false };
    let found = checked(&file);
    for field in expected.schema().fields() {
        let column = found.column_by_name(field.name()).unwrap();
        assert_eq!(column, expected.column_by_name(field.name()).unwrap(), "{}", field.name());
    }
    let same = |name: &str, text: &str| {
        let texts = found.column_by_name(name).unwrap().as_string::<i32>();
        assert!(texts.iter().all(|found| found == Some(text)), "{name}");
    };
    same(PARTITION_PATH, "p=1");
    same(FILE_NAME, NEXT);
    true
}

fn a_row(keys: std::ops::Range<u16>) -> impl Strategy<Value = Row> {
    let text = prop::option::weighted(0.8, prop_oneof!["[ab]{0,2}", Just("__gone__".to_owned())]);
    let list = prop::option::weighted(0.7, prop::collection::vec("[xy]{0,1}", 0..3));
    (keys, 0..4_i64, text, prop::option::weighted(0.8, 0..3_i64), list)
        .prop_map(|(key, ts, a, b, list)| Row { key, ts, a, b, list })
}

fn cases() -> impl Strategy<Value = Case> {
    // Few values, so that columns of rows that are written anew are often the same.
    let groups = prop::collection::vec(1..12_usize, 1..4);
    let rows = prop::collection::vec(a_row(0..1), 40);
    let log_rows = || prop::collection::vec(a_row(0..60), 0..6);
    let piece = prop_oneof![
        4 => log_rows().prop_map(Piece::Rows),
        1 => prop::collection::vec((0..60_u16, prop::option::of(0..4_i64)), 0..3).prop_map(Piece::Deletes),
    ];
    let partial = (log_rows(), any::<bool>()).prop_map(|(rows, a)| Piece::Partial(rows, a));
    let logs = prop::collection::vec(piece, 0..4);
    let mode = prop_oneof![
        3 => Just(None),
        1 => Just(Some(PartialUpdateMode::IgnoreDefaults)),
        1 => Just(Some(PartialUpdateMode::FillUnavailable { marker: Some("__gone__".to_owned()) })),
    ];
    let partials = prop::collection::vec(partial, 0..2);
    (groups, rows, logs, partials, any::<(bool, bool)>(), mode, prop_oneof![Just(0), Just(5), Just(1_000)])
        .prop_map(
            |(sizes, rows, mut logs, partials, (by_event_time, alone), partial_update, small_group_rows)| {
                let mut rows = rows.into_iter().zip(0..).map(|(row, key)| Row { key, ..row });
                let groups: Vec<Vec<Row>> =
                    sizes.iter().map(|size| rows.by_ref().take(*size).collect()).collect();
                // A partial row needs a whole one of its key: Hudi's readers fail without.
                let base: u16 = groups.iter().map(|group| group.len() as u16).sum();
                if !logs.iter().any(|piece| matches!(piece, Piece::Deletes(_))) {
                    logs.extend(partials.into_iter().map(|piece| match piece {
                        Piece::Partial(rows, a) => {
                            let kept = rows.into_iter().filter(|row| row.key < base);
                            Piece::Partial(kept.collect(), a)
                        }
                        other => other,
                    }));
                }
                Case {
                    groups,
                    logs,
                    by_event_time,
                    partial_update,
                    small_group_rows,
                    columns_at_once: if alone { 3 } else { 1 },
                }
            },
        )
}

proptest! {
    #[test]
    fn a_file_made_of_another_has_the_rows_of_a_merge(case in cases()) {
        prop_assert!(check(&case));
    }
}

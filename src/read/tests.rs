//! Parquet files: what is left out of them, and what becomes of damaged ones.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::data_type::{Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::bridge::Bridge;
use super::filter::Filter;
use super::parquet_rows::ParquetFile;
use super::{ReadError, prune};
use crate::environment::Environment;
use crate::storage::object::ObjectStorage;
use crate::storage::{Storage as _, TablePath};
use crate::table::{ByteSource, FooterParts, load_footer};

/// 1,000 rows in row groups of 250 and pages of 50; `n` rises, `s` repeats.
fn sample() -> Bytes {
    let n: ArrayRef = Arc::new((0..1000).map(Some).collect::<Int64Array>());
    let small: ArrayRef = Arc::new((0..1000).map(|i| Some(i % 7)).collect::<Int32Array>());
    let s: ArrayRef =
        Arc::new((0..1000).map(|i| (i % 3 > 0).then(|| format!("s{}", i % 5))).collect::<StringArray>());
    let batch = RecordBatch::try_from_iter([("n", n), ("small", small), ("s", s)]).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(250))
        .set_data_page_row_count_limit(50)
        .set_write_batch_size(50)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap().into()
}

async fn open(bytes: Bytes) -> Result<ParquetFile, ReadError> {
    let (uri, path) = ("s3://memory/t".parse().unwrap(), TablePath::literal("sample.parquet"));
    let storage = Arc::new(ObjectStorage::in_memory(&uri, &Environment::real()));
    let size_bytes = bytes.len() as u64;
    storage.put(&path, bytes).await.unwrap();
    let source = ByteSource::file(storage, path, size_bytes);
    let metadata = load_footer(&source, FooterParts::PageIndex).await?;
    Ok(ParquetFile { source, metadata })
}

async fn read(
    bytes: Bytes,
    columns: Option<SchemaRef>,
    filters: Vec<&'static str>,
) -> Result<Vec<RecordBatch>, ReadError> {
    let file = open(bytes).await?;
    let columns = columns.unwrap_or_else(|| file.metadata.schema().clone());
    let bridge = Bridge::current();
    let read = move || {
        let bind = |text: &str| text.parse::<Filter>()?.bind(file.metadata.schema());
        let filters = filters.into_iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let groups = prune::row_groups(&file, &filters)?;
        file.rows(&columns, groups, 100, &bridge).collect()
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
    let column = |batch: &RecordBatch| {
        batch.column_by_name("n").unwrap().as_primitive::<Int64Type>().values().to_vec()
    };
    batches.iter().flat_map(column).collect()
}

#[tokio::test]
async fn row_groups_and_pages_without_a_match_are_left_out() {
    let kept = |filters: Vec<&'static str>| async {
        let rows = numbers(&read(sample(), None, filters).await.unwrap());
        (rows.first().copied(), rows.last().copied(), rows.len())
    };
    assert_eq!(kept(vec![]).await, (Some(0), Some(999), 1000));
    assert_eq!(kept(vec!["n = 320"]).await, (Some(300), Some(349), 50));
    assert_eq!(kept(vec!["n >= 500", "n < 510"]).await, (Some(500), Some(549), 50));
    assert_eq!(kept(vec!["n in (10, 990)"]).await, (Some(0), Some(999), 100));
    assert_eq!(kept(vec!["n > 5000"]).await, (None, None, 0));
    assert_eq!(kept(vec!["small = 3"]).await, (Some(0), Some(999), 1000));
    assert_eq!(kept(vec!["small is null"]).await, (None, None, 0));
}

#[tokio::test]
async fn only_the_columns_asked_for_are_read() {
    let columns = |names: &[&str]| {
        let schema = sample_schema();
        let wanted: Vec<_> = names.iter().map(|name| schema.index_of(name).unwrap()).collect();
        Arc::new(schema.project(&wanted).unwrap())
    };
    let batches = read(sample(), Some(columns(&["s"])), vec![]).await.unwrap();
    assert_eq!(batches[0].num_columns(), 1);
    let none = read(sample(), Some(Arc::new(Schema::empty())), vec![]).await.unwrap();
    assert_eq!(none.iter().map(RecordBatch::num_rows).sum::<usize>(), 1000);
}

fn sample_schema() -> Schema {
    Schema::new(vec![
        arrow::datatypes::Field::new("n", DataType::Int64, true),
        arrow::datatypes::Field::new("small", DataType::Int32, true),
        arrow::datatypes::Field::new("s", DataType::Utf8, true),
    ])
}

#[tokio::test]
async fn times_of_96_bits_are_microseconds_in_utc() {
    let schema = parse_message_type("message m { optional int96 t; }").unwrap();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let mut value = Int96::new();
    // Nanoseconds of the day, then the Julian day: 1970-01-02 00:00:00.000001.
    value.set_data(1_000, 0, 2_440_589);
    column.typed::<Int96Type>().write_batch(&[value], Some(&[1]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    let bytes = Bytes::from(writer.into_inner().unwrap());
    let batches = read(bytes, None, vec![]).await.unwrap();
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(batches[0].column(0).data_type(), &utc);
    assert_eq!(batches[0].column(0).as_primitive::<TimestampMicrosecondType>().value(0), 86_400_000_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_errors_and_never_panics() {
    let whole = sample();
    for len in (0..whole.len()).step_by(7) {
        assert!(read(whole.slice(..len), None, vec![]).await.is_err(), "{len} bytes");
    }
    for at in 0..whole.len() {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1 << (at % 8);
        if at % 3 == 0 {
            bytes[at] = 0xff;
        }
        // A flip within a value is a value too; everything else is an error of this file.
        match read(bytes.into(), None, vec!["n < 400"]).await {
            Ok(_) | Err(ReadError::File(_) | ReadError::Filter(_)) => {}
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dictionary_of_more_values_than_its_bytes_can_hold_is_refused() {
    let n: ArrayRef = Arc::new((0..100).map(|i| Some(i % 3)).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("n", n)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let mut bytes = writer.into_inner().unwrap();
    // Field 7 of the first page's header, a struct; its field 1 is the count of values.
    let at = bytes.windows(3).position(|w| w == [0x4c, 0x15, 2 * 3]).unwrap();
    bytes[at + 2] = 2 * 60;
    let error = read(bytes.into(), None, vec![]).await.unwrap_err();
    assert!(error.to_string().contains("more values than its bytes can hold"), "{error}");
}

//! `lakebed read`: every format, and back again by `lakebed ingest`.

use std::fs::{self, File};
use std::process::Stdio;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListArray, MapBuilder, RecordBatch, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::ipc::reader::FileReader;
use lakebed::sink::SinkOptions;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::NewTable;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Ran, command, lakebed, unread};
use crate::test_table::{self, Row, TestTable, bucket_table, checkpoint, is_committed};

/// Rows of every type; the last is null throughout but for its key.
fn rows() -> RecordBatch {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("plain"), Some("a,\"b\"\r\nc"), None]));
    let whole: ArrayRef =
        Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(-9_007_199_254_740_993), None]));
    let decimal =
        Decimal128Array::from(vec![Some(12_345_678_901_234_567_890_123_456_789_i128), Some(-1), None])
            .with_precision_and_scale(38, 9)
            .unwrap();
    let float = Float64Array::from(vec![Some(0.1 + 0.2), Some(f64::NEG_INFINITY), None]);
    let micros = || TimestampMicrosecondArray::from(vec![Some(1_772_900_757_587_001), Some(-1), None]);
    let list =
        ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), Some(vec![]), None]);
    let element = Field::new("element", DataType::Int32, true);
    let (_, offsets, values, nulls) = list.into_parts();
    let list = ListArray::new(element.into(), offsets, values, nulls);
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None, None]));
    let nested = StructArray::try_new(
        vec![Field::new("x", DataType::Int32, true)].into(),
        vec![inner],
        Some(vec![true, true, false].into()),
    );
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("k");
    map.values().append_value("v");
    map.append(true).unwrap();
    map.append(true).unwrap();
    map.append(false).unwrap();
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef, false),
        ("p", Arc::new(StringArray::from(vec!["x", "x", "y"])) as ArrayRef, true),
        ("ts", Arc::new(Int64Array::from(vec![1, 1, 1])) as ArrayRef, true),
        ("text", text, true),
        ("whole", whole, true),
        ("decimal", Arc::new(decimal) as ArrayRef, true),
        ("float", Arc::new(float) as ArrayRef, true),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])) as ArrayRef, true),
        ("day", Arc::new(Date32Array::from(vec![Some(20_000), Some(-1), None])) as ArrayRef, true),
        ("at", Arc::new(micros().with_timezone("UTC")) as ArrayRef, true),
        ("local", Arc::new(micros()) as ArrayRef, true),
        (
            "bytes",
            Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), Some(b""), None])) as ArrayRef,
            true,
        ),
        ("list", Arc::new(list) as ArrayRef, true),
        ("nested", Arc::new(nested.unwrap()) as ArrayRef, true),
        ("map", Arc::new(map.finish()) as ArrayRef, true),
    ])
    .unwrap()
}

/// The columns that CSV can hold.
const FLAT: [usize; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

async fn table(schema: &Schema) -> TestTable {
    let schema = TableSchema::from_arrow(schema, "t").unwrap();
    TestTable::create(&NewTable { create_schema: schema.to_avro(), ..bucket_table() }).await
}

/// A table with these rows.
async fn table_of(rows: &RecordBatch) -> TestTable {
    let table = table(&rows.schema()).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    assert!(sink.write(rows, None).await.unwrap().is_empty());
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    table
}

#[track_caller]
fn read(arguments: &[&str]) -> Ran {
    let ran = lakebed(&[&["read"], arguments].concat());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}: {ran:?}");
    ran
}

/// The rows of a table by way of a Parquet file, in the order of their ids.
fn parquet_rows(table: &TestTable, out: &str) -> RecordBatch {
    read(&[&table.path("t"), "--out", out, "--overwrite"]);
    let batches =
        ParquetRecordBatchReaderBuilder::try_new(File::open(out).unwrap()).unwrap().build().unwrap();
    sorted(&batches.map(Result::unwrap).collect::<Vec<_>>())
}

fn sorted(batches: &[RecordBatch]) -> RecordBatch {
    let rows = concat_batches(&batches[0].schema(), batches).unwrap();
    let order = arrow::compute::sort_to_indices(rows.column_by_name("id").unwrap(), None, None).unwrap();
    arrow::compute::take_record_batch(&rows, &order).unwrap()
}

#[tokio::test]
async fn rows_that_were_read_are_ingested_as_the_same_rows() {
    let whole = rows();
    let table_of_all = table_of(&whole).await;
    let flat_rows = whole.project(&FLAT).unwrap();
    let flat = table_of(&flat_rows).await;
    for (format, source, expected) in [
        ("parquet", &table_of_all, &whole),
        ("arrow", &table_of_all, &whole),
        ("jsonl", &table_of_all, &whole),
        ("csv", &flat, &flat_rows),
    ] {
        let out = source.path(&format!("rows.{format}"));
        read(&[&source.path("t"), "--format", format, "--out", &out]);
        let copy = table(&expected.schema()).await;
        let job = format!("pipeline: p\ntable: {{uri: {}}}\nsource: {{files: [{out}]}}\n", copy.path("t"));
        fs::write(copy.path("job.yaml"), job).unwrap();
        let ingested = lakebed(&["ingest", &copy.path("job.yaml")]);
        assert_eq!(ingested.code, 0, "{format}: {ingested:?}");
        let rows = parquet_rows(&copy, &copy.path("copy.parquet"));
        assert_eq!(rows.columns(), expected.columns(), "{format}");
    }
}

#[tokio::test]
async fn files_have_the_schema_and_the_values_of_the_table() {
    let expected = rows();
    let table = table_of(&expected).await;
    let of_parquet = parquet_rows(&table, &table.path("rows.parquet"));
    read(&[&table.path("t"), "--format", "arrow", "--out", &table.path("rows")]);
    let batches = FileReader::try_new(File::open(table.path("rows")).unwrap(), None).unwrap();
    let of_arrow = sorted(&batches.map(Result::unwrap).collect::<Vec<_>>());
    assert_eq!(of_parquet.schema(), of_arrow.schema());
    let types = |schema: &Schema| schema.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
    let of_table = TableSchema::from_arrow(&expected.schema(), "t").unwrap();
    assert_eq!(types(&of_parquet.schema()), types(of_table.arrow()));
    assert_eq!((of_parquet.columns(), of_arrow.columns()), (expected.columns(), expected.columns()));
    let meta = read(&[&table.path("t"), "--columns", "_hoodie_record_key,id", "--format", "csv"]).out;
    assert!(meta.starts_with("_hoodie_record_key,id\n") && meta.contains("\na,a\n"), "{meta}");
}

#[tokio::test]
async fn text_has_every_digit_and_tells_null_from_nothing() {
    let table = table_of(&rows()).await;
    let uri = table.path("t");
    let of = |key: &str, columns: &str, format: &str| {
        read(&[&uri, "--filter", &format!("id = {key}"), "--columns", columns, "--format", format]).out
    };
    assert_eq!(
        of("a", "whole,decimal,float,at,bytes,map", "jsonl"),
        "{\"whole\":9223372036854775807,\"decimal\":12345678901234567890.123456789,\"float\":0.30000000000000004,\
         \"at\":\"2026-03-07T16:25:57.587001Z\",\"bytes\":\"00ff\",\"map\":{\"k\":\"v\"}}\n"
    );
    assert_eq!(of("b", "whole,float", "jsonl"), "{\"whole\":-9007199254740993,\"float\":\"-Infinity\"}\n");
    assert_eq!(
        of("b", "text,bytes,list,nested", "csv"),
        concat!("text,bytes,list,nested\n", "\"a,\"\"b\"\"\r\nc\",\"\",[],\"{\"\"x\"\":null}\"\n")
    );
    assert_eq!(of("c", "id,text,list", "csv"), "id,text,list\nc,,\n");
    assert_eq!(of("c", "id,text", "json"), "[\n{\"id\":\"c\",\"text\":null}\n]\n");
    assert_eq!(of("none", "id", "json"), "[]\n");
    assert!(of("a", "id,text", "table").contains("| a  | plain |"));
    assert!(of("b", "id,text,whole", "table").contains("| b  | a,\"b\"\\r\\nc | -9007199254740993 |"));
    assert!(of("c", "id,text,float", "table").contains("| c  | NULL |  NULL |"));
    // The flag may stand before the command as well.
    assert_eq!(
        lakebed(&["--format", "jsonl", "read", &uri, "--columns", " p ", "--limit", "1"]).out,
        "{\"p\":\"x\"}\n"
    );
}

/// A commit of two rows, one that updates the first of them and adds another, one that deletes the second.
/// Their instants.
async fn with_three_commits() -> (TestTable, Vec<String>) {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    let commits: [(&[Row<'_>], Option<bool>); 3] = [
        (&[("a", "x", 1, Some("a1")), ("b", "y", 1, None)], None),
        (&[("a", "x", 2, Some("a2")), ("c", "y", 1, Some("c1"))], None),
        (&[("b", "y", 2, None)], Some(true)),
    ];
    for (number, (rows, deletes)) in (1..).zip(commits) {
        let deletes = deletes.map(|delete| BooleanArray::from(vec![delete; rows.len()]));
        sink.write(&test_table::rows(rows), deletes.as_ref()).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, number).await));
    }
    let snapshot = table.snapshot().await;
    let instants = snapshot.timeline.completed_writes().map(|instant| instant.time.to_string()).collect();
    (table, instants)
}

/// The lines of a table as CSV, after the first one, sorted.
#[track_caller]
fn csv(uri: &str, arguments: &[&str]) -> Vec<String> {
    let out = read(&[&[uri, "--format", "csv"], arguments].concat()).out;
    let mut lines: Vec<String> = out.lines().skip(1).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn the_past_is_read_by_an_instant_or_a_time() {
    let (table, instants) = with_three_commits().await;
    let uri = table.path("t");
    let as_of = |text: &str| csv(&uri, &["--as-of", text]);
    let time = |instant: &str, separator: &str| {
        let part = |from: usize, to: usize| &instant[from..to];
        let (date, clock) = (
            [part(0, 4), part(4, 6), part(6, 8)].join("-"),
            [part(8, 10), part(10, 12), part(12, 14)].join(":"),
        );
        format!("{date}{separator}{clock}.{}", part(14, 17))
    };
    let states: [&[&str]; 3] =
        [&["a,x,1,a1", "b,y,1,"], &["a,x,2,a2", "b,y,1,", "c,y,1,c1"], &["a,x,2,a2", "c,y,1,c1"]];
    for (instant, state) in instants.iter().zip(states) {
        assert_eq!(as_of(instant), state, "{instant}");
        assert_eq!(as_of(&time(instant, " ")), state, "{instant}");
        assert_eq!(as_of(&time(instant, "T")), state, "{instant}");
    }
    let before: u64 = instants[1].parse::<u64>().unwrap() - 1;
    assert_eq!(as_of(&before.to_string()), states[0], "just before the second commit");
    assert_eq!(as_of(&format!("{}Z", time(&instants[1], "T"))), states[1], "in UTC, as the timeline");
    let early = lakebed(&["read", &uri, "--as-of", "2001-01-01 10:30", "--format", "csv"]);
    assert_eq!((early.code, early.out.as_str()), (0, "id,p,ts,v\n"), "{early:?}");
    let note = "note: nothing on the active timeline was committed as of 20010101103000000";
    assert_eq!(early.err, format!("{note}: its first commit is {}\n", instants[0]));
    assert_eq!(as_of("2999-12-31"), states[2]);
    let filtered =
        csv(&uri, &["--as-of", &instants[1], "--filter", "p = y", "--columns", "id", "--limit", "1"]);
    assert!(filtered == ["b"] || filtered == ["c"], "{filtered:?}");
    let in_order = |limit: &str| {
        let out = read(&[&uri, "--as-of", &instants[1], "--format", "jsonl", "--limit", limit]).out;
        out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = in_order("100");
    assert_eq!(all.len(), 3);
    for limit in 0..=3 {
        assert_eq!(in_order(&limit.to_string()), all[..limit]);
    }
    assert_eq!(read(&[&uri, "--limit", "0", "--format", "json"]).out, "[]\n");
    for text in ["yesterday", "2026-13-01", "2026010100000000"] {
        lakebed(&["read", &uri, "--as-of", text]).refused(2, &format!("{text:?} is no point in time"));
    }
}

#[tokio::test]
async fn the_columns_of_hudi_are_read_when_asked_for() {
    let (table, instants) = with_three_commits().await;
    let uri = table.path("t");
    let names = |arguments: &[&str]| {
        let out = read(&[&[uri.as_str(), "--format", "csv"], arguments].concat()).out;
        out.lines().next().unwrap().to_owned()
    };
    let meta = "_hoodie_commit_time,_hoodie_commit_seqno,_hoodie_record_key,_hoodie_partition_path,_hoodie_file_name";
    assert_eq!(names(&[]), "id,p,ts,v");
    assert_eq!(names(&["--meta"]), format!("{meta},id,p,ts,v"));
    // Each row has the instant of the commit that it came with.
    for (as_of, expected) in [(0, [("a", 0), ("b", 0)].as_slice()), (1, &[("a", 1), ("b", 0), ("c", 1)])] {
        let rows = csv(&uri, &["--meta", "--as-of", &instants[as_of]]);
        let mut found: Vec<(String, String)> = Vec::new();
        for row in &rows {
            let values: Vec<&str> = row.split(',').collect();
            let (time, number, key, partition, id, p) =
                (values[0], values[1], values[2], values[3], values[5], values[6]);
            assert!(number.starts_with(&format!("{time}_")), "{row}");
            assert_eq!((key, partition), (id, format!("p={p}").as_str()), "{row}");
            assert!(values[4].contains("-0000-0000-0000-000000000000-0"), "{row}");
            found.push((id.to_owned(), time.to_owned()));
        }
        found.sort();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(id, at)| ((*id).to_owned(), instants[*at].clone())).collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn files_are_complete_or_absent_and_not_replaced_unasked() {
    let table = table_of(&rows()).await;
    let (uri, out) = (table.path("t"), table.path("rows.csv"));
    lakebed(&["read", &uri, "--columns", "nothing", "--out", &out]).refused(2, "nothing");
    assert!(!fs::exists(&out).unwrap());
    let written = read(&[&uri, "--columns", "id", "--out", &out]).out;
    assert_eq!(written, format!("3 rows written to {out}, 9 B\n"));
    lakebed(&["read", &uri, "--out", &out])
        .refused(4, "it is there already and was left as it is; add --overwrite");
    assert_eq!(fs::read_to_string(&out).unwrap().len(), 9);
    let told =
        read(&[&uri, "--limit", "1", "--columns", "id", "--format", "json", "--out", &out, "--overwrite"]);
    assert_eq!((&told.json()["rows"], fs::read_to_string(&out).unwrap().len()), (&1.into(), 15));
    lakebed(&["read", &uri, "--out", &table.path("t")])
        .refused(2, "its name does not tell a format: add --format");
    let folder = ["read", &uri, "--format", "csv", "--overwrite", "--out", &table.path("t")];
    lakebed(&folder).refused(4, "it is there and no plain file");
    lakebed(&["read", &uri, "--format", "parquet"]).refused(2, "parquet is no text: name a file with --out");
    lakebed(&["read", &uri, "--columns", "zzz"]).refused(2, "no column \"zzz\"; it has id, p, ts, text");
    lakebed(&["read", &uri, "--columns", "id,p,id"]).refused(2, "column \"id\" is asked for twice");
    lakebed(&["read", &uri, "--filter", "id = a or id = b"])
        .refused(2, "filter \"id = a or id = b\", character 8: expected the end: there is no `or`");
    lakebed(&["read", &uri, "--filter", "whole > x"])
        .refused(2, "\"x\" is no value of column \"whole\", which is bigint: expected a whole number");
    lakebed(&["timeline", &uri, "--format", "csv"]).refused(2, "--format csv is for rows");
    lakebed(&["read", &uri, "--out", "/nowhere/rows.csv"])
        .refused(2, "error: /nowhere/rows.csv: it cannot be written: there is no folder /nowhere\n");
    lakebed(&["read", &uri, "--out", "/proc/rows.csv"])
        .refused(2, "error: /proc/rows.csv: it cannot be written: No such file or directory (os error 2)\n");
    let below = lakebed(&["read", &uri, "--out", &format!("{out}/rows.csv")]);
    below.refused(2, "rows.csv/rows.csv: it cannot be written: Not a directory (os error 20)\n");
    let left: Vec<String> = table.files_named("rows.csv");
    assert_eq!(left, ["rows.csv"], "no hidden file is left");
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_reading() {
    let table = table_of(&rows()).await;
    for format in ["table", "csv", "jsonl", "json"] {
        let read = unread(&["read", &table.path("t"), "--format", format]);
        assert_eq!((read.code, read.err.as_str()), (0, ""), "{format}");
    }
}

#[tokio::test]
async fn a_signal_leaves_no_part_of_a_file() {
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values((0..100_000).map(|i| format!("key{i}"))));
    let one: ArrayRef = Arc::new(StringArray::from(vec!["x"; keys.len()]));
    let ts: ArrayRef = Arc::new(Int64Array::from(vec![1; keys.len()]));
    let many =
        RecordBatch::try_from_iter_with_nullable([("id", keys, false), ("p", one, true), ("ts", ts, true)]);
    let table = table_of(&many.unwrap()).await;
    let out = table.path("rows.jsonl");
    let mut child = command(&["read", &table.path("t"), "--out", &out]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while table.files_named("rows.jsonl").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    // It may have been done just before.
    let left: &[&str] = if child.wait().unwrap().code().unwrap() == 0 { &["rows.jsonl"] } else { &[] };
    assert_eq!(table.files_named("rows.jsonl"), left);
}

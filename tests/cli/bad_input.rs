//! What `lakebed ingest` does with what it cannot take: the text, the exit code, and a table that
//! stays as it was.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

use super::ingest::{Place, SOURCE};
use super::{Ran, command, files_below, lakebed, ran};

const FIRST: &str = "id,p,ts\na,x,1\n";

/// A table with one row.
fn with_a_row() -> Place {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    assert_eq!(lakebed(&["ingest", &place.job(SOURCE, "")]).code, 0);
    place
}

/// What readers see of the table, and the instants that completed.
fn state(place: &Place) -> (Vec<String>, Vec<String>) {
    let mut timeline = files_below(&place.path("t/.hoodie/timeline"));
    timeline.retain(|name| name.contains('_') && !name.contains(".rollback"));
    (place.rows(), timeline)
}

/// Asserts that the run ends with that code and text, and leaves the table as it is.
#[track_caller]
fn refused(place: &Place, job: &str, code: i32, text: &str) {
    let before = state(place);
    let ran = lakebed(&["ingest", job]);
    assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{text}: {ran:?}");
    assert!(ran.err.contains(text), "expected {text:?}: {ran:?}");
    assert_eq!(state(place), before, "{text}");
}

#[test]
fn jobs_that_cannot_be_understood_are_usage_errors() {
    let place = with_a_row();
    let with = |more: &str, text: &str| refused(&place, &place.job(SOURCE, more), 2, text);
    with("commit: {rows: 5\n", "job.yaml: line ");
    with("comit: {rows: 5}\n", "line 4, column 1: unknown setting \"comit\"; did you mean \"commit\"?");
    with("commit: {rows: five}\n", "commit.rows: expected a whole number from 0 on, found \"five\"");
    with("operation: upsurt\n", "unknown value \"upsurt\"; did you mean \"upsert\"?");
    with("format: {type: jsonl, header: true}\n", "format.header: it contradicts format.type");
    with(
        "mapping: {rename: {a: idd}}\n",
        "job.yaml: mapping.rename.a: the table has no column \"idd\"; did you mean \"id\"?",
    );
    with("memory: 1 KiB\n", "1.0 KiB of memory are too little for this table: expected at least ");
    lakebed(&["ingest", "/nowhere.yaml"])
        .refused(2, "/nowhere.yaml: the job file cannot be read: No such file");
    lakebed(&["ingest"]).refused(2, "<JOB>");
}

#[test]
fn records_that_do_not_fit_the_table_are_named() {
    let place = with_a_row();
    let with = |text: &str, code: i32, more: &str, expected: &str| {
        place.deliver("b.csv", text);
        refused(&place, &place.job(SOURCE, more), code, expected);
    };
    with(
        "id,p\nb,x\n",
        2,
        "",
        "b.csv: column \"ts\" is missing; map it, or set mapping.missing_columns to null",
    );
    with("id,p,ts,tss\nb,x,1,1\n", 2, "", "b.csv: column \"tss\" is not in the table (did you mean \"ts\"?)");
    with("id,p,ts\nb,x,1\nc,x,one\n", 6, "", "b.csv:3, column \"ts\", value \"one\": it is no bigint");
    with("id,p,ts\n,x,1\n", 6, "", "b.csv:2, column \"id\": it is null, and the table requires a value");
    with("id,p,ts\nb,x,\n", 6, "", "b.csv:2, column \"ts\": it is null, and orders the rows of a key");
    with("id,p,ts\nb,x\n", 6, "", "b.csv:2: it has 2 fields, expected 3");
    with("", 2, "", "b.csv: it has no header: it is empty");
    let operation = "mapping: {operation: {column: op}}\n";
    with(
        "id,p,ts,op\nb,x,1,?\n",
        6,
        operation,
        "b.csv:2, column \"op\", value \"?\": it is no known operation",
    );
    let letters = "bad_records: {policy: dead_letter, path: DEAD, limit: 1}\n";
    with("id,p,ts\nb,x,\nc,x,one\n", 6, letters, "2 bad records, more than bad_records.limit allows (1)");
}

#[test]
fn columns_that_the_newest_file_lacks_are_told_also_if_nothing_is_new() {
    let place = with_a_row();
    let fits = lakebed(&["ingest", &place.job(SOURCE, "")]);
    assert_eq!((fits.code, fits.err.lines().count()), (3, 1), "{fits:?}");
    let ran = lakebed(&["ingest", &place.job(SOURCE, "mapping: {rename: {idd: id}}\n")]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("a.csv: column \"idd\" is missing (did you mean \"id\"?)"), "{ran:?}");
}

#[test]
fn values_of_types_that_do_not_fit_are_named_with_both_types() {
    let place = with_a_row();
    let column = |values: [&'static str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let columns = [("id", column(["b", "c"])), ("p", column(["x", "x"])), ("ts", column(["1", "one"]))];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(place.path("in/b.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let with = |more: &str, text: &str| refused(&place, &place.job("{files: [IN/*]}", more), 6, text);
    with(
        "",
        "b.parquet record 0, column \"ts\", value \"1\": it is string and does not become bigint by itself; \
         see mapping.cast",
    );
    with(
        "mapping: {cast: {ts: {}}}\n",
        "b.parquet record 1, column \"ts\", value \"one\": it is string and cannot become bigint",
    );
}

fn gz(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

#[test]
fn inputs_that_are_broken_are_named() {
    let place = with_a_row();
    let rows = |n: usize| (0..n).fold("id,p,ts\n".to_owned(), |text, i| format!("{text}k{i},x,{i}\n"));
    let mut flipped = gz(&rows(1000));
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    let (whole, zst) = (gz(&rows(1000)), zstd::encode_all(rows(1000).as_bytes(), 1).unwrap());
    for (name, bytes, code, text) in [
        ("b.csv.gz", &whole[..whole.len() / 2], 1, "its gzip compression is broken or cut off"),
        ("b.csv.gz", &flipped, 1, "its gzip compression is broken or cut off"),
        ("b.csv.gz", &b"id,p,ts\n"[..], 2, "b.csv.gz: it should be compressed with gzip"),
        ("b.csv.zst", &zst[..zst.len() / 2], 1, "its zstd compression is broken or cut off"),
        ("b.csv.zst", &gz("id"), 2, "b.csv.zst: it should be compressed with zstd"),
        (
            "b.parquet",
            b"PAR1 and no footer at all",
            1,
            "b.parquet: it is no sound parquet file: it does not end in \"PAR1\"",
        ),
        ("b.avro", b"Obj\x01 and no header at all", 1, "b.avro: it is no sound avro file: "),
        ("b.arrow", b"ARROW1\0\0 and no message", 1, "b.arrow: it is no sound arrow file: "),
        ("b.csv", b"id,p,ts\nb,\"x,1\nc,x,1\n", 1, "b.csv:2: a quote opens in this record and is not closed"),
        ("b.jsonl", b"{\"id\": \"b\",\n", 6, "b.jsonl:1: the object does not end on its line"),
        ("b.csv", b"id,p,ts\n\xff\xfe,x,1\n", 6, "b.csv:2: it is not UTF-8"),
    ] {
        fs::write(place.path("in").join(name), bytes).unwrap();
        refused(&place, &place.job("{files: [IN/*]}", ""), code, text);
        fs::remove_file(place.path("in").join(name)).unwrap();
    }
}

#[test]
fn a_damaged_first_input_is_one_also_where_the_table_is_to_be_made_of_it() {
    let place = Place::new();
    let job = place.job("{files: [IN/*]}", "");
    let stated = format!(", schema: {}", place.path("t.avsc").display());
    fs::write(&job, fs::read_to_string(&job).unwrap().replace(&stated, "")).unwrap();
    for (name, bytes, text) in [
        ("a.csv", &b"id,p,ts\na,\"x,1\n"[..], "a.csv:2: a quote opens in this record"),
        ("a.csv.gz", &gz(FIRST)[..12], "a.csv.gz: its gzip compression is broken or cut off"),
    ] {
        fs::write(place.path("in").join(name), bytes).unwrap();
        lakebed(&["ingest", &job]).refused(1, text);
        assert!(!place.path("t").exists());
        fs::remove_file(place.path("in").join(name)).unwrap();
    }
    place.deliver("a.csv", FIRST);
    assert_eq!(lakebed(&["ingest", &job]).code, 0);
}

#[test]
fn files_that_are_gone_are_named() {
    let place = with_a_row();
    place.deliver("b.csv", "id,p,ts\nb,x,1\nc,x,1\n");
    let job = place.job(SOURCE, "commit: {rows: 1}\n");
    // A name that leads nowhere is there for who lists, and not for who opens.
    fs::create_dir(place.path("in/c.csv")).unwrap();
    std::os::unix::fs::symlink("/nowhere", place.path("in/d.csv")).unwrap();
    assert_eq!(lakebed(&["ingest", &job]).code, 0);
    assert_eq!(place.rows().len(), 3);
    place.deliver("a0.csv", FIRST);
    refused(&place, &job, 2, "a0.csv: it is new, and sorts before");
    fs::remove_file(place.path("in/a0.csv")).unwrap();
    refused(
        &place,
        &place.job("{files: [IN/z.csv]}", ""),
        2,
        "in/z.csv: there is no such file; see source.files",
    );
    let other = place.job("{stdin: true}", "format: {type: csv}\n");
    assert_eq!(lakebed(&["ingest", &other]).code, 2, "an empty stream has no header");
}

#[test]
fn a_stream_that_is_another_one_is_refused() {
    let place = Place::new();
    let job = place.job("{stdin: true}", "format: {type: csv}\n");
    let give = |text: &str| -> Ran {
        fs::write(place.path("stream"), text).unwrap();
        let stream = fs::File::open(place.path("stream")).unwrap();
        ran(command(&["ingest", &job]).stdin(stream).output().unwrap())
    };
    assert_eq!(give(FIRST).code, 0);
    let before = state(&place);
    let other = give("id,p,ts\nz,x,1\n");
    assert_eq!(other.code, 2, "{other:?}");
    assert!(
        other.err.contains("standard input does not begin with the 14 bytes that were read before"),
        "{other:?}"
    );
    assert!(other.err.contains("--reset-progress"), "{other:?}");
    let shorter = give("id,p,ts\n");
    let text = "it was cut or replaced; give it as it was, or run once with --reset-progress";
    assert!(shorter.code == 2 && shorter.err.contains(text), "{shorter:?}");
    assert_eq!(state(&place), before);
    assert_eq!(give(&format!("{FIRST}b,x,1\n")).code, 0);
    assert_eq!(place.rows(), ["a,x,1", "b,x,1"]);
}

#[test]
fn a_stream_of_another_format_is_refused() {
    let place = with_a_row();
    let give = |kind: &str, bytes: &[u8]| -> Ran {
        fs::write(place.path("stream"), bytes).unwrap();
        let stream = fs::File::open(place.path("stream")).unwrap();
        let job = place.job("{stdin: true}", &format!("pipeline: q\nformat: {{type: {kind}}}\n"));
        let text = fs::read_to_string(&job).unwrap().replacen("pipeline: p\n", "", 1);
        fs::write(&job, text).unwrap();
        ran(command(&["ingest", &job]).stdin(stream).output().unwrap())
    };
    let before = state(&place);
    for (kind, bytes, text) in [
        ("avro", &b"ARROW1\0\0"[..], "it is no avro: its first bytes are [41, 52, 52, 4f]; see format.type"),
        ("arrow", FIRST.as_bytes(), "it is no arrow: its first bytes are [69, 64, 2c, 70]; see format.type"),
        ("arrow", b"Obj\x01", "it is no arrow: its first bytes are [4f, 62, 6a, 01]; see format.type"),
        ("avro", b"", "it is no avro: it is empty"),
        ("arrow", b"", "it is no arrow: it is empty"),
        ("csv", b"", "it has no header: it is empty"),
    ] {
        give(kind, bytes).refused(2, &format!("standard input: {text}"));
    }
    assert_eq!(state(&place), before);
}

#[test]
fn tables_that_are_not_there_or_cannot_be_reached_are_named() {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    let run = |table: &str| {
        let text = format!(
            "pipeline: p\ntable: {{uri: {table}}}\nsource: {{files: [{}/*]}}\n",
            place.path("in").display()
        );
        fs::write(place.path("job.yaml"), text).unwrap();
        let mut command = command(&["ingest", &place.path("job.yaml").display().to_string()]);
        for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"] {
            command.env_remove(variable);
        }
        ran(command.env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1").output().unwrap())
    };
    run("/nowhere/at/all")
        .refused(2, "table.uri: file:/nowhere/at/all is no Hudi table: make it with `lakebed table create`");
    run("s3://no-such-bucket/t").refused(2, "s3://no-such-bucket/t: no credentials: set AWS_ACCESS_KEY_ID");
    run("ftp://x/t").refused(2, "table.uri: \"ftp://x/t\" is no table address");
    fs::write(place.path("file"), "").unwrap();
    run(&place.path("file/t").display().to_string()).refused(2, "file/t is no Hudi table");
}

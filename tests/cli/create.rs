//! `lakebed table create`: what it makes and what it refuses.

use std::fs;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use serde_json::json;

use super::{Place, Ran, files_below, lakebed};

/// Asserts that the arguments are refused with that code and text, and that nothing is written.
#[track_caller]
fn refused(arguments: &[&str], code: i32, text: &str) {
    let place = Place::new();
    place.create(arguments).refused(code, text);
    assert_eq!(files_below(&place.path("events")), Vec::<String>::new());
}

/// `table create` with the schema file `name`, and the files it left.
fn with_schema(name: &str, bytes: &[u8], arguments: &[&str]) -> (Ran, Vec<String>) {
    let place = Place::new();
    fs::write(place.path(name), bytes).unwrap();
    let (table, schema) = (place.table(), place.path(name).display().to_string());
    let fixed = ["--format", "json", "table", "create", table.as_str(), "--schema", schema.as_str()];
    (lakebed(&[&fixed, arguments].concat()), files_below(&place.path("events")))
}

#[test]
fn a_table_is_its_properties() {
    let place = Place::new();
    let created = place.create(&["--key", "id", "--partition", "day", "--ordering", "ts", "--buckets", "8"]);
    assert_eq!((created.code, created.err.as_str()), (0, ""));
    assert!(created.out.contains("buckets    8 in each partition"), "{created:?}");
    let files = [".hoodie/hoodie.properties", ".hoodie/timeline/.keep"];
    assert_eq!(files_below(&place.path("events")), files);
    let properties = fs::read_to_string(place.path("events/.hoodie/hoodie.properties")).unwrap();
    for line in [
        "hoodie.table.name=events",
        "hoodie.table.type=MERGE_ON_READ",
        "hoodie.table.version=9",
        "hoodie.table.recordkey.fields=id",
        "hoodie.table.partition.fields=day",
        "hoodie.table.ordering.fields=ts",
        "hoodie.record.merge.mode=EVENT_TIME_ORDERING",
        "hoodie.bucket.index.num.buckets=8",
        "hoodie.table.timeline.timezone=UTC",
        "lakebed.readers=spark",
    ] {
        assert!(properties.lines().any(|l| l == line), "{line} is not in {properties}");
    }
}

#[test]
fn the_answer_for_scripts_has_everything() {
    let place = Place::new();
    let arguments =
        ["--key", "id,day", "--type", "cow", "--name", "e2", "--hash-field", "id", "--format", "json"];
    let mut answer = place.create(&arguments).json();
    let mut take = |key: &str| answer.as_object_mut().unwrap().remove(key).unwrap();
    let (uri, columns) = (take("uri"), take("columns"));
    assert_eq!(columns[0], json!({ "name": "id", "data_type": "string", "nullable": false }));
    assert_eq!(columns.as_array().unwrap().len(), 8);
    assert!(uri.as_str().unwrap().ends_with("/events"), "{uri}");
    let expected = json!({
        "table": "e2", "existed": false, "table_type": "COPY_ON_WRITE", "record_key": ["id", "day"], "partition": [], "ordering": [], "buckets": 4,
        "readers": ["spark"], "notes": [],
    });
    assert_eq!(answer, expected);
}

#[test]
fn values_may_be_written_as_jobs_and_hudi_write_them() {
    let with = ["--key", "id", "--ordering", "ts", "--merge-mode"];
    for (table_type, more) in [
        ("copy_on_write", ["event_time", "--partial-update", "ignore_defaults"]),
        ("copy-on-write", ["event-time", "--partial-update", "ignore-defaults"]),
        ("COPY_ON_WRITE", ["EVENT_TIME_ORDERING", "--partial-update", "IGNORE_DEFAULTS"]),
        ("cow", ["event-time-ordering", "--buckets", "2"]),
    ] {
        let created = Place::new().create(&[&with[..], &more, &["--type", table_type]].concat());
        assert_eq!(created.code, 0, "{created:?}");
        assert!(created.out.contains("COPY_ON_WRITE"), "{created:?}");
    }
}

#[test]
fn a_table_that_is_there_stays() {
    let place = Place::new();
    let arguments = ["--key", "id", "--buckets", "2"];
    assert_eq!(place.create(&arguments).code, 0);
    let before = fs::read(place.path("events/.hoodie/hoodie.properties")).unwrap();
    place.create(&arguments).refused(4, "there is a table at");
    let again = place.create(&[&arguments[..], &["--if-not-exists"]].concat());
    assert!(again.code == 0 && again.out.contains("exists as asked for"), "{again:?}");
    let other = place.create(&["--key", "id", "--buckets", "3", "--if-not-exists"]);
    other.refused(
        4,
        "buckets (hoodie.bucket.index.num.buckets) is \"2\", asked for \"3\"; nothing was ever committed to it: delete \
         it to have it made anew, or ask for what it is",
    );
    assert_eq!(fs::read(place.path("events/.hoodie/hoodie.properties")).unwrap(), before);
}

#[test]
fn a_folder_in_use_is_not_made_a_table() {
    let place = Place::new();
    fs::create_dir_all(place.path("events/photos")).unwrap();
    place.create(&["--key", "id"]).refused(4, "is not empty: it has photos");
    fs::remove_dir(place.path("events/photos")).unwrap();
    // The properties of a table are being replaced, or were lost.
    fs::create_dir_all(place.path("events/.hoodie/timeline")).unwrap();
    let backup = place.path("events/.hoodie/hoodie.properties.backup");
    fs::write(&backup, "hoodie.table.name=events\n").unwrap();
    place.create(&["--key", "id"]).refused(4, "there is a table at");
    fs::remove_file(&backup).unwrap();
    let instant = place.path("events/.hoodie/timeline/20260101000000000.deltacommit.requested");
    fs::write(&instant, "").unwrap();
    place.create(&["--key", "id"]).refused(4, "20260101000000000.deltacommit.requested");
    fs::remove_file(&instant).unwrap();
    assert_eq!(place.create(&["--key", "id"]).code, 0, "folders that a crash left are no hindrance");
}

#[test]
fn a_table_is_not_made_inside_of_another() {
    let place = Place::new();
    assert_eq!(place.create(&["--key", "id", "--partition", "day"]).code, 0);
    let before = files_below(&place.path("events"));
    let schema = place.path("events.avsc").display().to_string();
    for inside in ["day=mon", ".hoodie", ".hoodie/timeline/x", "day=mon/deeper/still/"] {
        let table = format!("{}/{inside}", place.table());
        let refused = lakebed(&["table", "create", &table, "--schema", &schema]);
        refused.refused(4, &format!("is inside of the table file:{};", place.table()));
    }
    assert_eq!(files_below(&place.path("events")), before);
    // A table beside it is no hindrance, be it called much the same.
    let beside =
        lakebed(&["table", "create", &place.path("events2").display().to_string(), "--schema", &schema]);
    assert_eq!(beside.code, 0, "{beside:?}");
}

#[test]
fn columns_must_exist() {
    refused(&["--key", "idd"], 2, "key column \"idd\" is not in the schema; did you mean \"id\"?");
    refused(&["--partition", "month"], 2, "it has id, day, seq, ts, at, on, price, tags");
    refused(&["--key", "id", "--ordering", "tss"], 2, "ordering column \"tss\"");
    refused(&["--key", "id,id"], 2, "key column \"id\" is named twice");
    refused(
        &["--key", "id,day", "--hash-field", "seq"],
        2,
        "hash column \"seq\" is not one of the record key",
    );
}

#[test]
fn columns_must_be_fit_for_their_role() {
    refused(&["--key", "tags"], 4, "key column \"tags\" has type");
    refused(&["--key", "id", "--ordering", "tags"], 4, "it cannot order rows");
    refused(&["--partition", "at"], 4, "Spark reads a timestamp in a partition path as null");
    refused(&["--partition", "price"], 4, "partition by a whole number or text");
    refused(&["--partition", "tags"], 4, "it has no text");
}

#[test]
fn settings_must_go_together() {
    refused(&["--buckets", "4"], 2, "a bucket index needs a record key");
    refused(&["--ordering", "ts"], 2, "an ordering column needs a record key");
    refused(&["--partial-update", "ignore-defaults"], 2, "partial update needs a record key");
    refused(&["--key", "id", "--buckets", "0"], 2, "0 buckets are not possible");
    refused(&["--key", "id", "--buckets", "many"], 2, "expected a number or `none`");
    refused(&["--key", "id", "--buckets", "none", "--hash-field", "id"], 2, "--hash-field needs buckets");
    refused(&["--key", "id", "--merge-mode", "event-time"], 2, "needs an ordering column");
    refused(
        &["--key", "id", "--ordering", "ts", "--merge-mode", "commit-time"],
        2,
        "leave one of the two out",
    );
    refused(&["--key", "id", "--partial-update", "fill-unavailable"], 2, "fill-unavailable=TEXT");
    refused(&["--key", "id", "--name", "a/b"], 2, "table name \"a/b\" is not usable");
}

#[test]
fn readers_that_would_misread_are_refused() {
    refused(&["--key", "id", "--readers", "flnk"], 2, "did you mean \"flink\"?");
    let hudi_rs = |more: &[&str], text| {
        refused(&[&["--key", "id", "--readers", "spark,hudi-rs"], more].concat(), 4, text);
    };
    let two = ["--ordering", "seq,ts"];
    hudi_rs(&two, "it refuses tables with several ordering columns");
    hudi_rs(
        &[&two[..], &["--type", "copy-on-write"]].concat(),
        "several ordering columns; order by one column",
    );
    let marker = ["--ordering", "seq", "--partial-update", "fill-unavailable=-"];
    hudi_rs(&marker, "it takes the marker of fill_unavailable in log files for a value");

    for readable in [
        &["--readers", "spark,hudi-rs,trino"][..],
        &["--readers", "hudi-rs", "--ordering", "ts"],
        &["--readers", "hudi-rs", "--ordering", "seq", "--partial-update", "ignore-defaults"],
        &["--readers", "hudi-rs", "--type", "copy-on-write", "--partial-update", "fill-unavailable=-"],
    ] {
        let created = Place::new().create(&[&["--key", "id"], readable].concat());
        assert_eq!(created.code, 0, "{created:?}");
        assert!(created.out.contains("reader hudi-rs: tested with hudi-core"), "{created:?}");
        assert_eq!(created.out.contains("reader trino: not tested"), readable[1].contains("trino"));
    }
}

#[test]
fn hudi_rs_does_not_get_timestamps_inside_of_columns_of_avro_logs() {
    let time = r#"{"type":"long","logicalType":"timestamp-micros"}"#;
    let create = |order: &str, more: &[&str]| {
        let fields = format!(
            r#"{{"name":"id","type":"string"}},{{"name":"o","type":"{order}"}},
            {{"name":"at","type":{{"type":"map","values":{{"type":"array","items":{time}}}}}}}"#
        );
        let schema = format!(r#"{{"type":"record","name":"r","fields":[{fields}]}}"#);
        let arguments = [&["--key", "id", "--ordering", "o", "--readers", "hudi-rs"], more].concat();
        with_schema("s", schema.as_bytes(), &arguments).0
    };
    create("string", &[]).refused(4, "in Avro log blocks, which Lakebed writes where text orders rows");
    assert_eq!(create("string", &["--type", "copy-on-write"]).code, 0);
    let noted = create("long", &[]);
    assert!(noted.out.contains("in Avro log blocks, which Spark writes unless told otherwise"), "{noted:?}");
}

#[test]
fn what_the_owner_should_know_is_said() {
    let place = Place::new();
    let created = place.create(&["--key", "id", "--ordering", "on", "--buckets", "none"]);
    assert!(created.out.contains("Lakebed only adds rows"), "{created:?}");
    assert!(created.out.contains("ordering column \"on\" is a date"), "{created:?}");
}

#[test]
fn schemas_come_from_avro_parquet_and_arrow() {
    let fields = vec![
        Field::new("id", DataType::Utf8View, false),
        Field::new("n", DataType::Int16, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
    ];
    let schema = Arc::new(Schema::new(fields));
    let mut parquet = Vec::new();
    parquet::arrow::ArrowWriter::try_new(&mut parquet, schema.clone(), None).unwrap().close().unwrap();
    let mut file = Vec::new();
    arrow::ipc::writer::FileWriter::try_new(&mut file, &schema).unwrap().finish().unwrap();
    let mut stream = Vec::new();
    arrow::ipc::writer::StreamWriter::try_new(&mut stream, &schema).unwrap().finish().unwrap();
    // The first bytes tell what a file is, not its name.
    for (name, bytes) in [("a.parquet", parquet), ("b", file), ("c.avsc", stream)] {
        let (created, files) = with_schema(name, &bytes, &["--key", "id"]);
        assert_eq!(created.code, 0, "{name}: {created:?}");
        assert_eq!(created.json()["columns"].as_array().unwrap().len(), 3, "{name}");
        assert_eq!(files.len(), 2);
    }
}

#[test]
fn schemas_that_no_table_can_have_are_refused() {
    let refuse = |bytes: &[u8], text: &str| {
        let (refused, files) = with_schema("s", bytes, &[]);
        refused.refused(2, text);
        assert_eq!(files, Vec::<String>::new());
    };
    let one = |field: &str| format!(r#"{{"type":"record","name":"r","fields":[{field}]}}"#);
    refuse(b"id,ts\n1,2\n", "expected an Avro schema (JSON), a Parquet file or an Arrow file");
    refuse(b"\x00\xfe\xff", "expected an Avro schema");
    refuse(b"PAR1", "schema ");
    refuse(b"PAR1 and then nothing that a footer could be", "it is no sound parquet file");
    refuse(b"ARROW1", "schema ");
    refuse(br#"{"type":"string"}"#, "expected a record");
    refuse(one("").as_bytes(), "the schema has no columns");
    refuse(
        one(r#"{"name":"e","type":{"type":"record","name":"e","fields":[]}}"#).as_bytes(),
        "column \\\"e\\\" is an object without fields",
    );
    refuse(
        one(r#"{"name":"flight no","type":"string"}"#).as_bytes(),
        "column name \\\"flight no\\\" is not allowed",
    );
    let nested = r#"{"name":"s","type":{"type":"record","name":"s","fields":[{"name":"a-b","type":"int"}]}}"#;
    refuse(one(nested).as_bytes(), "column name \\\"a-b\\\" is not allowed");
    refuse(one(r#"{"name":"a","type":"int"},{"name":"A","type":"int"}"#).as_bytes(), "there twice");
    refuse(one(r#"{"name":"_hoodie_x","type":"int"}"#).as_bytes(), "a name that Hudi keeps for itself");
    refuse(
        one(r#"{"name":"t","type":{"type":"int","logicalType":"time-millis"}}"#).as_bytes(),
        "Spark cannot read",
    );
    let missing = lakebed(&["table", "create", "/tmp/never", "--schema", "/nowhere.avsc"]);
    missing.refused(2, "schema /nowhere.avsc: No such file");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let place = Place::new();
    fs::write(place.path("file"), "").unwrap();
    let (table, schema) = (place.path("file/events"), place.path("events.avsc"));
    let run = lakebed(&[
        "table",
        "create",
        &table.display().to_string(),
        "--schema",
        &schema.display().to_string(),
    ]);
    run.refused(1, "file/events");
}

/// `table create --like` of a file called `name`.
fn like(name: &str, bytes: &[u8], arguments: &[&str]) -> (Place, Ran) {
    let place = Place::new();
    fs::write(place.path(name), bytes).unwrap();
    let (table, sample) = (place.table(), place.path(name).display().to_string());
    let fixed = ["table", "create", table.as_str(), "--like", sample.as_str()];
    let ran = lakebed(&[&fixed, arguments].concat());
    (place, ran)
}

const CSV: &str = "id,n,x,ok,day,at,note\n1,2,0.5,true,2026-03-07,2026-03-07T16:25:57Z,a\n2,,1,false,,,\n";

#[test]
fn columns_are_told_from_a_sample_and_shown() {
    let (place, created) = like("a.csv", CSV.as_bytes(), &["--key", "id", "--partition", "day"]);
    assert_eq!(created.code, 0, "{created:?}");
    for line in [
        "  columns    7, told from 2 records",
        "id      bigint     required",
        "x       double",
        "ok      boolean",
        "day     date",
        "note    string",
    ] {
        assert!(created.out.lines().any(|l| l == line), "{line} is not in {}", created.out);
    }
    let shown = lakebed(&["table", "show", &place.table(), "--format", "json"]).json();
    let columns = &shown["content"]["columns"];
    assert_eq!(columns[0], json!({ "name": "id", "data_type": "bigint", "nullable": false }));
    assert_eq!(columns[5]["data_type"], "timestamp");
}

#[test]
fn samples_are_of_any_format_that_ingest_reads() {
    let jsonl = b"{\"id\": 1, \"tags\": [\"a\"], \"at\": {\"x\": 0.5}}\n{\"id\": 2}\n";
    let zst = zstd::encode_all(CSV.as_bytes(), 1).unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int32, true)]));
    let mut parquet = Vec::new();
    parquet::arrow::ArrowWriter::try_new(&mut parquet, schema.clone(), None).unwrap().close().unwrap();
    let mut arrow = Vec::new();
    arrow::ipc::writer::FileWriter::try_new(&mut arrow, &schema).unwrap().finish().unwrap();
    for (name, bytes, types) in [
        ("a.jsonl", &jsonl[..], vec!["bigint", "array<string>", "struct<x:double>"]),
        ("a.csv.zst", &zst, vec!["bigint", "bigint", "double", "boolean", "date", "timestamp", "string"]),
        ("a.parquet", &parquet, vec!["int"]),
        ("a.arrow", &arrow, vec!["int"]),
    ] {
        let (_, created) = like(name, bytes, &["--key", "id", "--format", "json"]);
        assert_eq!(created.code, 0, "{name}: {created:?}");
        let columns = created.json()["columns"].clone();
        let found: Vec<_> =
            columns.as_array().unwrap().iter().map(|c| c["data_type"].as_str().unwrap()).collect();
        assert_eq!((found, &columns[0]["nullable"]), (types, &json!(false)), "{name}");
    }
}

#[test]
fn samples_that_tell_no_columns_are_refused() {
    let refuse = |name: &str, bytes: &[u8], text: &str| {
        let (place, refused) = like(name, bytes, &["--key", "id"]);
        refused.refused(2, text);
        assert_eq!(files_below(&place.path("events")), Vec::<String>::new());
    };
    refuse("a.csv", b"id,n\n", "it has no records to tell a schema by");
    refuse("a.txt", b"id,n\n1,2\n", "its name does not tell the format");
    refuse(
        "a.csv",
        b"id,n\n1,\n",
        "column \"n\" has type void, which has no values to tell its type by: name the type; state it in a schema file",
    );
    for (bytes, name, advice) in [
        (&b"id,flight no\n1,2\n"[..], "flight no", "give it another name (mapping.rename)"),
        (b"id\ta\n1\t2\n", "id\\ta", "if that parts fields, set format.delimiter"),
        (b"id;a\n1;2\n", "id;a", "if that parts fields, set format.delimiter"),
    ] {
        let allowed = "Hudi needs letters, digits and '_', not starting with a digit";
        refuse("a.csv", bytes, &format!("column name \"{name}\" is not allowed: {allowed}; {advice}"));
    }
    let long = format!("id,{}\n1,2\n", "x y".repeat(50_000));
    let (_, refused) = like("a.csv", long.as_bytes(), &["--key", "id"]);
    assert!(refused.code == 2 && refused.err.len() < 1_000, "{} bytes", refused.err.len());
    refuse("a.jsonl", b"{\"id\": 1, \"s\": {\"x\": []}}\n", "column \"s.x\" has type void");
    refuse("a.jsonl", b"{\"id\": 1, \"e\": {}}\n", "a.jsonl: column \"e\" is an object without fields");
    refuse(
        "a.jsonl",
        b"{\"id\": 1, \"s\": {\"x\": [{}]}}\n",
        "column \"s.x\" is an object without fields, which Parquet cannot hold: state its fields in a schema file, \
         or leave it out there",
    );
    refuse(
        "a.jsonl",
        b"{\"id\":1,\"a\":1}\n{\"id\":2,\"a\":\"x\"}\n",
        "a.jsonl:1, column \"a\", value \"1\": it is no string, the type that the first records together tell",
    );
    refuse("a.parquet", b"PAR1PAR1", "it is no sound parquet file");
    refuse("a.csv.gz", b"id\n1\n", "it should be compressed with gz");
    let schema = Schema::new(vec![Field::new("id", DataType::Time64(TimeUnit::Microsecond), true)]);
    let mut parquet = Vec::new();
    parquet::arrow::ArrowWriter::try_new(&mut parquet, Arc::new(schema), None).unwrap().close().unwrap();
    refuse("a.parquet", &parquet, "which Spark cannot read: cast it to a string or number");
    let both = ["table", "create", "/nowhere", "--like", "a.csv", "--schema", "a.avsc"];
    lakebed(&both).refused(2, "cannot be used with");
    lakebed(&["table", "create", "/nowhere"]).refused(2, "add --schema FILE (an Avro schema");
    lakebed(&["table", "create", "/nowhere"]).refused(2, "or --like FILE (told from the records");
}

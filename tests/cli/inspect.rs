//! `lakebed table show`, `timeline` and `files` on tables that the sink has written.

use std::fs;

use serde_json::{Value, json};

use super::ingest::SOURCE;
use super::{Place, Ran, lakebed};

/// A table of two partitions and two commits: four rows, then one update and one delete.
async fn written(place: &Place) {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
    use lakebed::commit::{Outcome, PipelineProgress, SourceProgress};
    use lakebed::environment::Environment;
    use lakebed::sink::{Sink, SinkOptions};

    let created = place.create(&["--key", "id", "--partition", "day", "--ordering", "ts", "--buckets", "1"]);
    assert_eq!(created.code, 0, "{created:?}");
    let environment = Environment::real();
    let storage = lakebed::storage::open(&place.table().parse().unwrap(), &environment).await.unwrap();
    let mut sink =
        Sink::open(storage, &environment, "feed", Vec::new(), SinkOptions::default()).await.unwrap();
    let rows = |rows: &[(&str, &str, i64)]| {
        let id: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.0)).collect::<StringArray>());
        let day: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.1)).collect::<StringArray>());
        let ts: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Int64Array>());
        RecordBatch::try_from_iter_with_nullable([("id", id, false), ("day", day, true), ("ts", ts, true)])
            .unwrap()
    };
    let first = rows(&[("a", "mon", 1), ("b", "mon", 1), ("c", "tue", 1), ("d", "tue", 1)]);
    let second = rows(&[("a", "mon", 2), ("b", "mon", 2)]);
    let deletes = BooleanArray::from(vec![false, true]);
    for (checkpoint, batch, deletes) in [(1, first, None), (2, second, Some(&deletes))] {
        assert!(sink.write(&batch, deletes).await.unwrap().is_empty());
        let stands = SourceProgress { watermark: Some(1_356_998_400_000), ..SourceProgress::default() };
        let sources = [("files".to_owned(), stands)].into();
        let progress = PipelineProgress { checkpoint, sources, ..PipelineProgress::default() };
        let prepared = sink.prepare(progress).await.unwrap().unwrap();
        assert!(matches!(sink.committer().commit(&prepared).await.unwrap(), Outcome::Committed { .. }));
    }
}

fn json(arguments: &[&str]) -> Value {
    let ran: Ran = lakebed(&[&["--format", "json"], arguments].concat());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    ran.json()
}

#[tokio::test]
async fn the_timeline_tells_what_was_done() {
    let place = Place::new();
    written(&place).await;
    let told = json(&["timeline", &place.table()]);
    let instants = told["instants"].as_array().unwrap();
    assert_eq!((instants.len(), &told["more"]), (2, &json!(0)));
    let newest = &instants[0];
    assert_eq!(
        [&newest["action"], &newest["state"], &newest["operation"], &newest["archived"]],
        [&json!("deltacommit"), &json!("completed"), &json!("UPSERT"), &json!(false)]
    );
    assert_eq!(newest["progress"]["feed"]["checkpoint"], 2);
    let counts = |of: &Value| ["files", "rows", "deletes", "rows_in_files"].map(|name| of[name].clone());
    assert_eq!(counts(newest), [1, 2, 1, 1].map(|n| json!(n)), "an update and a delete in one log file");
    assert_eq!(counts(&instants[1]), [2, 4, 0, 4].map(|n| json!(n)));
    assert!(newest["instant"].as_str() > instants[1]["instant"].as_str());
    assert!(newest["completed"].as_str() > newest["instant"].as_str());

    let page = lakebed(&["timeline", &place.table(), "--limit", "1"]).out;
    let lines: Vec<&str> = page.lines().collect();
    assert_eq!((lines.len(), lines[2]), (3, "… 1 older: --limit N or --all"), "{page}");
    let completed = newest["completed"].as_str().unwrap();
    let seconds = format!(":{}.{} ", &completed[12..14], &completed[14..]);
    assert!(lines[1].contains(&seconds), "{completed}: {page}");
    assert!(lines[1].contains("upsert") && lines[1].ends_with("feed #2 to 2013-01-01 00:00:00"), "{page}");
}

#[test]
fn rows_are_counted_alike_by_ingest_and_the_timeline() {
    let place = super::ingest::Place::new();
    place.deliver("a.csv", "id,p,ts\na,x,1\na,x,2\nb,x,1\n");
    place.deliver("b.csv", "id,p,ts\nb,x,2\nc,x,1\n");
    let job = place.job(SOURCE, "commit: {rows: 3}\n");
    let summary = lakebed(&["--format", "json", "ingest", &job, "--once"]).json();
    let of = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!([of("records"), of("rows"), of("deletes"), of("commits")], [5, 4, 0, 2], "{summary}");
    let told = json(&["timeline", &place.path("t").display().to_string()]);
    let instants = told["instants"].as_array().unwrap();
    for name in ["rows", "deletes", "files", "bytes"] {
        assert_eq!(instants.iter().map(|i| i[name].as_u64().unwrap()).sum::<u64>(), of(name), "{name}");
    }
}

/// What Spark + Hudi wrote, see the catalogue beside it.
fn golden(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("formats/hudi/golden/timeline").join(name)
}

#[test]
fn instants_without_rows_say_what_they_did() {
    let place = Place::new();
    assert_eq!(place.create(&["--key", "id"]).code, 0);
    let files = [
        ("merge_on_read/rollback", "20260101000000003_20260101000000004.rollback"),
        ("merge_on_read/savepoint", "20260101000000001_20260101000000005.savepoint"),
        ("copy_on_write/by_commits.clean", "20260101000000006_20260101000000007.clean"),
    ];
    for (from, to) in files {
        fs::copy(golden(from), place.path("events/.hoodie/timeline").join(to)).unwrap();
    }
    let told = json(&["timeline", &place.table()]);
    let notes: Vec<_> =
        told["instants"].as_array().unwrap().iter().map(|i| i["note"].as_str().unwrap()).collect();
    assert!(notes[0].ends_with("removed"), "{notes:?}");
    assert!(notes[1].starts_with("undid 2026") && notes[1].ends_with("removed"), "{notes:?}");
    assert!(!notes[2].is_empty(), "{notes:?}");
}

#[test]
fn archived_instants_are_shown_when_asked_for() {
    let place = Place::new();
    assert_eq!(place.create(&["--key", "id"]).code, 0);
    let history = place.path("events/.hoodie/timeline/history");
    fs::create_dir(&history).unwrap();
    for file in fs::read_dir(golden("history")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), history.join(file.file_name())).unwrap();
    }
    assert_eq!(json(&["timeline", &place.table()])["instants"], json!([]));
    let told = json(&["timeline", &place.table(), "--all"]);
    let instants = told["instants"].as_array().unwrap();
    let times: Vec<&str> = instants.iter().map(|i| i["instant"].as_str().unwrap()).collect();
    assert_eq!((times.first(), times.last()), (Some(&"20261123194357621"), Some(&"20261123194347750")));
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    assert!(instants.iter().all(|i| i["archived"] == true && i["duration_ms"].is_u64()), "{told}");
    assert!(instants.iter().any(|i| i["rows_in_files"].as_u64() > Some(0)), "{told}");
}

#[tokio::test]
async fn files_tell_of_planned_compactions() {
    use lakebed_hudi::timeline_metadata::{CompactionOperation, CompactionPlan};

    let place = Place::new();
    written(&place).await;
    let slice = json(&["files", &place.table()])["slices"][0].clone();
    let operation = CompactionOperation {
        base_instant_time: slice["base_instant"].as_str().unwrap().parse().unwrap(),
        delta_file_paths: Vec::new(),
        data_file_path: None,
        file_id: slice["file_id"].as_str().unwrap().parse().unwrap(),
        partition_path: "day=mon".into(),
        metrics: [].into(),
        bootstrap_file_path: None,
    };
    let plan = CompactionPlan { operations: vec![operation], version: 2, ..CompactionPlan::default() };
    let file = "events/.hoodie/timeline/29990101000000000.compaction.requested";
    fs::write(place.path(file), plan.to_avro().unwrap()).unwrap();
    let told = json(&["files", &place.table()]);
    assert_eq!(told["slices"][0]["pending_compaction"], "29990101000000000");
    assert_eq!(
        [&told["slices"][1]["pending_compaction"], &told["summary"]["pending_compactions"]],
        [&Value::Null, &json!(1)]
    );
    fs::write(place.path(file), "").unwrap();
    let told = json(&["files", &place.table()]);
    assert_eq!(told["slices"][0]["pending_compaction"], Value::Null, "a plan that was not written yet");
}

#[tokio::test]
async fn files_show_slices_and_what_reading_them_costs() {
    let place = Place::new();
    written(&place).await;
    let told = json(&["files", &place.table()]);
    let slices = told["slices"].as_array().unwrap();
    let names: Vec<_> = slices
        .iter()
        .map(|s| (s["partition"].as_str().unwrap(), s["log_files"].as_array().unwrap().len()))
        .collect();
    assert_eq!(names, [("day=mon", 1), ("day=tue", 0)]);
    let size = |slice: &Value| {
        let names = slice["log_files"].as_array().unwrap().iter().chain([&slice["base_file"]]);
        let folder = place.path("events").join(slice["partition"].as_str().unwrap());
        names.map(|n| fs::metadata(folder.join(n.as_str().unwrap())).unwrap().len()).sum::<u64>()
    };
    for slice in slices {
        assert_eq!(slice["base_bytes"].as_u64().unwrap() + slice["log_bytes"].as_u64().unwrap(), size(slice));
    }
    assert!(slices[0]["read_amplification"].as_f64() > Some(1.0), "{told}");
    assert_eq!(slices[1]["read_amplification"], 1.0);
    let summary = &told["summary"];
    assert_eq!(
        [&summary["partitions"], &summary["file_groups"], &summary["log_files"]],
        [2, 2, 1].map(|n| json!(n)).each_ref()
    );

    let one = json(&["files", &place.table(), "--partition", "day=tue"]);
    assert_eq!(one["summary"]["file_groups"], 1);
    let page = lakebed(&["files", &place.table()]).out;
    assert!(page.contains("2 partitions · 2 file groups · 2 base files"), "{page}");
    let wrong = lakebed(&["files", &place.table(), "--partition", "day=mno"]);
    wrong.refused(2, "the table has no partition \"day=mno\"; did you mean \"day=mon\"?");
}

#[tokio::test]
async fn show_sums_a_table_up() {
    let place = Place::new();
    written(&place).await;
    let told = json(&["table", "show", &place.table()]);
    let content = &told["content"];
    assert_eq!(content["timeline"]["completed"], json!({ "deltacommit": 2 }));
    assert_eq!(content["timeline"]["pending"], json!([]));
    assert_eq!([&content["files"]["file_groups"], &content["files"]["log_files"]], [&json!(2), &json!(1)]);
    assert_eq!(content["columns"][4], json!({ "name": "at", "data_type": "timestamp", "nullable": true }));
    assert_eq!([&told["write_refusal"], &told["read_refusal"]], [&Value::Null, &Value::Null]);
    let option = |key: &str| {
        let options = told["spark_options"].as_array().unwrap();
        options.iter().find(|option| option["key"] == key).map(|option| option["value"].clone())
    };
    assert_eq!(option("hoodie.bucket.index.num.buckets"), Some(json!("1")));
    assert_eq!(option("hoodie.clean.failed.writes.policy"), Some(json!("LAZY")));
    let lock = "org.apache.hudi.client.transaction.lock.FileSystemBasedLockProvider";
    assert_eq!(option("hoodie.write.lock.provider"), Some(json!(lock)));

    let none = lakebed(&["timeline", &place.table(), "--limit", "0"]).out;
    assert!(none.contains("2 older: --limit N or --all"), "{none}");

    let pending = place.path("events/.hoodie/timeline/20200101000000000.compaction.requested");
    fs::write(pending, "").unwrap();
    let page = lakebed(&["table", "show", &place.table()]).out;
    assert!(page.contains("compaction 20200101000000000 for "), "{page}");
}

#[test]
fn an_empty_table_can_be_looked_at() {
    let place = Place::new();
    assert_eq!(place.create(&["--key", "id"]).code, 0);
    let table = place.table();
    assert_eq!(lakebed(&["timeline", &table]).out, "events: nothing has been written yet\n");
    assert_eq!(lakebed(&["timeline", &table, "--limit", "0"]).out, "events: nothing has been written yet\n");
    assert_eq!(lakebed(&["files", &table]).out, "events: no files yet\n");
    assert!(lakebed(&["table", "show", &table]).out.contains("timeline    empty"));
}

#[test]
fn other_writers_are_told_what_fits_the_table() {
    let shown = |arguments: &[&str]| {
        let place = Place::new();
        assert_eq!(place.create(arguments).code, 0);
        (json(&["table", "show", &place.table()]), lakebed(&["table", "show", &place.table()]).out)
    };
    let (told, page) = shown(&[]);
    assert!(page.contains("  hoodie.datasource.write.operation=insert\n"), "{page}");
    assert!(page.contains("  write.operation=insert\n") && page.contains("rows can only be added"), "{page}");
    assert_eq!(told["sharing_notes"].as_array().unwrap().len(), 1);
    let (_, page) = shown(&["--key", "id", "--buckets", "none"]);
    assert!(
        page.contains("note: the table's properties declare no index: each writer must be told"),
        "{page}"
    );
    assert!(!page.contains("operation=insert"), "{page}");
    let (told, page) = shown(&["--key", "id"]);
    assert_eq!(told["sharing_notes"], json!([]));
    assert!(page.contains("jobs then say table.shared: true"), "{page}");
}

#[test]
fn other_writers_are_told_that_dates_are_folders_of_folders() {
    let folder = crate::fixtures::unpack("partition_slash_dates");
    let page = lakebed(&["table", "show", &folder.path().display().to_string()]).out;
    let told = "  hoodie.datasource.write.slash.separated.date.partitioning=true\n";
    assert!(page.contains(told), "{page}");
}

#[test]
fn an_index_that_spark_left_undeclared_shows() {
    let shown = |name: &str| {
        let folder = crate::fixtures::unpack(name);
        json(&["table", "show", &folder.path().display().to_string()])
    };
    let told = shown("bucket_consistent");
    assert!(told["write_refusal"].as_str().unwrap().contains("consistent hashing"), "{told}");
    assert_eq!([&told["spark_options"], &told["sharing_notes"]], [&json!([]), &json!([])]);
    assert!(told["content"]["files"]["file_groups"].as_u64() > Some(1), "{told}");
    let told = shown("bucket_mor");
    assert_eq!(told["write_refusal"], Value::Null);
    assert!(told["write_conditions"][0].as_str().unwrap().starts_with("the index that its other writers"));
    assert!(told["sharing_notes"][0].as_str().unwrap().contains("declare no index"), "{told}");
}

#[test]
fn show_names_what_lakebed_does_not_support() {
    let place = Place::new();
    assert_eq!(place.create(&["--key", "id"]).code, 0);
    let path = place.path("events/.hoodie/hoodie.properties");
    let properties = fs::read_to_string(&path).unwrap();
    let with = |line: &str| {
        fs::write(&path, format!("{properties}{line}\n")).unwrap();
        (json(&["table", "show", &place.table()]), lakebed(&["timeline", &place.table()]))
    };
    let (told, timeline) = with("hoodie.table.base.file.format=ORC");
    assert!(told["read_refusal"].as_str().unwrap().contains("base files of format ORC"), "{told}");
    assert_eq!(told["content"], Value::Null);
    timeline.refused(4, "base files of format ORC");
    let page = lakebed(&["table", "show", &place.table()]).out;
    assert!(page.contains("  writable   no, as it is not read\n"), "{page}");
    let (told, _) = with("hoodie.table.cdc.enabled=true");
    assert!(told["write_refusal"].as_str().unwrap().contains("hoodie.table.cdc.enabled=true"), "{told}");
    assert_eq!([&told["spark_options"], &told["sharing_notes"]], [&json!([]), &json!([])]);
    with("hoodie.index.bucket.engine=CONSISTENT_HASHING");
    let page = lakebed(&["table", "show", &place.table()]).out;
    assert!(page.contains("index       CONSISTENT_HASHING by id\n"), "{page}");
    assert!(page.contains("writable    no: ") && !page.contains("with Spark as well"), "{page}");
    let (told, _) = with("hoodie.table.metadata.partitions=files");
    assert_eq!(told["metadata_table"], json!(["files"]));
    assert!(told["write_conditions"][0].as_str().unwrap().contains("metadata table is dropped"), "{told}");
    let (_, timeline) = with("hoodie.table.version=9");
    assert_eq!(timeline.code, 0);
    fs::write(&path, properties.replace("hoodie.table.version=9", "hoodie.table.version=10")).unwrap();
    lakebed(&["table", "show", &place.table()]).refused(4, "table version 10 is not supported");
}

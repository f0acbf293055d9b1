//! What would be written.

use std::fs;

use serde_json::{Value, json};

use super::{FIRST, Place, SOURCE};
use crate::cli::{files_below, lakebed};

#[test]
fn a_dry_run_says_what_would_be_written_and_writes_nothing() {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    let job = place.job(SOURCE, "commit: {rows: 2}\n");
    let dry = lakebed(&["ingest", &job, "--dry-run", "--format", "json"]);
    assert_eq!((dry.code, dry.err.as_str()), (0, ""), "{dry:?}");
    let told = dry.json();
    assert_eq!([&told["creates_table"], &told["stopped_by"]], [&json!(true), &Value::Null]);
    assert_eq!(
        [&told["records"], &told["good_records"], &told["commits"]],
        [3, 3, 2].map(|n| json!(n)).each_ref()
    );
    assert!(!place.path("t").exists());

    assert_eq!(lakebed(&["ingest", &job]).code, 0);
    let written = files_below(&place.path("t"));
    let of_first: Vec<&str> = written.iter().filter(|f| f.ends_with(".parquet")).map(|f| &f[..12]).collect();
    let told: Vec<String> = told["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| format!("{}/{:08}", b["partition"].as_str().unwrap(), b["bucket"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, of_first, "the files went where the dry run said");

    place.deliver("b.csv", "id,p,ts,op\na,x,2,D\nd,z,2,I\n,x,2,I\n");
    let job = place
        .job(SOURCE, "mapping: {operation: {column: op}}\nbad_records: {policy: dead_letter, path: DEAD}\n");
    let dry = lakebed(&["ingest", &job, "--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    for line in [
        "3 records read from 1 input (23 B); 2 records would be written in 1 commit, more if time runs out before",
        "those of one key in a commit become one row",
        "1 record of these only deleted their key",
        "1 bad record could not be taken",
        &format!("  {}:4, column \"id\": it is null, and the table requires a value", place.text("in/b.csv")),
    ] {
        assert!(dry.out.lines().any(|l| l == line), "{line} is not in {}", dry.out);
    }
    let row = |partition: &str| {
        let line = dry.out.lines().find(|l| l.starts_with(partition)).unwrap();
        line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ")
    };
    assert_eq!([row("p=x"), row("p=z")], ["1 1", "1 0 new"]);
    assert_eq!(files_below(&place.path("t")), written);
    assert!(!place.path("dead").exists());
    // Nothing that would have been read counts as read.
    assert_eq!(lakebed(&["ingest", &job]).code, 0);
    assert_eq!(place.rows(), ["b,x,1", "c,y,1", "d,z,2"]);
    assert_eq!(lakebed(&["ingest", &job, "--dry-run"]).code, 3);
}

#[test]
fn a_dry_run_ends_as_the_run_would() {
    let place = Place::new();
    place.deliver("a.csv", "id,p,ts\na,x,one\nb,x,\nc,y,1\n");
    let dry = lakebed(&["ingest", &place.job(SOURCE, ""), "--dry-run"]);
    assert_eq!(dry.code, 6, "{dry:?}");
    assert!(dry.out.contains("1 record would be written") && dry.out.contains("2 bad records"), "{dry:?}");
    assert!(dry.err.contains("a.csv:2, column \"ts\", value \"one\": it is no bigint"), "{dry:?}");
    let limit = "bad_records: {policy: dead_letter, path: DEAD, limit: 1}\n";
    let dry = lakebed(&["ingest", &place.job(SOURCE, limit), "--dry-run"]);
    assert_eq!(dry.code, 6, "{dry:?}");
    assert!(dry.err.contains("2 bad records, more than bad_records.limit allows (1)"), "{dry:?}");
    place.deliver("a.csv", "id,p,ts\na,x,one\nb,x,\n");
    let dry = lakebed(&["ingest", &place.job(SOURCE, limit), "--dry-run"]);
    assert_eq!(dry.code, 6, "{dry:?}");
    let told = "2 records read from 1 input (13 B); all of them are bad, and no row would be written\n";
    let (_, listed) = dry.out.split_once(told).unwrap();
    assert_eq!(listed.lines().count(), 2, "{dry:?}");
    assert!(listed.contains("a.csv:2, column") && listed.contains("a.csv:3, column"), "{dry:?}");
    let table = fs::create_dir(place.path("t"));
    table.and_then(|()| fs::write(place.path("t/photo"), "")).unwrap();
    lakebed(&["ingest", &place.job(SOURCE, ""), "--dry-run"]).refused(4, "is not empty: it has photo");
}

#[test]
fn a_dry_run_tells_of_a_reset_and_counts_its_commit() {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    let job = place.job(SOURCE, "");
    assert_eq!(lakebed(&["ingest", &job]).code, 0);
    let reset = ["ingest", job.as_str(), "--reset-progress"];
    let dry = lakebed(&[&reset[..], &["--dry-run"]].concat());
    assert!(dry.out.contains("the progress would be reset: everything is read again\n"), "{dry:?}");
    let dry = lakebed(&[&reset[..], &["--dry-run", "--format", "json"]].concat()).json();
    let ran = lakebed(&[&reset[..], &["--format", "json"]].concat());
    assert_eq!([&dry["resets_progress"], &dry["commits"]], [&json!(true), &ran.json()["commits"]]);
    assert!(ran.err.contains("{\"event\":\"reset\"}\n"), "{ran:?}");
}

#[test]
fn a_file_or_a_link_to_nothing_where_the_table_is_to_be_is_noticed_by_both() {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    fs::write(place.path("t"), "").unwrap();
    let job = place.job(SOURCE, "");
    let below = place.text("below.yaml");
    let text = fs::read_to_string(&job).unwrap();
    fs::write(&below, text.replace(&place.text("t,"), &place.text("t/a/b,"))).unwrap();
    let told = format!("cannot be made: {} is no folder", place.text("t"));
    let refused = || {
        for job in [&job, &below] {
            lakebed(&["ingest", job, "--dry-run"]).refused(2, &told);
            lakebed(&["ingest", job]).refused(2, &told);
        }
    };
    refused();
    fs::remove_file(place.path("t")).unwrap();
    std::os::unix::fs::symlink(place.path("nothing"), place.path("t")).unwrap();
    refused();
}

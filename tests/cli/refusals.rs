//! Tables that are refused: by name, with exit code 4, and without a change to any of their files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{files_below, lakebed};
use crate::fixtures;

/// A fixture, the properties that are changed in it, and the text by which it is refused.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);

/// Refused for reading, and so for writing.
const UNREADABLE: [Case; 6] = [
    (
        "custom_merge",
        &[],
        "merging by org.apache.hudi.common.model.ReverseOrderHoodieRecordPayload is not supported",
    ),
    (
        "schema_on_read",
        &[],
        "written with hoodie.schema.on.read.enable, is not supported; read it with Spark",
    ),
    ("no_meta_fields", &[], "hoodie.populate.meta.fields=false is not supported"),
    ("no_partition_columns", &[], "hoodie.datasource.write.drop.partition.columns=true is not supported"),
    ("v9_mor", &[("hoodie.table.version", "10")], "table version 10 is not supported"),
    (
        "v9_mor",
        &[("hoodie.table.base.file.format", "HFILE")],
        "base files of format HFILE is not supported; read it with Spark or Flink",
    ),
];

/// Refused for writing only.
const UNWRITABLE: [Case; 16] = [
    ("v6_mor", &[], "writing to table version 6 is not supported; upgrade the table"),
    ("cdc_mor", &[], "hoodie.table.cdc.enabled=true is not supported; write it with Spark or Flink"),
    (
        "v9_mor",
        &[("hoodie.index.bucket.engine", "CONSISTENT_HASHING")],
        "hoodie.index.bucket.engine=CONSISTENT_HASHING is not supported",
    ),
    (
        "bucket_consistent",
        &[],
        "writing to a bucket index of consistent hashing (.hoodie/.bucket_index/consistent_hashing_metadata)",
    ),
    (
        "v9_mor",
        &[("hoodie.bucket.index.partition.expressions", "p=a.*,4;p=b.*,8")],
        "hoodie.bucket.index.partition.expressions=p=a.*,4;p=b.*,8 is not supported",
    ),
    (
        "v8_mor",
        &[("hoodie.table.keygenerator.type", "COMPLEX")],
        "a COMPLEX key generator with one column before table version 9 is not supported",
    ),
    ("local_time", &[], "state the zone of the JVMs that write to it (timeline_timezone in a job)"),
    (
        "metadata_table",
        &[],
        "writing to a table with a metadata table (column_stats, files, partition_stats) is not supported; \
         have it dropped (metadata_table: drop)",
    ),
    (
        "v9_mor",
        &[("hoodie.index.type", "BUCKET")],
        "a bucket index of which only the kind is declared (hoodie.bucket.index.num.buckets is not) is not \
         supported; state the index that its writers use (table.index in a job)",
    ),
    (
        "v9_mor",
        &[("hoodie.index.type", "BUCKET"), ("hoodie.bucket.index.num.buckets", "3")],
        "which is none of the table's 3 buckets: a writer without its index has written it",
    ),
    ("bucket_mor", &[], "state the index that its writers use (table.index in a job)"),
    (
        "key_custom",
        &[],
        "table key_custom cannot be written: partition column \"at\" is a time and hoodie.properties has no \
         hoodie.keygen.timebased.timestamp.type and output.dateformat",
    ),
    (
        "v9_mor",
        &[("hoodie.table.recordkey.fields", "gone")],
        "cannot be written: column \"gone\" is not in the rows; they have id, ts, v, p; correct its \
         hoodie.properties, or write it with the engine that made it",
    ),
    (
        "v9_mor",
        &[("hoodie.table.partition.fields", "gone")],
        "cannot be written: column \"gone\" is not in the rows; they have id, ts, v, p; correct its",
    ),
    (
        "nested_mor",
        &[("hoodie.table.recordkey.fields", "m")],
        "column \"m\" of type map<string,int> cannot be part of a record key or partition path; correct its hoodie.properties",
    ),
    (
        "v9_cow",
        &[
            ("hoodie.index.type", "BUCKET"),
            ("hoodie.bucket.index.num.buckets", "3"),
            ("hoodie.table.recordkey.fields", ""),
        ],
        "a bucket index without a record key (hoodie.table.recordkey.fields is not set) is not supported",
    ),
];

/// A copy of the fixture with those properties.
fn table(fixture: &str, changed: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = fixtures::unpack(fixture);
    let path = folder.path().join(".hoodie/hoodie.properties");
    let text = fs::read_to_string(&path).unwrap();
    let is_kept = |line: &&str| changed.iter().all(|(key, _)| !line.starts_with(&format!("{key}=")));
    let kept = text.lines().filter(is_kept).map(str::to_owned);
    let lines: Vec<String> =
        kept.chain(changed.iter().map(|(key, value)| format!("{key}={value}"))).collect();
    fs::write(path, lines.join("\n") + "\n").unwrap();
    folder
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| {
        let bytes = fs::read(folder.join(&name)).unwrap();
        (name, bytes)
    };
    files_below(folder).into_iter().map(read).collect()
}

/// Asserts that the arguments, with the table or a job for it after them, end with code 4 and that text.
#[track_caller]
fn refused(commands: &[&[&str]], (fixture, changed, text): &Case) {
    let table = table(fixture, changed);
    let beside = tempfile::tempdir().unwrap();
    let (input, job) = (beside.path().join("rows.csv"), beside.path().join("job.yaml"));
    fs::write(&input, "id,ts,v,p\nk0,99,new,a\n").unwrap();
    let uri = table.path().display().to_string();
    let of_job = format!(
        "pipeline: p\noperation: insert\ntable: {{uri: {uri}}}\nsource: {{files: [{}]}}\n",
        input.display()
    );
    fs::write(&job, of_job).unwrap();
    let job = job.display().to_string();
    let before = contents(table.path());
    for command in commands {
        let last = if command[0] == "ingest" { &job } else { &uri };
        let ran = lakebed(&[command, &[last.as_str()][..]].concat());
        assert_eq!((ran.code, ran.out.as_str()), (4, ""), "{fixture} {changed:?}, {command:?}: {ran:?}");
        assert!(ran.err.contains(text), "{fixture} {changed:?}, {command:?}: expected {text:?}: {ran:?}");
        assert!(contents(table.path()) == before, "{fixture} {changed:?}: {command:?} changed the table");
    }
}

/// Reading it fails as well, but is not refused by its properties.
#[test]
fn a_table_ordered_by_a_column_that_it_lacks_is_refused_for_writing() {
    let case: Case = (
        "v9_cow",
        &[("hoodie.table.ordering.fields", "gone")],
        "cannot be written: column \"gone\" is missing from the table schema: it is needed to merge rows",
    );
    refused(&[&["ingest"], &["ingest", "--dry-run"]], &case);
}

/// The program ends with the code of a conflict, which may pass by itself.
#[test]
fn a_lock_that_somebody_else_holds_is_a_conflict_and_the_table_stays() {
    let table = fixtures::unpack("v9_mor");
    let beside = tempfile::tempdir().unwrap();
    let (input, job) = (beside.path().join("rows.csv"), beside.path().join("job.yaml"));
    fs::write(&input, "id,ts,v,p\nk0,99,new,a\n").unwrap();
    fs::write(table.path().join(".hoodie/lock"), "").unwrap();
    let (uri, input) = (table.path().display(), input.display());
    let of_job = format!(
        "pipeline: p\noperation: insert\ntable: {{uri: {uri}, shared: true, lock: {{wait: 10ms}}}}\n\
         source: {{files: [{input}]}}\n"
    );
    fs::write(&job, of_job).unwrap();
    let before = contents(table.path());
    let ran = lakebed(&["ingest", &job.display().to_string()]);
    ran.refused(5, "for the table lock");
    assert!(contents(table.path()) == before, "the table was changed");
}

#[test]
fn tables_that_cannot_be_read_are_refused_by_name_and_stay() {
    for case in &UNREADABLE {
        refused(&[&["read"], &["ingest"], &["ingest", "--dry-run"]], case);
    }
}

#[test]
fn tables_that_cannot_be_written_are_refused_by_name_and_stay_readable() {
    for case in &UNWRITABLE {
        refused(&[&["ingest"], &["ingest", "--dry-run"]], case);
        let table = table(case.0, case.1);
        let read = lakebed(&["read", &table.path().display().to_string()]);
        assert_eq!(read.code, 0, "{case:?}: {read:?}");
    }
}

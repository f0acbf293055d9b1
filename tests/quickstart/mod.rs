//! The README's first steps, with what the table must hold computed from the source alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use arrow::array::{Array as _, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The columns whose texts make up a row's checksum, as `expected.py` has them.
const TEXT_COLUMNS: [&str; 12] = [
    "date",
    "carrier",
    "flight",
    "origin",
    "dest",
    "tailnum",
    "dep_time",
    "dep_delay",
    "arr_time",
    "arr_delay",
    "air_time",
    "distance",
];

/// The README's query: flights from JFK that arrived more than ten hours late, taken from the source.
const VERY_LATE: [&str; 18] = [
    "2013-01-01,MQ,3944,851",
    "2013-01-09,HA,51,1272",
    "2013-01-13,DL,269,612",
    "2013-02-16,9E,3798,744",
    "2013-03-18,DL,2363,784",
    "2013-04-10,DL,2391,931",
    "2013-04-19,AA,1901,783",
    "2013-04-19,AA,257,783",
    "2013-05-19,AA,257,852",
    "2013-06-15,MQ,3535,1127",
    "2013-06-27,DL,2007,850",
    "2013-06-27,DL,503,769",
    "2013-07-07,VX,23,676",
    "2013-07-22,MQ,3075,989",
    "2013-09-20,AA,177,1007",
    "2013-11-24,AA,1697,614",
    "2013-12-01,DL,1091,681",
    "2013-12-14,DL,2391,856",
];

/// Runs the program, which must end with that code; what it says on standard output.
fn lakebed(args: &[&str], code: i32) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_lakebed")).args(args).output().unwrap();
    assert_eq!(done.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// The rows of the README's query, with `more` arguments.
fn very_late(table: &str, more: &[&str]) -> Vec<String> {
    let query = ["read", table, "--columns", "date,carrier,flight,arr_delay", "--filter", "origin = JFK"];
    let rest = ["--filter", "arr_delay > 600", "--format", "csv"];
    let read = lakebed(&[&query[..], &rest, more].concat(), 0);
    let mut rows: Vec<String> = read.lines().skip(1).map(str::to_owned).collect();
    rows.sort();
    rows
}

/// Per month: rows, distance, delay of arrival, sum of the rows' checksums.
fn sums(file: &Path) -> BTreeMap<String, [i64; 4]> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(file).unwrap()).unwrap();
    let mut months: BTreeMap<String, [i64; 4]> = BTreeMap::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let text = |name: &str| cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
        let number = |name: &str| cast(batch.column_by_name(name).unwrap(), &DataType::Int64).unwrap();
        let texts = TEXT_COLUMNS.map(text);
        let (distance, delay) = (number("distance"), number("arr_delay"));
        for row in 0..batch.num_rows() {
            let value = |texts: &ArrayRef| {
                if texts.is_valid(row) {
                    texts.as_string::<i32>().value(row).to_owned()
                } else {
                    String::new()
                }
            };
            let values = texts.each_ref().map(value);
            let sums = months.entry(values[0][..7].to_owned()).or_default();
            let of = |array: &ArrayRef| match array.is_valid(row) {
                true => array.as_primitive::<Int64Type>().value(row),
                false => 0,
            };
            let checksum = i64::from(crc32fast::hash(values.join("|").as_bytes()));
            for (sum, value) in sums.iter_mut().zip([1, of(&distance), of(&delay), checksum]) {
                *sum += value;
            }
        }
    }
    months
}

#[test]
fn a_year_of_flights_is_ingested_with_its_late_and_repeated_events() {
    let quickstart = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/quickstart");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let job = std::fs::read_to_string(quickstart.join("flights.yaml")).unwrap();
    // The job as it is, beside a table of its own: its paths start at its folder.
    std::fs::write(path("job.yaml"), job).unwrap();
    for input in ["flights.avsc", "events"] {
        std::os::unix::fs::symlink(quickstart.join(input), path(input)).unwrap();
    }
    let table = path("lake/flights");
    let done = lakebed(&["ingest", &path("job.yaml"), "--once", "--format", "json"], 0);
    let done: serde_json::Value = serde_json::from_str(&done).unwrap();
    assert_eq!((&done["commits"], &done["bad_records"]), (&19.into(), &0.into()), "{done}");
    let again = lakebed(&["ingest", &path("job.yaml"), "--once"], 3);
    assert_eq!(again, "nothing new to read\n");
    let timeline = lakebed(&["timeline", &table, "--all", "--format", "json"], 0);
    let timeline: serde_json::Value = serde_json::from_str(&timeline).unwrap();
    let instants = timeline["instants"].as_array().unwrap();
    let is_commit = |i: &&serde_json::Value| i["action"] == "deltacommit" && i["state"] == "completed";
    assert_eq!((instants.len(), instants.iter().filter(is_commit).count()), (19, 19), "{timeline}");

    assert_eq!(very_late(&table, &[]), VERY_LATE);
    let some = very_late(&table, &["--limit", "5"]);
    assert!(some.len() == 5 && some.iter().all(|row| VERY_LATE.contains(&row.as_str())), "{some:?}");
    lakebed(&["read", &table, "--out", &path("rows.parquet")], 0);

    let expected = std::fs::read_to_string(quickstart.join("expected.csv")).unwrap();
    let expected: BTreeMap<String, [i64; 4]> = expected
        .lines()
        .skip(1)
        .map(|line| {
            let (month, sums) = line.split_once(',').unwrap();
            let sums: Vec<i64> = sums.split(',').map(|sum| sum.parse().unwrap()).collect();
            (month.to_owned(), sums.try_into().unwrap())
        })
        .collect();
    assert_eq!(expected.len(), 12);
    assert_eq!(sums(Path::new(&path("rows.parquet"))), expected);
}

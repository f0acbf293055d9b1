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

fn lakebed(args: &[&str]) {
    let done = Command::new(env!("CARGO_BIN_EXE_lakebed")).args(args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
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
    lakebed(&["ingest", &path("job.yaml"), "--once"]);
    lakebed(&["read", &table, "--out", &path("rows.parquet")]);

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

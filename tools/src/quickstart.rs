//! `lakebed-tools quickstart`: the README's first steps, read by real Spark.
#![expect(clippy::print_stdout, reason = "a command for people at a terminal")]

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lakebed::environment::Environment;
use lakebed::ingest::{RunOptions, job::Job, run};
use serde_json::Value;
use tokio::sync::watch;

use crate::spark::{Spark, SparkTable};

/// Per month: rows, distance, delay of arrival, sum of the rows' checksums, as `expected.csv` has them.
type Sums = BTreeMap<String, [i64; 4]>;

/// What `expected.py` computes, by Spark.
const PER_MONTH: &str = "select month, count(*), sum(distance), sum(coalesce(arr_delay, 0)), sum(crc32(concat_ws('|', \
    cast(date as string), carrier, cast(flight as string), origin, coalesce(dest, ''), coalesce(tailnum, ''), \
    coalesce(cast(dep_time as string), ''), coalesce(cast(dep_delay as string), ''), \
    coalesce(cast(arr_time as string), ''), coalesce(cast(arr_delay as string), ''), \
    coalesce(cast(air_time as string), ''), coalesce(cast(distance as string), '')))) \
    from {table} group by month";

/// Ingests the flights of `tools/quickstart` and compares what Spark reads, month by month, with
/// `expected.csv`.
///
/// # Errors
/// No Spark, and other rows than expected.
pub fn check() -> Result<(), Box<dyn std::error::Error>> {
    let quickstart = Path::new(env!("CARGO_MANIFEST_DIR")).join("quickstart");
    let folder = tempfile::Builder::new().prefix("lakebed-quickstart-").tempdir()?;
    let table = ingest(&quickstart, folder.path())?;
    let expected = expected(&quickstart.join("expected.csv"))?;
    let mut spark = Spark::start()?;
    let mut table = SparkTable::new(&mut spark, "flights", &table);
    table.register()?;
    let found: Sums = table.sql(PER_MONTH)?.rows.iter().map(|row| sums(row)).collect::<Result<_, _>>()?;
    if found != expected {
        return Err(format!("Spark reads {found:#?}, expected {expected:#?}").into());
    }
    let rows: i64 = found.values().map(|sums| sums[0]).sum();
    println!("Spark reads the {rows} flights of {} months as they were", found.len());
    Ok(())
}

/// Runs the job as it is beside a table in `folder`: its paths start at the folder of its file.
fn ingest(quickstart: &Path, folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let job = folder.join("flights.yaml");
    std::fs::copy(quickstart.join("flights.yaml"), &job)?;
    for input in ["flights.avsc", "events"] {
        symlink(quickstart.join(input), folder.join(input))?;
    }
    let (_keep_going, stop) = watch::channel(false);
    let (options, environment) = (RunOptions { once: true, ..RunOptions::default() }, Environment::real());
    let job = run(Job::from_file(&job)?, options, &environment, stop, Arc::new(|_| {}));
    let summary = tokio::runtime::Runtime::new()?.block_on(job)?;
    println!("{} records in {} commits", summary.records, summary.commits);
    Ok(folder.join("lake/flights"))
}

fn expected(file: &Path) -> Result<Sums, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(file)?;
    let line = |line: &str| -> Result<(String, [i64; 4]), Box<dyn std::error::Error>> {
        let (month, sums) = line.split_once(',').ok_or("a line without sums")?;
        let sums = sums.split(',').map(str::parse).collect::<Result<Vec<i64>, _>>()?;
        Ok((month.to_owned(), sums.try_into().map_err(|_| "a line without four sums")?))
    };
    text.lines().skip(1).map(line).collect()
}

fn sums(row: &[Value]) -> Result<(String, [i64; 4]), String> {
    let unreadable = || format!("Spark answered {row:?}");
    let (month, sums) = row.split_first().ok_or_else(unreadable)?;
    let sums: Option<Vec<i64>> = sums.iter().map(Value::as_i64).collect();
    let sums = sums.and_then(|sums| sums.try_into().ok()).ok_or_else(unreadable)?;
    Ok((month.as_str().ok_or_else(unreadable)?.to_owned(), sums))
}

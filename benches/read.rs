//! Reading file slices beside reading the columns of their base files with arrow + parquet alone.
//!
//! ```text
//! cargo bench --bench read [-- [ROWS [UPSERTS [RUNS]]] [NAME]]
//! ```
//!
//! Names are `arrow/shape/config`. Each figure is the median of RUNS runs (5), in milliseconds, with
//! the ratio to the plain reader on the same files and threads, and a sum over the rows read, so
//! that two runs that should read the same can be seen to.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails, and reports"
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Float64Type;
use futures::StreamExt as _;
use lakebed::commit::PipelineProgress;
use lakebed::environment::Environment;
use lakebed::read::{Scan, ScanOptions};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::{self, Storage, TableUri};
use lakebed::table::Table;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{BucketIndex, NewTable, TableType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rayon::prelude::*;

const COLUMNS: [&str; 3] = ["customer", "quantity", "price"];
const BATCH: usize = 50_000;

/// Wide rows: 23 columns, about 300 bytes. `round` makes updates of the same keys differ.
fn rows(keys: &[u64], round: i64) -> RecordBatch {
    let text = |make: &dyn Fn(u64) -> String| -> ArrayRef {
        Arc::new(keys.iter().map(|k| Some(make(*k))).collect::<StringArray>())
    };
    let mix = |k: u64, salt: u64| (k ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("id".into(), text(&|k| format!("{:016x}", mix(k, 0)))),
        ("p".into(), text(&|k| format!("day-{}", k % 8))),
        (
            "ts".into(),
            Arc::new(keys.iter().map(|k| Some((*k % 1000) as i64 + round * 1000)).collect::<Int64Array>()),
        ),
        ("customer".into(), text(&|k| format!("customer-{:06}", mix(k, 1) % 300_000))),
        (
            "quantity".into(),
            Arc::new(keys.iter().map(|k| Some((mix(*k, 2) % 100) as i32)).collect::<Int32Array>()),
        ),
        (
            "price".into(),
            Arc::new(
                keys.iter().map(|k| Some((mix(*k, 3) % 100_000) as f64 / 100.0)).collect::<Float64Array>(),
            ),
        ),
    ];
    for n in 0..9 {
        columns.push((format!("text_{n}"), text(&|k| format!("{:x}-{}", mix(k, 10 + n) % 5_000_000, round))));
    }
    for n in 0..8 {
        let values = keys.iter().map(|k| Some((mix(*k, 30 + n) % (10 << (n * 4))) as i64));
        columns.push((format!("number_{n}"), Arc::new(values.collect::<Int64Array>())));
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

async fn write(storage: &Arc<dyn Storage>, environment: &Environment, keys: &[u64], round: i64) {
    let options = SinkOptions::default();
    let mut sink = Sink::open(storage.clone(), environment, "bench", Vec::new(), options).await.unwrap();
    for keys in keys.chunks(BATCH) {
        sink.write(&rows(keys, round), None).await.unwrap();
    }
    let progress = PipelineProgress { checkpoint: round as u64 + 1, ..PipelineProgress::default() };
    let prepared = sink.prepare(progress).await.unwrap().unwrap();
    sink.committer().commit(&prepared).await.unwrap();
}

/// The plain reader: columns of all base files, on all cores.
fn plain(files: &[PathBuf], columns: &[&str]) -> f64 {
    let one = |path: &PathBuf| {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let reader = builder.with_projection(mask).with_batch_size(8192).build().unwrap();
        reader.map(|batch| sum(&batch.unwrap())).sum::<f64>()
    };
    files.par_iter().map(one).sum()
}

async fn scan(table: &Table, columns: Option<&[&str]>) -> f64 {
    let snapshot = table.snapshot(None).await.unwrap();
    let columns = columns.map(|c| c.iter().map(|name| (*name).to_owned()).collect());
    let scan = Scan::plan(&snapshot, ScanOptions { columns, ..ScanOptions::default() }).await.unwrap();
    scan.stream().fold(0.0, |total, batch| async move { total + sum(&batch.unwrap()) }).await
}

fn sum(batch: &RecordBatch) -> f64 {
    let prices = batch.column_by_name("price").unwrap().as_primitive::<Float64Type>();
    batch.num_rows() as f64 + prices.values().iter().sum::<f64>()
}

fn base_files(folder: &Path) -> Vec<PathBuf> {
    let partitions = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let folders = partitions.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("p="));
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "parquet"));
    files.sort();
    files
}

fn report(name: &str, mut times: Vec<Duration>, limit: Option<Duration>, sum: f64) -> Duration {
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let ratio = limit.map_or_else(String::new, |l| format!("{:.2}x", median.as_secs_f64() / l.as_secs_f64()));
    println!("{name:<28} {:>8.1} ms {ratio:>7}   sum {sum:.0}", median.as_secs_f64() * 1e3);
    median
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let base_rows = numbers.first().copied().unwrap_or(400_000);
    let upserts = numbers.get(1).copied().unwrap_or(10);
    let runs = numbers.get(2).copied().unwrap_or(5);
    let environment = Environment::real();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let uri: TableUri = folder.path().join("t").display().to_string().parse().unwrap();
    let storage = runtime.block_on(storage::open(&uri, &environment)).unwrap();
    let new = NewTable {
        name: "bench".into(),
        table_type: TableType::MergeOnRead,
        record_key_fields: vec!["id".into()],
        partition_fields: vec!["p".into()],
        ordering_fields: vec!["ts".into()],
        partial_update: None,
        bucket_index: Some(BucketIndex { buckets: 2, hash_fields: vec!["id".into()] }),
        hive_style: true,
        url_encode: true,
        create_schema: TableSchema::from_arrow(&rows(&[], 0).schema(), "bench").unwrap().to_avro(),
        readers: vec!["spark".into()],
    };
    let table = runtime.block_on(Table::create(storage.clone(), &environment, &new)).unwrap();
    let keys: Vec<u64> = (0..base_rows).collect();
    runtime.block_on(write(&storage, &environment, &keys, 0));
    let files = base_files(&folder.path().join("t"));

    let wanted = std::env::args().skip(1).find(|a| !a.starts_with('-') && a.parse::<u64>().is_err());
    let measure = |name: &str, limit: Option<Duration>, run: &dyn Fn() -> f64| {
        if wanted.as_ref().is_some_and(|wanted| !name.contains(wanted.as_str())) {
            return Duration::from_secs(1);
        }
        let mut times = Vec::new();
        let mut total = run();
        for _ in 0..runs {
            let from = environment.clock.monotonic();
            total = run();
            times.push(environment.clock.monotonic() - from);
        }
        report(name, times, limit, total)
    };
    let limit = measure("plain/wide/3-columns", None, &|| plain(&files, &COLUMNS));
    measure("read/wide/base-only", Some(limit), &|| runtime.block_on(scan(&table, Some(&COLUMNS))));
    measure("read/wide/base-only-all", Some(limit), &|| runtime.block_on(scan(&table, None)));
    for round in 1..=upserts {
        // A twentieth of the rows each: four updates to one new row, old rows less often.
        let share = base_rows / 20;
        let key = |n: u64| {
            if n.is_multiple_of(5) {
                base_rows + round * share + n
            } else {
                n.wrapping_mul(7919 + round) % base_rows
            }
        };
        let mut keys: Vec<u64> = (0..share).map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        runtime.block_on(write(&storage, &environment, &keys, round as i64));
    }
    let limit = measure("plain/wide/3-columns", None, &|| plain(&files, &COLUMNS));
    let with_keys: Vec<&str> = COLUMNS.into_iter().chain(["_hoodie_record_key", "ts"]).collect();
    measure("plain/wide/3-columns-and-keys", Some(limit), &|| plain(&files, &with_keys));
    measure("read/wide/unmerged", Some(limit), &|| runtime.block_on(scan(&table, Some(&COLUMNS))));
}

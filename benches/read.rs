//! Reading three columns of file slices, beside arrow + parquet alone reading the same rows.
//!
//! ```text
//! cargo bench --bench read [-- [--narrow] [BASE_ROWS] [NAME]]
//! ```
//!
//! Names are `arrow/shape/config`. Both sides are asked in turn, on all cores, until each has taken
//! two seconds. A figure is a median, in milliseconds, and its ratio to that of the limit: the rows
//! of each commit with Hudi's meta columns in plain Parquet files of the library's default
//! encodings, whose columns are read and not merged.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    reason = "a benchmark stops where it fails, and reports; it shares its rows with other measurements"
)]

#[path = "../tools/src/bench/limit.rs"]
mod limit;
#[path = "../tools/src/workload.rs"]
mod workload;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::Float64Type;
use futures::TryStreamExt as _;
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
use tokio::runtime::Runtime;

use workload::{PARTITIONS, Shape, Workload};

const COLUMNS: [&str; 3] = ["region", "status", "price"];

/// What no merge can do without.
const KEY_COLUMNS: [&str; 2] = ["_hoodie_record_key", "ts"];

const BUCKETS: u32 = 2;

const UPSERTS: u64 = 10;

/// How long each side is asked.
const ENOUGH: Duration = Duration::from_secs(2);

/// A table, and the same rows in plain files.
struct Bench {
    environment: Environment,
    runtime: Runtime,
    storage: Arc<dyn Storage>,
    table: Table,
    plain: PathBuf,
    /// The name to measure, or all.
    wanted: Option<String>,
}

impl Bench {
    fn new(folder: &Path, workload: &Workload, wanted: Option<String>) -> Self {
        let environment = Environment::real();
        let runtime = Runtime::new().unwrap();
        let uri: TableUri = folder.join("table").display().to_string().parse().unwrap();
        let storage = runtime.block_on(storage::open(&uri, &environment)).unwrap();
        let new = new_table(workload);
        let table = runtime.block_on(Table::create(storage.clone(), &environment, &new)).unwrap();
        Self { environment, runtime, storage, table, plain: folder.join("plain"), wanted }
    }

    /// Commits rows, and writes them to plain files.
    fn write(&self, number: u64, rows: &[RecordBatch], delete: bool) {
        self.runtime.block_on(async {
            let options = SinkOptions::default();
            let sink = Sink::open(self.storage.clone(), &self.environment, "bench", Vec::new(), options);
            let mut sink = sink.await.unwrap();
            for batch in rows {
                let deletes = delete.then(|| BooleanArray::from(vec![true; batch.num_rows()]));
                assert!(sink.write(batch, deletes.as_ref()).await.unwrap().is_empty());
            }
            let progress = PipelineProgress { checkpoint: number, ..PipelineProgress::default() };
            let prepared = sink.prepare(progress).await.unwrap().unwrap();
            sink.committer().commit(&prepared).await.unwrap();
        });
        let folder = self.plain.join(number.to_string());
        fs::create_dir_all(&folder).unwrap();
        limit::write(&folder, &limit::deal_rows(rows, (PARTITIONS * u64::from(BUCKETS)) as usize)).unwrap();
    }

    fn scan(&self, columns: &[&str]) -> f64 {
        self.runtime.block_on(async {
            let snapshot = self.table.snapshot(None).await.unwrap();
            let columns = Some(columns.iter().map(|name| (*name).to_owned()).collect());
            let scan =
                Scan::plan(&snapshot, ScanOptions { columns, ..ScanOptions::default() }).await.unwrap();
            scan.stream().try_fold(0.0, |total, batch| async move { Ok(total + sum(&batch)) }).await.unwrap()
        })
    }

    /// Reads columns of all plain files, on all cores.
    fn plain(&self, columns: &[&str]) -> f64 {
        let folders = fs::read_dir(&self.plain).unwrap().map(|entry| entry.unwrap().path());
        let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
        let files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
        let one = |path: &PathBuf| {
            let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
            let reader = builder.with_projection(mask).with_batch_size(8192).build().unwrap();
            reader.map(|batch| sum(&batch.unwrap())).sum::<f64>()
        };
        files.par_iter().map(one).sum()
    }

    fn measure(&self, name: &str, columns: &[&str], limit_columns: &[&str]) {
        if self.wanted.as_ref().is_some_and(|wanted| !name.contains(wanted.as_str())) {
            return;
        }
        let (mut ours, mut limit) = (Vec::new(), Vec::new());
        let total = |times: &[Duration]| times.iter().sum::<Duration>();
        while total(&ours) < ENOUGH || total(&limit) < ENOUGH {
            ours.push(self.time(|| self.scan(columns)));
            limit.push(self.time(|| self.plain(limit_columns)));
        }
        // The first run of either warms up.
        let (ours, limit) = (median(ours.split_off(1)), median(limit.split_off(1)));
        println!("{name:<32} {ours:>8.1} ms, limit {limit:>8.1} ms, {:>5.2}x", ours / limit);
    }

    fn time(&self, work: impl FnOnce() -> f64) -> Duration {
        let from = self.environment.clock.monotonic();
        std::hint::black_box(work());
        self.environment.clock.monotonic() - from
    }
}

fn new_table(workload: &Workload) -> NewTable {
    NewTable {
        name: "bench".into(),
        table_type: TableType::MergeOnRead,
        record_key_fields: vec!["id".into()],
        partition_fields: vec!["region".into()],
        ordering_fields: vec!["ts".into()],
        partial_update: None,
        bucket_index: Some(BucketIndex { buckets: BUCKETS, hash_fields: vec!["id".into()] }),
        hive_style: true,
        url_encode: true,
        create_schema: TableSchema::from_arrow(&workload.schema(), "bench").unwrap().to_avro(),
        readers: vec!["spark".into()],
    }
}

fn sum(batch: &RecordBatch) -> f64 {
    let prices = batch.column_by_name("price").unwrap().as_primitive::<Float64Type>();
    batch.num_rows() as f64 + prices.values().iter().sum::<f64>()
}

/// The middle one of `times`, in milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let shape = if arguments.iter().any(|it| it == "--narrow") { Shape::Narrow } else { Shape::Wide };
    let base_rows = arguments.iter().find_map(|it| it.parse().ok()).unwrap_or(2_000_000);
    let wanted = arguments.into_iter().find(|it| !it.starts_with('-') && it.parse::<u64>().is_err());
    let upsert_rows = base_rows / 20;
    let workload = Workload { seed: 7, shape, base_rows, upsert_rows, delete_rows: upsert_rows / 5 };
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(folder.path(), &workload, wanted);
    let shape = format!("{shape:?}").to_lowercase();

    bench.write(1, &workload.base().collect::<Vec<_>>(), false);
    bench.measure(&format!("read/{shape}/compacted"), &COLUMNS, &COLUMNS);
    for number in 0..UPSERTS {
        bench.write(number + 2, &workload.upsert(number).collect::<Vec<_>>(), false);
    }
    bench.write(UPSERTS + 2, &workload.delete().collect::<Vec<_>>(), true);
    bench.measure(&format!("read/{shape}/unmerged"), &COLUMNS, &COLUMNS);
    let with_keys = [&COLUMNS[..], &KEY_COLUMNS[..]].concat();
    bench.measure(&format!("read/{shape}/unmerged-over-keys"), &COLUMNS, &with_keys);
}

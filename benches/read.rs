//! Reading three columns of file slices, beside arrow + parquet alone reading the same rows.
//!
//! ```text
//! cargo bench --bench read [-- [--narrow] [BASE_ROWS] [NAME]]
//! ```
//!
//! Names are `read/shape/state`: what is made of each slice where it is merged, and, `/in-order`, of all
//! rows by one reader. Both sides are asked in turn, on all cores, until each has taken
//! two seconds. A figure is a median, in milliseconds, and its ratio to that of the limit: the rows
//! of each commit with Hudi's meta columns in plain Parquet files of the library's default
//! encodings, whose columns are read and not merged.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "../tools/src/bench/limit.rs"]
#[expect(dead_code, reason = "other measurements use the rest")]
mod limit;
#[path = "../tools/src/workload.rs"]
#[expect(dead_code, reason = "other measurements use the rest")]
mod workload;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::Float64Type;
use futures::TryStreamExt as _;
use lakebed::commit::{Outcome, PipelineProgress};
use lakebed::environment::Environment;
use lakebed::read::{Scan, ScanOptions};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::{self, Storage, TableUri};
use lakebed::table::Table;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rayon::prelude::*;
use tokio::runtime::Runtime;

use workload::{GROUPS, Shape, UPSERTS, Workload};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const COLUMNS: [&str; 3] = ["region", "status", "price"];

/// What no merge can do without.
const KEY_COLUMNS: [&str; 2] = ["_hoodie_record_key", "ts"];

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
    fn new(folder: &Path, workload: &Workload, wanted: Option<String>) -> Result<Self, Failure> {
        let environment = Environment::real();
        let runtime = Runtime::new()?;
        let uri: TableUri = folder.join("table").display().to_string().parse()?;
        let storage = runtime.block_on(storage::open(&uri, &environment))?;
        let new = workload.table()?;
        let table = runtime.block_on(Table::create(storage.clone(), &environment, &new))?;
        Ok(Self { environment, runtime, storage, table, plain: folder.join("plain"), wanted })
    }

    /// Commits rows, and writes them to plain files.
    fn write(&self, number: u64, rows: &[RecordBatch], delete: bool) -> Result<(), Failure> {
        self.runtime.block_on(self.commit(number, rows, delete))?;
        let folder = self.plain.join(number.to_string());
        fs::create_dir_all(&folder)?;
        limit::write(&folder, &limit::deal_rows(rows, GROUPS))?;
        Ok(())
    }

    async fn commit(&self, number: u64, rows: &[RecordBatch], delete: bool) -> Result<(), Failure> {
        let options = SinkOptions::default();
        let mut sink =
            Sink::open(self.storage.clone(), &self.environment, "bench", Vec::new(), options).await?;
        for batch in rows {
            let deletes = delete.then(|| BooleanArray::from(vec![true; batch.num_rows()]));
            if let Some(refused) = sink.write(batch, deletes.as_ref()).await?.first() {
                return Err(refused.to_string().into());
            }
        }
        let progress = PipelineProgress { checkpoint: number, ..PipelineProgress::default() };
        let prepared = sink.prepare(progress).await?.ok_or("nothing was written")?;
        match sink.committer().commit(&prepared).await? {
            Outcome::Committed { .. } => Ok(()),
            other => Err(format!("the rows were not committed: {other:?}").into()),
        }
    }

    async fn plan(&self) -> Result<Scan, Failure> {
        let snapshot = self.table.snapshot(None).await?;
        let columns = Some(COLUMNS.map(str::to_owned).to_vec());
        Ok(Scan::plan(&snapshot, ScanOptions { columns, ..ScanOptions::default() }).await?)
    }

    /// Sums where rows are merged, as the limit does.
    async fn by_slices(&self) -> Result<f64, Failure> {
        let sums = self
            .plan()
            .await?
            .map_slices(|_, rows| rows.map(|batch| sum(&batch?)).sum::<Result<f64, Failure>>());
        sums.try_fold(0.0, async |total: f64, sum| Ok(total + sum)).await
    }

    /// Sums all rows in their order, here.
    async fn in_order(&self) -> Result<f64, Failure> {
        let batches = self.plan().await?.stream();
        batches.err_into().try_fold(0.0, async |total: f64, batch| Ok(total + sum(&batch)?)).await
    }

    /// Reads columns of all plain files, on all cores.
    fn plain(&self, columns: &[&str]) -> Result<f64, Failure> {
        let mut files = Vec::new();
        for folder in fs::read_dir(&self.plain)? {
            for file in fs::read_dir(folder?.path())? {
                files.push(file?.path());
            }
        }
        let one = |path: &PathBuf| {
            let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
            let mut total = 0.0;
            for batch in builder.with_projection(mask).with_batch_size(8192).build()? {
                total += sum(&batch?)?;
            }
            Ok(total)
        };
        files.par_iter().map(one).sum()
    }

    /// Asks both sides, ours in both ways; the limit is reading `limit_columns`.
    fn measure(&self, name: &str, limit_columns: &[&str]) -> Result<(), Failure> {
        self.measure_one(name, || self.runtime.block_on(self.by_slices()), limit_columns)?;
        self.measure_one(
            &format!("{name}/in-order"),
            || self.runtime.block_on(self.in_order()),
            limit_columns,
        )
    }

    fn measure_one(
        &self,
        name: &str,
        scan: impl Fn() -> Result<f64, Failure>,
        limit_columns: &[&str],
    ) -> Result<(), Failure> {
        if self.wanted.as_ref().is_some_and(|wanted| !name.contains(wanted.as_str())) {
            return Ok(());
        }
        let (mut ours, mut limit) = (Vec::new(), Vec::new());
        let total = |times: &[Duration]| times.iter().sum::<Duration>();
        while total(&ours) < ENOUGH || total(&limit) < ENOUGH {
            ours.push(self.time(&scan)?);
            limit.push(self.time(|| self.plain(limit_columns))?);
        }
        // The first run of either warms up.
        let (ours, limit) = (median(ours.split_off(1)), median(limit.split_off(1)));
        println!("{name:<40} {ours:>8.1} ms, limit {limit:>8.1} ms, {:>5.2}x", ours / limit);
        Ok(())
    }

    fn time(&self, work: impl FnOnce() -> Result<f64, Failure>) -> Result<Duration, Failure> {
        let from = self.environment.clock.monotonic();
        std::hint::black_box(work()?);
        Ok(self.environment.clock.monotonic() - from)
    }
}

/// Something that takes the values of the rows.
fn sum(batch: &RecordBatch) -> Result<f64, Failure> {
    let prices = batch.column_by_name("price").ok_or("there is no price")?.as_primitive::<Float64Type>();
    Ok(batch.num_rows() as f64 + prices.values().iter().sum::<f64>())
}

/// The middle one of `times`, in milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let shape = if arguments.iter().any(|it| it == "--narrow") { Shape::Narrow } else { Shape::Wide };
    let base_rows = arguments.iter().find_map(|it| it.parse().ok()).unwrap_or(2_000_000);
    let wanted = arguments.into_iter().find(|it| !it.starts_with('-') && it.parse::<u64>().is_err());
    let upsert_rows = base_rows / 20;
    let workload = Workload {
        seed: 7,
        shape,
        required_key: false,
        base_rows,
        upsert_rows,
        delete_rows: upsert_rows / 5,
    };
    let folder = tempfile::tempdir()?;
    let bench = Bench::new(folder.path(), &workload, wanted)?;
    let shape = format!("{shape:?}").to_lowercase();

    bench.write(1, &workload.base().collect::<Vec<_>>(), false)?;
    bench.measure(&format!("read/{shape}/compacted"), &COLUMNS)?;
    for number in 0..UPSERTS {
        bench.write(number + 2, &workload.upsert(number).collect::<Vec<_>>(), false)?;
    }
    bench.write(UPSERTS + 2, &workload.delete().collect::<Vec<_>>(), true)?;
    bench.measure(&format!("read/{shape}/unmerged"), &COLUMNS)?;
    bench.measure(&format!("read/{shape}/unmerged-over-keys"), &[&COLUMNS[..], &KEY_COLUMNS[..]].concat())
}

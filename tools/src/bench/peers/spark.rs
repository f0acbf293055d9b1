//! Spark with Hudi, in one session that was warmed up.

use std::path::Path;

use lakebed::environment::Environment;
use rustix::process::Pid;

use super::super::load::Failure;
use super::super::process;
use super::workload_files::WorkloadFiles;
use super::{COLUMNS, Side, Taken, Task, once};
use crate::spark::{Rows, Spark, SparkTable};
use crate::workload::{BUCKETS, Shape, Workload};

/// What it is warmed up with.
const WARM_UP: Workload = Workload {
    seed: 1,
    shape: Shape::Wide,
    required_key: false,
    base_rows: 20_000,
    upsert_rows: 1_000,
    delete_rows: 200,
};

pub struct SparkSide {
    spark: Spark,
    environment: Environment,
}

impl SparkSide {
    /// A session that has done all tasks once, on few rows.
    pub fn warm() -> Result<Self, Failure> {
        let mut side = Self { spark: Spark::start()?, environment: Environment::real() };
        once(&mut side, &WorkloadFiles::write(&WARM_UP, true)?)?;
        Ok(side)
    }

    fn task(&mut self, task: Task, folder: &Path, files: &WorkloadFiles) -> Result<u64, Failure> {
        let mut table = SparkTable::new(&mut self.spark, "peer", folder);
        table.options.extend(settings());
        match task {
            Task::Load => {
                // As one that only adds new rows would load a table.
                table.write("bulk_insert", rows(&files.base.with_extension("parquet")), &[])?;
            }
            Task::Change => {
                for upsert in &files.upserts {
                    table.write("upsert", rows(&upsert.with_extension("parquet")), &[])?;
                }
                table.write("delete", rows(&files.delete.with_extension("parquet")), &[])?;
            }
            Task::Read => return Ok(table.spark.scan(folder, &COLUMNS)?),
            Task::Compact => {
                table.schedule_compaction()?;
                table.run_compaction()?;
            }
        }
        Ok(0)
    }
}

fn rows(file: &Path) -> Rows<'_> {
    Rows::File(file)
}

/// The table's settings: those of Lakebed's table, and both cores for writing.
fn settings() -> impl Iterator<Item = (String, String)> {
    let settings = [
        ("hoodie.datasource.write.table.type", "MERGE_ON_READ".to_owned()),
        ("hoodie.datasource.write.recordkey.field", "id".to_owned()),
        ("hoodie.datasource.write.partitionpath.field", "region".to_owned()),
        ("hoodie.datasource.write.hive_style_partitioning", "true".to_owned()),
        ("hoodie.table.ordering.fields", "ts".to_owned()),
        ("hoodie.index.type", "BUCKET".to_owned()),
        ("hoodie.bucket.index.num.buckets", BUCKETS.to_string()),
        ("hoodie.bucket.index.hash.field", "id".to_owned()),
        ("hoodie.bulkinsert.shuffle.parallelism", "2".to_owned()),
        ("hoodie.parquet.compression.codec", "zstd".to_owned()),
    ];
    settings.into_iter().map(|(key, value)| (key.to_owned(), value))
}

impl Side for SparkSide {
    fn name(&self) -> &'static str {
        "Spark + Hudi local[2]"
    }

    fn run(&mut self, task: Task, folder: &Path, files: &WorkloadFiles) -> Result<Taken, Failure> {
        let processes = process::group(self.spark.group()?)?;
        for process in &processes {
            process::forget_peak(*process).ok();
        }
        let (started, cpu) = (self.environment.clock.monotonic(), cpu_seconds(&processes));
        let rows = self.task(task, folder, files)?;
        let wall = self.environment.clock.monotonic() - started;
        Ok(Taken {
            rows,
            wall_seconds: wall.as_secs_f64(),
            cpu_seconds: cpu_seconds(&processes) - cpu,
            peak_bytes: processes.iter().filter_map(|process| process::peak_bytes(*process).ok()).sum(),
        })
    }
}

/// The driver and the JVM are what counts; what else there is of the group may end at any time.
fn cpu_seconds(processes: &[Pid]) -> f64 {
    processes.iter().filter_map(|process| process::cpu_seconds(*process).ok()).sum()
}

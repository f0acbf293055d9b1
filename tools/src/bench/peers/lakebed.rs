//! Lakebed, in this process.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::reader::FileReader;
use futures::TryStreamExt as _;
use lakebed::commit::PipelineProgress;
use lakebed::environment::Environment;
use lakebed::maintain::MaintainOptions;
use lakebed::read::{Scan, ScanOptions};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage;
use lakebed::table::{Table, TableSnapshot};
use rustix::process::getpid;
use tokio::runtime::Runtime;

use super::super::compact;
use super::super::load::{self, Failure};
use super::super::measure::measure;
use super::super::process;
use super::workload_files::WorkloadFiles;
use super::{COLUMNS, Side, Taken, Task};
use crate::workload::Workload;

pub struct Lakebed {
    workload: Workload,
    environment: Environment,
    runtime: Arc<Runtime>,
}

impl Lakebed {
    pub fn new(workload: Workload) -> Result<Self, Failure> {
        Ok(Self { workload, environment: Environment::real(), runtime: Arc::new(Runtime::new()?) })
    }

    async fn task(&self, task: Task, folder: &Path, files: &WorkloadFiles) -> Result<u64, Failure> {
        match task {
            Task::Load => {
                let mut sink = load::open(folder, &self.workload).await?;
                checkpoint(&mut sink, 1, &files.base, false).await
            }
            Task::Change => self.change(folder, files).await,
            Task::Read => self.read(folder).await,
            Task::Compact => {
                Ok(compact::compact(folder, &self.environment, MaintainOptions::default()).await?.rows)
            }
        }
    }

    async fn change(&self, folder: &Path, files: &WorkloadFiles) -> Result<u64, Failure> {
        let storage = storage::open(&folder.display().to_string().parse()?, &self.environment).await?;
        let options = SinkOptions::default();
        let mut sink = Sink::open(storage, &self.environment, "bench", Vec::new(), options).await?;
        let (mut rows, mut number) = (0, 2);
        for upsert in &files.upserts {
            rows += checkpoint(&mut sink, number, upsert, false).await?;
            number += 1;
        }
        Ok(rows + checkpoint(&mut sink, number, &files.delete, true).await?)
    }

    async fn read(&self, folder: &Path) -> Result<u64, Failure> {
        read(&snapshot(folder, &self.environment).await?).await
    }

    /// The rows of a table of any side that was compacted.
    pub fn compacted_rows(folder: &Path) -> Result<u64, Failure> {
        Runtime::new()?.block_on(async {
            let snapshot = snapshot(folder, &Environment::real()).await?;
            let groups = snapshot.all_file_groups().await?;
            let newest = groups.iter().flat_map(|(_, groups)| groups).filter_map(|group| group.slices.last());
            match newest.filter(|slice| !slice.logs.is_empty()).count() {
                0 => read(&snapshot).await,
                left => Err(format!("{left} file groups have log files after the compaction").into()),
            }
        })
    }
}

async fn snapshot(folder: &Path, environment: &Environment) -> Result<TableSnapshot, Failure> {
    let storage = storage::open(&folder.display().to_string().parse()?, environment).await?;
    Ok(Table::open(storage, environment, None).await?.snapshot(None).await?)
}

async fn read(snapshot: &TableSnapshot) -> Result<u64, Failure> {
    let columns = Some(COLUMNS.map(str::to_owned).to_vec());
    let scan = Scan::plan(snapshot, ScanOptions { columns, ..ScanOptions::default() }).await?;
    let count = |rows: u64, batch: RecordBatch| async move { Ok(rows + batch.num_rows() as u64) };
    Ok(scan.stream().try_fold(0, count).await?)
}

/// Commits the rows of a file and returns their number.
async fn checkpoint(sink: &mut Sink, number: u64, file: &Path, delete: bool) -> Result<u64, Failure> {
    let mut rows = 0;
    for batch in FileReader::try_new(BufReader::new(File::open(file)?), None)? {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        load::write(sink, &batch, delete).await?;
    }
    load::commit(sink, PipelineProgress { checkpoint: number, ..PipelineProgress::default() }).await?;
    Ok(rows)
}

impl Side for Lakebed {
    fn name(&self) -> &'static str {
        "Lakebed"
    }

    fn run(&mut self, task: Task, folder: &Path, files: &WorkloadFiles) -> Result<Taken, Failure> {
        process::forget_peak(getpid())?;
        let mut rows = 0;
        let runtime = self.runtime.clone();
        let figures = measure(|| {
            rows = runtime.block_on(self.task(task, folder, files))?;
            Ok::<_, Failure>(0)
        })?;
        Ok(Taken {
            rows,
            wall_seconds: figures.wall.as_secs_f64(),
            cpu_seconds: figures.cpu.as_secs_f64(),
            peak_bytes: process::peak_bytes(getpid())?,
        })
    }
}

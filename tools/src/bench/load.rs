//! The base load.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use lakebed::commit::{Outcome, PipelineProgress};
use lakebed::environment::Environment;
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::{self, Storage};
use lakebed::table::Table;
use lakebed_hudi::table_config::NewTable;

use super::measure::{measure, report};
use super::{WorkloadArgs, limit};
use crate::workload::{GROUPS, Workload};

pub type Failure = Box<dyn std::error::Error>;

pub fn run(args: WorkloadArgs) -> Result<(), Failure> {
    let workload = args.workload();
    let rows: Vec<RecordBatch> = workload.base().collect();
    let dealt = limit::deal(rows.iter().cloned(), GROUPS);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..=args.runs {
        let folder = tempfile::tempdir()?;
        let limit = measure(|| limit::write(folder.path(), &dealt))?;
        drop(folder);
        let folder = tempfile::tempdir()?;
        let loaded = measure(|| load(&folder.path().join("t"), &workload, &rows))?;
        // The first run warms up.
        if run > 0 {
            ours.push(loaded);
            theirs.push(limit);
        }
    }
    report(&format!("load/{:?}/{} rows", args.shape, args.base_rows), &ours, &theirs);
    Ok(())
}

fn load(path: &Path, workload: &Workload, rows: &[RecordBatch]) -> Result<u64, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut sink = open(path, workload).await?;
        checkpoint(&mut sink, 1, rows, false).await
    })
}

/// A sink into a new table of a workload.
pub async fn open(path: &Path, workload: &Workload) -> Result<Sink, Failure> {
    open_table(path, &workload.table()?).await
}

/// A sink into a new table.
pub async fn open_table(path: &Path, new: &NewTable) -> Result<Sink, Failure> {
    let environment = Environment::real();
    let storage = create(path, new, &environment).await?;
    Ok(Sink::open(storage, &environment, "bench", Vec::new(), SinkOptions::default()).await?)
}

/// A sink into a table that is there.
pub async fn resume(path: &Path) -> Result<Sink, Failure> {
    let environment = Environment::real();
    let storage = storage::open(&path.display().to_string().parse()?, &environment).await?;
    Ok(Sink::open(storage, &environment, "bench", Vec::new(), SinkOptions::default()).await?)
}

/// Writes `rows`, or deletes their keys, and commits; returns the bytes of its files.
pub async fn checkpoint(
    sink: &mut Sink,
    number: u64,
    rows: &[RecordBatch],
    delete: bool,
) -> Result<u64, Failure> {
    for batch in rows {
        write(sink, batch, delete).await?;
    }
    commit(sink, PipelineProgress { checkpoint: number, ..PipelineProgress::default() }).await
}

/// Writes rows, or deletes their keys.
pub async fn write(sink: &mut Sink, batch: &RecordBatch, delete: bool) -> Result<(), Failure> {
    let deletes = delete.then(|| BooleanArray::from(vec![true; batch.num_rows()]));
    match sink.write(batch, deletes.as_ref()).await?.first() {
        None => Ok(()),
        Some(refused) => Err(refused.to_string().into()),
    }
}

/// Ends the checkpoint and commits it; returns the bytes of its files.
pub async fn commit(sink: &mut Sink, progress: PipelineProgress) -> Result<u64, Failure> {
    let prepared = sink.prepare(progress).await?.ok_or("nothing was written")?;
    match sink.committer().commit(&prepared).await? {
        Outcome::Committed { .. } => Ok(prepared.staged.files.iter().map(|file| file.size_bytes).sum()),
        other => Err(format!("the checkpoint was not committed: {other:?}").into()),
    }
}

/// Creates a table.
async fn create(path: &Path, new: &NewTable, environment: &Environment) -> Result<Arc<dyn Storage>, Failure> {
    let storage = storage::open(&path.display().to_string().parse()?, environment).await?;
    Table::create(storage.clone(), environment, new).await?;
    Ok(storage)
}

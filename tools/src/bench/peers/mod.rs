//! Lakebed beside other writers of Hudi tables, on the same rows.
//!
//! Every side takes its rows from files within what is measured: Arrow files for Lakebed and
//! hudi-core, Parquet files for Spark. Every side keeps a partitioned merge-on-read table ordered
//! by event time; what they read at last must be the same number of rows, and what Lakebed reads of the
//! tables that they have compacted.

mod hudi_rs;
mod lakebed;
mod report;
mod spark;
mod workload_files;

use std::fs;
use std::io;
use std::path::Path;

use super::WorkloadArgs;
use super::load::Failure;
use crate::cache::Profile;
use crate::peers::HudiRs;
use workload_files::WorkloadFiles;

/// The columns of the read.
const COLUMNS: [&str; 3] = ["region", "status", "price"];

/// The rows to use, and how often the others are asked.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct PeersArgs {
    #[command(flatten)]
    workload: WorkloadArgs,
    /// Counted runs of hudi-core with either index; 0 to leave it out.
    #[arg(long, default_value_t = 5)]
    hudi_rs_runs: usize,
    /// Counted runs of Spark, which takes long; 0 to leave it out.
    #[arg(long, default_value_t = 1)]
    spark_runs: usize,
}

/// What a side is asked to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// Make a table of the base rows.
    Load,
    /// Ten upserts and a delete, each a commit.
    Change,
    /// Read [`COLUMNS`] of all rows as they then are.
    Read,
    /// Compact all file groups: each has log files that change rows in all of its row groups.
    Compact,
}

impl Task {
    const ALL: [Self; 4] = [Self::Load, Self::Change, Self::Read, Self::Compact];
}

/// What a side did and took.
#[derive(Debug, Clone, Copy)]
struct Taken {
    rows: u64,
    wall_seconds: f64,
    cpu_seconds: f64,
    peak_bytes: u64,
}

/// One of those that are compared.
trait Side {
    fn name(&self) -> &'static str;

    /// Does `task` with the table in `folder`.
    fn run(&mut self, task: Task, folder: &Path, files: &WorkloadFiles) -> Result<Taken, Failure>;
}

/// What one side took for one task in one run.
#[derive(Debug, Clone, Copy)]
struct Run {
    task: Task,
    taken: Taken,
    /// Bytes by which the table's folder grew.
    grown_bytes: u64,
}

/// A side and its runs.
struct Contender {
    side: Box<dyn Side>,
    wanted_runs: usize,
    runs: Vec<Run>,
}

/// Runs all sides in turn and prints what they took.
///
/// # Errors
/// A side that fails, or that reads another number of rows than Lakebed.
pub fn run(args: PeersArgs) -> Result<(), Failure> {
    let mut contenders = contenders(&args)?;
    let files = WorkloadFiles::write(&args.workload.workload(), args.spark_runs > 0)?;
    let most = contenders.iter().map(|contender| contender.wanted_runs).max().unwrap_or_default();
    for run in 0..most {
        for contender in contenders.iter_mut().filter(|contender| run < contender.wanted_runs) {
            contender.runs.extend(once(contender.side.as_mut(), &files)?);
        }
    }
    report::print(&args, &contenders);
    report::same_rows(&contenders)
}

/// All sides; Lakebed is the first.
fn contenders(args: &PeersArgs) -> Result<Vec<Contender>, Failure> {
    let contender = |side, wanted_runs| Contender { side, wanted_runs, runs: Vec::new() };
    let PeersArgs { workload, hudi_rs_runs, spark_runs } = args;
    let mut contenders =
        vec![contender(Box::new(lakebed::Lakebed::new(workload.workload())?), workload.runs)];
    if *hudi_rs_runs > 0 {
        let program = HudiRs::ready(Profile::Release)?;
        for record_index in [false, true] {
            let side = hudi_rs::HudiCore { program: program.clone(), record_index };
            contenders.push(contender(Box::new(side), *hudi_rs_runs));
        }
    }
    if *spark_runs > 0 {
        contenders.push(contender(Box::new(spark::SparkSide::warm()?), *spark_runs));
    }
    Ok(contenders)
}

/// All tasks once, with a table of their own.
fn once(side: &mut dyn Side, files: &WorkloadFiles) -> Result<Vec<Run>, Failure> {
    let lake = tempfile::Builder::new().prefix("lakebed-bench-").tempdir()?;
    let folder = lake.path().join("t");
    let mut before = 0;
    let mut runs = Vec::new();
    for task in Task::ALL {
        let name = side.name();
        let failed = |error: Failure| format!("{name}, {task:?}: {error}");
        let taken = side.run(task, &folder, files).map_err(failed)?;
        let now = bytes_below(&folder)?;
        runs.push(Run { task, taken, grown_bytes: now.saturating_sub(before) });
        before = now;
    }
    let read = runs.iter().find(|run| run.task == Task::Read).map(|run| run.taken.rows);
    let compacted = lakebed::Lakebed::compacted_rows(&folder)?;
    if read != Some(compacted) {
        return Err(
            format!("{}: {read:?} rows before the compaction, {compacted} after it", side.name()).into()
        );
    }
    Ok(runs)
}

fn bytes_below(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

//! Peak memory of one checkpoint whose rows all go to one bucket, and of its compaction, each in a process of
//! its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use lakebed::commit::PipelineProgress;
use lakebed::environment::Environment;
use lakebed::ingest::job::Job;
use lakebed::ingest::{self, RunOptions};
use lakebed::maintain::MaintainOptions;
use lakebed::memory::{SpillArea, keep_within};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage;
use lakebed::table::Table;
use lakebed_hudi::table_config::{BucketIndex, NewTable, TableType};
use parquet::arrow::ArrowWriter;
use rustix::process::getpid;
use tokio::sync::watch;

use super::compact::compact;
use super::load::{Failure, commit};
use super::process;
use crate::workload::{Shape, Workload};

/// What a process may take beyond its budget.
const SLACK_MIB: u64 = 64;

/// The budget and the rows.
#[derive(Debug, Args)]
pub struct MemoryArgs {
    /// The budget of the sink.
    #[arg(long, default_value_t = 128)]
    budget_mib: u64,
    /// How many times the budget the rows of the checkpoint take in Arrow.
    #[arg(long, default_value_t = 20)]
    times: u64,
    /// Runs one case in this process.
    #[arg(long, hide = true, requires = "folder")]
    case: Option<Case>,
    /// The folder of that case's table.
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    /// A first base file.
    FirstBase,
    /// A log file, after `first-base`.
    Log,
    /// A compaction of both, after `log`.
    Compact,
    /// A first base file of a copy-on-write table.
    Load,
    /// A base file in the place of another, after `load`.
    Rewrite,
    /// A first base file by a job that reads a Parquet file, whose row groups are larger than the budget.
    Ingest,
}

impl Case {
    fn table_type(self) -> TableType {
        match self {
            Self::FirstBase | Self::Log | Self::Compact | Self::Ingest => TableType::MergeOnRead,
            Self::Load | Self::Rewrite => TableType::CopyOnWrite,
        }
    }
}

/// Runs all cases and prints the peaks.
#[expect(clippy::print_stdout, reason = "the figures are what the command is for")]
pub fn run(args: &MemoryArgs) -> Result<(), Failure> {
    if let (Some(case), Some(folder)) = (args.case, &args.folder) {
        let peak_kib = run_case(args, case, folder)?;
        println!("{peak_kib}");
        return Ok(());
    }
    let allowed_mib = args.budget_mib + SLACK_MIB;
    println!("peak memory, budget {} MiB, rows {} times that", args.budget_mib, args.times);
    let lake = tempfile::tempdir()?;
    for case in Case::value_variants() {
        let mut folder = lake.path().join(format!("{:?}", case.table_type()));
        let name = case.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        if *case == Case::Ingest {
            folder.set_file_name(&name);
            write_input(args, &folder.with_extension("parquet"))?;
        }
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["bench", "memory", "--case", &name]).arg("--folder").arg(&folder);
        child.args(["--budget-mib", &args.budget_mib.to_string(), "--times", &args.times.to_string()]);
        let output = child.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let peak_kib: u64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
        println!("{name:>12} {:>6} MiB, allowed {allowed_mib} MiB", peak_kib / 1024);
    }
    Ok(())
}

/// Runs one case; returns the peak memory of this process in KiB.
fn run_case(args: &MemoryArgs, case: Case, folder: &Path) -> Result<u64, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let spill = SpillArea::in_folder(folder.parent().unwrap_or(folder));
    let environment = Environment { spill, ..Environment::real() };
    // As the program does it.
    runtime.spawn(keep_within(args.budget_mib << 20));
    match case {
        Case::Ingest => runtime.block_on(run_job(args, folder, &environment))?,
        Case::Compact => {
            let options =
                MaintainOptions { memory_bytes: args.budget_mib << 20, ..MaintainOptions::default() };
            runtime.block_on(compact(folder, &environment, options))?;
        }
        case => runtime.block_on(run_sink(args, case, folder, &environment))?,
    }
    Ok(process::peak_bytes(getpid())? / 1024)
}

async fn run_sink(
    args: &MemoryArgs,
    case: Case,
    folder: &Path,
    environment: &Environment,
) -> Result<(), Failure> {
    let storage = storage::open(&folder.display().to_string().parse()?, environment).await?;
    let workload = workload(rows(args)?);
    if matches!(case, Case::FirstBase | Case::Load) {
        let new = NewTable {
            table_type: case.table_type(),
            partition_fields: Vec::new(),
            bucket_index: Some(BucketIndex { buckets: 1, hash_fields: vec!["id".into()] }),
            ..workload.table()?
        };
        Table::create(storage.clone(), environment, &new).await?;
    }
    let options = SinkOptions { memory_bytes: Some(args.budget_mib << 20), ..SinkOptions::default() };
    let mut sink = Sink::open(storage, environment, "bench", Vec::new(), options).await?;
    for batch in workload.base() {
        sink.write(&batch, None).await?;
    }
    let checkpoint = sink.progress().unwrap_or_default().checkpoint + 1;
    commit(&mut sink, PipelineProgress { checkpoint, ..PipelineProgress::default() }).await?;
    Ok(())
}

async fn run_job(args: &MemoryArgs, folder: &Path, environment: &Environment) -> Result<(), Failure> {
    let job = format!(
        "pipeline: bench\ntable: {{uri: {}, create: {{key: [id], ordering: [ts], buckets: 1}}}}\n\
         source: {{files: [{}]}}\ncommit: {{interval: 1h, rows: 1000000000, bytes: 1000 GiB}}\n\
         memory: {} MiB\n",
        folder.display(),
        folder.with_extension("parquet").display(),
        args.budget_mib
    );
    let (_keep_going, stop) = watch::channel(false);
    let job = Job::from_yaml(&job)?;
    let summary = ingest::run(job, RunOptions::default(), environment, stop, Arc::new(|_| {})).await?;
    if summary.commits == 1 { Ok(()) } else { Err(format!("{} commits, not one", summary.commits).into()) }
}

/// Writes the rows as a file for a job, as the library writes one by default.
fn write_input(args: &MemoryArgs, path: &Path) -> Result<(), Failure> {
    let workload = workload(rows(args)?);
    let mut writer = ArrowWriter::try_new(File::create(path)?, workload.schema(), None)?;
    workload.base().try_for_each(|batch| writer.write(&batch))?;
    writer.close()?;
    Ok(())
}

/// How many rows the checkpoint has.
fn rows(args: &MemoryArgs) -> Result<u64, Failure> {
    Ok(((args.budget_mib * args.times) << 20) / row_bytes()?)
}

/// What a row takes in Arrow.
fn row_bytes() -> Result<u64, Failure> {
    let sample = workload(10_000).base().next().ok_or("no rows")?;
    let mut bytes = 0;
    for column in sample.columns() {
        bytes += column.to_data().get_slice_memory_size()?;
    }
    Ok((bytes / sample.num_rows()) as u64)
}

fn workload(base_rows: u64) -> Workload {
    Workload { seed: 7, shape: Shape::Wide, required_key: false, base_rows, upsert_rows: 0, delete_rows: 0 }
}

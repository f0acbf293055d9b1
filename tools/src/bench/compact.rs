//! Compaction beside the limit, which is decoding, a merge by hash, and encoding, and beside writing the same
//! base files anew.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray as _, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use clap::{Args, ValueEnum};
use lakebed::commit::Scheduled;
use lakebed::environment::Environment;
use lakebed::maintain::compaction::{CompactionReport, CompactionRules, plan};
use lakebed::maintain::{MaintainOptions, Maintainer, RunLimits, RunOutcome};
use lakebed::storage;
use lakebed_hudi::bucket::BucketHash;
use lakebed_hudi::table_config::{NewTable, PartialUpdateMode};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::load::{Failure, checkpoint, open_table};
use super::measure::{Figures, measure, report_beside};
use super::{WorkloadArgs, merge_limit};
use crate::workload::Workload;

/// What to compact.
#[derive(Debug, Clone, Copy, Args)]
pub struct CompactArgs {
    #[command(flatten)]
    workload: WorkloadArgs,
    /// Only this kind of logs; all if left out.
    #[arg(long, value_enum)]
    case: Option<Case>,
    /// Only this side, again and again, to be looked at by a profiler.
    #[arg(long, value_enum)]
    side: Option<Side>,
    /// The budget of a compaction.
    #[arg(long, default_value_t = 512)]
    memory_mib: u64,
}

/// What logs change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// 30 % of the keys at random, all columns others.
    Full,
    /// 30 % of the keys at random, three columns others.
    FewColumns,
    /// The same, and the logs have the three columns, the key and the time alone: a partial update. The limit
    /// merges full rows.
    PartialRows,
    /// All keys of one row group in twenty of every file, three columns others.
    Sparse,
    /// The same, all columns others.
    SparseAll,
    /// As `sparse`, with inserts and deletes.
    SparseMixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Side {
    Lakebed,
    Anew,
    Limit,
}

/// File groups: with 2,000,000 rows each has twenty row groups.
const FILE_GROUPS: u32 = 2;

impl Case {
    /// The rows of the logs, whole, and those that only delete their keys.
    pub fn changes(self, workload: &Workload) -> Vec<(Vec<RecordBatch>, bool)> {
        let random = |key| workload.picks_percent(key, 30);
        let first = |key| key < workload.base_rows / 20;
        match self {
            Self::Full => vec![(workload.replaced(random).collect(), false)],
            Self::FewColumns | Self::PartialRows => vec![(workload.touched(random).collect(), false)],
            Self::Sparse => vec![(workload.touched(first).collect(), false)],
            Self::SparseAll => vec![(workload.replaced(first).collect(), false)],
            Self::SparseMixed => {
                let updated = |key| first(key) && workload.picks_percent(key, 70);
                let deleted = |key| first(key) && !workload.picks_percent(key, 90);
                let more =
                    Workload { base_rows: workload.base_rows / 100, seed: workload.seed + 1, ..*workload };
                let inserted = more.shifted(workload.base_rows);
                vec![
                    (workload.touched(updated).collect(), false),
                    (inserted.collect(), false),
                    (workload.replaced(deleted).collect(), true),
                ]
            }
        }
    }
}

/// Runs the cases and prints the figures.
pub fn run(args: &CompactArgs) -> Result<(), Failure> {
    let workload = args.workload.workload();
    let base: Vec<RecordBatch> = workload.base().collect();
    let runtime = Runtime::new()?;
    for case in Case::value_variants() {
        if args.case.is_none_or(|wanted| wanted == *case) {
            one(args, &runtime, &workload, &base, *case)?;
        }
    }
    Ok(())
}

fn one(
    args: &CompactArgs,
    runtime: &Runtime,
    workload: &Workload,
    base: &[RecordBatch],
    case: Case,
) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let table = folder.path().join("table");
    let changes = case.changes(workload);
    let is_partial = case == Case::PartialRows;
    let partial_update = is_partial.then_some(PartialUpdateMode::IgnoreDefaults);
    let new = NewTable { partial_update, ..workload.unpartitioned(FILE_GROUPS)? };
    runtime.block_on(async {
        let mut sink = open_table(&table, &new).await?;
        checkpoint(&mut sink, 1, base, false).await?;
        for ((rows, delete), number) in changes.iter().zip(2..) {
            let rows = match is_partial {
                true => rows.iter().map(partial).collect::<Result<_, _>>()?,
                false => rows.clone(),
            };
            checkpoint(&mut sink, number, &rows, *delete).await?;
        }
        Ok::<_, Failure>(())
    })?;
    let limit =
        merge_limit::Inputs::write(&folder.path().join("limit"), &dealt(base)?, &dealt_logs(&changes)?)?;
    drop(changes);
    let mut figures: [Vec<Figures>; 3] = Default::default();
    for run in 0..=args.workload.runs {
        let is_wanted = |side| args.side.is_none_or(|wanted| wanted == side);
        let side = |side, measured: &dyn Fn() -> Result<Figures, Failure>| match is_wanted(side) {
            true => measured(),
            false => Ok(Figures::default()),
        };
        let of_run = [
            side(Side::Lakebed, &|| compacted(args, runtime, &table, folder.path(), false))?,
            side(Side::Anew, &|| compacted(args, runtime, &table, folder.path(), true))?,
            side(Side::Limit, &|| Ok(measure(|| limit.merge(folder.path()))?))?,
        ];
        // The first run warms up.
        for (figures, of_run) in figures.iter_mut().zip(of_run).filter(|_| run > 0) {
            figures.push(of_run);
        }
    }
    let [ours, anew, limit] = &figures;
    let title = format!("compact/{:?}/{case:?}", args.workload.shape);
    report_beside(&title, ours, &[("limit", limit), ("anew", anew)]);
    Ok(())
}

/// The rows with nothing but key, region, time and the three columns that [`Workload::touched`] changes.
fn partial(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().enumerate();
    let columns = columns.map(|(number, column)| match number {
        0..6 => column.clone(),
        _ => new_null_array(column.data_type(), column.len()),
    });
    RecordBatch::try_new(rows.schema(), columns.collect())
}

/// Compacts a copy of the table.
fn compacted(
    args: &CompactArgs,
    runtime: &Runtime,
    table: &Path,
    folder: &Path,
    rewrite: bool,
) -> Result<Figures, Failure> {
    let copy = folder.join("copy");
    link_all(table, &copy)?;
    let options = MaintainOptions {
        memory_bytes: args.memory_mib << 20,
        rewrite_whole: rewrite,
        ..MaintainOptions::default()
    };
    let written =
        || Ok::<_, Failure>(runtime.block_on(compact(&copy, &Environment::real(), options))?.written_bytes);
    let figures = measure(written)?;
    fs::remove_dir_all(&copy)?;
    Ok(figures)
}

/// Compacts everything that has log files.
pub async fn compact(
    table: &Path,
    environment: &Environment,
    options: MaintainOptions,
) -> Result<CompactionReport, Failure> {
    let storage = storage::open(&table.display().to_string().parse()?, environment).await?;
    let maintainer = Maintainer::open(storage, environment, options).await?;
    let survey = maintainer.survey().await?;
    let draft = plan(&survey, &CompactionRules::everything());
    let Scheduled::At(instant) = maintainer.schedule_compaction(&survey, &draft).await? else {
        return Err("nothing was scheduled".into());
    };
    let limits = RunLimits { stop: watch::channel(false).1, deadline: None };
    let report = maintainer.compact(instant, &limits, &|_| {}).await?;
    match report.outcome {
        RunOutcome::Committed { .. } => Ok(report),
        other => Err(format!("not compacted: {other:?}").into()),
    }
}

/// A copy of a folder whose files are the same.
pub fn link_all(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_all(&entry.path(), &target)?;
        } else {
            fs::hard_link(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The rows of each bucket.
fn dealt(batches: &[RecordBatch]) -> Result<Vec<Vec<RecordBatch>>, Failure> {
    let hash = BucketHash::new(["id".to_owned()], FILE_GROUPS);
    let mut files = vec![Vec::new(); FILE_GROUPS as usize];
    for batch in batches {
        let buckets: Vec<u32> =
            batch.column(0).as_string::<i32>().iter().map(|id| hash.bucket(id.unwrap_or_default())).collect();
        for (file, number) in files.iter_mut().zip(0..) {
            let own: BooleanArray = buckets.iter().map(|bucket| Some(*bucket == number)).collect();
            file.push(filter_record_batch(batch, &own)?);
        }
    }
    Ok(files)
}

/// The rows of the logs of each bucket, with which of them only delete.
fn dealt_logs(changes: &[(Vec<RecordBatch>, bool)]) -> Result<Vec<Vec<(RecordBatch, bool)>>, Failure> {
    let mut files = vec![Vec::new(); FILE_GROUPS as usize];
    for (rows, delete) in changes {
        for (file, rows) in files.iter_mut().zip(dealt(rows)?) {
            file.extend(rows.into_iter().map(|rows| (rows, *delete)));
        }
    }
    Ok(files)
}

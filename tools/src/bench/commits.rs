//! One-row commits on local disk: beside the same writes alone, and on a young and an old table.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use clap::Args;
use lakebed::commit::{CommitOptions, PipelineProgress};
use lakebed::environment::Environment;
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::fault::{FaultStorage, LoggedOperation};
use lakebed::storage::{self, FileWriter, Operation, Storage};
use lakebed::table::Table;
use lakebed_hudi::table_config::{BucketIndex, NewTable};

use super::load::{Failure, commit};
use super::measure::median;
use crate::workload::{Shape, Workload};

/// New times that a commit waits the clock skew for: its instant and its completion.
const TIMES: u32 = 2;

/// How many commits.
#[derive(Debug, Args)]
pub struct CommitsArgs {
    /// Commits on the timeline of the old table.
    #[arg(long, default_value_t = 2_000)]
    commits: u64,
    /// File groups of the table.
    #[arg(long, default_value_t = 1_000)]
    groups: u32,
    /// Counted commits.
    #[arg(long, default_value_t = 51)]
    runs: u64,
}

/// Measures and prints.
#[expect(clippy::print_stdout, reason = "the figures are what the command is for")]
pub fn run(args: &CommitsArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let lake = tempfile::tempdir()?;
    let old_folder = lake.path().join("old");
    let (young, old) = runtime.block_on(async {
        let mut old = Commits::start(&old_folder, args.groups).await?;
        while old.number < args.commits {
            old.commit().await?;
        }
        let young = Commits::start(&lake.path().join("young"), args.groups).await?;
        measure(young, old, args.runs).await
    })?;
    println!("commits/one row/local disk, medians of {} in turn, ms", args.runs);
    println!(
        "{:>14} {:>8} {:>12} {:>12} {:>8}",
        "on timeline", "commit", "same writes", "clock skew", "beyond"
    );
    for Taken { at, commit, writes } in [young, old] {
        let skew = (CommitOptions::default().clock_skew * TIMES).as_secs_f64() * 1e3;
        println!("{at:>14} {commit:>8.1} {writes:>12.1} {skew:>12.1} {:>8.1}", commit - writes - skew);
    }
    println!("old to young: {:.2}x", old.commit / young.commit);
    show(&old_folder, args)
}

/// What a commit took, and its writes alone, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// Commits on the timeline at the start.
    at: u64,
    commit: f64,
    writes: f64,
}

/// The medians of some commits on a young and on an old table, in turn.
async fn measure(mut young: Commits, mut old: Commits, runs: u64) -> Result<(Taken, Taken), Failure> {
    let mut taken = [(); 2].map(|()| (Vec::new(), Vec::new()));
    let mut operations = Vec::new();
    for bench in [&mut young, &mut old] {
        operations.push(bench.logged().await?);
    }
    let at = [young.number, old.number];
    for run in 0..=runs {
        let turns = [&mut young, &mut old].into_iter().zip(&operations).zip(&mut taken);
        for ((bench, operations), (commits, writes)) in turns {
            let commit = bench.time_commit().await?;
            let replay = bench.time_replay(operations).await?;
            // The first run warms up.
            if run > 0 {
                commits.push(commit);
                writes.push(replay);
            }
        }
    }
    let [(young_commits, young_writes), (old_commits, old_writes)] = taken;
    let [young_at, old_at] = at;
    let young = Taken { at: young_at, commit: median(young_commits), writes: median(young_writes) };
    Ok((young, Taken { at: old_at, commit: median(old_commits), writes: median(old_writes) }))
}

/// Times `lakebed table show` as a process, and the start of the process alone.
#[expect(clippy::print_stdout, reason = "the figures are what the command is for")]
fn show(folder: &Path, args: &CommitsArgs) -> Result<(), Failure> {
    let program = std::env::current_exe()?.with_file_name("lakebed");
    if !program.exists() {
        return Err(format!("{} is missing: build it with cargo build --release", program.display()).into());
    }
    let clock = Environment::real().clock;
    let time = |arguments: &[&str]| {
        let mut times = Vec::new();
        for _ in 0..=args.runs {
            let started = clock.monotonic();
            let output = Command::new(&program).args(arguments).output()?;
            times.push((clock.monotonic() - started).as_secs_f64() * 1e3);
            if !output.status.success() {
                return Err::<_, Failure>(String::from_utf8_lossy(&output.stderr).into_owned().into());
            }
        }
        Ok(median(times))
    };
    let path = folder.display().to_string();
    println!(
        "lakebed table show, {} commits, {} file groups: {:.0} ms",
        args.commits,
        args.groups,
        time(&["table", "show", &path])?
    );
    println!("lakebed --version: {:.1} ms", time(&["--version"])?);
    Ok(())
}

pub(super) struct Commits {
    environment: Environment,
    storage: Arc<dyn Storage>,
    scratch: Arc<dyn Storage>,
    row: RecordBatch,
    sink: Sink,
    pub(super) number: u64,
    replays: u64,
}

impl Commits {
    /// A table of `groups` file groups, and its sink.
    pub(super) async fn start(folder: &Path, groups: u32) -> Result<Self, Failure> {
        let environment = Environment::real();
        let open =
            async |folder: &Path| storage::open(&folder.display().to_string().parse()?, &environment).await;
        let storage = open(folder).await?;
        let base_rows = u64::from(groups) * 20;
        let workload = Workload {
            seed: 7,
            shape: Shape::Wide,
            required_key: false,
            base_rows,
            upsert_rows: 0,
            delete_rows: 0,
        };
        let new = NewTable {
            partition_fields: Vec::new(),
            bucket_index: Some(BucketIndex { buckets: groups, hash_fields: vec!["id".into()] }),
            ..workload.table()?
        };
        Table::create(storage.clone(), &environment, &new).await?;
        let mut sink = Self::sink(storage.clone(), &environment).await?;
        let rows: Vec<RecordBatch> = workload.base().collect();
        for batch in &rows {
            sink.write(batch, None).await?;
        }
        commit(&mut sink, PipelineProgress { checkpoint: 1, ..PipelineProgress::default() }).await?;
        let row = rows.first().ok_or("no rows")?.slice(0, 1);
        let scratch = open(&folder.with_extension("scratch")).await?;
        Ok(Self { environment, storage, scratch, row, sink, number: 1, replays: 0 })
    }

    async fn sink(storage: Arc<dyn Storage>, environment: &Environment) -> Result<Sink, Failure> {
        Ok(Sink::open(storage, environment, "bench", Vec::new(), SinkOptions::default()).await?)
    }

    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        self.number += 1;
        self.sink.write(&self.row, None).await?;
        let progress = PipelineProgress { checkpoint: self.number, ..PipelineProgress::default() };
        commit(&mut self.sink, progress).await?;
        Ok(())
    }

    /// Milliseconds of a commit.
    async fn time_commit(&mut self) -> Result<f64, Failure> {
        let clock = self.environment.clock.clone();
        let started = clock.monotonic();
        self.commit().await?;
        Ok((clock.monotonic() - started).as_secs_f64() * 1e3)
    }

    /// Milliseconds of the writes of a commit.
    async fn time_replay(&mut self, operations: &[LoggedOperation]) -> Result<f64, Failure> {
        let clock = self.environment.clock.clone();
        let started = clock.monotonic();
        self.replay(operations).await?;
        Ok((clock.monotonic() - started).as_secs_f64() * 1e3)
    }

    /// The operations of one commit.
    async fn logged(&mut self) -> Result<Vec<LoggedOperation>, Failure> {
        let logging = FaultStorage::new(self.storage.clone());
        self.sink = Self::sink(Arc::new(logging.clone()), &self.environment).await?;
        self.commit().await?;
        let before = logging.operations().len();
        self.commit().await?;
        let operations = logging.operations().split_off(before);
        self.sink = Self::sink(self.storage.clone(), &self.environment).await?;
        Ok(operations)
    }

    /// The writes and deletes among `operations`, of as many bytes, in a folder of their own.
    async fn replay(&mut self, operations: &[LoggedOperation]) -> Result<(), Failure> {
        self.replays += 1;
        let mut files: BTreeMap<String, Box<dyn FileWriter>> = BTreeMap::new();
        for LoggedOperation { operation, path, bytes } in operations {
            let here = format!("{}-{}", path, self.replays).parse()?;
            let content = Bytes::from(vec![0; *bytes as usize]);
            match operation {
                Operation::PutIfAbsent => drop(self.scratch.put_if_absent(&here, content).await?),
                Operation::Put => self.scratch.put(&here, content).await?,
                Operation::Create if path.as_str().starts_with(".hoodie/.temp") => {}
                Operation::Create => {
                    let marker = format!(".hoodie/.temp/{}/{path}", self.replays).parse()?;
                    files.insert(path.to_string(), self.scratch.create(&here, Some(&marker)).await?);
                }
                Operation::Write => {
                    if let Some(file) = files.get_mut(path.as_str()) {
                        file.write(content).await?;
                    }
                }
                Operation::Finish => {
                    if let Some(file) = files.remove(path.as_str()) {
                        file.finish().await?;
                    }
                }
                Operation::Delete => drop(self.scratch.delete(&here).await?),
                Operation::DeleteDir => {
                    self.scratch.delete_dir(&format!(".hoodie/.temp/{}", self.replays).parse()?).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

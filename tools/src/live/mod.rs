//! `lakebed-tools live`: a table that is written to by a job and by Spark, maintained by three processes at once,
//! and read by Spark, for minutes.
//!
//! Every snapshot that Spark reads must be the table as of some commit, and no older than the one before. With
//! `--kills` the processes are killed at random moments, and started again. With `--without-spark` it only tells how
//! long commits take beside our own services.
#![expect(clippy::print_stdout, reason = "a command for people at a terminal")]

mod model;
mod processes;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Args;
use lakebed::environment::Environment;
use lakebed::storage::{self, Scheme};
use lakebed::table::{Engine, Table, writer_options};
use tokio::runtime::Runtime;

use crate::spark::{Options, Query, Rows, Spark, SparkError, SparkTable};
use model::State;
use processes::Processes;

type Failed = Box<dyn std::error::Error>;

/// How long, and how rough.
#[derive(Debug, Clone, Copy, Args)]
pub struct LiveArguments {
    /// For how many seconds records are delivered.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// How many processes are killed meanwhile.
    #[arg(long, default_value_t = 0)]
    kills: u64,
    /// Which of them, and when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many processes maintain the table.
    #[arg(long, default_value_t = 3)]
    maintainers: u64,
    /// Spark neither reads nor writes: nobody but our own services stands in the job's way.
    #[arg(long)]
    without_spark: bool,
}

/// A file is delivered every so often.
const DELIVERY: Duration = Duration::from_millis(300);
/// How long the last records may take to be seen.
const CATCHING_UP: Duration = Duration::from_secs(120);
/// Spark writes at every so manieth look.
const SPARK_WRITES_EVERY: u64 = 3;
/// So often Spark writes the same rows anew after conflicts.
const TRIES: u32 = 30;

/// Archival goes no further than cleaning, which leaves what somebody may read who began a minute ago.
const COMMITS_MAX: usize = 300;

const JOB: &str = "\
pipeline: live
table:
  uri: t
  create: {key: [id], partition: [part], ordering: [ts], buckets: 2}
  shared: true
  heartbeat: {interval: 2s, misses: 5}
source: {files: ['in/*.jsonl'], follow: true, poll: 100ms}
mapping: {operation: {column: op}}
commit: {interval: 500ms}
";

const FLEET: &str = "\
budget: {memory: 256MiB}
services:
  compaction: {min_log_files: 3}
  clean: {retain_commits: 3, reader_window: 1m}
  archive: {min_commits: 10, max_commits: 15}
tables: [{uri: t, shared: true, heartbeat: {interval: 2s, misses: 5}}]
";

/// Runs it.
///
/// # Errors
/// A snapshot that is of no commit, a process that ended by itself, a service that failed.
pub fn run(arguments: LiveArguments) -> Result<(), Failed> {
    let folder = tempfile::Builder::new().prefix("lakebed-live-").tempdir()?;
    let live =
        Live { runtime: Runtime::new()?, environment: Environment::real(), folder: folder.path().to_owned() };
    fs::create_dir(live.folder.join("in"))?;
    fs::write(live.folder.join("job.yaml"), JOB)?;
    fs::write(live.folder.join("fleet.yaml"), FLEET)?;
    let done = match arguments.without_spark {
        true => live.run_without_spark(arguments),
        false => live.run(arguments),
    };
    if done.is_err() {
        println!("what is left is in {}", folder.keep().display());
    }
    done
}

struct Live {
    runtime: Runtime,
    environment: Environment,
    folder: PathBuf,
}

impl Live {
    fn run(&self, arguments: LiveArguments) -> Result<(), Failed> {
        let mut spark = Spark::start()?;
        let mut processes = Processes::start(&self.folder, arguments.seed)?;
        // Before anything else comes into its folder.
        self.deliver(1)?;
        self.wait_for_table(&mut processes)?;
        let options = self.options_of_spark()?;
        processes.maintain(arguments.maintainers)?;
        let mut table = SparkTable::new(&mut spark, "live", &self.folder.join("t"));
        table.options.extend(options);
        let (delivered, processes) = (AtomicU64::new(1), Mutex::new(processes));
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let delivering = scope.spawn(|| {
                let disturbed = self.disturb(arguments, &processes, (&delivered, &ended));
                disturbed.map_err(|error| error.to_string())
            });
            let watched = self.watch(arguments, &mut table, &processes, (&delivered, &ended));
            ended.store(true, Ordering::Relaxed);
            delivering.join().map_err(|_| "the deliveries panicked")??;
            watched
        })
    }

    fn run_without_spark(&self, arguments: LiveArguments) -> Result<(), Failed> {
        let processes = Mutex::new(Processes::start(&self.folder, arguments.seed)?);
        self.deliver(1)?;
        self.wait_for_table(&mut lock(&processes))?;
        lock(&processes).maintain(arguments.maintainers)?;
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                self.runtime.block_on(self.environment.clock.sleep(Duration::from_secs(arguments.seconds)));
                ended.store(true, Ordering::Relaxed);
            });
            let disturbed = self.disturb(arguments, &processes, (&AtomicU64::new(1), &ended));
            waiting.join().map_err(|_| "the wait panicked")?;
            disturbed
        })?;
        println!("{}", lock(&processes).end()?);
        Ok(())
    }

    /// Delivers, and kills processes, until it is to end.
    fn disturb(
        &self,
        arguments: LiveArguments,
        processes: &Mutex<Processes>,
        (delivered, ended): (&AtomicU64, &AtomicBool),
    ) -> Result<(), Failed> {
        let begun = self.environment.clock.monotonic();
        let mut kills = 0;
        while !ended.load(Ordering::Relaxed) {
            self.runtime.block_on(self.environment.clock.sleep(DELIVERY));
            self.deliver(delivered.load(Ordering::Relaxed) + 1)?;
            delivered.fetch_add(1, Ordering::Relaxed);
            let passed = self.environment.clock.monotonic().saturating_sub(begun);
            if kills < arguments.kills && kills * arguments.seconds < arguments.kills * passed.as_secs() {
                lock(processes).kill_one()?;
                kills += 1;
            }
        }
        Ok(())
    }

    /// Looks at the table, and has Spark write to it, while records are delivered and for as long as the last of them
    /// are not seen.
    fn watch(
        &self,
        arguments: LiveArguments,
        table: &mut SparkTable<'_>,
        processes: &Mutex<Processes>,
        (delivered, ended): (&AtomicU64, &AtomicBool),
    ) -> Result<(), Failed> {
        let begun = self.environment.clock.monotonic();
        let passed = || self.environment.clock.monotonic().saturating_sub(begun);
        let (mut seen, mut looks) = (State::default(), 0);
        while passed() < Duration::from_secs(arguments.seconds) {
            looks += 1;
            if looks % SPARK_WRITES_EVERY == 0 {
                upsert(table, seen.theirs + 1)?;
                seen.theirs += 1;
            }
            seen = look(table, seen, delivered)?;
            lock(processes).check()?;
        }
        ended.store(true, Ordering::Relaxed);
        let deadline = passed() + CATCHING_UP;
        while seen.ours < delivered.load(Ordering::Relaxed) {
            if passed() > deadline {
                return Err(format!("of {delivered:?} deliveries {} are seen", seen.ours).into());
            }
            seen = look(table, seen, delivered)?;
            looks += 1;
            lock(processes).check()?;
        }
        let told = lock(processes).end()?;
        seen = look(table, seen, delivered)?;
        println!(
            "{looks} snapshots of Spark were each as of a commit: {} deliveries and {} writes of Spark; {} processes \
             were killed",
            seen.ours, seen.theirs, arguments.kills
        );
        println!("{told}");
        self.check_timeline()
    }

    /// Puts the records of a delivery where the job finds them, as a whole.
    fn deliver(&self, number: u64) -> Result<(), Failed> {
        let hidden = self.folder.join(format!(".{number}"));
        fs::write(&hidden, model::delivery(number))?;
        Ok(fs::rename(hidden, self.folder.join(format!("in/{number:06}.jsonl")))?)
    }

    /// Waits until the job has made the table.
    fn wait_for_table(&self, processes: &mut Processes) -> Result<(), Failed> {
        while !self.folder.join("t/.hoodie/hoodie.properties").exists() {
            processes.check()?;
            self.runtime.block_on(self.environment.clock.sleep(Duration::from_millis(50)));
        }
        Ok(())
    }

    /// The settings by which Spark shares the table.
    fn options_of_spark(&self) -> Result<Options, Failed> {
        let config = self.table()?.config;
        let options = writer_options(&config, Scheme::File, Engine::Spark);
        let mut options: Options = options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        // As the others have it: who is silent for longer is rolled back.
        options.insert("hoodie.client.heartbeat.interval_in_ms".into(), "2000".into());
        options.insert("hoodie.client.heartbeat.tolerable.misses".into(), "5".into());
        Ok(options)
    }

    fn table(&self) -> Result<Table, Failed> {
        self.runtime.block_on(async {
            let uri = self.folder.join("t").display().to_string().parse()?;
            let storage = storage::open(&uri, &self.environment).await?;
            Ok(Table::open(storage, &self.environment, None).await?)
        })
    }

    /// The active timeline is short, and nothing on it is left undone.
    fn check_timeline(&self) -> Result<(), Failed> {
        let timeline = self.runtime.block_on(self.table()?.timeline.load())?;
        let (completed, pending) = (timeline.completed_writes().count(), timeline.pending().count());
        println!("the active timeline has {completed} commits, and {pending} pending instants");
        if completed > COMMITS_MAX {
            return Err(format!("{completed} commits on the active timeline").into());
        }
        Ok(())
    }
}

fn lock(processes: &Mutex<Processes>) -> MutexGuard<'_, Processes> {
    processes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What Spark sees, which must be no older than what was `seen` before.
fn look(table: &mut SparkTable<'_>, seen: State, delivered: &AtomicU64) -> Result<State, Failed> {
    let rows = table.read(&Query::Snapshot)?;
    // The one that is just put may be read already.
    let delivered = delivered.load(Ordering::Relaxed) + 1;
    let state = State::of(&rows)?;
    let is_newer = (seen.ours..=delivered).contains(&state.ours) && state.theirs == seen.theirs;
    if !is_newer {
        return Err(format!("{state:?} was seen after {seen:?}, of {delivered} deliveries").into());
    }
    Ok(state)
}

fn upsert(table: &mut SparkTable<'_>, number: u64) -> Result<(), Failed> {
    let values = model::values_of_spark(number);
    let rows = Rows::Values { ddl: model::DDL, values: &values };
    for _ in 0..TRIES {
        match table.write("upsert", rows, &[]) {
            Ok(()) => return Ok(()),
            Err(SparkError::Failed { message }) if message.contains("HoodieWriteConflictException") => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err("Spark met conflicts again and again".into())
}

/// The program beside this one.
fn program() -> Result<PathBuf, Failed> {
    let here = std::env::current_exe()?;
    let program = here.parent().unwrap_or(Path::new(".")).join("lakebed");
    match program.exists() {
        true => Ok(program),
        false => Err(format!("{} is not there: build it (cargo build)", program.display()).into()),
    }
}

//! A table to which a commit is made every minute, maintained every five: it must not get slower with the years.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use clap::Args;
use lakebed::commit::PipelineProgress;
use lakebed::environment::{Clock, Environment, SeededIds};
use lakebed::maintain::fleet::{FleetTable, KnownTables, Look, Services, serve};
use lakebed::maintain::{MaintainOptions, Maintainer, RunLimits};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::Storage;
use lakebed::storage::object::ObjectStorage;
use lakebed::table::Table;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{BucketIndex, NewTable, TableType};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::load::{Failure, commit, write};

/// How long.
#[derive(Debug, Clone, Copy, Args)]
pub struct YearArgs {
    /// Days of the simulated time.
    #[arg(long, default_value_t = 365)]
    days: u64,
    /// A line is printed for each so many days.
    #[arg(long, default_value_t = 30)]
    line_days: u64,
}

const MINUTE: Duration = Duration::from_secs(60);
const MINUTES_OF_DAY: u64 = 24 * 60;
/// The services run every so many minutes.
const SERVED_EVERY: u64 = 5;
/// Rows of a commit, of ten times as many keys in all.
const ROWS: u64 = 4;
/// Who sleeps for so long or longer is in the background: heartbeats, renewals of locks.
const BACKGROUND: Duration = Duration::from_secs(30);

/// A clock that a sleep moves on by what it sleeps, at once.
#[derive(Debug)]
struct QuickClock {
    start_unix_millis: i64,
    passed_millis: AtomicU64,
}

impl QuickClock {
    fn advance(&self, by: Duration) {
        self.passed_millis.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }
}

#[async_trait::async_trait]
impl Clock for QuickClock {
    fn unix_millis(&self) -> i64 {
        self.start_unix_millis + self.monotonic().as_millis() as i64
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.passed_millis.load(Ordering::Relaxed))
    }

    async fn sleep(&self, duration: Duration) {
        if duration >= BACKGROUND {
            std::future::pending::<()>().await;
        }
        self.advance(duration);
        tokio::task::yield_now().await;
    }
}

/// Runs it and prints how the table and its services fare.
#[expect(clippy::print_stdout, reason = "the figures are what the command is for")]
pub fn run(args: YearArgs) -> Result<(), Failure> {
    Runtime::new()?.block_on(async {
        let real = Environment::real();
        // The time of files is the system's: the last minute is now.
        let minutes = args.days * MINUTES_OF_DAY;
        let start_unix_millis = real.clock.unix_millis() - (minutes as i64 + 1) * 60_000;
        let clock = Arc::new(QuickClock { start_unix_millis, passed_millis: AtomicU64::new(0) });
        let environment =
            Environment { clock: clock.clone(), ids: Arc::new(SeededIds::new(1)), ..real.clone() };
        let year = Year::new(environment, real).await?;
        let mut sink =
            Sink::open(year.storage(), &year.environment, "year", Vec::new(), SinkOptions::default()).await?;
        let cache = tempfile::tempdir()?;
        let known = KnownTables::new(Some(cache.path().to_owned()));
        println!("   day  timeline  archive  data files  commit ms  services ms");
        let mut spent = [Duration::ZERO; 2];
        for minute in 1..=minutes {
            let begun = year.real.clock.monotonic();
            write(&mut sink, &rows(minute)?, false).await?;
            commit(&mut sink, PipelineProgress { checkpoint: minute, ..PipelineProgress::default() }).await?;
            let committed = year.real.clock.monotonic();
            spent[0] += committed.saturating_sub(begun);
            if minute % SERVED_EVERY == 0 {
                year.serve(&known).await?;
                spent[1] += year.real.clock.monotonic().saturating_sub(committed);
            }
            clock.advance(MINUTE);
            if minute % (args.line_days * MINUTES_OF_DAY) == 0 {
                let of = args.line_days * MINUTES_OF_DAY;
                let [timeline, archive, data] = year.files().await?;
                let millis = |spent: Duration, count: u64| spent.as_secs_f64() * 1e3 / count as f64;
                println!(
                    "{:6}{timeline:10}{archive:9}{data:12}{:11.2}{:13.2}",
                    minute / MINUTES_OF_DAY,
                    millis(spent[0], of),
                    millis(spent[1], of / SERVED_EVERY)
                );
                spent = [Duration::ZERO; 2];
            }
        }
        Ok(())
    })
}

struct Year {
    storage: Arc<dyn Storage>,
    environment: Environment,
    /// What measures.
    real: Environment,
}

impl Year {
    async fn new(environment: Environment, real: Environment) -> Result<Self, Failure> {
        let storage = ObjectStorage::in_memory(&"s3://memory/t".parse()?, &environment);
        let storage: Arc<dyn Storage> = Arc::new(storage);
        let schema = TableSchema::from_arrow(&rows(1)?.schema(), "year")?;
        let new = NewTable {
            record_key_fields: vec!["id".into()],
            ordering_fields: vec!["ts".into()],
            bucket_index: Some(BucketIndex { buckets: 2, hash_fields: vec!["id".into()] }),
            readers: vec!["spark".into()],
            ..NewTable::without_keys("year", TableType::MergeOnRead, schema.to_avro())
        };
        Table::create(storage.clone(), &environment, &new).await?;
        Ok(Self { storage, environment, real })
    }

    fn storage(&self) -> Arc<dyn Storage> {
        self.storage.clone()
    }

    async fn serve(&self, known: &KnownTables) -> Result<(), Failure> {
        let options = MaintainOptions::default();
        let maintainer = Maintainer::open(self.storage(), &self.environment, options.clone()).await?;
        let look = Look { environment: &self.environment, known, options: &options, pace: None };
        let table = FleetTable::new(self.storage.uri().clone(), Services::default());
        let limits = RunLimits { stop: watch::channel(false).1, deadline: None };
        let (_, done) = serve(&look, &maintainer, &table, &limits, u64::MAX, &|_| {}).await;
        Ok(done?)
    }

    /// Files of the active timeline, of the archive, and of rows.
    async fn files(&self) -> Result<[usize; 3], Failure> {
        let count =
            async |folder: &str| Ok::<_, Failure>(self.storage.list(&folder.parse()?).await?.files.len());
        let snapshot = Table::open(self.storage(), &self.environment, None).await?.snapshot(None).await?;
        let data = snapshot.partitions().await?.iter().map(|(_, files)| files.len()).sum();
        Ok([count(".hoodie/timeline").await?, count(".hoodie/timeline/history").await?, data])
    }
}

/// The rows of a minute.
fn rows(minute: u64) -> Result<RecordBatch, Failure> {
    let ids: StringArray =
        (0..ROWS).map(|n| Some(format!("k{}", (minute * ROWS + n) % (10 * ROWS)))).collect();
    let times = Int64Array::from(vec![minute as i64; ROWS as usize]);
    let (ids, times): (ArrayRef, ArrayRef) = (Arc::new(ids), Arc::new(times));
    Ok(RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("ts", times, true)])?)
}

//! Minute after minute, for long.

use std::time::Duration;

use lakebed::maintain::compaction::{CompactionRules, plan};
use lakebed::maintain::{RunLimits, Survey};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::fault::FaultStorage;
use lakebed::storage::object::ObjectStorage;
use lakebed::storage::{Operation, TablePath};
use lakebed_hudi::timeline_metadata::CommitMetadata;

use super::*;
use crate::maintain::clock::StepClock;

const MINUTES: u64 = 3000;
const KEYS: u64 = 20;

fn path(text: &str) -> TablePath {
    text.parse().unwrap()
}

async fn compact(maintainer: &Maintainer) {
    let survey: Survey = maintainer.survey().await.unwrap();
    let draft = plan(&survey, &CompactionRules::everything());
    let scheduled = maintainer.schedule_compaction(&survey, &draft).await.unwrap();
    let lakebed::commit::Scheduled::At(instant) = scheduled else { panic!("{scheduled:?}") };
    let limits = RunLimits { stop: watch::channel(false).1, deadline: None };
    maintainer.compact(instant, &limits, &|_| {}).await.unwrap();
}

/// The rows after so many minutes.
fn expected(minutes: u64) -> Vec<String> {
    let newest = |key: u64| (1..=minutes).rev().find(|minute| minute % KEYS == key);
    let mut rows: Vec<String> =
        (0..KEYS).filter_map(newest).map(|minute| format!("k{} x {minute} -", minute % KEYS)).collect();
    rows.sort();
    rows
}

struct Place {
    storage: FaultStorage,
    environment: Environment,
    clock: Arc<StepClock>,
}

impl Place {
    async fn new() -> Self {
        // The time of files is the system's: the last minute is now.
        let now = Environment::real().clock.unix_millis();
        let (environment, clock) = StepClock::environment(now - 60_000 * (MINUTES + 1) as i64);
        let inner = ObjectStorage::in_memory(&"s3://memory/t".parse().unwrap(), &environment);
        let storage = FaultStorage::new(Arc::new(inner));
        Table::create(Arc::new(storage.clone()), &environment, &bucket_table()).await.unwrap();
        Self { storage, environment, clock }
    }

    fn disk(&self) -> Arc<dyn Storage> {
        Arc::new(self.storage.clone())
    }

    async fn open(&self) -> Sink {
        Sink::open(self.disk(), &self.environment, "p", Vec::new(), SinkOptions::default()).await.unwrap()
    }

    async fn minute(&self, sink: &mut Sink, minute: u64) {
        let key = format!("k{}", minute % KEYS);
        sink.write(&rows(&[(&key, "x", minute as i64, None)]), None).await.unwrap();
        assert!(is_committed(&checkpoint(sink, minute).await));
        self.clock.advance(Duration::from_secs(60));
    }

    async fn table(&self) -> Table {
        Table::open(self.disk(), &self.environment, None).await.unwrap()
    }

    async fn check(&self, minute: u64) {
        let active = self.storage.list(&path(".hoodie/timeline")).await.unwrap().files.len();
        // Three files for each of at most thirty commits, and one that keeps the folder.
        assert!(active <= 3 * 30 + 1, "{active} files of the active timeline after {minute} minutes");
        let history = self.storage.list(&path(".hoodie/timeline/history")).await.unwrap().files.len();
        assert!(history <= 40, "{history} files of the archive after {minute} minutes");
        assert_eq!(texts_of(&self.table().await.snapshot(None).await.unwrap()).await, expected(minute));
    }

    /// Has the commits of the active timeline say nothing of progress, as if other engines had made them.
    async fn forget_progress(&self) {
        let table = self.table().await;
        for commit in table.timeline.load().await.unwrap().completed_writes() {
            let mut metadata: CommitMetadata = table.timeline.commit_metadata(commit).await.unwrap();
            metadata.extra_metadata.retain(|key, _| !key.starts_with("lakebed."));
            let bytes = metadata.to_avro().unwrap().into();
            self.storage.put(&table.timeline.path(&commit.file()), bytes).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_active_timeline_stays_short_and_everything_is_found() {
    let place = Place::new().await;
    let options = MaintainOptions::default();
    let maintainer = Maintainer::open(place.disk(), &place.environment, options).await.unwrap();
    let (rules, running) = (ArchiveRules::default(), watch::channel(false).1);
    let mut sink = place.open().await;
    for minute in 1..=MINUTES {
        place.minute(&mut sink, minute).await;
        if minute % 45 == 0 {
            compact(&maintainer).await;
        }
        if minute % 10 == 0 {
            maintainer.archive(&rules, &running, &|_| {}).await.unwrap();
        }
        if minute % 500 == 0 {
            place.check(minute).await;
        }
    }
    let places = places(&place.table().await).await;
    assert!(places.len() as u64 >= MINUTES + MINUTES / 45, "every commit and compaction");
    assert!(places.values().all(|[active, archived]| active + archived == 1));

    // All that the active timeline says of progress is gone: it is found in the newest file of the archive.
    place.forget_progress().await;
    let newest_archived = MINUTES - places.values().filter(|at| at[0] == 1).count() as u64;
    let before = place.storage.operations().len();
    let known = maintainer.committer().read_known().await.unwrap();
    let found = known.progress.pipelines["p"].checkpoint;
    assert!((newest_archived - 1..=newest_archived + 1).contains(&found), "{found}, not {newest_archived}");
    let operations = place.storage.operations();
    let of_history = |o: &&lakebed::storage::fault::LoggedOperation| {
        o.path.as_str().starts_with(".hoodie/timeline/history/") && o.path.as_str().ends_with(".parquet")
    };
    let read = operations[before..].iter().filter(of_history).filter(|o| o.operation == Operation::Get);
    assert_eq!(read.count(), 1, "one file is read, of the others the footers");
}

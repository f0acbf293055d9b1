//! Random workloads against a model. `LAKEBED_TEST_SEEDS=N` runs N more of each kind.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use lakebed::commit::Outcome;
use lakebed::environment::Environment;
use lakebed::sink::{Prepared, Sink, SinkOptions};
use lakebed::storage::Storage;
use lakebed::storage::object::ObjectStorage;
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::bucket::BucketHash;

use super::audit;
use super::clock::QuickClock;
use super::model::{Change, Model, Random, batch};
use crate::test_table::{bucket_table, progress};

const FIXED_SEEDS: u64 = 3;
const STEPS: usize = 40;
const IDS: u64 = 10;
const PARTITIONS: [&str; 3] = ["x", "y", "z"];

#[derive(Debug, Clone)]
enum Step {
    Upsert(Vec<Change>),
    /// Two checkpoints are prepared before the first is committed.
    InFlight(Vec<Change>, Vec<Change>),
    Overwrite(Vec<Change>),
    /// Another pipeline commits.
    Foreign(Vec<Change>),
    /// Another pipeline commits between the end of a checkpoint and its commit.
    Race {
        ours: Vec<Change>,
        theirs: Vec<Change>,
    },
    /// The process stops and another one comes.
    Restart,
    /// It stops while it writes: what it wrote is lost and written again.
    StopWriting(Vec<Change>),
    /// It stops before it commits; the next one adopts what was prepared, or writes it again.
    StopPrepared {
        changes: Vec<Change>,
        adopted: bool,
    },
}

/// What late rows may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Late {
    /// Rows, but no deletes: so that the order of files makes no difference.
    Rows,
    /// Anything.
    Deletes,
}

struct Workload {
    random: Random,
    late: Late,
    now: i64,
    /// Of keys that were deleted: since when.
    deleted: BTreeMap<(String, String), i64>,
}

impl Workload {
    fn steps(seed: u64, late: Late) -> Vec<Step> {
        let mut workload = Self { random: Random(seed), late, now: 10, deleted: BTreeMap::new() };
        (0..STEPS).map(|_| workload.step()).collect()
    }

    fn step(&mut self) -> Step {
        match self.random.below(20) {
            0..=5 => Step::Upsert(self.changes()),
            6..=8 => Step::InFlight(self.changes(), self.changes()),
            9 => Step::Overwrite(self.overwrite()),
            10..=12 => Step::Foreign(self.changes()),
            13..=14 => self.race(),
            15 => Step::Restart,
            16..=17 => Step::StopWriting(self.changes()),
            _ => Step::StopPrepared { changes: self.changes(), adopted: self.random.below(2) == 0 },
        }
    }

    fn changes(&mut self) -> Vec<Change> {
        (0..=self.random.below(8)).map(|_| self.change()).collect()
    }

    fn change(&mut self) -> Change {
        self.now += 1;
        let id = format!("k{}", self.random.below(IDS));
        let partition = PARTITIONS[self.random.below(3) as usize];
        let key = (partition.to_owned(), id.clone());
        let mut ts = self.now - [0, 0, 0, 1, 5, 20][self.random.below(6) as usize].min(self.now - 1);
        if self.random.below(4) == 0 {
            let since = self.deleted.entry(key).or_insert(ts);
            *since = ts.max(*since);
            return Change::delete(&id, partition, ts);
        }
        if let Some(since) = self.deleted.get(&key).filter(|_| self.late == Late::Rows) {
            ts = ts.max(since + 1);
        }
        Change::put(&id, partition, ts, &format!("v{}", self.now))
    }

    /// Equal ordering values of one key are left to the model that knows the order of files.
    fn race(&mut self) -> Step {
        let (theirs, mut ours) = (self.changes(), self.changes());
        let key = |c: &Change| (c.partition.clone(), c.id.clone(), c.ts);
        if self.late == Late::Rows {
            ours.retain(|our| theirs.iter().all(|their| key(our) != key(their)));
        }
        if ours.is_empty() { Step::Foreign(theirs) } else { Step::Race { ours, theirs } }
    }

    /// New rows of one or two partitions, of each key one.
    fn overwrite(&mut self) -> Vec<Change> {
        self.now += 1;
        let mut changes = Vec::new();
        for partition in &PARTITIONS[..=self.random.below(2) as usize] {
            self.deleted.retain(|(p, _), _| p != partition);
            let first = self.random.below(IDS);
            changes
                .extend((first..IDS).map(|id| Change::put(&format!("k{id}"), partition, self.now, "over")));
        }
        changes
    }
}

/// What the table should hold.
enum Expected {
    Plain(Model),
    Slices(Slices),
}

impl Expected {
    fn new(late: Late) -> Self {
        match late {
            Late::Rows => Self::Plain(Model::default()),
            Late::Deletes => Self::Slices(Slices::default()),
        }
    }

    fn upsert(&mut self, changes: &[Change]) {
        match self {
            Self::Plain(model) => model.upsert(changes),
            Self::Slices(slices) => slices.upsert(changes),
        }
    }

    fn upsert_beside(&mut self, pending: &[Change], changes: &[Change]) {
        match self {
            Self::Plain(model) => model.upsert(changes),
            Self::Slices(slices) => slices.upsert_beside(pending, changes),
        }
    }

    /// `theirs` was begun after `ours` and completed before it. Log files come in the order of their
    /// instants: of equal ordering values the one counts that was begun later.
    fn side_by_side(&mut self, ours: &[Change], theirs: &[Change]) {
        match self {
            Self::Plain(model) => model.upsert(&[theirs, ours].concat()),
            Self::Slices(slices) => {
                slices.upsert(ours);
                slices.upsert(theirs);
            }
        }
    }

    fn overwrite(&mut self, changes: &[Change]) {
        match self {
            Self::Plain(model) => model.overwrite(changes),
            Self::Slices(slices) => {
                slices.0.retain(|(partition, _), _| changes.iter().all(|c| c.partition != *partition));
                slices.upsert(changes);
            }
        }
    }

    fn rows(&self) -> Model {
        match self {
            Self::Plain(model) => model.clone(),
            Self::Slices(slices) => slices.rows(),
        }
    }
}

/// The greatest ordering value of a key, with its text or none if it deletes; the later of equals.
type Entries = BTreeMap<String, (i64, Option<String>)>;

fn fold(entries: &mut Entries, id: &str, ts: i64, text: Option<String>) {
    if entries.get(id).is_none_or(|(before, _)| ts >= *before) {
        entries.insert(id.to_owned(), (ts, text));
    }
}

fn by_bucket(changes: &[Change]) -> BTreeMap<(String, u32), Entries> {
    let hash = BucketHash::new(["id"], 2);
    let mut buckets: BTreeMap<(String, u32), Entries> = BTreeMap::new();
    for c in changes {
        let entries = buckets.entry((c.partition.clone(), hash.bucket(&c.id))).or_default();
        fold(entries, &c.id, c.ts, (!c.delete).then(|| c.text.clone()));
    }
    buckets
}

/// Hudi's own view: the first rows of a bucket are its base file, which knows of no delete; all
/// that follows is folded by itself and then put over the base.
#[derive(Default)]
struct Slices(BTreeMap<(String, u32), (Entries, Entries)>);

impl Slices {
    fn upsert(&mut self, changes: &[Change]) {
        for (bucket, mut entries) in by_bucket(changes) {
            if let Some((_, log)) = self.0.get_mut(&bucket) {
                entries.into_iter().for_each(|(id, (ts, text))| fold(log, &id, ts, text));
                continue;
            }
            entries.retain(|_, (_, text)| text.is_some());
            if !entries.is_empty() {
                self.0.insert(bucket, (entries, Entries::new()));
            }
        }
    }

    /// As [`Slices::upsert`], while another pipeline has prepared `pending`: a bucket that it has
    /// begun gets no base file from anybody else.
    fn upsert_beside(&mut self, pending: &[Change], changes: &[Change]) {
        let mut begun = by_bucket(pending);
        begun.retain(|_, entries| entries.values().any(|(_, text)| text.is_some()));
        for (bucket, _) in by_bucket(changes) {
            if begun.contains_key(&bucket) {
                self.0.entry(bucket).or_default();
            }
        }
        self.upsert(changes);
    }

    fn rows(&self) -> Model {
        let mut rows = Model::default();
        for ((partition, _), (base, log)) in &self.0 {
            let mut merged = base.clone();
            log.iter().for_each(|(id, (ts, text))| fold(&mut merged, id, *ts, text.clone()));
            for (id, (ts, text)) in merged {
                rows.0.extend(text.map(|text| ((partition.clone(), id), (ts, text))));
            }
        }
        rows
    }
}

struct Run {
    storage: Arc<dyn Storage>,
    environment: Environment,
    sink: Sink,
    expected: Expected,
}

impl Run {
    async fn new(seed: u64, late: Late) -> Self {
        let environment = QuickClock::environment(seed);
        let storage = ObjectStorage::in_memory(&"s3://memory/t".parse().unwrap(), &environment);
        let storage: Arc<dyn Storage> = Arc::new(storage);
        Table::create(storage.clone(), &environment, &bucket_table()).await.unwrap();
        let sink = open(&storage, &environment, "p", WriteOperation::Upsert, Vec::new()).await;
        Self { storage, environment, sink, expected: Expected::new(late) }
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Upsert(changes) => {
                let prepared = prepare(&mut self.sink, 1, changes).await;
                self.commit(&prepared).await;
                self.expected.upsert(changes);
            }
            Step::InFlight(first, second) => {
                let prepared =
                    [prepare(&mut self.sink, 1, first).await, prepare(&mut self.sink, 2, second).await];
                for prepared in prepared {
                    self.commit(&prepared).await;
                }
                self.expected.upsert(first);
                self.expected.upsert(second);
            }
            Step::Overwrite(changes) => {
                self.reopen(WriteOperation::InsertOverwrite, Vec::new()).await;
                let prepared = prepare(&mut self.sink, 1, changes).await;
                self.commit(&prepared).await;
                self.expected.overwrite(changes);
                self.reopen(WriteOperation::Upsert, Vec::new()).await;
            }
            Step::Foreign(changes) => {
                self.foreign(changes).await;
                self.expected.upsert(changes);
            }
            Step::Race { ours, theirs } => self.race(ours, theirs).await,
            Step::Restart => self.reopen(WriteOperation::Upsert, Vec::new()).await,
            Step::StopWriting(changes) => {
                let (rows, deletes) = batch(changes);
                self.sink.write(&rows, Some(&deletes)).await.unwrap();
                self.reopen(WriteOperation::Upsert, Vec::new()).await;
            }
            Step::StopPrepared { changes, adopted } => {
                let prepared = prepare(&mut self.sink, 1, changes).await;
                if *adopted {
                    self.reopen(WriteOperation::Upsert, vec![prepared]).await;
                    for prepared in self.sink.take_restored() {
                        self.commit(&prepared).await;
                    }
                } else {
                    self.reopen(WriteOperation::Upsert, Vec::new()).await;
                    let prepared = prepare(&mut self.sink, 1, changes).await;
                    self.commit(&prepared).await;
                }
                self.expected.upsert(changes);
            }
        }
    }

    async fn commit(&self, prepared: &Prepared) {
        let outcome = self.sink.committer().commit(prepared).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    }

    async fn reopen(&mut self, operation: WriteOperation, restored: Vec<Prepared>) {
        self.sink = open(&self.storage, &self.environment, "p", operation, restored).await;
    }

    async fn foreign(&mut self, changes: &[Change]) {
        let mut sink = open(&self.storage, &self.environment, "q", WriteOperation::Upsert, Vec::new()).await;
        let prepared = prepare(&mut sink, 1, changes).await;
        let outcome = sink.committer().commit(&prepared).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    }

    /// Where theirs is in the way ours is written once more.
    async fn race(&mut self, ours: &[Change], theirs: &[Change]) {
        let prepared = prepare(&mut self.sink, 1, ours).await;
        self.foreign(theirs).await;
        let outcome = self.sink.committer().commit(&prepared).await.unwrap();
        if let Outcome::Conflicted { .. } = outcome {
            self.expected.upsert_beside(ours, theirs);
            self.sink.rewind().await.unwrap();
            let prepared = prepare(&mut self.sink, 1, ours).await;
            self.commit(&prepared).await;
            self.expected.upsert(ours);
        } else {
            assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
            self.expected.side_by_side(ours, theirs);
        }
    }

    async fn check(&self) {
        let table = Table::open(self.storage.clone(), &self.environment, None).await.unwrap();
        let found = audit::rows(&table).await.unwrap();
        assert_eq!(self.expected.rows().differences(&found), [""; 0]);
    }
}

async fn open(
    storage: &Arc<dyn Storage>,
    environment: &Environment,
    pipeline: &str,
    operation: WriteOperation,
    restored: Vec<Prepared>,
) -> Sink {
    let options = SinkOptions { operation, memory_bytes: Some(128 << 20), ..SinkOptions::default() };
    Sink::open(storage.clone(), environment, pipeline, restored, options).await.unwrap()
}

/// Prepares the checkpoint that comes so many after the last committed one.
async fn prepare(sink: &mut Sink, ahead: u64, changes: &[Change]) -> Prepared {
    let last = sink.progress().unwrap_or_default().checkpoint;
    let (rows, deletes) = batch(changes);
    let deletes = changes.iter().any(|change| change.delete).then_some(&deletes);
    assert!(sink.write(&rows, deletes).await.unwrap().is_empty());
    sink.prepare(progress(last + ahead)).await.unwrap().unwrap()
}

async fn run(seed: u64, late: Late) {
    let steps = Workload::steps(seed, late);
    let mut run = Run::new(seed, late).await;
    for (number, step) in steps.iter().enumerate() {
        let taken = AssertUnwindSafe(async {
            run.take(step).await;
            run.check().await;
        });
        if taken.catch_unwind().await.is_err() {
            let taken: Vec<_> = steps[..=number].iter().map(|step| format!("  {step:?}")).collect();
            panic!(
                "seed {seed}, late rows follow {late:?}: the last of these steps went wrong:\n{}",
                taken.join("\n")
            );
        }
    }
    run.reopen(WriteOperation::Upsert, Vec::new()).await;
    let problems = audit::problems(&run.storage, &run.environment, &run.expected.rows()).await;
    assert_eq!(problems, [""; 0], "seed {seed}, late rows follow {late:?}");
}

async fn all_seeds(late: Late) {
    let more = std::env::var("LAKEBED_TEST_SEEDS").map_or(0, |text| text.parse().unwrap());
    for seed in 0..FIXED_SEEDS + more {
        run(seed, late).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_without_late_rows_of_deleted_keys_have_the_plain_rows() {
    all_seeds(Late::Rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_with_late_rows_of_deleted_keys_have_the_rows_of_hudi() {
    all_seeds(Late::Deletes).await;
}

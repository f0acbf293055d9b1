//! Two processes and one instant: the one takes it back and stops at any operation of that, the other
//! one commits it afterwards.

use std::sync::Arc;

use lakebed::commit::Outcome;
use lakebed::environment::{Environment, SeededIds};
use lakebed::sink::{Prepared, Sink, SinkError};
use lakebed::storage::Storage;
use lakebed::storage::fault::{Fault, FaultStorage, LoggedOperation};
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::table_config::{NewTable, TableType};

use super::audit;
use super::clock::QuickClock;
use super::engine::options;
use super::faults::{DIES, Files, all_survive, disk_of, faults_at};
use super::model::{Change, Model, batch};
use crate::test_table::{bucket_table, is_committed, progress};

/// What a pair does until the one dies, and then the other one.
#[derive(Debug, Clone, Copy)]
enum Pair {
    /// The other one's heartbeat counts as expired, though it lives.
    TakenForDead,
    /// The one was taken over by the other one, which adopted what it had prepared.
    TakenOver,
}

/// A table, and the clock of all who write to it.
#[derive(Clone)]
struct Place {
    disk: Arc<dyn Storage>,
    environment: Environment,
}

impl Place {
    async fn new(table_type: TableType) -> Self {
        let environment = QuickClock::an_hour_after(&QuickClock::environment(0), 1);
        let disk = disk_of(&Files::new(), &environment).await;
        let new = NewTable { table_type, ..bucket_table() };
        Table::create(disk.clone(), &environment, &new).await.unwrap();
        let place = Self { disk, environment };
        place.commit_once("before", &Change::put("a", "x", 0, "a0")).await.unwrap();
        place
    }

    /// Another process of the same time, which reaches the table by `disk`.
    fn process(&self, disk: Arc<dyn Storage>, seed: u64) -> Self {
        let environment = Environment { ids: Arc::new(SeededIds::new(seed)), ..self.environment.clone() };
        Self { disk, environment }
    }

    async fn open(&self, pipeline: &str, restored: Vec<Prepared>) -> Result<Sink, SinkError> {
        let options = options(WriteOperation::Upsert);
        Sink::open(self.disk.clone(), &self.environment, pipeline, restored, options).await
    }

    /// Commits `change`, unless the pipeline has come so far already.
    async fn commit_once(&self, pipeline: &str, change: &Change) -> Result<(), SinkError> {
        let mut sink = self.open(pipeline, Vec::new()).await?;
        if sink.progress().is_none() {
            let prepared = prepare(&mut sink, 1, change).await?;
            assert!(is_committed(&sink.committer().commit(&prepared).await?));
        }
        Ok(())
    }
}

async fn prepare(sink: &mut Sink, checkpoint: u64, change: &Change) -> Result<Prepared, SinkError> {
    sink.write(&batch(std::slice::from_ref(change)).0, None).await?;
    Ok(sink.prepare(progress(checkpoint)).await?.unwrap())
}

impl Pair {
    /// Has the one die by `fault`. Returns its operations from where it may die, their number before
    /// that, and what is wrong in the end.
    async fn run(
        self,
        table_type: TableType,
        fault: Option<Fault>,
    ) -> (Vec<LoggedOperation>, usize, Vec<String>) {
        let place = Place::new(table_type).await;
        let storage = Arc::new(FaultStorage::new(place.disk.clone()));
        fault.into_iter().for_each(|fault| storage.add_fault(fault));
        let dying = place.process(storage.clone(), 2);
        let changes = [Change::put("a", "x", 1, "a1"), Change::put("b", "y", 1, "b1")];
        let (lived, mut problems) = match self {
            Self::TakenForDead => (0, taken_for_dead(&place, &dying, &storage, &changes).await),
            Self::TakenOver => taken_over(&place, &dying, &storage, &changes).await,
        };
        let environment = QuickClock::an_hour_after(&place.environment, 3);
        let later = Place { environment, ..place };
        later.commit_once("later", &Change::put("c", "z", 1, "c1")).await.unwrap();
        let mut model = Model::default();
        model.upsert(&changes);
        model.upsert(&[Change::put("c", "z", 1, "c1")]);
        problems.extend(audit::problems(&later.disk, &later.environment, &model).await);
        (storage.operations(), lived, problems)
    }

    async fn survives(self, table_type: TableType) {
        let (operations, lived, problems) = self.run(table_type, None).await;
        assert_eq!(problems, [""; 0], "without a fault");
        let mut faults = faults_at(&operations, &DIES);
        faults.retain(|fault| fault.at >= lived);
        assert!(faults.len() > 5, "{operations:?}");
        all_survive(faults, move |fault| async move {
            let (operations, _, problems) = self.run(table_type, Some(fault)).await;
            let at = operations.get(fault.at).map(|o| format!("{} {}", o.operation, o.path));
            (!problems.is_empty()).then(|| format!("{fault:?}, {at:?}:\n  {}", problems.join("\n  ")))
        })
        .await;
    }
}

/// One process rolls back what it takes for the instant of a dead one, which then commits it.
async fn taken_for_dead(
    place: &Place,
    dying: &Place,
    storage: &FaultStorage,
    [ours, theirs]: &[Change; 2],
) -> Vec<String> {
    let mut sink = place.open("ours", Vec::new()).await.unwrap();
    let prepared = prepare(&mut sink, 1, ours).await.unwrap();
    let ended = storage.outlive(dying.commit_once("theirs", theirs)).await;
    if let Some(Err(error)) = ended.filter(|_| !storage.has_died()) {
        return vec![error.to_string()];
    }
    let mut outcome = sink.committer().commit(&prepared).await.unwrap();
    if let Outcome::Conflicted { .. } = outcome {
        sink.rewind().await.unwrap();
        let again = prepare(&mut sink, 1, ours).await.unwrap();
        outcome = sink.committer().commit(&again).await.unwrap();
    }
    let mut problems = Vec::new();
    if !is_committed(&outcome) {
        problems.push(format!("not committed: {outcome:?}"));
    }
    let environment = QuickClock::an_hour_after(&place.environment, 4);
    Place { environment, ..place.clone() }.commit_once("theirs", theirs).await.unwrap();
    problems
}

/// A run that was taken over gives up everything; its successor commits what it has adopted.
async fn taken_over(
    place: &Place,
    dying: &Place,
    storage: &FaultStorage,
    [first, second]: &[Change; 2],
) -> (usize, Vec<String>) {
    let mut old = dying.open("p", Vec::new()).await.unwrap();
    let prepared = prepare(&mut old, 1, first).await.unwrap();
    let mut new = place.open("p", vec![prepared.clone()]).await.unwrap();
    let lived = storage.operations().len();
    let give_up = async {
        prepare(&mut old, 2, &Change::put("d", "x", 9, "never committed")).await?;
        let outcome = old.committer().commit(&prepared).await?;
        assert_eq!(outcome, Outcome::Fenced { by: 2 });
        old.rewind().await
    };
    let ended = storage.outlive(give_up).await;
    let mut problems = Vec::new();
    if let Some(Err(error)) = ended.filter(|_| !storage.has_died()) {
        problems.push(error.to_string());
    }
    for restored in new.take_restored() {
        let outcome = new.committer().commit(&restored).await.unwrap();
        if !is_committed(&outcome) {
            problems.push(format!("what was adopted is not committed: {outcome:?}"));
        }
    }
    match prepare(&mut new, 2, second).await {
        Ok(prepared) => assert!(is_committed(&new.committer().commit(&prepared).await.unwrap())),
        Err(error) => problems.push(error.to_string()),
    }
    (lived, problems)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_file_is_not_lost_to_a_rollback_that_stops_anywhere() {
    Pair::TakenForDead.survives(TableType::MergeOnRead).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_file_is_not_lost_to_a_rollback_that_stops_anywhere() {
    Pair::TakenForDead.survives(TableType::CopyOnWrite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_adopted_is_not_lost_to_the_run_before_that_stops_anywhere() {
    Pair::TakenOver.survives(TableType::MergeOnRead).await;
}

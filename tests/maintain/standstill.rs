//! A process that stands still for so long that another one takes over: at any operation of a compaction, or as it
//! begins a write.

use std::sync::Arc;
use std::time::Duration;

use lakebed::environment::Clock as _;
use lakebed::maintain::RunOutcome;
use lakebed::maintain::compaction::CompactionReport;
use lakebed::storage::Operation;
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage, LoggedOperation};
use lakebed_hudi::instant::InstantTime;

use super::place::{Place, Process, Ran, commit};
use crate::recovery::clock::{HOUR, QuickClock};
use crate::recovery::faults::{Files, all_survive, disk_of, files_of};
use crate::recovery::model::{Change, Model, batch};
use crate::test_table::{bucket_table, is_committed, progress, services};

/// A table with a planned compaction, that nobody has begun, or that somebody has begun and died.
#[derive(Clone)]
struct Template {
    files: Arc<Files>,
    model: Arc<Model>,
    planned: InstantTime,
}

impl Template {
    async fn new(was_begun: bool) -> Self {
        let (place, model) = Place::written().await;
        let planned = services::schedule(&place.maintainer().await).await.unwrap().unwrap();
        let files = Arc::new(files_of(place.disk.as_ref()).await);
        let template = Self { files, model: Arc::new(model), planned };
        if !was_begun {
            return template;
        }
        // One file is there and not noted.
        let is_finish = |o: &LoggedOperation| o.operation == Operation::Finish;
        let at = operations(&template).await.iter().position(is_finish).unwrap();
        let (place, _) = template.place().await;
        let fault = Fault { at, kind: FaultKind::DieAfter };
        let dying = Process::start(&place, planned, 6, Some(fault));
        dying.storage.outlive(dying.run).await;
        assert!(dying.storage.has_died());
        Self { files: Arc::new(files_of(place.disk.as_ref()).await), ..template }
    }

    /// The table, and the clock of all who are at it.
    async fn place(&self) -> (Place, Arc<QuickClock>) {
        let (environment, clock) = QuickClock::with_clock(3);
        clock.pass(HOUR);
        (Place { disk: disk_of(&self.files, &environment).await, environment }, clock)
    }
}

fn has_committed(ran: &Ran) -> bool {
    matches!(ran, Ok(CompactionReport { outcome: RunOutcome::Committed { .. }, .. }))
}

/// Whether it says that it has done nothing.
fn gave_up(ran: &Ran) -> bool {
    match ran {
        Ok(report) => report.outcome == RunOutcome::Over,
        Err(_) => true,
    }
}

/// What is wrong when all have ended that were about, but for what the next one is to sweep.
async fn problems(place: &Place, template: &Template) -> Vec<String> {
    let is_trace = |problem: &String| {
        [".temp", ".heartbeat", ".aux"].iter().any(|folder| problem.contains(&format!(": .hoodie/{folder}/")))
    };
    let mut problems = place.problems(&template.model).await;
    problems.retain(|problem| !is_trace(problem));
    problems
}

/// What is wrong when another one has come and gone.
async fn problems_later(place: &Place, template: &Template) -> Vec<String> {
    let later = place.later(9);
    match services::maintain(&later.maintainer().await).await {
        Ok(_) => later.problems(&template.model).await,
        Err(error) => vec![format!("the last run failed: {error}")],
    }
}

/// Has one process stand still at an operation until another one has done all.
async fn is_overtaken(template: Template, at: usize) -> Option<String> {
    let (place, clock) = template.place().await;
    let fault = Fault { at, kind: FaultKind::StandStill };
    let first = Process::start(&place, template.planned, 4, Some(fault));
    if !first.stands_still().await {
        return Some(format!("it did not stand still at {at}"));
    }
    clock.pass(HOUR);
    let second = Process::start(&place, template.planned, 5, None).run.await.unwrap();
    let operation = first.storage.operations()[at].clone();
    let woken = first.wakes().await;
    let mut problems = problems(&place, &template).await;
    problems.extend(problems_later(&place, &template).await);
    if !(has_committed(&second) || has_committed(&woken) && gave_up(&second)) {
        problems.push(format!("nobody has committed: {second:?}, {woken:?}"));
    }
    let LoggedOperation { operation, path, .. } = operation;
    (!problems.is_empty())
        .then(|| format!("{at}, {operation} {path}, {woken:?}:\n  {}", problems.join("\n  ")))
}

async fn operations(template: &Template) -> Vec<LoggedOperation> {
    let (place, _) = template.place().await;
    let process = Process::start(&place, template.planned, 4, None);
    let ran = process.run.await.unwrap();
    assert!(has_committed(&ran), "{ran:?}");
    process.storage.operations()
}

/// A stand at every operation at which a process may stand still. No lock helps against one that has looked at
/// it and stands still before it plans a rollback, or ends one.
fn stops(operations: &[LoggedOperation]) -> Vec<Fault> {
    let is_bytes = |o: &LoggedOperation| matches!(o.operation, Operation::GetRanges | Operation::Write);
    let plans = |o: &LoggedOperation| o.path.as_str().ends_with(".rollback.requested");
    let ends =
        |o: &LoggedOperation| o.operation == Operation::Delete && o.path.as_str().ends_with(".inflight");
    let stops = operations.iter().enumerate().filter(|(_, o)| !is_bytes(o) && !plans(o) && !ends(o));
    stops.map(|(at, _)| Fault { at, kind: FaultKind::StandStill }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_still_and_is_overtaken_changes_nothing_when_it_wakes() {
    for was_begun in [false, true] {
        let template = Template::new(was_begun).await;
        let stops = stops(&operations(&template).await);
        all_survive(stops, |fault| is_overtaken(template.clone(), fault.at)).await;
    }
}

/// Has one process stand still at an operation until another one has begun, and wake while that one is at work.
async fn is_joined(template: Template, at: usize, second_at: usize) -> Option<String> {
    let (place, clock) = template.place().await;
    let stand_still = |at| Some(Fault { at, kind: FaultKind::StandStill });
    let first = Process::start(&place, template.planned, 4, stand_still(at));
    assert!(first.stands_still().await, "{at}");
    clock.pass(HOUR);
    let second = Process::start(&place, template.planned, 5, stand_still(second_at));
    let is_at_work = second.stands_still().await;
    let LoggedOperation { operation, path, .. } = first.storage.operations()[at].clone();
    let started = clock.monotonic();
    let woken = first.wakes().await;
    let beat = format!(".hoodie/.heartbeat/{}", template.planned).parse().unwrap();
    let is_over = has_committed(&woken) || matches!(&woken, Ok(report) if report.outcome == RunOutcome::Over);
    let beats = place.disk.stat(&beat).await.is_ok();
    let took = clock.monotonic() - started;
    let second = second.wakes().await;
    let mut found = Vec::new();
    // Who waits for the lock of one who stands still has time pass for both.
    if took < Duration::from_secs(60) {
        found.extend(problems(&place, &template).await);
        if is_at_work && !is_over && !beats {
            found.push("the heartbeat of who is at work is gone".to_owned());
        }
        if !(has_committed(&second) || is_over && gave_up(&second)) {
            found.push(format!("who was at work has not committed: {second:?}"));
        }
    }
    found.extend(problems_later(&place, &template).await);
    let what = format!("{at} ({operation} {path}), {second_at}, {woken:?}");
    (!found.is_empty()).then(|| format!("{what}:\n  {}", found.join("\n  ")))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_still_and_wakes_does_not_disturb_who_has_taken_over() {
    for was_begun in [false, true] {
        let template = Template::new(was_begun).await;
        let operations = operations(&template).await;
        // Who has not taken it yet would find it taken.
        let is_beat = |o: &LoggedOperation| o.path.as_str().starts_with(".hoodie/.heartbeat/");
        let taken = operations.iter().position(is_beat).unwrap();
        let is_note =
            |o: &LoggedOperation| o.operation == Operation::Put && o.path.as_str().contains("services");
        // A file is there, and is not noted yet; one of several is begun.
        let first_note = operations.iter().position(is_note).unwrap();
        let last_note = operations.iter().rposition(is_note).unwrap();
        for second_at in [first_note, (first_note + last_note) / 2] {
            let stops = stops(&operations).into_iter().filter(|fault| fault.at > taken).collect();
            all_survive(stops, |fault| is_joined(template.clone(), fault.at, second_at)).await;
        }
    }
}

/// Has a writer stand still at an operation of a checkpoint until another one has written, and rolled back what it
/// took for dead. How many instants it has begun in that checkpoint if it could go on; it must go back otherwise.
async fn writer_is_rolled_back(at: usize) -> Option<usize> {
    let (environment, clock) = QuickClock::with_clock(3);
    let place = Place::in_time(environment, &bucket_table()).await;
    let storage = FaultStorage::new(place.disk.clone());
    let mut first = place.process(Arc::new(storage.clone()), 4).sink("first").await;
    let mut second = place.process(place.disk.clone(), 5).sink("second").await;
    commit(&mut first, &[Change::put("a", "x", 1, "a1")]).await;
    let before = storage.operations().len();
    storage.add_fault(Fault { at: before + at, kind: FaultKind::StandStill });

    let others = async {
        while !storage.stands_still() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        clock.pass(HOUR);
        commit(&mut second, &[Change::put("b", "x", 1, "b1")]).await;
        storage.wake();
    };
    let changes = [Change::put("a", "x", 2, "a2")];
    let (rows, _) = batch(&changes);
    let writes = async {
        let written = first.write(&rows, None).await;
        let prepared = match written {
            Ok(_) => first.prepare(progress(2)).await.unwrap().unwrap(),
            Err(error) => return Err(error.to_string()),
        };
        let outcome = first.committer().commit(&prepared).await;
        outcome.map_err(|error| error.to_string()).map(|outcome| is_committed(&outcome))
    };
    let (written, ()) = tokio::join!(writes, others);
    let is_written = written.is_ok_and(|is_committed| is_committed);
    let begins = |o: &&LoggedOperation| {
        o.operation == Operation::PutIfAbsent && o.path.as_str().ends_with(".deltacommit.inflight")
    };
    let begun = storage.operations()[before..].iter().filter(begins).count();
    if !is_written {
        first.rewind().await.unwrap();
        commit(&mut first, &changes).await;
    }
    let mut model = Model::default();
    model.upsert(&[changes[0].clone(), Change::put("b", "x", 1, "b1")]);
    assert_eq!(place.problems(&model).await, [""; 0], "{at}");
    is_written.then_some(begun)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_rolled_back_as_it_stands_still_begins_once_more_or_goes_back() {
    let mut begun = Vec::new();
    for at in 0..20 {
        begun.push(writer_is_rolled_back(at).await);
    }
    assert_eq!(begun.iter().flatten().max(), Some(&2), "{begun:?}");
    assert!(begun.contains(&None), "{begun:?}");
}

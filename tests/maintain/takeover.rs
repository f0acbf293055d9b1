//! A compaction that somebody else is at, or was.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lakebed::commit::{CommitOptions, Taken};
use lakebed::environment::Environment;
use lakebed::maintain::{MaintainOptions, Maintainer, RunOutcome};
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage, LoggedOperation};
use lakebed::storage::{Entry, Operation};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{InstantInfo, RollbackMetadata, RollbackPlan, RollbackRequest};

use super::place::{GROUPS, MEMORY_OF_ONE, Place};
use crate::recovery::clock::QuickClock;
use crate::recovery::model::Model;
use crate::test_table::services;

/// A table with a planned compaction, and its rows.
async fn planned() -> (Place, InstantTime, Model) {
    let (place, model) = Place::written().await;
    let planned = services::schedule(&place.maintainer().await).await.unwrap().unwrap();
    (place, planned, model)
}

/// Has a process that does group after group die by the fault. Returns what it did.
async fn die(place: &Place, planned: InstantTime, fault: Option<Fault>) -> FaultStorage {
    let storage = FaultStorage::new(place.disk.clone());
    fault.into_iter().for_each(|fault| storage.add_fault(fault));
    let maintainer = place.process(Arc::new(storage.clone()), 5).open_within(MEMORY_OF_ONE).await.unwrap();
    storage.outlive(maintainer.compact(planned, &services::no_limits(), &|_| {})).await;
    assert_eq!(storage.has_died(), fault.is_some());
    storage
}

/// Has a process die when it has made so many files, the last of which is not noted.
async fn die_after_files(place: &Place, planned: InstantTime, files: usize) {
    let (again, again_planned, _) = self::planned().await;
    let operations = die(&again, again_planned, None).await.operations();
    let is_file = |(_, o): &(usize, &LoggedOperation)| o.operation == Operation::Finish;
    let (at, _) = operations.iter().enumerate().filter(is_file).nth(files - 1).unwrap();
    die(place, planned, Some(Fault { at, kind: FaultKind::DieAfter })).await;
}

#[tokio::test]
async fn a_dead_executor_is_passed_by_until_its_heartbeat_has_expired() {
    let (place, planned, model) = planned().await;
    die_after_files(&place, planned, 2).await;
    let later = |seconds, seed| {
        let environment = QuickClock::later(&place.environment, Duration::from_secs(seconds), seed);
        Place { environment, ..place.clone() }
    };
    let early = later(100, 8).maintainer().await;
    let report = early.compact(planned, &services::no_limits(), &|_| {}).await.unwrap();
    assert!(matches!(report.outcome, RunOutcome::AtWork { .. }), "{report:?}");
    assert_eq!((report.groups, report.finished), (0, 0));
    assert_eq!(early.table().timeline.load().await.unwrap().pending().count(), 1, "and nothing is changed");

    let late = later(140, 9);
    let report = services::run(&late.maintainer().await, planned).await.unwrap();
    assert_eq!((report.resumed, report.finished), (1, GROUPS - 1), "{report:?}");
    assert_eq!(late.problems(&model).await, [""; 0]);
}

#[tokio::test]
async fn who_beats_is_passed_by_for_as_long_as_it_beats() {
    let (place, planned, _) = planned().await;
    let commit = CommitOptions {
        heartbeat_interval: Duration::from_millis(50),
        heartbeat_misses: 6,
        ..CommitOptions::default()
    };
    let options = MaintainOptions { commit, ..MaintainOptions::default() };
    let open =
        async || Maintainer::open(place.disk.clone(), &Environment::real(), options.clone()).await.unwrap();
    let (one, two) = (open().await, open().await);
    let take = async |maintainer: &Maintainer| {
        maintainer.committer().take(planned, Action::Compaction).await.unwrap()
    };
    let Taken::Run(run) = take(&one).await else { panic!("nobody is at it") };
    for _ in 0..6 {
        let taken = take(&two).await;
        assert!(matches!(taken, Taken::AtWork { .. }), "{taken:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(run);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let taken = take(&two).await;
    assert!(matches!(taken, Taken::Run(_)), "{taken:?}");
}

/// As a writer of Hudi's leaves it that is the only one of its table, and so does not beat.
#[tokio::test]
async fn who_does_not_beat_is_taken_for_dead_when_nothing_was_seen_of_it_for_long() {
    let (files, model) = Place::template().await;
    let folder = tempfile::tempdir().unwrap();
    let place = Place::on_disk(folder.path(), &files).await;
    let maintainer = place.maintainer().await;
    let planned = services::schedule(&maintainer).await.unwrap().unwrap();

    let survey = maintainer.survey().await.unwrap();
    let group = survey.groups.iter().find(|group| group.latest().is_some_and(|s| s.base.is_some())).unwrap();
    let file = format!("{}/{}_0-7-8_{planned}.parquet", group.id.partition, group.id.file_id);
    let inflight = format!(".hoodie/timeline/{planned}.compaction.inflight");
    let markers = format!(".hoodie/.temp/{planned}");
    // The timeline server keeps a list.
    for (path, bytes) in [
        (inflight.clone(), String::new()),
        (format!("{markers}/MARKERS.type"), "TIMELINE_SERVER_BASED".to_owned()),
        (
            format!("{markers}/MARKERS3"),
            format!("{file}.marker.MERGE\np=x/never_made.parquet.marker.CREATE\n"),
        ),
        (file.clone(), "half of it".to_owned()),
    ] {
        place.disk.put(&path.parse().unwrap(), bytes.into()).await.unwrap();
    }
    let seen = |path: &str, minutes: u64| {
        let then = SystemTime::UNIX_EPOCH
            + Duration::from_millis(place.environment.clock.unix_millis() as u64)
            - Duration::from_secs(minutes * 60);
        File::options()
            .write(true)
            .open(folder.path().join("t").join(path))
            .unwrap()
            .set_modified(then)
            .unwrap();
    };
    for (begun, last_file) in [(19, 19), (25, 19), (19, 25)] {
        seen(&inflight, begun);
        seen(&file, last_file);
        let report = maintainer.compact(planned, &services::no_limits(), &|_| {}).await.unwrap();
        let AtWork { minutes } = AtWork::of(report.outcome, &place);
        assert_eq!(minutes, 19, "{begun}, {last_file}");
    }
    seen(&file, 25);
    seen(&inflight, 25);
    let report = services::run(&maintainer, planned).await.unwrap();
    assert_eq!((report.resumed, report.finished), (0, GROUPS));
    assert_eq!(place.problems(&model).await, [""; 0], "nor is its file left");
    let timeline = maintainer.table().timeline.load().await.unwrap();
    assert_eq!(timeline.completed().filter(|instant| instant.action == Action::Rollback).count(), 1);
}

/// Since when somebody was not seen.
struct AtWork {
    minutes: i64,
}

impl AtWork {
    fn of(outcome: RunOutcome, place: &Place) -> Self {
        let RunOutcome::AtWork { seen_unix_millis, .. } = outcome else { panic!("{outcome:?}") };
        Self { minutes: (place.environment.clock.unix_millis() - seen_unix_millis) / 60_000 }
    }
}

/// The put of the completed file is on its way when the process is killed, and comes when the next one is done.
#[tokio::test]
async fn a_completed_file_that_comes_late_says_what_the_other_one_says() {
    let (place, planned, model) = planned().await;
    let (again, again_planned, _) = self::planned().await;
    let operations = die(&again, again_planned, None).await.operations();
    let is_completed = |o: &LoggedOperation| o.path.as_str().ends_with(".commit");
    let at = operations.iter().position(is_completed).unwrap();
    let storage = FaultStorage::with_fault(place.disk.clone(), Fault { at, kind: FaultKind::DieDuring });
    let maintainer = place.process(Arc::new(storage.clone()), 5).open_within(MEMORY_OF_ONE).await.unwrap();
    let dying =
        tokio::spawn(async move { maintainer.compact(planned, &services::no_limits(), &|_| {}).await });
    while !storage.has_died() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let later = place.later(8);
    let report = services::run(&later.maintainer().await, planned).await.unwrap();
    assert_eq!((report.resumed, report.finished), (GROUPS, 0));
    storage.land();
    dying.await.unwrap().unwrap_err();
    let completed = place.disk.list(&".hoodie/timeline".parse().unwrap()).await.unwrap().files;
    let of_compaction = completed.iter().filter(|file| file.path.as_str().ends_with(".commit"));
    assert_eq!(of_compaction.count(), 2);
    assert_eq!(later.problems(&model).await, [""; 0]);
    assert!(services::maintain(&later.maintainer().await).await.unwrap().is_empty());
}

/// Another engine was about to roll the attempt back, and knows nothing of what we have noted.
#[tokio::test]
async fn a_rollback_that_another_engine_has_planned_is_ended_first() {
    for is_inflight in [false, true] {
        let (place, planned, model) = planned().await;
        die_after_files(&place, planned, 3).await;
        let later = place.later(8);
        let maintainer = later.maintainer().await;
        let table = maintainer.table();
        let files = table.storage.list_all(&"p=x".parse().unwrap()).await.unwrap();
        let of_attempt = files.iter().filter(|file| file.path.file_name().contains(planned.as_str()));
        let request = |file: &Entry| RollbackRequest {
            partition_path: "p=x".into(),
            file_id: String::new(),
            latest_base_instant: planned.to_string(),
            files_to_be_deleted: vec![table.storage.uri().without_scheme(&file.path)],
            log_blocks_to_be_deleted: Default::default(),
        };
        let plan = RollbackPlan {
            instant_to_rollback: Some(InstantInfo { commit_time: planned, action: Action::Compaction }),
            rollback_requests: of_attempt.map(request).collect(),
            version: 1,
        };
        assert_eq!(plan.rollback_requests.len(), 2);
        let rollback = (planned.as_str().parse::<u64>().unwrap() + 1).to_string().parse().unwrap();
        let requested = TimelineFile::requested(rollback, Action::Rollback);
        let put = async |file: &TimelineFile, bytes: Vec<u8>| {
            table.storage.put(&table.timeline.path(file), bytes.into()).await.unwrap();
        };
        put(&requested, plan.to_avro().unwrap()).await;
        if is_inflight {
            put(&TimelineFile::inflight(rollback, Action::Rollback), Vec::new()).await;
        }
        let report = services::run(&maintainer, planned).await.unwrap();
        assert_eq!((report.resumed, report.finished), (0, GROUPS), "{report:?}");
        assert_eq!(later.problems(&model).await, [""; 0]);
        let timeline = table.timeline.load().await.unwrap();
        let rolled_back = timeline.completed().find(|instant| instant.action == Action::Rollback).unwrap();
        assert_eq!(rolled_back.time, rollback);
        let told = RollbackMetadata::from_avro(&table.timeline.read(&rolled_back.file()).await.unwrap());
        assert_eq!(told.unwrap().commits_rollback, [planned]);
    }
}

//! What happens between planning and scheduling, and between scheduling and deleting.

use bytes::Bytes;
use lakebed::commit::{CommitError, Outcome};
use lakebed::maintain::clean::{CleanDraft, CleanEvent, CleanSurvey};
use lakebed::maintain::compaction::{self, CompactionRules};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::lock::{LockOptions, TableLock};
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::table_config::{NewTable, TableType};
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{SavepointMetadata, SavepointPartitionMetadata};

use super::*;
use crate::recovery::clock::{HOUR, QuickClock};
use crate::recovery::engine::options;
use crate::recovery::faults::{Files, disk_of};

/// A table with a row whose file was written so often.
async fn written(table_type: TableType, times: u64) -> (TestTable, Sink) {
    let table = TestTable::create(&NewTable { table_type, ..bucket_table() }).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 1..=times {
        write(&mut sink, "k", number as i64).await;
        assert!(is_committed(&checkpoint(&mut sink, number).await));
        if table_type == TableType::MergeOnRead {
            services::compact(&table.snapshot().await.table).await;
        }
    }
    (table, sink)
}

async fn planned(maintainer: &Maintainer, rules: CleanRules) -> (CleanSurvey, CleanDraft) {
    let survey = maintainer.survey_for_clean(rules).await.unwrap();
    let draft = plan(&survey);
    assert!(draft.is_due());
    (survey, draft)
}

/// Savepoints a commit, as Spark does; begins to, at least.
async fn savepoint(table: &Table, commit: InstantTime, complete: bool) {
    let names = async {
        let snapshot = table.snapshot(Some(commit)).await.unwrap();
        let (_, groups) = snapshot.all_file_groups().await.unwrap().remove(0);
        let slices = groups.iter().filter_map(|group| group.latest()).cloned().collect::<Vec<_>>();
        let name = |path: &lakebed::storage::TablePath| path.file_name().to_owned();
        let names = slices.iter().flat_map(|slice| {
            slice.base.iter().map(|f| name(&f.path)).chain(slice.logs.iter().map(|f| name(&f.path)))
        });
        names.collect::<Vec<_>>()
    };
    let partition = SavepointPartitionMetadata {
        partition_path: "p=x".into(),
        savepoint_data_file: if complete { names.await } else { Vec::new() },
    };
    let metadata = SavepointMetadata {
        partition_metadata: [("p=x".to_owned(), partition)].into(),
        version: 1,
        ..SavepointMetadata::default()
    };
    let now = InstantTime::from_unix_millis(table.environment.clock.unix_millis(), table.zone);
    let file = match complete {
        true => TimelineFile::completed(commit, Action::Savepoint, now),
        false => TimelineFile::inflight(commit, Action::Savepoint),
    };
    let bytes = if complete { metadata.to_avro().unwrap().into() } else { Bytes::new() };
    table.storage.put(&table.timeline.path(&file), bytes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_savepoint_keeps_that_was_made_meanwhile_stays() {
    // Before the plan has its instant, or before it is carried out.
    for scheduled in [false, true] {
        for table_type in [TableType::CopyOnWrite, TableType::MergeOnRead] {
            let (table, _sink) = written(table_type, 4).await;
            let maintainer = table.maintainer().await;
            let now = table.snapshot().await;
            let commit = now.timeline.completed_writes().nth(1).unwrap().time;
            let was = texts_of(&now.table.snapshot(Some(commit)).await.unwrap()).await;
            // Savepoints are not among what is new since.
            maintainer.committer().timeline().await.unwrap();
            let (survey, draft) = planned(&maintainer, versions(1)).await;
            if !scheduled {
                savepoint(&now.table, commit, true).await;
            }
            let Scheduled::At(instant) = maintainer.schedule_clean(&survey, &draft).await.unwrap() else {
                panic!()
            };
            if scheduled {
                savepoint(&now.table, commit, true).await;
            }
            let report = maintainer.clean(instant, &no_limits(), &|_| {}).await.unwrap();
            assert!(is_done(&report), "{report:?}");
            assert_eq!(!report.needed.is_empty(), scheduled, "{report:?}");
            assert!(report.deleted < draft.files().count() && report.deleted > 0, "{report:?}");
            let kept = now.table.snapshot(Some(commit)).await.unwrap();
            assert_eq!(texts_of(&kept).await, was);
            let now = table.snapshot().await;
            let done = now.timeline.completed().find(|i| i.action == Action::Clean).unwrap();
            let metadata = now.table.timeline.clean_metadata(done).await.unwrap();
            let gone: Vec<&String> =
                metadata.partition_metadata.values().flat_map(|p| &p.delete_path_patterns).collect();
            assert_eq!(gone.len(), report.deleted, "what stays is not said to be gone");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_that_is_being_made_makes_a_plan_stale() {
    let (table, _sink) = written(TableType::CopyOnWrite, 4).await;
    let maintainer = table.maintainer().await;
    maintainer.committer().timeline().await.unwrap();
    let (survey, draft) = planned(&maintainer, versions(1)).await;
    let now = table.snapshot().await;
    savepoint(&now.table, now.timeline.completed_writes().next().unwrap().time, false).await;
    let stale = maintainer.schedule_clean(&survey, &draft).await.unwrap();
    assert!(
        matches!(&stale, Scheduled::Stale { reason } if reason.contains("just being savepointed")),
        "{stale:?}"
    );
    assert_eq!(table.files_named(".clean"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_a_service_was_planned_for_meanwhile_are_left_alone() {
    let (table, mut sink) = written(TableType::MergeOnRead, 3).await;
    write(&mut sink, "k", 9).await;
    assert!(is_committed(&checkpoint(&mut sink, 4).await));
    let maintainer = table.maintainer().await;
    let (survey, draft) = planned(&maintainer, versions(1)).await;
    let seen = maintainer.survey().await.unwrap();
    let compaction = compaction::plan(&seen, &CompactionRules::everything());
    let Scheduled::At(compaction) = maintainer.schedule_compaction(&seen, &compaction).await.unwrap() else {
        panic!()
    };
    // There is but one group.
    assert_eq!(maintainer.schedule_clean(&survey, &draft).await.unwrap(), Scheduled::Nothing);
    // A plan that knows of the compaction leaves what it reads.
    let report = clean(&maintainer, versions(1)).await.unwrap().unwrap();
    assert!(report.deleted > 0, "{report:?}");
    maintainer.compact(compaction, &no_limits(), &|_| {}).await.unwrap();
    assert_eq!(table.texts().await, ["k x 9 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_stale_when_the_table_was_taken_back_meanwhile() {
    let (table, _sink) = written(TableType::CopyOnWrite, 4).await;
    let maintainer = table.maintainer().await;
    let (survey, draft) = planned(&maintainer, versions(1)).await;
    let instant = schedule(&maintainer, versions(1)).await.unwrap().unwrap();
    // As a restore leaves it: the newest commit is gone, and its files.
    let now = table.snapshot().await;
    let newest = now.timeline.completed_writes().next_back().unwrap();
    let metadata = now.table.timeline.commit_metadata(newest).await.unwrap();
    let restored = table.snapshot().await.timeline.completed_writes().nth_back(1).unwrap().time;
    let was = texts_of(&now.table.snapshot(Some(restored)).await.unwrap()).await;
    table.storage.delete(&now.table.timeline.path(&newest.file())).await.unwrap();
    for (_, stat) in metadata.write_stats() {
        table.storage.delete(&stat.path.as_ref().unwrap().parse().unwrap()).await.unwrap();
    }
    let stale = maintainer.schedule_clean(&survey, &draft).await.unwrap();
    assert!(matches!(&stale, Scheduled::Stale { .. }), "{stale:?}");
    // Whoever carries out what was planned before leaves what is the newest version now.
    let report = maintainer.clean(instant, &no_limits(), &|_| {}).await.unwrap();
    assert_eq!((report.deleted, report.needed.len()), (2, 1), "{report:?}");
    assert_eq!(table.texts().await, was);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_cleaners_the_first_plans() {
    let (table, _sink) = written(TableType::CopyOnWrite, 4).await;
    let [one, other] = [table.maintainer().await, table.maintainer().await];
    let (survey, draft) = planned(&one, versions(1)).await;
    let (other_survey, other_draft) = planned(&other, commits(1)).await;
    let Scheduled::At(_) = one.schedule_clean(&survey, &draft).await.unwrap() else { panic!() };
    let stale = other.schedule_clean(&other_survey, &other_draft).await.unwrap();
    assert!(matches!(&stale, Scheduled::Stale { reason } if reason.contains("clean")), "{stale:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_cleaners_is_at_work() {
    let (table, _sink) = written(TableType::CopyOnWrite, 6).await;
    let instant = schedule(&table.maintainer().await, versions(1)).await.unwrap().unwrap();
    let runs = (0..6).map(|_| {
        let (storage, environment) = (table.storage.clone(), table.environment.clone());
        tokio::spawn(async move {
            let maintainer = maintainer(&storage, &environment).await;
            maintainer.clean(instant, &no_limits(), &|_| {}).await.unwrap().outcome
        })
    });
    let outcomes: Vec<RunOutcome> =
        futures::future::join_all(runs).await.into_iter().map(Result::unwrap).collect();
    let done = outcomes.iter().filter(|outcome| matches!(outcome, RunOutcome::Committed { .. }));
    assert_eq!(done.count(), 1, "{outcomes:?}");
    assert_eq!(table.files_named("_").iter().filter(|name| name.ends_with(".clean")).count(), 1);
    assert_eq!(table.texts().await, ["k x 6 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stood_still_deletes_nothing_any_more() {
    let (environment, clock) = QuickClock::with_clock(1);
    let disk = disk_of(&Files::new(), &environment).await;
    let new = NewTable { table_type: TableType::CopyOnWrite, ..bucket_table() };
    Table::create(disk.clone(), &environment, &new).await.unwrap();
    let mut sink =
        Sink::open(disk.clone(), &environment, "p", vec![], options(WriteOperation::Upsert)).await.unwrap();
    for number in 1..=4 {
        write(&mut sink, "k", number as i64).await;
        assert!(is_committed(&checkpoint(&mut sink, number).await));
    }
    let files = async || disk.list(&"p=x".parse().unwrap()).await.unwrap().files.len();
    let still = maintainer(&disk, &environment).await;
    let instant = schedule(&still, versions(1)).await.unwrap().unwrap();
    let stands_still = |event| {
        if let CleanEvent::Begun { .. } = event {
            clock.pass(HOUR);
        }
    };
    let lapsed = still.clean(instant, &no_limits(), &stands_still).await.unwrap_err();
    assert!(matches!(lapsed, MaintainError::Commit(CommitError::Lapsed { .. })), "{lapsed}");
    assert_eq!(files().await, 5);
    let next = maintainer(&disk, &QuickClock::an_hour_after(&environment, 2)).await;
    assert!(is_done(&next.clean(instant, &no_limits(), &|_| {}).await.unwrap()));
    assert_eq!(files().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_lock_nothing_is_planned() {
    let (table, mut sink) = written(TableType::CopyOnWrite, 4).await;
    let options = MaintainOptions {
        commit: lakebed::commit::CommitOptions {
            lock_wait: Some(Duration::from_millis(50)),
            ..Default::default()
        },
        ..MaintainOptions::default()
    };
    let maintainer = Maintainer::open(table.storage.clone(), &table.environment, options).await.unwrap();
    let (survey, draft) = planned(&maintainer, versions(1)).await;
    let lock = TableLock::new(table.storage.clone(), &table.environment, LockOptions::default()).unwrap();
    let held = lock.acquire(Duration::ZERO).await.unwrap();
    assert!(maintainer.schedule_clean(&survey, &draft).await.is_err());
    held.release().await.unwrap();
    assert_eq!(table.files_named(".clean"), [""; 0]);
    write(&mut sink, "k", 7).await;
    assert!(matches!(checkpoint(&mut sink, 5).await, Outcome::Committed { .. }));
    // A commit more is none of the plan's business.
    assert!(matches!(maintainer.schedule_clean(&survey, &draft).await.unwrap(), Scheduled::At(_)));
}

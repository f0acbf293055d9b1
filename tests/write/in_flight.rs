//! Several checkpoints and several processes at once.

use std::sync::Arc;

use lakebed::commit::{CommitError, Outcome};
use lakebed::sink::{Sink, SinkError, SinkOptions};
use lakebed::storage::Operation;
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage, LoggedOperation};
use lakebed::table::WriteOperation;
use lakebed_hudi::instant::{InstantTime, TimelineZone};
use lakebed_hudi::table_config::NewTable;
use lakebed_hudi::timeline_file::{Action, TimelineFile};

use crate::test_table::*;

#[tokio::test]
async fn the_next_checkpoint_is_written_while_the_last_one_waits() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    write(&mut sink, "a", 1).await;
    let first = sink.prepare(progress(1)).await.unwrap().unwrap();
    write(&mut sink, "a", 2).await;
    let second = sink.prepare(progress(2)).await.unwrap().unwrap();
    assert_eq!(second.task.built_on, [first.task.instant].into());
    let committer = sink.committer();
    let early = committer.commit(&second).await.unwrap();
    assert!(matches!(early, Outcome::Retryable { .. }), "{early:?}");
    assert!(is_committed(&committer.commit(&first).await.unwrap()));
    assert!(is_committed(&committer.commit(&second).await.unwrap()));
    // The second one knows of the base file that the first one has made.
    assert_eq!(table.live_files().await, [("p=x".to_owned(), (1, 1))].into());
    let again = committer.commit(&first).await.unwrap();
    assert_eq!(again, Outcome::AlreadyCommitted { instant: Some(first.task.instant) });
}

#[tokio::test]
async fn a_checkpoint_that_was_written_again_is_not_committed_again() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    write(&mut sink, "a", 1).await;
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    let mut other = table.sink("p2", SinkOptions::default()).await;
    write(&mut other, "b", 1).await;
    assert!(is_committed(&checkpoint(&mut other, 1).await));
    write(&mut sink, "c", 1).await;
    assert_eq!(checkpoint(&mut sink, 1).await, Outcome::AlreadyCommitted { instant: None });
    assert_eq!(table.texts().await, ["a x 1 -", "b x 1 -"]);
    assert_eq!(table.snapshot().await.timeline.pending().count(), 0);
}

#[tokio::test]
async fn after_a_failed_checkpoint_the_next_one_is_given_up_and_the_sink_goes_on() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    write(&mut sink, "a", 1).await;
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    write(&mut sink, "b", 1).await;
    let second = sink.prepare(progress(2)).await.unwrap().unwrap();
    write(&mut sink, "c", 1).await;
    let third = sink.prepare(progress(3)).await.unwrap().unwrap();
    write(&mut sink, "d", 1).await;

    // Somebody rolls the second one back.
    let inflight = format!(".hoodie/timeline/{}.deltacommit.inflight", second.task.instant);
    table.storage.delete(&inflight.parse().unwrap()).await.unwrap();
    let committer = sink.committer();
    let lost = committer.commit(&second).await.unwrap();
    assert!(matches!(lost, Outcome::Conflicted { .. }), "{lost:?}");
    let abandoned = committer.commit(&third).await.unwrap();
    assert!(matches!(abandoned, Outcome::Conflicted { .. }), "{abandoned:?}");
    let refused = sink.write(&rows(&[("e", "x", 1, None)]), None).await;
    assert!(matches!(refused, Err(SinkError::Rewind { .. })), "{refused:?}");

    sink.rewind().await.unwrap();
    assert_eq!(sink.progress().unwrap().checkpoint, 1);
    write(&mut sink, "b", 1).await;
    assert!(is_committed(&checkpoint(&mut sink, 2).await));
    let snapshot = table.snapshot().await;
    assert_eq!(snapshot.timeline.pending().count(), 0);
    assert!(table.files_named(second.task.instant.as_str()).iter().all(|name| name.ends_with("rollback")));
    assert!(table.files_named(third.task.instant.as_str()).is_empty());
}

#[tokio::test]
async fn after_a_checkpoint_failed_to_begin_the_sink_is_rewound_and_goes_on() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    let mut other = table.sink("p2", SinkOptions::default()).await;
    write(&mut other, "a", 1).await;
    assert!(is_committed(&checkpoint(&mut other, 1).await));
    // What others committed is read when the instant is on the timeline already.
    let snapshot = table.snapshot().await;
    let newest = snapshot.timeline.completed_writes().next_back().unwrap().file();
    let path = snapshot.table.timeline.path(&newest);
    let whole = table.storage.get(&path, u64::MAX).await.unwrap().bytes;
    table.storage.put(&path, "{".into()).await.unwrap();
    let broken = sink.write(&rows(&[("b", "x", 1, None)]), None).await.unwrap_err();
    assert!(matches!(broken, SinkError::Table(_)), "{broken}");
    table.storage.put(&path, whole).await.unwrap();
    let refused = sink.write(&rows(&[("b", "x", 1, None)]), None).await;
    assert!(matches!(refused, Err(SinkError::Rewind { .. })), "{refused:?}");

    sink.rewind().await.unwrap();
    assert_eq!(table.snapshot().await.timeline.pending().count(), 0);
    write(&mut sink, "b", 1).await;
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
}

#[tokio::test]
async fn what_one_process_prepared_another_one_commits() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    write(&mut sink, "a", 1).await;
    let first = sink.prepare(progress(1)).await.unwrap().unwrap();
    write(&mut sink, "a", 2).await;
    let second = sink.prepare(progress(2)).await.unwrap().unwrap();
    write(&mut sink, "b", 1).await;
    drop(sink);

    let stored = serde_json::to_string(&[first, second]).unwrap();
    let restored = serde_json::from_str(&stored).unwrap();
    let mut sink = table.restored_sink("p1", restored, SinkOptions::default()).await;
    assert_eq!(table.snapshot().await.timeline.pending().count(), 2, "the third one is rolled back");
    for prepared in sink.take_restored() {
        assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
    }
    assert_eq!(sink.progress().unwrap().checkpoint, 2);
    write(&mut sink, "b", 1).await;
    assert!(is_committed(&checkpoint(&mut sink, 3).await));
}

#[tokio::test]
async fn the_second_process_of_a_pipeline_fences_the_first() {
    let table = TestTable::create(&bucket_table()).await;
    let mut old = table.sink("p1", SinkOptions::default()).await;
    write(&mut old, "a", 1).await;
    let prepared = old.prepare(progress(1)).await.unwrap().unwrap();
    let mut new = table.sink("p1", SinkOptions::default()).await;
    write(&mut old, "b", 1).await;
    write(&mut new, "a", 1).await;
    assert!(is_committed(&checkpoint(&mut new, 1).await));
    let fenced = old.committer().commit(&prepared).await.unwrap();
    assert_eq!(fenced, Outcome::Fenced { by: 2 });
    assert!(matches!(old.prepare(progress(2)).await, Err(SinkError::Rewind { .. })));
    drop(old);

    // Its late files are swept by whoever comes next, and no trace is left on the timeline.
    let _next = table.sink("p1", SinkOptions::default()).await;
    let snapshot = table.snapshot().await;
    assert_eq!(snapshot.timeline.pending().count(), 0);
    assert_eq!(table.live_files().await, [("p=x".to_owned(), (1, 0))].into());
    assert_eq!(table.files_named("00000000-0000").len() + table.files_named("00000001-0000").len(), 1);
}

#[tokio::test]
async fn what_the_second_process_adopted_is_not_taken_back_by_the_first() {
    for commits in [true, false] {
        let table = TestTable::create(&bucket_table()).await;
        let mut old = table.sink("p1", SinkOptions::default()).await;
        write(&mut old, "a", 1).await;
        let prepared = old.prepare(progress(1)).await.unwrap().unwrap();
        let mut new = table.restored_sink("p1", vec![prepared.clone()], SinkOptions::default()).await;
        write(&mut old, "b", 1).await;
        if commits {
            assert_eq!(old.committer().commit(&prepared).await.unwrap(), Outcome::Fenced { by: 2 });
        } else {
            old.rewind().await.unwrap();
        }
        assert!(is_committed(&new.committer().commit(&prepared).await.unwrap()));
        // What the old one began after that goes when the new one goes on.
        write(&mut new, "c", 1).await;
        assert!(is_committed(&checkpoint(&mut new, 2).await));
        assert_eq!(table.texts().await, ["a x 1 -", "c x 1 -"]);
        assert_eq!(table.snapshot().await.timeline.pending().count(), 0);
    }
}

#[tokio::test]
async fn another_pipeline_is_left_alone() {
    let table = TestTable::create(&bucket_table()).await;
    let mut one = table.sink("p1", SinkOptions::default()).await;
    write(&mut one, "a", 1).await;
    assert!(is_committed(&checkpoint(&mut one, 1).await));
    write(&mut one, "a", 2).await;
    let prepared = one.prepare(progress(2)).await.unwrap().unwrap();
    let mut two = table.sink("p2", SinkOptions::default()).await;
    write(&mut two, "a", 3).await;
    assert!(is_committed(&checkpoint(&mut two, 1).await));
    assert!(is_committed(&one.committer().commit(&prepared).await.unwrap()));
    let sink = table.sink("p2", SinkOptions::default()).await;
    assert_eq!(sink.progress().unwrap().checkpoint, 1);
    let sink = table.sink("p1", SinkOptions::default()).await;
    assert_eq!(sink.progress().unwrap().checkpoint, 2);
}

#[tokio::test]
async fn a_file_in_flight_is_remembered_when_others_write_beside_it() {
    // "a" and "b" are in buckets of their own.
    for restart in [false, true] {
        let table = TestTable::create(&bucket_table()).await;
        let mut one = table.sink("p1", SinkOptions::default()).await;
        write(&mut one, "a", 1).await;
        let mut first = one.prepare(progress(1)).await.unwrap().unwrap();
        if restart {
            drop(one);
            one = table.restored_sink("p1", vec![first], SinkOptions::default()).await;
            first = one.take_restored().remove(0);
        }
        let mut two = table.sink("p2", SinkOptions::default()).await;
        write(&mut two, "b", 1).await;
        assert!(is_committed(&checkpoint(&mut two, 1).await));
        // "c" is in the bucket of "a".
        write(&mut one, "c", 2).await;
        let second = one.prepare(progress(2)).await.unwrap().unwrap();
        for prepared in [first, second] {
            assert!(is_committed(&one.committer().commit(&prepared).await.unwrap()));
        }
        assert_eq!(table.texts().await, ["a x 1 -", "b x 1 -", "c x 2 -"]);
    }
}

#[tokio::test]
async fn an_overwrite_replaces_what_the_one_before_it_has_not_shown_yet() {
    let table = TestTable::create(&bucket_table()).await;
    let options = SinkOptions { operation: WriteOperation::InsertOverwrite, ..SinkOptions::default() };
    let mut sink = table.sink("p1", options).await;
    write(&mut sink, "a", 1).await;
    let first = sink.prepare(progress(1)).await.unwrap().unwrap();
    write(&mut sink, "b", 1).await;
    let second = sink.prepare(progress(2)).await.unwrap().unwrap();
    for prepared in [first, second] {
        assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
    }
    assert_eq!(table.texts().await, ["b x 1 -"]);
}

#[tokio::test]
async fn what_others_commit_between_two_checkpoints_is_taken_in() {
    let table = TestTable::create(&bucket_table()).await;
    let mut ours = table.sink("ours", SinkOptions::default()).await;
    let overwrite = SinkOptions { operation: WriteOperation::InsertOverwriteTable, ..SinkOptions::default() };
    let mut theirs = table.sink("theirs", overwrite).await;

    for round in 1..=3 {
        write(&mut ours, "a", 1).await;
        assert!(is_committed(&checkpoint(&mut ours, round).await));
        write(&mut theirs, "b", 1).await;
        assert!(is_committed(&checkpoint(&mut theirs, round).await));
        assert_eq!(table.texts().await, ["b x 1 -"]);
    }
}

#[tokio::test]
async fn a_timeline_of_tomorrow_is_told_of_and_not_waited_for() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    let tomorrow = table.environment.clock.unix_millis() + 86_400_000;
    let theirs = InstantTime::from_unix_millis(tomorrow, TimelineZone::Utc);
    let file = TimelineFile::requested(theirs, Action::DeltaCommit);
    let path = sink.table().timeline.path(&file);
    table.storage.put(&path, Default::default()).await.unwrap();
    let error = sink.write(&rows(&[("a", "x", 1, None)]), None).await.unwrap_err();
    let SinkError::Commit(CommitError::ClockBehind { latest, behind, .. }) = &error else {
        panic!("{error}");
    };
    assert!(*latest == theirs && behind.as_secs() > 86_000, "{error}");
    assert!(error.to_string().contains(theirs.as_str()), "{error}");
    assert_eq!(table.files_named("lock"), [""; 0], "the lock is given back");
    table.storage.delete(&path).await.unwrap();
    write(&mut sink, "a", 1).await;
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
}

#[tokio::test]
async fn a_partition_that_is_called_like_a_list_of_markers_is_rolled_back_like_any_other() {
    let table = TestTable::create(&NewTable { hive_style: false, ..bucket_table() }).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    sink.write(&rows(&[("a", "MARKERS0", 1, None)]), None).await.unwrap();
    let given_up = sink.prepare(progress(1)).await.unwrap().unwrap();
    let path = given_up.staged.files[0].path.clone();
    assert!(path.as_str().starts_with("MARKERS0/"), "{path}");
    table.storage.stat(&path).await.unwrap();
    table.sink("p1", SinkOptions::default()).await;
    assert!(table.storage.stat(&path).await.is_err(), "{path} is still there");
}

#[tokio::test]
async fn a_broken_plan_of_a_rollback_is_named_with_what_to_do() {
    let table = TestTable::create(&bucket_table()).await;
    let now = InstantTime::from_unix_millis(table.environment.clock.unix_millis(), TimelineZone::Utc);
    let file = TimelineFile::requested(now, Action::Rollback);
    let path = table.snapshot().await.table.timeline.path(&file);
    for plan in ["", "cut off"] {
        table.storage.put(&path, plan.into()).await.unwrap();
        let (storage, options) = (table.storage.clone(), SinkOptions::default());
        let error = Sink::open(storage, &table.environment, "p1", Vec::new(), options).await.unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with(path.as_str()) && told.contains("delete the file"), "{told}");
    }
    table.storage.delete(&path).await.unwrap();
    table.sink("p1", SinkOptions::default()).await;
}

#[tokio::test]
async fn a_broken_plan_of_a_service_is_named_with_what_to_do() {
    for action in [Action::Compaction, Action::Clustering] {
        let table = TestTable::create(&bucket_table()).await;
        let mut sink = table.sink("p1", SinkOptions::default()).await;
        write(&mut sink, "a", 1).await;
        let prepared = sink.prepare(progress(1)).await.unwrap().unwrap();
        let now = InstantTime::from_unix_millis(table.environment.clock.unix_millis(), TimelineZone::Utc);
        let path_of = async |file: TimelineFile| table.snapshot().await.table.timeline.path(&file);
        let requested = path_of(TimelineFile::requested(now, action)).await;
        let inflight = path_of(TimelineFile::inflight(now, action)).await;
        for (plan, begun) in [("", false), ("cut off", false), ("", true)] {
            table.storage.put(&requested, plan.into()).await.unwrap();
            if begun {
                table.storage.put(&inflight, "".into()).await.unwrap();
            }
            let told = sink.committer().commit(&prepared).await.unwrap_err().to_string();
            assert!(told.starts_with(&format!("{requested}: the plan of this {action} is broken")), "{told}");
            let remedy = match begun {
                true => format!("data files with {now} in their names, then {} and", inflight.file_name()),
                false => "delete this file: the service has not begun".to_owned(),
            };
            assert!(told.contains(&remedy), "{told}");
        }
        for path in [inflight, requested] {
            table.storage.delete(&path).await.unwrap();
        }
        assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
    }
}

/// Rewinding fails at one of its operations, and is called again.
#[tokio::test]
async fn all_is_given_up_by_a_rewind_that_is_called_again() {
    let (before, operations) = rewound(None).await;
    let is_of_files = |o: &LoggedOperation| {
        o.operation == Operation::Delete
            && ["p=", ".hoodie/timeline"].iter().any(|f| o.path.as_str().starts_with(f))
    };
    let files = operations.iter().enumerate().skip(before).filter(|(_, o)| is_of_files(o));
    let at = files.map(|(at, _)| at).collect::<Vec<_>>();
    assert!(at.len() >= 6, "of two instants a file, and what was requested and inflight: {operations:?}");
    for at in at {
        rewound(Some(Fault { at, kind: FaultKind::FailBefore })).await;
    }
}

async fn rewound(fault: Option<Fault>) -> (usize, Vec<LoggedOperation>) {
    let table = TestTable::create(&bucket_table()).await;
    let storage = FaultStorage::new(table.storage.clone());
    fault.into_iter().for_each(|fault| storage.add_fault(fault));
    let (disk, options) = (Arc::new(storage.clone()), SinkOptions::default());
    let mut sink = Sink::open(disk, &table.environment, "p1", Vec::new(), options).await.unwrap();
    for checkpoint in 1..=2 {
        write(&mut sink, "a", checkpoint as i64).await;
        sink.prepare(progress(checkpoint)).await.unwrap().unwrap();
    }
    let before = storage.operations().len();
    assert_eq!(sink.rewind().await.is_err(), fault.is_some());
    sink.rewind().await.unwrap();
    assert_eq!(table.snapshot().await.timeline.pending().count(), 0, "{fault:?}");
    assert_eq!(table.files_named(".parquet").len() + table.files_named(".log.").len(), 0, "{fault:?}");
    (before, storage.operations())
}

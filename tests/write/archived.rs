//! Commits that others have moved to the archived timeline.

use lakebed::commit::{CommitOptions, Committer, Outcome, Progress};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::lock::{LockOptions, TableLock};
use lakebed_hudi::timeline_file::{Action, TimelineFile};

use crate::test_table::*;

async fn commit(sink: &mut Sink, id: &str, partition: &str, number: u64) {
    sink.write(&rows(&[(id, partition, number as i64, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(sink, number).await));
}

/// A commit as another engine makes it: it says nothing of progress.
async fn foreign_commit(table: &TestTable, number: u64) {
    let mut sink = table.sink("foreign", SinkOptions::default()).await;
    commit(&mut sink, "f", "foreign", number).await;
    table.forget_progress().await;
}

async fn archived_by_others(table: &TestTable) {
    for number in 1..=3 {
        foreign_commit(table, number).await;
    }
    table.archive(2).await;
    for metadata in table.commits().await {
        assert_eq!(Progress::of(&metadata), Ok(None), "no commit of the active timeline has progress");
    }
}

async fn checkpoint_of(table: &TestTable, pipeline: &str) -> Option<u64> {
    let sink = table.sink(pipeline, SinkOptions::default()).await;
    sink.progress().map(|progress| progress.checkpoint)
}

#[tokio::test]
async fn a_pipeline_goes_on_from_progress_that_is_archived() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    commit(&mut sink, "a", "x", 1).await;
    commit(&mut sink, "a", "x", 2).await;
    archived_by_others(&table).await;
    assert_eq!(checkpoint_of(&table, "p1").await, Some(2));
    // Whoever commits next brings it back to the active timeline.
    let mut other = table.sink("p2", SinkOptions::default()).await;
    assert_eq!(other.progress(), None);
    commit(&mut other, "b", "x", 1).await;
    assert_eq!(Progress::of(table.commits().await.last().unwrap()).unwrap().unwrap().pipelines.len(), 2);
    assert_eq!(checkpoint_of(&table, "p1").await, Some(2));
}

#[tokio::test]
async fn progress_that_was_archived_unread_is_carried_forward() {
    // It is archived before the other pipeline begins to write again, or while it writes.
    for writes_before in [false, true] {
        let table = TestTable::create(&bucket_table()).await;
        let mut idle = table.sink("p2", SinkOptions::default()).await;
        // What the one saw when it was last awake is archived with what it has not seen.
        commit(&mut idle, "b", "x", 1).await;
        commit(&mut idle, "b", "x", 2).await;
        let mut sink = table.sink("p1", SinkOptions::default()).await;
        commit(&mut sink, "a", "x", 7).await;
        if writes_before {
            idle.write(&rows(&[("b", "x", 3, None)]), None).await.unwrap();
        }
        archived_by_others(&table).await;
        commit(&mut idle, "b", "x", 3).await;
        assert_eq!(checkpoint_of(&table, "p1").await, Some(7));
        assert_eq!(checkpoint_of(&table, "p2").await, Some(3));
    }
}

#[tokio::test]
async fn files_of_commits_that_were_archived_unread_are_written_on() {
    let table = TestTable::create(&bucket_table()).await;
    let mut idle = table.sink("p1", SinkOptions::default()).await;
    commit(&mut idle, "a", "x", 1).await;
    commit(&mut idle, "a", "x", 2).await;
    let mut other = table.sink("p2", SinkOptions::default()).await;
    // "b" and "d" share a bucket that has no file yet.
    other.write(&rows(&[("b", "x", 1, None), ("d", "x", 1, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut other, 1).await));
    archived_by_others(&table).await;
    commit(&mut idle, "b", "x", 3).await;
    assert_eq!(table.texts().await, ["a x 2 -", "b x 3 -", "d x 1 -", "f foreign 3 -"]);
}

#[tokio::test]
async fn a_commit_that_was_archived_is_known_when_it_is_tried_again() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    write(&mut sink, "a", 1).await;
    let prepared = sink.prepare(progress(1)).await.unwrap().unwrap();
    assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
    archived_by_others(&table).await;
    let already = Outcome::AlreadyCommitted { instant: Some(prepared.task.instant) };
    assert_eq!(sink.committer().commit(&prepared).await.unwrap(), already);
    commit(&mut sink, "b", "x", 2).await;
    // Another process that was handed the checkpoint knows no more of it.
    let mut sink = table.restored_sink("p1", vec![prepared], SinkOptions::default()).await;
    let restored = sink.take_restored();
    assert_eq!(sink.committer().commit(&restored[0]).await.unwrap(), already);
    assert_eq!(sink.progress().unwrap().checkpoint, 2);
    assert_eq!(table.texts().await, ["a x 1 -", "b x 2 -", "f foreign 3 -"]);
}

/// Keeps the newest commit by a savepoint.
async fn savepoint(table: &TestTable) {
    let snapshot = table.snapshot().await;
    let newest = snapshot.timeline.completed_writes().next_back().unwrap();
    let file = TimelineFile::completed(newest.time, Action::Savepoint, newest.completion().unwrap());
    table.storage.put(&snapshot.table.timeline.path(&file), "".into()).await.unwrap();
}

#[tokio::test]
async fn commits_that_were_archived_meanwhile_are_met_too() {
    // A savepoint may keep the first commit on the timeline.
    for keeps_first in [false, true] {
        let table = TestTable::create(&bucket_table()).await;
        let mut ours = table.sink("p1", SinkOptions::default()).await;
        commit(&mut ours, "a", "x", 1).await;
        if keeps_first {
            savepoint(&table).await;
        }
        // "b" and "d" share a bucket that has no file yet.
        ours.write(&rows(&[("b", "x", 2, None)]), None).await.unwrap();
        let prepared = ours.prepare(progress(2)).await.unwrap().unwrap();
        commit(&mut table.sink("p2", SinkOptions::default()).await, "d", "x", 1).await;
        for number in 1..=3 {
            foreign_commit(&table, number).await;
        }
        table.archive(2).await;
        let met = ours.committer().commit(&prepared).await.unwrap();
        assert!(matches!(&met, Outcome::Conflicted { reason } if reason.contains("00000001")), "{met:?}");
    }
}

#[tokio::test]
async fn a_process_forgets_what_was_archived_while_it_wrote() {
    let table = TestTable::create(&bucket_table()).await;
    let lock = TableLock::new(table.storage.clone(), &table.environment, LockOptions::default()).unwrap();
    let committer = Committer::new(table.snapshot().await.table, lock, CommitOptions::default());
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    for number in 1..=12 {
        commit(&mut sink, "a", "x", number).await;
        // Twice what there is when it looks: the newest one, and the two that were kept before.
        assert!(committer.timeline().await.unwrap().instants().count() <= 6);
        table.archive(2).await;
    }
    assert_eq!(table.texts().await, ["a x 12 -"]);
}

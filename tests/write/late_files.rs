//! Files that a run brings after another one has taken over and rolled its instant back.

use std::time::Duration;

use bytes::Bytes;
use lakebed::commit::{CommitOptions, Outcome};
use lakebed::sink::{Prepared, Sink, SinkOptions};
use lakebed::storage::TablePath;

use super::archived::archive;
use crate::test_table::*;

async fn write(sink: &mut Sink, id: &str, ts: i64) {
    sink.write(&rows(&[(id, "x", ts, None)]), None).await.unwrap();
}

async fn commit(sink: &mut Sink, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        write(sink, "b", number as i64).await;
        assert!(is_committed(&checkpoint(sink, number).await));
    }
}

/// The bytes of the one file of a checkpoint.
async fn file_of(table: &TestTable, prepared: &Prepared) -> (TablePath, Bytes) {
    let [file] = &prepared.staged.files[..] else { panic!("{:?}", prepared.staged) };
    (file.path.clone(), table.storage.get(&file.path, u64::MAX).await.unwrap().bytes)
}

/// Archives past the fenced run's instant, and expects that nothing of it is there.
async fn is_gone_for_good(table: &TestTable, late: &Prepared, rows: &[&str]) {
    assert_eq!(table.files_named(late.task.instant.as_str()), [""; 0]);
    archive(table, 1).await;
    let snapshot = table.snapshot().await;
    assert!(snapshot.timeline.is_before_start(late.task.instant), "its files would be visible");
    assert_eq!(table.texts().await, rows);
}

#[tokio::test]
async fn a_file_that_is_begun_after_the_rollback_goes_when_the_new_run_writes_on() {
    // The fenced run's instant is the first one of the table, or another one.
    for is_first in [true, false] {
        let table = TestTable::create(&bucket_table()).await;
        if !is_first {
            commit(&mut table.sink("p0", SinkOptions::default()).await, 1..=1).await;
        }
        let mut old = table.sink("p1", SinkOptions::default()).await;
        write(&mut old, "a", 1).await;
        let mut new = table.sink("p1", SinkOptions::default()).await;
        commit(&mut new, 1..=1).await;
        let late = old.prepare(progress(1)).await.unwrap().unwrap();
        drop(old);
        assert!(!table.files_named(late.task.instant.as_str()).is_empty());
        commit(&mut new, 2..=3).await;
        is_gone_for_good(&table, &late, &["b x 3 -"]).await;
    }
}

#[tokio::test]
async fn a_file_that_ends_after_the_rollback_goes_when_the_new_run_writes_on() {
    let table = TestTable::create(&bucket_table()).await;
    let mut old = table.sink("p1", SinkOptions::default()).await;
    write(&mut old, "a", 1).await;
    let late = old.prepare(progress(1)).await.unwrap().unwrap();
    let (path, bytes) = file_of(&table, &late).await;
    drop(old);
    // The next write looks again when a beat is due.
    let commit_options =
        CommitOptions { heartbeat_interval: Duration::from_millis(1), ..CommitOptions::default() };
    let mut new = table.sink("p1", SinkOptions { commit: commit_options, ..SinkOptions::default() }).await;
    assert_eq!(table.files_named(late.task.instant.as_str()), [""; 0]);
    table.storage.put(&path, bytes).await.unwrap();
    commit(&mut new, 1..=2).await;
    is_gone_for_good(&table, &late, &["b x 2 -"]).await;
}

#[tokio::test]
async fn a_file_that_ends_after_the_rollback_goes_when_its_run_is_fenced() {
    for is_first in [true, false] {
        let table = TestTable::create(&bucket_table()).await;
        if !is_first {
            commit(&mut table.sink("p0", SinkOptions::default()).await, 1..=1).await;
        }
        let mut old = table.sink("p1", SinkOptions::default()).await;
        write(&mut old, "a", 1).await;
        let late = old.prepare(progress(1)).await.unwrap().unwrap();
        let (path, bytes) = file_of(&table, &late).await;
        let mut new = table.sink("p1", SinkOptions::default()).await;
        commit(&mut new, 1..=2).await;
        table.storage.put(&path, bytes).await.unwrap();
        assert_eq!(old.committer().commit(&late).await.unwrap(), Outcome::Fenced { by: 2 });
        is_gone_for_good(&table, &late, &["b x 2 -"]).await;
    }
}

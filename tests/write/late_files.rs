//! Files that a run brings after another one has taken over and rolled its instant back.

use std::time::Duration;

use bytes::Bytes;
use lakebed::commit::{CommitOptions, Outcome};
use lakebed::sink::{Prepared, Sink, SinkOptions};
use lakebed::storage::TablePath;
use lakebed_hudi::file_name::MarkerKind;

use crate::test_table::*;

async fn commit(sink: &mut Sink, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        write(sink, "b", number as i64).await;
        assert!(is_committed(&checkpoint(sink, number).await));
    }
}

/// A run that is about to be taken over. Its instant is the first one of the table, or another one.
async fn taken_over(is_first: bool) -> (TestTable, Sink) {
    let table = TestTable::create(&bucket_table()).await;
    if !is_first {
        commit(&mut table.sink("p0", SinkOptions::default()).await, 1..=1).await;
    }
    let mut old = table.sink("p1", SinkOptions::default()).await;
    write(&mut old, "a", 1).await;
    (table, old)
}

/// The bytes of the one file of a checkpoint.
async fn file_of(table: &TestTable, prepared: &Prepared) -> (TablePath, Bytes) {
    let [file] = &prepared.staged.files[..] else { panic!("{:?}", prepared.staged) };
    (file.path.clone(), table.storage.get(&file.path, u64::MAX).await.unwrap().bytes)
}

/// The data files of the fenced run.
fn data_of(table: &TestTable, late: &Prepared) -> Vec<String> {
    let instant = late.task.instant.as_str();
    let is_data = |name: &String| name != instant && !name.contains(".marker.");
    table.files_named(instant).into_iter().filter(is_data).collect()
}

/// Archives past the fenced run's instant, and expects that nothing of it is there.
async fn is_gone_for_good(table: &TestTable, late: &Prepared, rows: &[&str]) {
    assert_eq!(data_of(table, late), [""; 0]);
    table.archive(1).await;
    let snapshot = table.snapshot().await;
    assert!(snapshot.timeline.is_before_start(late.task.instant), "its files would be visible");
    assert_eq!(table.texts().await, rows);
}

#[tokio::test]
async fn a_file_that_is_begun_after_the_rollback_goes_when_the_new_run_writes_on() {
    for is_first in [true, false] {
        let (table, mut old) = taken_over(is_first).await;
        let mut new = table.sink("p1", SinkOptions::default()).await;
        commit(&mut new, 1..=1).await;
        let late = old.prepare(progress(1)).await.unwrap().unwrap();
        drop(old);
        assert!(!data_of(&table, &late).is_empty());
        commit(&mut new, 2..=3).await;
        is_gone_for_good(&table, &late, &["b x 3 -"]).await;
    }
}

#[tokio::test]
async fn a_file_that_ends_after_the_rollback_goes_when_the_new_run_writes_on() {
    let (table, mut old) = taken_over(true).await;
    let late = old.prepare(progress(1)).await.unwrap().unwrap();
    let (path, bytes) = file_of(&table, &late).await;
    drop(old);
    let mut new = table.sink("p1", SinkOptions::default()).await;
    assert_eq!(data_of(&table, &late), [""; 0]);
    table.storage.put(&path, bytes).await.unwrap();
    commit(&mut new, 1..=2).await;
    is_gone_for_good(&table, &late, &["b x 2 -"]).await;
}

#[tokio::test]
async fn markers_go_when_the_writer_is_silent() {
    let (table, mut old) = taken_over(true).await;
    let late = old.prepare(progress(1)).await.unwrap().unwrap();
    drop(old);
    let left = || table.files_named(late.task.instant.as_str());
    let mut new = table.sink("p1", SinkOptions::default()).await;
    commit(&mut new, 1..=1).await;
    assert_eq!(left().len(), 2, "the heartbeat and the marker: {:?}", left());
    // Now it counts as dead.
    let commit_options = CommitOptions { heartbeat_misses: 0, ..CommitOptions::default() };
    tokio::time::sleep(Duration::from_millis(2)).await;
    let options = SinkOptions { commit: commit_options, ..SinkOptions::default() };
    commit(&mut table.sink("p2", options).await, 1..=1).await;
    assert_eq!(left(), [""; 0]);
}

#[tokio::test]
async fn a_file_that_ends_after_the_rollback_goes_when_its_run_is_fenced() {
    for is_first in [true, false] {
        let (table, mut old) = taken_over(is_first).await;
        let late = old.prepare(progress(1)).await.unwrap().unwrap();
        let (path, bytes) = file_of(&table, &late).await;
        let mut new = table.sink("p1", SinkOptions::default()).await;
        commit(&mut new, 1..=2).await;
        table.storage.put(&path, bytes).await.unwrap();
        assert_eq!(old.committer().commit(&late).await.unwrap(), Outcome::Fenced { by: 2 });
        assert_eq!(table.files_named(late.task.instant.as_str()), [""; 0], "nothing more is to come");
        is_gone_for_good(&table, &late, &["b x 2 -"]).await;
    }
}

#[tokio::test]
async fn what_is_archived_behind_an_instant_that_stays_is_not_late() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    commit(&mut sink, 1..=1).await;
    write(&mut sink, "a", 2).await;
    let second = sink.prepare(progress(2)).await.unwrap().unwrap();
    assert!(is_committed(&sink.committer().commit(&second).await.unwrap()));
    commit(&mut sink, 3..=3).await;

    // A savepoint keeps the first one on the timeline while those after it are archived.
    let snapshot = table.snapshot().await;
    let first = snapshot.timeline.completed().next().unwrap().file();
    let bytes = snapshot.table.timeline.read(&first).await.unwrap();
    table.archive(1).await;
    table.storage.put(&snapshot.table.timeline.path(&first), bytes).await.unwrap();
    let (path, _) = file_of(&table, &second).await;
    let marker = second.task.attempt().marker(&path, MarkerKind::Create).unwrap();
    table.storage.put(&marker, Bytes::new()).await.unwrap();

    commit(&mut table.sink("p1", SinkOptions::default()).await, 4..=5).await;
    table.storage.stat(&path).await.unwrap();
    assert!(table.storage.stat(&marker).await.is_err(), "its marker is of no use");
}

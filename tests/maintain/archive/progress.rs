//! How far pipelines have come is found, whatever is archived.

use bytes::Bytes;
use lakebed::sink::SinkOptions;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::TimelineFile;

use super::*;

/// Commits as another engine makes them: they say nothing of progress.
async fn foreign_commits(table: &TestTable, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let mut sink = table.sink("foreign", SinkOptions::default()).await;
        sink.write(&rows(&[("f", "f", number as i64, None)]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, number).await));
        table.forget_progress().await;
    }
}

async fn checkpoint_of(table: &TestTable, pipeline: &str) -> Option<u64> {
    let sink = table.sink(pipeline, SinkOptions::default()).await;
    sink.progress().map(|progress| progress.checkpoint)
}

#[tokio::test]
async fn of_archived_progress_that_counts_which_completed_last() {
    let (table, mut slow) = TestTable::with_commits(1).await;
    // It is begun before the other pipeline's, and completes after it.
    slow.write(&rows(&[("a", "x", 2, None)]), None).await.unwrap();
    let prepared = slow.prepare(progress(2)).await.unwrap().unwrap();
    let mut other = table.sink("p2", SinkOptions::default()).await;
    other.write(&rows(&[("b", "y", 1, None)]), None).await.unwrap();
    let outcome = checkpoint(&mut other, 5).await;
    assert!(is_committed(&outcome), "{outcome:?}");
    assert!(is_committed(&slow.committer().commit(&prepared).await.unwrap()));
    drop((slow, other));
    foreign_commits(&table, 1..=2).await;
    // The two go in different files, and the one with the newer name has the older progress.
    assert_eq!(table.archived(3).await.commits, 2);
    foreign_commits(&table, 3..=4).await;
    assert_eq!(table.archived(2).await.commits, 3);
    assert_eq!(checkpoint_of(&table, "p1").await, Some(2));
    assert_eq!(checkpoint_of(&table, "p2").await, Some(5));
}

#[tokio::test]
async fn progress_that_is_archived_unread_is_carried_forward_past_a_restore_that_stays() {
    for restored in [false, true] {
        let table = TestTable::create(&copy_on_write()).await;
        if restored {
            let at = |digits: &str| digits.parse::<InstantTime>().unwrap();
            let (begun, ended) = (at("20200101000000000"), at("20200101000000001"));
            let restore = TimelineFile::completed(begun, Action::Restore, ended);
            let path = table.snapshot().await.table.timeline.path(&restore);
            table.storage.put(&path, Bytes::new()).await.unwrap();
        }
        let mut idle = table.sink("p2", SinkOptions::default()).await;
        commits(&mut idle, 1..=2).await;
        let mut sink = table.sink("p1", SinkOptions::default()).await;
        sink.write(&rows(&[("b", "y", 7, None)]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 7).await));
        foreign_commits(&table, 1..=3).await;
        assert_eq!(table.archived(2).await.commits, 4);
        assert_eq!(table.snapshot().await.timeline.last_restore().is_some(), restored);
        commits(&mut idle, 3..=3).await;
        assert_eq!(checkpoint_of(&table, "p1").await, Some(7), "restored: {restored}");
        assert_eq!(checkpoint_of(&table, "p2").await, Some(3));
    }
}

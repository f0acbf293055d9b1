//! Readers of a timeline that is archived while they read.

use std::sync::atomic::{AtomicBool, Ordering};

use lakebed_hudi::instant::{InstantTime, TimelineZone};
use lakebed_hudi::timeline_file::{Action, TimelineFile};

use super::*;
use crate::test_table::services;

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_during_an_archival_has_no_holes() {
    const COMMITS: usize = 300;
    let table = TestTable::create(&copy_on_write()).await;
    let store = table.snapshot().await.table.timeline;
    let at = |n: usize| InstantTime::from_unix_millis(n as i64, TimelineZone::Utc);
    let commit = |n: usize| TimelineFile::completed(at(2 * n), Action::Commit, at(2 * n + 1));
    let all: Vec<InstantTime> = (0..COMMITS).map(|n| at(2 * n)).collect();
    let folder = std::path::PathBuf::from(table.path("t"));
    let file = |n: usize| folder.join(store.path(&commit(n)).as_str());
    for _ in 0..10 {
        (0..COMMITS).for_each(|n| std::fs::write(file(n), "").unwrap());
        let is_over = AtomicBool::new(false);
        // Without a sync for each, as fast as it can be.
        let delete = || {
            (0..COMMITS - 1).for_each(|n| std::fs::remove_file(file(n)).unwrap());
            is_over.store(true, Ordering::Relaxed);
        };
        let look = async {
            while !is_over.load(Ordering::Relaxed) {
                let found: Vec<_> = store.load().await.unwrap().instants().map(|i| i.time).collect();
                assert_eq!(found, all[COMMITS - found.len()..], "one after the other, up to the newest");
            }
        };
        std::thread::scope(|threads| {
            threads.spawn(delete);
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(look));
        });
    }
}

#[tokio::test]
async fn a_snapshot_from_before_reads_the_same_after() {
    for table_type in [TableType::CopyOnWrite, TableType::MergeOnRead] {
        let table = TestTable::create(&NewTable { table_type, ..bucket_table() }).await;
        let mut sink = table.sink("p1", SinkOptions::default()).await;
        commits(&mut sink, 1..=12).await;
        let snapshot = table.snapshot().await;
        let as_of = snapshot.timeline.completed_writes().nth(2).unwrap().time;
        let past = snapshot.table.snapshot(Some(as_of)).await.unwrap();
        assert!(table.archived(1).await.commits >= 7);
        // Its timeline has commits of which the files are in the archive by now.
        assert_eq!(texts_of(&snapshot).await, ["a x 12 -"]);
        assert_eq!(texts_of(&past).await, ["a x 3 -"]);
        assert_eq!(snapshot.schema().await.unwrap(), table.snapshot().await.schema().await.unwrap());
        let past = table.snapshot().await.table.snapshot(Some(as_of)).await.unwrap();
        assert_eq!(texts_of(&past).await, ["a x 3 -"]);
    }
}

#[tokio::test]
async fn log_files_of_archived_commits_lie_where_they_lay() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    commits(&mut sink, 1..=3).await;
    // It begins before the compaction, and completes after it.
    write(&mut sink, "a", 99).await;
    let late = sink.prepare(progress(4)).await.unwrap().unwrap();
    services::compact(&table.snapshot().await.table).await;
    assert!(is_committed(&sink.committer().commit(&late).await.unwrap()));
    commits(&mut sink, 5..=14).await;
    let files = table.live_files().await;
    let report = table.archived(1).await;
    assert!(table.snapshot().await.timeline.is_before_start(late.task.instant), "{report:?}");
    assert_eq!(table.live_files().await, files, "what only the archive knows is asked for");
    assert_eq!(table.texts().await, ["a x 99 -"]);
}

#[tokio::test]
async fn readers_and_a_writer_see_all_rows_while_minutes_go_to_the_archive() {
    let table = TestTable::create(&copy_on_write()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    commits(&mut sink, 1..=1).await;
    let is_over = AtomicBool::new(false);
    let writing = async {
        for number in 2..=60 {
            commits(&mut sink, number..=number).await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let archiving = async {
        let mut gone = 0;
        while !is_over.load(Ordering::Relaxed) {
            gone += table.archived(1).await.commits;
            tokio::task::yield_now().await;
        }
        gone
    };
    let reading = async {
        let (mut newest, mut looks) = (0, 0);
        while !is_over.load(Ordering::Relaxed) {
            let rows = table.texts().await;
            let [row] = &rows[..] else { panic!("{rows:?}") };
            let number: i64 = row.split(' ').nth(2).unwrap().parse().unwrap();
            assert!(number >= newest, "{number} after {newest}");
            (newest, looks) = (number, looks + 1);
        }
        looks
    };
    let ((), gone, looks) = tokio::join!(writing, archiving, reading);
    assert!(gone > 0 && looks > 0, "{gone} commits went, {looks} looks");
    assert_eq!(table.texts().await, ["a x 60 -"]);
}

#[tokio::test]
async fn a_snapshot_of_the_archive_that_is_not_there_is_an_error() {
    let (table, _) = TestTable::with_commits(4).await;
    table.archived(1).await;
    let version = ".hoodie/timeline/history/_version_".parse().unwrap();
    table.storage.put(&version, "7".into()).await.unwrap();
    let store = table.snapshot().await.table.timeline;
    let first = "00000000000000000".parse().unwrap();
    let error = store.archived_completions(first).await.unwrap_err();
    assert!(error.to_string().contains("manifest_7"), "{error}");
    // While somebody is replacing it, the greatest manifest counts.
    table.storage.put(&version, "".into()).await.unwrap();
    assert_eq!(store.archived_completions(first).await.unwrap().len(), 3);
    table.storage.delete(&version).await.unwrap();
    assert_eq!(store.archived_completions(first).await.unwrap().len(), 3);
}

//! What stays because somebody needs it, on real tables.

use std::time::Duration;

use bytes::Bytes;
use lakebed::commit::CommitOptions;
use lakebed::maintain::archive::HeldBy;
use lakebed::maintain::clean::CleanPolicy;
use lakebed::sink::{Prepared, SinkOptions};
use lakebed::storage::TablePath;
use lakebed::table::WriteOperation;
use lakebed_hudi::timeline_file::TimelineFile;

use super::*;
use crate::test_table::services;

/// Puts a file of the timeline.
async fn put(table: &TestTable, file: TimelineFile) {
    let path = table.snapshot().await.table.timeline.path(&file);
    table.storage.put(&path, Bytes::new()).await.unwrap();
}

async fn write_times(table: &TestTable) -> Vec<InstantTime> {
    table.snapshot().await.timeline.completed_writes().map(|write| write.time).collect()
}

#[tokio::test]
async fn groups_that_were_replaced_are_cleaned_before_the_replacement_goes() {
    let (table, _) = TestTable::with_commits(3).await;
    let options = SinkOptions { operation: WriteOperation::InsertOverwrite, ..SinkOptions::default() };
    let mut overwrite = table.sink("p1", options).await;
    overwrite.write(&rows(&[("z", "x", 1, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut overwrite, 4).await));
    commits(&mut table.sink("p1", SinkOptions::default()).await, 5..=9).await;
    let replacement = write_times(&table).await[3];

    let report = table.archived(1).await;
    let Some(hold) = report.hold else { panic!("{report:?}") };
    assert_eq!((report.commits, hold.from), (3, replacement));
    let HeldBy::Replaced { instant, file } = hold.by else { panic!("{:?}", hold.by) };
    assert_eq!(instant, replacement);
    table.storage.stat(&file).await.unwrap();
    assert_eq!(table.texts().await, ["a x 9 -", "z x 1 -"]);

    services::clean_to_latest(&table.snapshot().await.table).await;
    assert!(table.storage.stat(&file).await.is_err());
    assert_eq!(table.archived(1).await.commits, 5);
    assert_eq!(table.texts().await, ["a x 9 -", "z x 1 -"]);
}

#[tokio::test]
async fn a_deleted_partition_may_be_gone_as_a_whole() {
    let table = TestTable::create(&copy_on_write()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    sink.write(&rows(&[("b", "y", 1, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    let options = SinkOptions { operation: WriteOperation::InsertOverwriteTable, ..SinkOptions::default() };
    commits(&mut table.sink("p1", options).await, 2..=2).await;
    commits(&mut table.sink("p1", SinkOptions::default()).await, 3..=6).await;
    assert!(matches!(table.archived(1).await.hold.unwrap().by, HeldBy::Replaced { .. }));
    table.storage.delete_dir(&"p=y".parse().unwrap()).await.unwrap();
    assert_eq!(table.archived(1).await.hold, None);
    assert_eq!(table.texts().await, ["a x 6 -"]);
}

/// A run that was taken over while its checkpoint was ready, and the one that has.
async fn taken_over(table: &TestTable) -> (Sink, Prepared, Sink) {
    let mut old = table.sink("p1", SinkOptions::default()).await;
    write(&mut old, "a", 99).await;
    let late = old.prepare(progress(4)).await.unwrap().unwrap();
    let new = table.sink("p1", SinkOptions::default()).await;
    (old, late, new)
}

/// The one file of a checkpoint.
fn file_of(prepared: &Prepared) -> TablePath {
    let [file] = &prepared.staged.files[..] else { panic!("{:?}", prepared.staged) };
    file.path.clone()
}

#[tokio::test]
async fn nothing_goes_past_an_instant_whose_writer_may_live() {
    let (table, _) = TestTable::with_commits(3).await;
    let (old, late, mut new) = taken_over(&table).await;
    commits(&mut new, 4..=8).await;
    let report = table.archived(1).await;
    let hold = report.hold.unwrap();
    assert_eq!((report.commits, hold.by), (2, HeldBy::Unswept { instant: late.task.instant }));

    // What it brings now is swept before it is archived past: its heartbeat has ended.
    table.storage.put(&file_of(&late), "late".into()).await.unwrap();
    assert!(matches!(
        old.committer().commit(&late).await.unwrap(),
        lakebed::commit::Outcome::Fenced { by: 3 }
    ));
    let report = table.archived(1).await;
    assert_eq!((report.commits, report.left, report.hold), (5, 1, None));
    let snapshot = table.snapshot().await;
    assert!(snapshot.timeline.is_before_start(late.task.instant), "its files would be visible");
    assert_eq!(table.texts().await, ["a x 8 -"]);
}

#[tokio::test]
async fn nothing_goes_past_a_living_writer_of_which_others_removed_the_markers() {
    let (table, _) = TestTable::with_commits(3).await;
    let (old, late, mut new) = taken_over(&table).await;
    commits(&mut new, 4..=8).await;
    // As Spark's rollback leaves it.
    table.storage.delete_dir(&".hoodie/.temp".parse().unwrap()).await.unwrap();
    let hold = table.archived(1).await.hold.unwrap();
    assert_eq!(hold.by, HeldBy::Unswept { instant: late.task.instant });
    drop(old);
}

#[tokio::test]
async fn what_a_dead_writer_left_is_swept_first() {
    let (table, _) = TestTable::with_commits(3).await;
    let (old, late, mut new) = taken_over(&table).await;
    commits(&mut new, 4..=8).await;
    table.storage.put(&file_of(&late), "late".into()).await.unwrap();
    drop(old);
    // Now it counts as dead.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let commit = CommitOptions { heartbeat_misses: 0, ..CommitOptions::default() };
    let options = MaintainOptions { commit, ..MaintainOptions::default() };
    let maintainer = Maintainer::open(table.storage.clone(), &table.environment, options).await.unwrap();
    let rules = ArchiveRules::new(1, 2).unwrap();
    // Nothing is swept to find out what would be done.
    let plan = maintainer.plan_archive(&rules).await.unwrap();
    assert_eq!((plan.going_commits(), plan.hold), (7, None));
    table.storage.stat(&file_of(&late)).await.unwrap();
    let report = maintainer.archive(&rules, &watch::channel(false).1, &|_| {}).await.unwrap();
    assert_eq!((report.commits, report.hold), (7, None));
    assert_eq!(
        table.files_named(late.task.instant.as_str()).iter().filter(|n| n.contains("parquet")).count(),
        0
    );
    assert_eq!(table.texts().await, ["a x 8 -"]);
}

#[tokio::test]
async fn a_dead_write_that_nobody_has_rolled_back_holds_and_is_named() {
    let (table, mut dead) = TestTable::with_commits(3).await;
    write(&mut dead, "a", 99).await;
    let left = dead.prepare(progress(4)).await.unwrap().unwrap();
    drop(dead);
    commits(&mut table.sink("p2", SinkOptions::default()).await, 1..=4).await;
    let pending = HeldBy::Pending { action: Action::Commit, instant: left.task.instant };
    let report = table.archived(1).await;
    assert_eq!((report.commits, report.hold.map(|hold| hold.by)), (2, Some(pending)));
    // The next run of its pipeline rolls it back.
    commits(&mut table.sink("p1", SinkOptions::default()).await, 4..=4).await;
    let report = table.archived(1).await;
    let unswept = HeldBy::Unswept { instant: left.task.instant };
    assert_eq!(
        (report.commits, report.hold.map(|hold| hold.by)),
        (0, Some(unswept)),
        "its heartbeat is there"
    );
    let beat = format!(".hoodie/.heartbeat/{}", left.task.instant).parse().unwrap();
    table.storage.delete(&beat).await.unwrap();
    assert_eq!(table.archived(1).await.hold, None);
    assert_eq!(table.texts().await, ["a x 4 -"]);
}

#[tokio::test]
async fn savepoints_and_cleans_hold_what_they_keep() {
    let (table, mut sink) = TestTable::with_commits(8).await;
    let times = write_times(&table).await;
    put(&table, TimelineFile::completed(times[4], Action::Savepoint, times[7])).await;
    let report = table.archived(1).await;
    let savepoint = HeldBy::Savepoint { instant: times[4] };
    assert_eq!((report.commits, report.hold.map(|hold| hold.by)), (4, Some(savepoint)));
    let path = table.snapshot().await.table.timeline;
    let path = path.path(&TimelineFile::completed(times[4], Action::Savepoint, times[7]));
    table.storage.delete(&path).await.unwrap();

    let policy = CleanPolicy::KeepLatestCommits(2);
    services::clean(&table.snapshot().await.table, policy).await.unwrap();
    commits(&mut sink, 9..=10).await;
    let report = table.archived(1).await;
    assert_eq!(report.commits, 1, "what the cleaner left stays, and the one before it");
    assert!(matches!(report.hold.unwrap().by, HeldBy::Clean { kept, .. } if kept == times[6]));
    assert_eq!(write_times(&table).await[0], times[5]);
    assert_eq!(table.texts().await, ["a x 10 -"]);
}

#[tokio::test]
async fn a_savepoint_that_comes_while_a_batch_is_read_holds_it() {
    // Of each operation of an archival, the savepoint comes before it.
    let (table, _) = TestTable::with_commits(4).await;
    let times = write_times(&table).await;
    let maintainer = Maintainer::open(table.storage.clone(), &table.environment, MaintainOptions::default())
        .await
        .unwrap();
    let rules = ArchiveRules::new(1, 2).unwrap();
    let plan = maintainer.plan_archive(&rules).await.unwrap();
    put(&table, TimelineFile::inflight(times[1], Action::Savepoint)).await;
    let going = lakebed::commit::Going { instants: &plan.going, stays: plan.stays.unwrap() };
    let archived = maintainer.committer().archive(going, 1 << 20).await.unwrap();
    assert!(
        matches!(&archived, lakebed::commit::Archived::Stale { reason } if reason.contains("savepoint")),
        "{archived:?}"
    );
    assert_eq!(write_times(&table).await, times);
    assert!(table.storage.list(&".hoodie/timeline/history".parse().unwrap()).await.unwrap().files.is_empty());
}

#[tokio::test]
async fn what_was_rolled_back_since_it_was_planned_holds_a_batch() {
    let (table, _) = TestTable::with_commits(3).await;
    let maintainer = Maintainer::open(table.storage.clone(), &table.environment, MaintainOptions::default())
        .await
        .unwrap();
    let (_old, late, mut new) = taken_over(&table).await;
    commits(&mut new, 4..=8).await;
    // Planned by somebody who knew nothing of it.
    let writes: Vec<_> = table.snapshot().await.timeline.completed_writes().copied().collect();
    let going = lakebed::commit::Going { instants: &writes[..7], stays: writes[7] };
    let archived = maintainer.committer().archive(going, 1 << 20).await.unwrap();
    let lakebed::commit::Archived::Stale { reason } = archived else { panic!("{archived:?}") };
    assert!(reason.contains(late.task.instant.as_str()), "{reason}");
    assert_eq!(write_times(&table).await.len(), 8);
}

#[tokio::test]
async fn an_instant_from_before_the_first_commit_holds_nothing() {
    let table = TestTable::create(&copy_on_write()).await;
    let (_old, late, mut new) = taken_over(&table).await;
    // The rollback of it comes before the first commit, and goes with it.
    commits(&mut new, 1..=4).await;
    let report = table.archived(1).await;
    assert_eq!((report.instants, report.commits, report.hold), (4, 3, None));
    assert!(table.snapshot().await.timeline.is_before_start(late.task.instant));
    assert_eq!(table.texts().await, ["a x 4 -"]);
}

/// What lies behind the active timeline is taken for part of the table.
#[tokio::test]
async fn a_file_that_is_nowhere_on_the_timeline_does_not_come_behind_it() {
    let (table, _sink) = TestTable::with_commits(6).await;
    let times = write_times(&table).await;
    let listed = table.storage.list_all(&"p=x".parse().unwrap()).await.unwrap();
    let first = listed.iter().find(|file| file.path.as_str().contains(times[0].as_str())).unwrap();
    let bytes = table.storage.get(&first.path, u64::MAX).await.unwrap().bytes;
    let later: u64 = times[2].as_str().parse().unwrap();
    let stray: InstantTime = (later + 1).to_string().parse().unwrap();
    let path: TablePath = first.path.as_str().replace(times[0].as_str(), stray.as_str()).parse().unwrap();
    table.storage.put(&path, bytes).await.unwrap();

    let report = table.archived(1).await;
    let hold = report.hold.unwrap();
    assert_eq!(hold.by, HeldBy::Stray { instant: stray, file: path.clone() });
    assert_eq!(report.commits, 2, "what was committed before it stays");
    assert_eq!(table.texts().await, ["a x 6 -"]);
    table.storage.delete(&path).await.unwrap();
    assert_eq!(table.archived(1).await.hold, None);
}

/// Who compacts later would not know that anything is missing.
#[tokio::test]
async fn a_commit_of_which_a_file_is_lost_stays() {
    for (is_log, held) in [(true, 2), (false, 0)] {
        let table = TestTable::create(&bucket_table()).await;
        let mut sink = table.sink("p1", SinkOptions::default()).await;
        commits(&mut sink, 1..=9).await;
        let times = write_times(&table).await;
        let listed = table.storage.list_all(&"p=x".parse().unwrap()).await.unwrap();
        let of =
            |time: &InstantTime| listed.iter().find(|f| f.path.as_str().contains(time.as_str())).unwrap();
        let lost = if is_log { of(&times[2]) } else { of(&times[0]) };
        let bytes = table.storage.get(&lost.path, u64::MAX).await.unwrap().bytes;
        table.storage.delete(&lost.path).await.unwrap();
        let report = table.archived(1).await;
        let (commits, hold) = (report.commits, report.hold.unwrap());
        let expected = HeldBy::Lost { instant: times[held], file: lost.path.clone() };
        assert_eq!((commits, hold.by), (held, expected), "a log file: {is_log}");
        table.storage.put(&lost.path, bytes).await.unwrap();
        assert!(table.archived(1).await.commits > 0);
    }
}

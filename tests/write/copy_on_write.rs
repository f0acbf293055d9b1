//! Upserts and deletes that write base files anew.

use arrow::array::{AsArray as _, BooleanArray};
use lakebed::commit::Outcome;
use lakebed::read::ScanOptions;
use lakebed::sink::{Sink, SinkOptions};
use lakebed_hudi::instant::{InstantTime, TimelineZone};
use lakebed_hudi::table_config::{BucketIndex, NewTable, TableType};
use lakebed_hudi::timeline_file::{Action, TimelineFile};

use crate::test_table::*;

/// A copy-on-write table of one bucket a partition.
fn copy_on_write_table() -> NewTable {
    NewTable {
        table_type: TableType::CopyOnWrite,
        bucket_index: Some(BucketIndex { buckets: 1, hash_fields: vec!["id".into()] }),
        ..bucket_table()
    }
}

async fn write(sink: &mut Sink, of: &[Row<'_>], deletes: &[bool]) {
    let deletes = (!deletes.is_empty()).then(|| BooleanArray::from(deletes.to_vec()));
    assert!(sink.write(&rows(of), deletes.as_ref()).await.unwrap().is_empty());
}

#[tokio::test]
async fn rows_are_put_over_those_of_the_base_file() {
    let table = TestTable::create(&copy_on_write_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    let first = [("a", "x", 5, Some("a1")), ("b", "x", 5, Some("b1")), ("c", "x", 5, Some("c1"))];
    write(&mut sink, &first, &[]).await;
    write(&mut sink, &[("z", "y", 1, None)], &[]).await;
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    let second = [
        ("a", "x", 4, Some("late")),
        ("b", "x", 6, Some("b2")),
        ("c", "x", 5, None),
        ("d", "x", 1, Some("d1")),
        ("nobody", "x", 1, None),
    ];
    write(&mut sink, &second, &[false, false, true, false, true]).await;
    assert!(is_committed(&checkpoint(&mut sink, 2).await));
    assert_eq!(table.texts().await, ["a x 5 a1", "b x 6 b2", "d x 1 d1", "z y 1 -"]);
    assert_eq!(table.live_files().await, [("p=x".to_owned(), (1, 0)), ("p=y".to_owned(), (1, 0))].into());
    assert!(table.files_named(".log.").is_empty());

    let commits = table.commits().await;
    let stats: Vec<_> = commits[1].write_stats().collect();
    assert_eq!(stats.len(), 1, "the other partition is left alone");
    let stat = stats[0].1;
    let counts = (stat.num_writes, stat.num_inserts, stat.num_update_writes, stat.num_deletes);
    assert_eq!(counts, (3, 1, 1, 1));
    assert_eq!(
        stat.prev_base_file.as_deref(),
        commits[0].write_stats().next().unwrap().1.path.as_deref().map(|p| p.rsplit('/').next().unwrap())
    );
}

#[tokio::test]
async fn rows_that_stay_keep_their_commit_time_and_learn_their_new_file() {
    let table = TestTable::create(&copy_on_write_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    for (number, id) in [(1, "a"), (2, "b")] {
        write(&mut sink, &[(id, "x", 1, None)], &[]).await;
        assert!(is_committed(&checkpoint(&mut sink, number).await));
    }
    let instants: Vec<String> =
        table.snapshot().await.timeline.completed_writes().map(|i| i.time.to_string()).collect();
    let batch =
        &read(&table.snapshot().await, ScanOptions { with_meta: true, ..ScanOptions::default() }).await[0];
    let text =
        |column: &str, row| batch.column_by_name(column).unwrap().as_string::<i32>().value(row).to_owned();
    for (row, instant) in instants.iter().enumerate() {
        assert_eq!(text("_hoodie_commit_time", row), *instant);
        assert!(text("_hoodie_commit_seqno", row).starts_with(instant.as_str()));
        assert!(text("_hoodie_file_name", row).contains(instants[1].as_str()));
        assert_eq!(text("_hoodie_partition_path", row), "p=x");
    }
}

#[tokio::test]
async fn a_checkpoint_is_written_over_the_one_before_it_that_nobody_sees_yet() {
    let table = TestTable::create(&copy_on_write_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    let mut prepared = Vec::new();
    for (number, id) in [(1, "a"), (2, "b"), (3, "a")] {
        write(&mut sink, &[(id, "x", number, None)], &[]).await;
        prepared.push(sink.prepare(progress(number as u64)).await.unwrap().unwrap());
    }
    for prepared in &prepared {
        assert!(is_committed(&sink.committer().commit(prepared).await.unwrap()));
    }
    assert_eq!(table.texts().await, ["a x 3 -", "b x 2 -"]);
}

#[tokio::test]
async fn a_group_may_end_without_rows_and_go_on() {
    let table = TestTable::create(&copy_on_write_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    write(&mut sink, &[("a", "x", 1, None)], &[true]).await;
    assert!(is_committed(&checkpoint(&mut sink, 1).await), "nothing to delete makes a commit without files");
    assert_eq!(table.live_files().await, [].into());
    for (number, delete) in [(2, false), (3, true), (4, false)] {
        write(&mut sink, &[("a", "x", number, None)], &[delete]).await;
        assert!(is_committed(&checkpoint(&mut sink, number as u64).await));
        let left: &[&str] = if delete { &[] } else { &[&format!("a x {number} -")] };
        assert_eq!(table.texts().await, left);
        assert_eq!(table.live_files().await, [("p=x".to_owned(), (1, 0))].into());
    }
}

#[tokio::test]
async fn two_writers_of_a_bucket_conflict_and_the_loser_goes_on() {
    let table = TestTable::create(&copy_on_write_table()).await;
    let (mut ours, mut theirs) =
        (table.sink("p1", SinkOptions::default()).await, table.sink("p2", SinkOptions::default()).await);
    write(&mut ours, &[("a", "x", 1, None)], &[]).await;
    assert!(is_committed(&checkpoint(&mut ours, 1).await));
    write(&mut ours, &[("b", "x", 1, None)], &[]).await;
    let prepared = ours.prepare(progress(2)).await.unwrap().unwrap();
    write(&mut theirs, &[("c", "x", 1, None)], &[]).await;
    assert!(is_committed(&checkpoint(&mut theirs, 1).await), "the first to publish wins");
    let lost = ours.committer().commit(&prepared).await.unwrap();
    assert!(matches!(lost, Outcome::Conflicted { .. }), "{lost:?}");
    ours.rewind().await.unwrap();
    write(&mut ours, &[("b", "x", 1, None)], &[]).await;
    assert!(is_committed(&checkpoint(&mut ours, 2).await));
    assert_eq!(table.texts().await, ["a x 1 -", "b x 1 -", "c x 1 -"]);
}

#[tokio::test]
async fn a_table_that_was_restored_is_gone_on_with_from_there() {
    let table = TestTable::create(&copy_on_write_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    for (number, id) in [(1, "a"), (2, "b")] {
        write(&mut sink, &[(id, "x", 1, None)], &[]).await;
        assert!(is_committed(&checkpoint(&mut sink, number).await));
    }
    write(&mut sink, &[("c", "x", 1, None)], &[]).await;
    let in_flight = sink.prepare(progress(3)).await.unwrap().unwrap();
    restore_to_first_commit(&table).await;

    let conflicts = |outcome: &Outcome| matches!(outcome, Outcome::Conflicted { .. });
    assert!(conflicts(&sink.committer().commit(&in_flight).await.unwrap()));
    sink.rewind().await.unwrap();
    assert_eq!(sink.progress().unwrap().checkpoint, 1);
    write(&mut sink, &[("d", "x", 1, None)], &[]).await;
    assert!(is_committed(&checkpoint(&mut sink, 2).await));
    assert_eq!(table.texts().await, ["a x 1 -", "d x 1 -"]);

    restore_to_first_commit(&table).await;
    write(&mut sink, &[("e", "x", 1, None)], &[]).await;
    assert!(conflicts(&checkpoint(&mut sink, 3).await), "the base file is not missed, the commit is");
    sink.rewind().await.unwrap();
    assert_eq!(sink.progress().unwrap().checkpoint, 1);
    assert_eq!(table.texts().await, ["a x 1 -"]);
}

/// What a restore leaves, whoever made it.
async fn restore_to_first_commit(table: &TestTable) {
    let snapshot = table.snapshot().await;
    for instant in snapshot.timeline.completed_writes().skip(1) {
        let timeline = &snapshot.table.timeline;
        for (partition, stat) in timeline.commit_metadata(instant).await.unwrap().write_stats() {
            let name = stat.path.as_deref().unwrap().rsplit('/').next().unwrap();
            assert!(table.storage.delete(&format!("{partition}/{name}").parse().unwrap()).await.unwrap());
        }
        for file in [
            TimelineFile::requested(instant.time, instant.action),
            TimelineFile::inflight(instant.time, instant.action),
            instant.file(),
        ] {
            assert!(table.storage.delete(&timeline.path(&file)).await.unwrap());
        }
    }
    let now = InstantTime::from_unix_millis(table.environment.clock.unix_millis(), TimelineZone::Utc);
    let file = TimelineFile::completed(now, Action::Restore, now);
    table.storage.put_if_absent(&snapshot.table.timeline.path(&file), "restored".into()).await.unwrap();
}

//! What a stopped process leaves, and who removes it.

use lakebed::commit::Outcome;
use lakebed::sink::{Prepared, Sink, SinkOptions};
use lakebed::storage::TablePath;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{InstantInfo, RollbackPlan, RollbackRequest};

use crate::test_table::*;

async fn write(sink: &mut Sink, ts: i64) {
    sink.write(&rows(&[("a", "x", ts, None)]), None).await.unwrap();
}

#[tokio::test]
async fn a_rollback_that_was_cut_off_behind_its_target_is_completed() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    write(&mut sink, 1).await;
    drop(sink);
    let _next = table.sink("p1", SinkOptions::default()).await;
    let completed = |name: &String| name.contains('_') && name.ends_with(".rollback");
    let of_rollbacks = || table.files_named(".rollback").into_iter().filter(completed).collect::<Vec<_>>();
    let [done] = &of_rollbacks()[..] else { panic!("{:?}", of_rollbacks()) };
    table.storage.delete(&format!(".hoodie/timeline/{done}").parse().unwrap()).await.unwrap();
    assert_eq!(table.snapshot().await.timeline.pending().count(), 1);

    let _last = table.sink("p2", SinkOptions::default()).await;
    assert_eq!(table.snapshot().await.timeline.pending().count(), 0);
    assert_eq!(of_rollbacks().len(), 1);
}

#[tokio::test]
async fn what_is_begun_of_a_rollback_after_it_was_archived_is_removed() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    write(&mut sink, 1).await;
    drop(sink);
    let mut next = table.sink("p1", SinkOptions::default()).await;
    write(&mut next, 1).await;
    assert!(is_committed(&checkpoint(&mut next, 1).await));
    let snapshot = table.snapshot().await;
    let rollback = snapshot.timeline.completed().find(|i| i.action == Action::Rollback).unwrap().time;
    table.archive(1).await;
    // As a process leaves it that had stopped before it could begin what others have completed.
    let inflight = TimelineFile::inflight(rollback, Action::Rollback);
    table.storage.put(&snapshot.table.timeline.path(&inflight), "".into()).await.unwrap();
    write(&mut next, 2).await;
    assert!(is_committed(&checkpoint(&mut next, 2).await));
    let mut last = table.sink("p2", SinkOptions::default()).await;
    assert_eq!(table.files_named(".rollback"), [""; 0]);
    write(&mut last, 3).await;
    assert!(is_committed(&checkpoint(&mut last, 1).await));
}

/// Has another process plan to roll a checkpoint back, and stop: its plan deletes the files, or was made
/// before there were any.
async fn plan_rollback(table: &TestTable, prepared: &Prepared, with_files: bool) {
    let task = &prepared.task;
    let request = |file: &lakebed::table::StagedFile| RollbackRequest {
        partition_path: file.group.partition.clone(),
        file_id: file.group.file_id.to_string(),
        latest_base_instant: task.instant.to_string(),
        files_to_be_deleted: vec![table.storage.uri().without_scheme(&file.path)],
        log_blocks_to_be_deleted: Default::default(),
    };
    let files = prepared.staged.files.iter().filter(|_| with_files);
    let plan = RollbackPlan {
        instant_to_rollback: Some(InstantInfo { commit_time: task.instant, action: task.action }),
        rollback_requests: files.map(request).collect(),
        version: 1,
    };
    let now = format!("{}", 1 + task.instant.as_str().parse::<u64>().unwrap()).parse().unwrap();
    let file = TimelineFile::requested(now, Action::Rollback);
    let path = table.snapshot().await.table.timeline.path(&file);
    table.storage.put(&path, plan.to_avro().unwrap().into()).await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_that_is_being_rolled_back_is_not_committed() {
    for with_files in [true, false] {
        let table = TestTable::create(&bucket_table()).await;
        let mut sink = table.sink("p1", SinkOptions::default()).await;
        write(&mut sink, 1).await;
        let prepared = sink.prepare(progress(1)).await.unwrap().unwrap();
        plan_rollback(&table, &prepared, with_files).await;
        let outcome = sink.committer().commit(&prepared).await.unwrap();
        assert!(
            matches!(&outcome, Outcome::Conflicted { reason } if reason.contains("rolled back by rollback")),
            "{outcome:?}"
        );
        assert_eq!(table.snapshot().await.timeline.pending().count(), 0);
        assert_eq!(table.files_named(prepared.task.instant.as_str()), [""; 0]);
        sink.rewind().await.unwrap();
        write(&mut sink, 1).await;
        assert!(is_committed(&checkpoint(&mut sink, 1).await));
        assert_eq!(table.texts().await, ["a x 1 -"]);
    }
}

#[tokio::test]
async fn files_of_a_commit_stay_though_a_rollback_of_it_is_pending() {
    for archived in [false, true] {
        let table = TestTable::create(&bucket_table()).await;
        let mut sink = table.sink("p1", SinkOptions::default()).await;
        write(&mut sink, 1).await;
        let prepared = sink.prepare(progress(1)).await.unwrap().unwrap();
        assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
        sink.write(&rows(&[("b", "y", 1, None)]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 2).await));
        if archived {
            table.archive(1).await;
        }
        plan_rollback(&table, &prepared, true).await;
        let mut next = table.sink("p1", SinkOptions::default()).await;
        write(&mut next, 3).await;
        assert!(is_committed(&checkpoint(&mut next, 3).await));
        assert_eq!(table.texts().await, ["a x 3 -", "b y 1 -"]);
        let [file] = &prepared.staged.files[..] else { panic!("{:?}", prepared.staged) };
        table.storage.stat(&file.path).await.unwrap();
    }
}

#[tokio::test]
async fn heartbeats_go_with_their_instants() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    write(&mut sink, 1).await;
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    let committed = table.snapshot().await.timeline.completed_writes().next().unwrap().time;
    let beat = |name: &str| format!(".hoodie/.heartbeat/{name}").parse::<TablePath>().unwrap();
    // Of a writer that is about to put its instant nothing but the heartbeat is there.
    let about_to_begin = "20990101000000000";
    for name in [committed.as_str(), about_to_begin] {
        table.storage.put(&beat(name), "".into()).await.unwrap();
    }
    let _next = table.sink("p1", SinkOptions::default()).await;
    let left = table.storage.list(&beat("x").parent().unwrap()).await.unwrap().files;
    assert_eq!(left.iter().map(|file| file.path.file_name()).collect::<Vec<_>>(), [about_to_begin]);
}

#[tokio::test]
async fn half_written_files_go_with_the_instant_of_their_writer() {
    let table = TestTable::create(&bucket_table()).await;
    let mut dead = table.sink("p1", SinkOptions::default()).await;
    write(&mut dead, 1).await;
    let _prepared = dead.prepare(progress(1)).await.unwrap().unwrap();
    drop(dead);
    std::mem::forget(table.storage.create(&"p=x/dead".parse().unwrap(), None).await.unwrap());
    assert_eq!(table.files_named(".lakebed-tmp-").len(), 1);
    // What comes later is of somebody else.
    let mut alive = table.sink("p2", SinkOptions::default()).await;
    write(&mut alive, 1).await;
    let _pending = alive.prepare(progress(1)).await.unwrap().unwrap();
    std::mem::forget(table.storage.create(&"p=x/alive".parse().unwrap(), None).await.unwrap());
    let _next = table.sink("p1", SinkOptions::default()).await;
    assert_eq!(table.files_named(".lakebed-tmp-").len(), 1);
}

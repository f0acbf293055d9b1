//! What a stopped process leaves, and who removes it.

use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::TablePath;

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

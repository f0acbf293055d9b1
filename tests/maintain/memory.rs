//! How groups share the memory of a compaction.

use lakebed::environment::Environment;
use lakebed::maintain::{MaintainOptions, RunOutcome};
use lakebed::memory::SpillArea;

use super::place::{Place, commit};
use crate::recovery::model::{Change, Model};
use crate::test_table::{bucket_table, services};

/// Half of the rows, which a group has, take more than a third of the memory, and less than all.
const LARGE_TEXT: usize = 40 << 10;
const LARGE_ROWS: usize = 1_200;

#[tokio::test(flavor = "multi_thread")]
async fn groups_with_more_logs_than_their_share_wait_for_more_and_put_nothing_aside() {
    let place = Place::new(&bucket_table()).await;
    let mut sink = place.sink("p").await;
    let put = |ts: i64, text: &str| {
        let keys = (0..LARGE_ROWS).map(|key| Change::put(&format!("k{key}"), "x", ts, text));
        keys.collect::<Vec<_>>()
    };
    commit(&mut sink, &put(1, "small")).await;
    let (large, mut model) = (put(2, &"x".repeat(LARGE_TEXT)), Model::default());
    commit(&mut sink, &large).await;
    model.upsert(&large);
    // Whoever puts rows aside fails.
    let spill = SpillArea::in_folder("/nowhere");
    let place = Place { environment: Environment { spill, ..place.environment.clone() }, ..place };
    let options = MaintainOptions { memory_bytes: 192 << 20, threads: 3, ..MaintainOptions::default() };
    let maintainer = place.open_with(options).await.unwrap();
    let planned = services::schedule(&maintainer).await.unwrap().unwrap();
    let report = maintainer.compact(planned, &services::no_limits(), &|_| {}).await.unwrap();
    assert!(matches!(report.outcome, RunOutcome::Committed { .. }), "{report:?}");
    assert_eq!((report.groups, report.rows), (2, LARGE_ROWS as u64));
    assert_eq!(place.problems(&model).await, [""; 0]);
}

//! Several processes at once.

use std::time::Duration;

use lakebed::table::TableError;

use super::*;
use crate::test_table::services;

async fn all_at_once<T: Send + 'static>(
    scene: &Scene,
    work: impl Fn(Maintainer) -> futures::future::BoxFuture<'static, T>,
) -> Vec<T> {
    let mut runs = Vec::new();
    for _ in 0..6 {
        runs.push(tokio::spawn(work(scene.maintainer().await)));
    }
    futures::future::join_all(runs).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_restores_take_the_table_back_once() {
    let scene = Scene::new(TableType::MergeOnRead).await;
    scene.upsert(&[put("a", "x", 1)]).await;
    let savepoint = scene.savepoint().await;
    for ts in 2..=4 {
        scene.upsert(&[put("a", "x", ts)]).await;
        scene.compact().await;
    }
    let scene = scene.later(2);
    let done = all_at_once(&scene, |maintainer| {
        Box::pin(async move { maintainer.restore(savepoint, &no_limits(), &|_| {}).await })
    })
    .await;
    let outcomes: Vec<Option<RunOutcome>> =
        done.into_iter().map(|done| done.unwrap().map(|report| report.outcome)).collect();
    let committed = outcomes.iter().filter(|o| matches!(o, Some(RunOutcome::Committed { .. }))).count();
    assert_eq!(committed, 1, "{outcomes:?}");
    assert_eq!(scene.texts().await, ["a x 1 a1"]);
    assert_eq!(completed(&scene.maintainer().await, Action::Restore).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rollbacks_take_one_commit_back() {
    let scene = Scene::new(TableType::CopyOnWrite).await;
    scene.upsert(&[put("a", "x", 1)]).await;
    let newest = scene.upsert(&[put("a", "x", 2)]).await;
    let done = all_at_once(&scene, |maintainer| {
        Box::pin(async move { maintainer.committer().roll_back(newest).await })
    })
    .await;
    for done in &done {
        let is_gone = matches!(done, Err(CommitError::Undo(UndoError::Unknown { .. })));
        assert!(done.is_ok() || is_gone, "{done:?}");
    }
    assert!(done.iter().any(Result::is_ok));
    assert_eq!(completed(&scene.maintainer().await, Action::Rollback).await.len(), 1);
    assert_eq!(scene.texts().await, ["a x 1 a1"]);
}

/// While a restore is pending, a sink, a compaction and an older plan stay out; a write that was begun before
/// conflicts.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_begins_anything_while_a_restore_is_not_completed() {
    let scene = Scene::new(TableType::MergeOnRead).await;
    scene.upsert(&[put("a", "x", 1)]).await;
    let savepoint = scene.savepoint().await;
    for ts in 2..=3 {
        scene.upsert(&[put("a", "x", ts)]).await;
    }
    let compaction = services::schedule(&scene.maintainer().await).await.unwrap().unwrap();
    let maintainer = scene.maintainer().await;
    let mut writer = scene.sink("p", WriteOperation::Upsert).await.unwrap();
    let scene = scene.later(2);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let limits = lakebed::maintain::RunLimits { stop: stopped, deadline: None };
    let tell = |event| {
        if matches!(event, lakebed::maintain::restore::RestoreEvent::TakenBack { .. }) {
            stop.send_replace(true);
        }
    };
    let report = scene.maintainer().await.restore(savepoint, &limits, &tell).await.unwrap().unwrap();
    assert_eq!((report.outcome, report.instants.len()), (RunOutcome::Stopped, 1), "{report:?}");

    let is_restoring = |error: &CommitError| matches!(error, CommitError::Restoring { savepoint: Some(to), .. } if *to == savepoint);
    let refused = scene.sink("p", WriteOperation::Upsert).await.unwrap_err();
    assert!(matches!(&refused, SinkError::Commit(error) if is_restoring(error)), "{refused}");
    writer.write(&batch(&[put("a", "x", 9)]).0, None).await.unwrap_err();
    let refused = maintainer.compact(compaction, &no_limits(), &|_| {}).await.unwrap_err();
    assert!(matches!(&refused, MaintainError::Commit(error) if is_restoring(error)), "{refused}");
    let refused = scene.maintainer().await.committer().roll_back(savepoint).await.unwrap_err();
    assert!(is_restoring(&refused), "{refused}");
    let refused = scene.maintainer().await.committer().savepoint(None, "u", "c").await.unwrap_err();
    assert!(is_restoring(&refused), "{refused}");
    assert_eq!(scene.restore(savepoint).await.unwrap().map(RunOutcome::is_over), Some(true));
    assert_eq!(scene.texts().await, ["a x 1 a1"]);
    scene.upsert(&[put("a", "x", 8)]).await;
    assert_eq!(scene.texts().await, ["a x 8 a8"]);
}

/// A savepoint looks at the files before it has the lock: a clean that comes in between must not make it name
/// what is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_clean_that_comes_while_a_savepoint_is_made_is_seen() {
    let scene = Scene::new(TableType::CopyOnWrite).await;
    let first = scene.upsert(&[put("a", "x", 1)]).await;
    scene.upsert(&[put("a", "x", 2)]).await;
    let savepoint =
        async |maintainer: Maintainer| maintainer.committer().savepoint(Some(first), "u", "c").await;
    let is_lock = |o: &LoggedOperation| o.path.as_str().ends_with("table_lock.json");
    let at = number_of(&scene, async |maintainer| drop(savepoint(maintainer).await.unwrap()), is_lock).await;
    let refused = stands_still(&scene, at, savepoint, async {
        services::clean_to_latest(scene.maintainer().await.table()).await;
    })
    .await;
    assert!(matches!(refused, Err(CommitError::Table(TableError::Past(_)))), "{refused:?}");
    assert!(completed(&scene.maintainer().await, Action::Savepoint).await.is_empty());
}

/// Does `work` on `scene`, and stands still before its operation number `at` until `meanwhile` is done.
async fn stands_still<T>(
    scene: &Scene,
    at: usize,
    work: impl AsyncFnOnce(Maintainer) -> T,
    meanwhile: impl Future<Output = ()>,
) -> T {
    let disk = FaultStorage::with_fault(scene.disk.clone(), Fault { at, kind: FaultKind::StandStill });
    let maintainer = open(&(Arc::new(disk.clone()) as Arc<dyn Storage>), &scene.environment).await.unwrap();
    let others = async {
        while !disk.stands_still() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        meanwhile.await;
        disk.wake();
    };
    tokio::join!(work(maintainer), others).0
}

/// A savepoint bears the time of what it keeps: it is not among what is new on the timeline.
#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_that_comes_while_a_rollback_waits_for_the_lock_is_seen() {
    let scene = Scene::new(TableType::CopyOnWrite).await;
    scene.upsert(&[put("a", "x", 1)]).await;
    let newest = scene.upsert(&[put("a", "x", 2)]).await;
    let roll_back = async |maintainer: Maintainer| maintainer.committer().roll_back(newest).await;
    let is_lock = |o: &LoggedOperation| o.path.as_str().ends_with("table_lock.json");
    let at = number_of(&scene, async |maintainer| drop(roll_back(maintainer).await.unwrap()), is_lock).await;
    let refused = stands_still(&scene, at, roll_back, async { _ = scene.savepoint().await }).await;
    let kept = |error: &CommitError| matches!(error, CommitError::Undo(UndoError::Savepointed { instant }) if *instant == newest);
    assert!(refused.as_ref().is_err_and(kept), "{refused:?}");
    assert_eq!(scene.texts().await, ["a x 2 a2"]);
}

/// Whoever takes a compaction up that died takes a rollback of it for one of the attempt, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_by_hand_leaves_alone_what_somebody_has_taken_over_meanwhile() {
    let scene = Scene::new(TableType::MergeOnRead).await;
    for ts in 1..=2 {
        scene.upsert(&[put("a", "x", ts), put("b", "y", ts)]).await;
    }
    let compaction = services::schedule(&scene.maintainer().await).await.unwrap().unwrap();
    compaction_dies(&scene, compaction).await;

    let scene = scene.later(2);
    let roll_back = async |maintainer: Maintainer| maintainer.committer().roll_back(compaction).await;
    // The lock is let go by then.
    let is_data =
        |o: &LoggedOperation| o.operation == Operation::Delete && o.path.as_str().ends_with(".parquet");
    let at = number_of(&scene, async |maintainer| drop(roll_back(maintainer).await.unwrap()), is_data).await;
    let refused = stands_still(&scene, at, roll_back, async {
        services::maintain(&scene.maintainer().await).await.unwrap();
    })
    .await;
    let is_over = |error: &CommitError| matches!(error, CommitError::Undo(UndoError::TakenOver { instant, .. }) if *instant == compaction);
    assert!(refused.as_ref().is_err_and(is_over), "{refused:?}");
    let timeline = scene.maintainer().await.committer().timeline().await.unwrap();
    assert!(timeline.is_committed(compaction));
    let states: Vec<String> = timeline_files(&scene, compaction).await;
    assert_eq!(states.len(), 3, "{states:?}");
    assert_eq!(scene.texts().await, ["a x 2 a2", "b y 2 b2"]);
}

/// The files of an instant on the timeline.
async fn timeline_files(scene: &Scene, instant: InstantTime) -> Vec<String> {
    let listed = scene.disk.list(&".hoodie/timeline".parse().unwrap()).await.unwrap();
    let names = listed.files.iter().map(|file| file.path.file_name().to_owned());
    names.filter(|name| name.starts_with(instant.as_str())).collect()
}

//! What is not undone or kept, since it would leave the table broken; nothing is changed then.

use std::collections::BTreeSet;

use lakebed::maintain::clean::CleanPolicy;
use lakebed::storage::TablePath;

use super::*;

impl Scene {
    /// The files of the table, but for the lock and what every run may sweep.
    async fn files(&self) -> BTreeSet<String> {
        let files = self.disk.list_all(&TablePath::root()).await.unwrap();
        let stays = |path: &String| !path.starts_with(".hoodie/lock");
        files.into_iter().map(|file| file.path.to_string()).filter(stays).collect()
    }

    /// Why a rollback is refused, which changes nothing, nor does a look at what it would do.
    async fn refusal(&self, instant: InstantTime) -> UndoError {
        let before = self.files().await;
        let refused = self.roll_back(instant).await.unwrap_err();
        let planned = self.maintainer().await.committer().plan_rollback(instant).await.unwrap_err();
        assert!(matches!(&planned, CommitError::Undo(_)), "{planned}");
        assert_eq!(self.files().await, before, "{refused}");
        refused
    }

    async fn refused_restore(&self, savepoint: InstantTime) -> UndoError {
        let before = self.files().await;
        let refused = match self.restore(savepoint).await {
            Err(MaintainError::Commit(CommitError::Undo(refused))) => refused,
            other => panic!("{other:?}"),
        };
        assert_eq!(self.files().await, before, "{refused}");
        refused
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_others_came_after_is_not_rolled_back() {
    for table_type in [TableType::CopyOnWrite, TableType::MergeOnRead] {
        let scene = Scene::new(table_type).await;
        let first = scene.upsert(&[put("a", "x", 1)]).await;
        let second = scene.upsert(&[put("b", "y", 2)]).await;
        let refused = scene.refusal(first).await;
        assert!(matches!(&refused, UndoError::Later { later, .. } if *later == second), "{refused}");
        // In turn, both go.
        scene.roll_back(second).await.unwrap();
        scene.roll_back(first).await.unwrap();
        assert_eq!(scene.texts().await, [""; 0]);
        assert!(matches!(scene.refusal(first).await, UndoError::Unknown { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_not_rolled_back_while_somebody_may_build_on_it() {
    let scene = Scene::new(TableType::MergeOnRead).await;
    let newest = scene.upsert(&[put("a", "x", 1)]).await;
    let pending = scene.dies(&[put("a", "x", 2)]).await;
    let refused = scene.refusal(newest).await;
    assert!(matches!(&refused, UndoError::Pending { pending: found, .. } if *found == pending), "{refused}");
    let refused = scene.refusal(pending).await;
    assert!(matches!(&refused, UndoError::Alive { .. }), "{refused}");
    let scene = scene.later(2);
    scene.roll_back(pending).await.unwrap();
    scene.roll_back(newest).await.unwrap();
    assert_eq!(scene.texts().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_a_compaction_reads_or_did_read_is_not_rolled_back() {
    let scene = Scene::new(TableType::MergeOnRead).await;
    scene.upsert(&[put("a", "x", 1)]).await;
    scene.compact().await;
    let newest = scene.upsert(&[put("a", "x", 2)]).await;
    let compaction = services::schedule(&scene.maintainer().await).await.unwrap().unwrap();
    let refused = scene.refusal(newest).await;
    assert!(matches!(&refused, UndoError::Planned { service, .. } if *service == compaction), "{refused}");
    // What is planned is taken off when it is named.
    scene.roll_back(compaction).await.unwrap();
    assert_eq!(services::planned(scene.maintainer().await.table()).await, []);
    scene.compact().await;
    let refused = scene.refusal(newest).await;
    assert!(matches!(&refused, UndoError::Later { .. }), "{refused}");
    let compaction = scene.maintainer().await.committer().newest_commit().await.unwrap().unwrap();
    scene.roll_back(compaction).await.unwrap();
    assert_eq!(scene.texts().await, ["a x 2 a2"]);
    scene.roll_back(newest).await.unwrap();
    assert_eq!(scene.texts().await, ["a x 1 a1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_not_rolled_back_when_what_was_before_it_is_cleaned() {
    let scene = Scene::new(TableType::CopyOnWrite).await;
    scene.upsert(&[put("a", "x", 1)]).await;
    let newest = scene.upsert(&[put("a", "x", 2)]).await;
    services::clean_to_latest(scene.maintainer().await.table()).await;
    let refused = scene.refusal(newest).await;
    assert!(matches!(&refused, UndoError::Cleaned { .. }), "{refused}");
    // What touches other groups can go.
    let other = scene.upsert(&[put("b", "y", 3)]).await;
    scene.roll_back(other).await.unwrap();
    assert_eq!(scene.texts().await, ["a x 2 a2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_savepoint_keeps_is_neither_rolled_back_nor_restored_over() {
    let scene = Scene::new(TableType::CopyOnWrite).await;
    scene.upsert(&[put("a", "x", 1)]).await;
    let first = scene.savepoint().await;
    scene.upsert(&[put("a", "x", 2)]).await;
    let second = scene.savepoint().await;
    let refused = scene.refusal(second).await;
    assert!(matches!(&refused, UndoError::Savepointed { .. }), "{refused}");
    let scene = scene.later(2);
    let refused = scene.refused_restore(first).await;
    assert!(matches!(&refused, UndoError::Savepointed { instant } if *instant == second), "{refused}");
    let committer = scene.maintainer().await.committer().clone();
    committer.delete_savepoint(second).await.unwrap();
    let missing = scene.refused_restore(second).await;
    assert_eq!(missing, UndoError::NoSavepoint { instant: second, savepoints: vec![first] });
    assert_eq!(scene.restore(first).await.unwrap().map(RunOutcome::is_over), Some(true));
    assert_eq!(scene.restore(first).await.unwrap(), None, "nothing came after it");
    assert_eq!(scene.texts().await, ["a x 1 a1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cleaned_or_not_completed_is_not_savepointed() {
    let scene = Scene::new(TableType::CopyOnWrite).await;
    let first = scene.upsert(&[put("a", "x", 1)]).await;
    let second = scene.upsert(&[put("a", "x", 2)]).await;
    services::clean(scene.maintainer().await.table(), CleanPolicy::KeepLatestCommits(1)).await.unwrap();
    let committer = scene.maintainer().await.committer().clone();
    let refused = committer.savepoint(Some(first), "u", "c").await.unwrap_err();
    assert!(matches!(&refused, CommitError::Table(_)), "{refused}");
    let pending = scene.dies(&[put("b", "x", 3)]).await;
    let refused = committer.savepoint(Some(pending), "u", "c").await.unwrap_err();
    assert!(matches!(&refused, CommitError::Undo(UndoError::Incomplete { .. })), "{refused}");
    // What may still complete before a later commit is not kept by accident.
    let fourth = scene.write(WriteOperation::Upsert, &[put("c", "y", 4)]).await;
    let made = committer.savepoint(None, "u", "c").await.unwrap();
    assert!(made.instant == fourth || made.held_by.is_some_and(|held| held.time == pending), "{made:?}");
    assert!(made.instant != first && made.instant >= second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_waits_for_whoever_may_be_alive_and_misses_no_file() {
    let scene = Scene::new(TableType::CopyOnWrite).await;
    scene.upsert(&[put("a", "x", 1)]).await;
    let savepoint = scene.savepoint().await;
    scene.upsert(&[put("a", "x", 2)]).await;
    let pending = scene.dies(&[put("b", "x", 3)]).await;
    let refused = scene.refused_restore(savepoint).await;
    assert!(matches!(&refused, UndoError::Alive { instant, .. } if *instant == pending), "{refused}");
    let scene = scene.later(2);
    let maintainer = scene.maintainer().await;
    let timeline = maintainer.table().timeline.load().await.unwrap();
    let kept = timeline.completed().find(|i| i.action == Action::Savepoint).unwrap();
    let metadata = maintainer.table().timeline.savepoint_metadata(kept).await.unwrap();
    let (partition, files) = metadata.partition_metadata.iter().next().unwrap();
    let path: TablePath = format!("{partition}/{}", files.savepoint_data_file[0]).parse().unwrap();
    let bytes = scene.disk.get(&path, u64::MAX).await.unwrap().bytes;
    scene.disk.delete(&path).await.unwrap();
    let refused = scene.refused_restore(savepoint).await;
    assert_eq!(refused, UndoError::KeptFile { savepoint, path: path.clone() });
    scene.disk.put(&path, bytes).await.unwrap();
    assert_eq!(scene.restore(savepoint).await.unwrap().map(RunOutcome::is_over), Some(true));
    assert_eq!(scene.texts().await, ["a x 1 a1"]);
}

/// A plan of a rollback that was cut off before it did anything is given up once something is built on what it
/// was to undo, and carried out by whoever writes next if not.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_was_planned_alone_is_carried_out_or_given_up() {
    use lakebed_hudi::timeline_file::TimelineFile;
    for is_built_on in [false, true] {
        let scene = Scene::new(TableType::CopyOnWrite).await;
        scene.upsert(&[put("a", "x", 1)]).await;
        let newest = scene.upsert(&[put("a", "x", 2)]).await;
        let maintainer = scene.maintainer().await;
        let plan = maintainer.committer().plan_rollback(newest).await.unwrap().plan;
        let (timeline, environment) = (&maintainer.table().timeline, &scene.environment);
        if is_built_on {
            scene.upsert(&[put("b", "x", 3)]).await;
        }
        let now = InstantTime::from_unix_millis(environment.clock.unix_millis() + 1, maintainer.table().zone);
        let requested = timeline.path(&TimelineFile::requested(now, Action::Rollback));
        scene.disk.put(&requested, plan.to_avro().unwrap().into()).await.unwrap();
        let scene = scene.later(2);
        scene.upsert(&[put("c", "y", 4)]).await;
        let expected: &[&str] = match is_built_on {
            true => &["a x 2 a2", "b x 3 b3", "c y 4 c4"],
            false => &["a x 1 a1", "c y 4 c4"],
        };
        assert_eq!(scene.texts().await, expected);
        let left = maintainer.table().timeline.load().await.unwrap();
        assert_eq!(left.pending().count(), 0, "{left:?}");
    }
}

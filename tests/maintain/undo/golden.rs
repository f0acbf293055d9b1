//! What Spark has savepointed, savepointed by us.

use lakebed::storage;
use lakebed_hudi::timeline_file::TimelineFile;
use lakebed_hudi::timeline_metadata::{RestoreMetadata, RestorePlan, SavepointMetadata};

use super::*;
use crate::fixtures::unpack;
use crate::recovery::clock::HOUR;

async fn opened(folder: &std::path::Path) -> Maintainer {
    let environment = Environment::real();
    let uri = folder.display().to_string().parse().unwrap();
    open(&storage::open(&uri, &environment).await.unwrap(), &environment).await.unwrap()
}

fn sorted(mut metadata: SavepointMetadata) -> SavepointMetadata {
    metadata.partition_metadata.values_mut().for_each(|kept| kept.savepoint_data_file.sort());
    SavepointMetadata { savepointed_at_ms: 0, ..metadata }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_spark_savepointed_is_savepointed_alike() {
    for (fixture, is_cleaned) in [("savepoint", true), ("savepoint_restore", false)] {
        let folder = unpack(fixture);
        let maintainer = opened(folder.path()).await;
        let (committer, timeline) = (maintainer.committer(), &maintainer.table().timeline);
        let loaded = timeline.load().await.unwrap();
        let kept = *loaded.completed().find(|i| i.action == Action::Savepoint).unwrap();
        let theirs = timeline.savepoint_metadata(&kept).await.unwrap();
        let there = committer.savepoint(Some(kept.time), "other", "d").await.unwrap();
        assert_eq!((there.is_new, &there.metadata), (false, &theirs));
        committer.delete_savepoint(kept.time).await.unwrap();
        let left = timeline.load().await.unwrap();
        assert!(left.get(kept.time, Action::Savepoint).is_none());
        match committer.savepoint(Some(kept.time), "u", "c").await {
            Ok(made) => {
                assert!(!is_cleaned && made.is_new, "{fixture}");
                assert_eq!(sorted(made.metadata), sorted(theirs), "{fixture}");
            }
            // A clean has passed it, which only the savepoint survived.
            Err(refused) => assert!(is_cleaned && matches!(refused, CommitError::Table(_)), "{refused}"),
        }
    }
}

/// As if Spark had died before it said that the restore is completed, or before it did anything of it that
/// shows.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_spark_has_left_is_gone_on_with() {
    for is_begun in [true, false] {
        let folder = unpack("savepoint_restore");
        let maintainer = opened(folder.path()).await;
        let timeline = maintainer.table().timeline.clone();
        let loaded = timeline.load().await.unwrap();
        let theirs = *loaded.last_restore().unwrap();
        let savepoint = loaded.completed().find(|i| i.action == Action::Savepoint).unwrap().time;
        let requested = TimelineFile::requested(theirs.time, Action::Restore);
        let plan = RestorePlan::from_avro(&timeline.read(&requested).await.unwrap()).unwrap();
        assert_eq!(plan.savepoint_to_restore_timestamp, Some(savepoint));
        let said = RestoreMetadata::from_avro(&timeline.read(&theirs.file()).await.unwrap()).unwrap();
        let storage = &maintainer.table().storage;
        storage.delete(&timeline.path(&theirs.file())).await.unwrap();
        if !is_begun {
            storage
                .delete(&timeline.path(&TimelineFile::inflight(theirs.time, Action::Restore)))
                .await
                .unwrap();
        }
        for file in [requested, TimelineFile::inflight(theirs.time, Action::Restore)] {
            let path = folder.path().join(timeline.path(&file).as_str());
            if let Ok(file) = std::fs::File::options().write(true).open(path) {
                let modified = file.metadata().unwrap().modified().unwrap();
                file.set_modified(modified - HOUR).unwrap();
            }
        }
        let report = maintainer.restore(savepoint, &no_limits(), &|_| {}).await.unwrap().unwrap();
        assert_eq!(report.restore, theirs.time);
        assert!(report.outcome.is_over(), "{report:?}");
        let done = timeline.load().await.unwrap();
        let ours = timeline.read(&done.last_restore().unwrap().file()).await.unwrap();
        let ours = RestoreMetadata::from_avro(&ours).unwrap();
        let planned = |said: &RestoreMetadata| {
            let mut planned = said.instants_to_rollback.clone();
            planned
                .retain(|instant| plan.instants_to_rollback.iter().any(|info| info.commit_time == *instant));
            planned
        };
        assert_eq!(planned(&ours), planned(&said));
        assert_eq!((ours.start_restore_time, ours.version), (said.start_restore_time, said.version));
        assert_eq!(done.completed_writes().next_back().unwrap().time, savepoint);
    }
}

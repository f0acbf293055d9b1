//! What Spark has cleaned, planned anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use lakebed::environment::Environment;
use lakebed::storage::{self, Storage};
use lakebed::table::Table;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{CleanMetadata, CleanerPlan};

use super::{commits, maintainer, make_older, no_limits};
use crate::fixtures::unpack;

/// A table as it was before Spark cleaned it, and Spark's plan and its account of the clean. The files that it
/// deleted are there again, by name.
async fn before_clean(folder: &std::path::Path) -> (Arc<dyn Storage>, CleanerPlan, CleanMetadata) {
    let environment = Environment::real();
    let uri = folder.display().to_string().parse().unwrap();
    let storage = storage::open(&uri, &environment).await.unwrap();
    let table = Table::open(storage.clone(), &environment, None).await.unwrap();
    let timeline = table.timeline.load().await.unwrap();
    let [clean] = timeline.completed().filter(|i| i.action == Action::Clean).collect::<Vec<_>>()[..] else {
        panic!("{timeline:?}")
    };
    let requested = TimelineFile::requested(clean.time, Action::Clean);
    let plan = CleanerPlan::from_avro(&table.timeline.read(&requested).await.unwrap()).unwrap();
    let metadata = table.timeline.clean_metadata(clean).await.unwrap();
    for file in [requested, TimelineFile::inflight(clean.time, Action::Clean), clean.file()] {
        assert!(storage.delete(&table.timeline.path(&file)).await.unwrap());
    }
    for (partition, names) in names_of(&plan) {
        for name in names {
            storage.put(&format!("{partition}/{name}").parse().unwrap(), Bytes::new()).await.unwrap();
        }
    }
    (storage, plan, metadata)
}

fn names_of(plan: &CleanerPlan) -> BTreeMap<String, BTreeSet<String>> {
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let files = plan.file_paths_to_be_deleted_per_partition.iter();
    files
        .map(|(partition, files)| {
            (partition.clone(), files.iter().map(|file| name(&file.file_path)).collect())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_spark_cleaned_is_cleaned_alike() {
    for (fixture, files) in [("cleaned_cow", 1), ("cleaned_mor", 2), ("savepoint", 0)] {
        let folder = unpack(fixture);
        let (storage, spark_plan, spark_metadata) = before_clean(folder.path()).await;
        let environment = Environment::real();
        let maintainer = maintainer(&storage, &environment).await;
        let clean = super::clean(&maintainer, commits(1)).await.unwrap().unwrap().instant;
        let timeline = &maintainer.table().timeline;
        let requested = TimelineFile::requested(clean, Action::Clean);
        let plan = CleanerPlan::from_avro(&timeline.read(&requested).await.unwrap()).unwrap();
        let scheme = |plan: &CleanerPlan| {
            let files = plan.file_paths_to_be_deleted_per_partition.values().flatten();
            let before = files.map(|file| file.file_path.split_once(":/").unwrap().0.to_owned());
            before.collect::<BTreeSet<_>>()
        };
        assert!(names_of(&plan).values().map(BTreeSet::len).sum::<usize>() >= files, "{fixture}");
        assert_eq!(names_of(&plan), names_of(&spark_plan), "{fixture}");
        assert_eq!(scheme(&plan), scheme(&spark_plan));
        // All else is word for word the same, but that we say who we are.
        let extra = |extra: &BTreeMap<String, String>| {
            extra
                .iter()
                .filter(|(key, _)| *key != "lakebed.service")
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        };
        let same = CleanerPlan {
            file_paths_to_be_deleted_per_partition: spark_plan.file_paths_to_be_deleted_per_partition.clone(),
            extra_metadata: extra(&plan.extra_metadata),
            ..plan
        };
        assert_eq!(same, spark_plan, "{fixture}");

        let loaded = timeline.load().await.unwrap();
        let metadata = timeline.clean_metadata(loaded.get(clean, Action::Clean).unwrap()).await.unwrap();
        let sorted = |metadata: CleanMetadata| {
            let mut metadata = CleanMetadata {
                start_clean_time: clean,
                time_taken_in_millis: 0,
                extra_metadata: extra(&metadata.extra_metadata),
                ..metadata
            };
            for partition in metadata.partition_metadata.values_mut() {
                partition.delete_path_patterns.sort();
                partition.success_delete_files.sort();
            }
            metadata
        };
        assert_eq!(sorted(metadata), sorted(spark_metadata), "{fixture}");
        assert!(super::clean(&maintainer, commits(1)).await.unwrap().is_none(), "{fixture}");
    }
}

/// As if Spark had died before it deleted anything, or before it said so.
#[tokio::test(flavor = "multi_thread")]
async fn a_clean_that_spark_has_left_is_gone_on_with() {
    for (fixture, deleted) in [("cleaned_cow", false), ("cleaned_cow", true), ("cleaned_mor", false)] {
        let folder = unpack(fixture);
        let (storage, plan, spark_metadata) = before_clean(folder.path()).await;
        let environment = Environment::real();
        let maintainer = maintainer(&storage, &environment).await;
        let timeline = &maintainer.table().timeline;
        let clean = spark_metadata.start_clean_time;
        let [requested, inflight] =
            [TimelineFile::requested(clean, Action::Clean), TimelineFile::inflight(clean, Action::Clean)];
        // The plan is of a table that lay elsewhere.
        let uri = storage.uri();
        let mut moved = plan.clone();
        for (partition, files) in &mut moved.file_paths_to_be_deleted_per_partition {
            for file in files {
                let name = file.file_path.rsplit('/').next().unwrap();
                file.file_path = uri.with_scheme(&format!("{partition}/{name}").parse().unwrap());
            }
        }
        let put = async |file: TimelineFile, bytes: Vec<u8>| {
            storage.put(&timeline.path(&file), bytes.into()).await.unwrap();
        };
        put(requested, moved.to_avro().unwrap()).await;
        put(inflight, Vec::new()).await;
        let report = maintainer.clean(clean, &no_limits(), &|_| {}).await.unwrap();
        assert!(
            matches!(report.outcome, lakebed::maintain::RunOutcome::AtWork { .. }),
            "Spark may be at work on what is as new as this: {report:?}"
        );
        for file in [requested, inflight] {
            make_older(folder.path().join(timeline.path(&file).as_str()));
        }
        if deleted {
            for (partition, names) in names_of(&plan) {
                for name in names {
                    storage.delete(&format!("{partition}/{name}").parse().unwrap()).await.unwrap();
                }
            }
        }
        let report = maintainer.clean(clean, &no_limits(), &|_| {}).await.unwrap();
        assert!(super::is_done(&report), "{report:?}");
        assert_eq!(report.deleted, names_of(&plan).values().map(BTreeSet::len).sum::<usize>());
        let loaded = timeline.load().await.unwrap();
        let metadata = timeline.clean_metadata(loaded.get(clean, Action::Clean).unwrap()).await.unwrap();
        assert_eq!(metadata.total_files_deleted, spark_metadata.total_files_deleted);
        assert_eq!(metadata.earliest_commit_to_retain, spark_metadata.earliest_commit_to_retain);
        assert_eq!(loaded.pending().count(), 0);
    }
}

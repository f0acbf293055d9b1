//! Clusterings of tables that Spark wrote.

use std::path::Path;

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use lakebed::environment::Environment;
use lakebed::maintain::MaintainOptions;
use lakebed::read::{Scan, ScanOptions};
use lakebed::storage;
use lakebed::table::TableSnapshot;
use lakebed_hudi::instant::TimelineZone;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::{RuntimeStats, WriteStat};

use super::*;
use crate::fixtures::{Fixture, catalogue, rows, unpack};

async fn open(folder: &Path) -> Result<Maintainer, MaintainError> {
    let environment = Environment::real();
    let storage = storage::open(&folder.display().to_string().parse().unwrap(), &environment).await?;
    let options = MaintainOptions {
        memory_bytes: 128 << 20,
        timeline_zone: Some(TimelineZone::Utc),
        ..MaintainOptions::default()
    };
    Maintainer::open(storage, &environment, options).await
}

/// All rows with meta columns but for the name of the file.
async fn read(snapshot: &TableSnapshot) -> Vec<RecordBatch> {
    let scan = Scan::plan(snapshot, ScanOptions { with_meta: true, ..ScanOptions::default() }).await.unwrap();
    let mut batches = vec![RecordBatch::new_empty(scan.schema())];
    batches.extend(scan.stream().try_collect::<Vec<_>>().await.unwrap());
    for batch in &mut batches {
        batch.remove_column(batch.schema().index_of("_hoodie_file_name").unwrap());
    }
    batches
}

/// Tables with a bucket index, whose properties say nothing of it.
const BUCKETS: [&str; 5] =
    ["bucket_compacted", "bucket_consistent", "bucket_cow", "bucket_mor", "log_compaction"];

/// What is wrong with a table after all that can be was clustered; an error if it is refused.
async fn clustered(maintainer: &Maintainer) -> Result<Option<String>, MaintainError> {
    let before = read(&maintainer.table().snapshot(None).await.unwrap()).await;
    let reports = services::cluster(maintainer, &everything()).await?;
    let after = read(&maintainer.table().snapshot(None).await.unwrap()).await;
    if let Some(difference) = rows::difference(&before, &after).unwrap() {
        return Ok(Some(format!("after {reports:?}: {difference}")));
    }
    let again = services::schedule_clustering(maintainer, &everything()).await?;
    Ok(again.map(|instant| format!("{instant} was planned once more, after {reports:?}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_has_the_same_rows_after_a_clustering() {
    let is_read = |f: &Fixture| f.version != "6" && f.refused.is_none() && f.name != "log_hfile";
    let (mut wrong, mut done, mut refused) = (Vec::new(), 0, Vec::new());
    for fixture in catalogue().into_iter().filter(is_read) {
        let folder = unpack(&fixture.name);
        let Ok(maintainer) = open(folder.path()).await else { continue };
        match clustered(&maintainer).await {
            Ok(problem) => {
                done += 1;
                wrong.extend(problem.map(|what| format!("{}: {what}", fixture.name)));
            }
            Err(MaintainError::Refused(refusal)) => refused.push((fixture.name, refusal.feature)),
            Err(error) => wrong.push(format!("{}: {error}", fixture.name)),
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(done > 30, "{done}");
    let names: Vec<&str> = refused.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, BUCKETS, "{refused:?}");
    assert!(refused.iter().all(|(_, what)| what.contains("bucket")), "{refused:?}");
}

/// What two engines need not agree on: names of groups and files, how well they pack, how long they take.
fn said_alike(metadata: CommitMetadata) -> CommitMetadata {
    let alike = |stat: WriteStat| WriteStat {
        file_id: String::new(),
        path: None,
        total_write_bytes: 0,
        file_size_in_bytes: 0,
        runtime_stats: Some(RuntimeStats::default()),
        ..stat
    };
    let stats = metadata.partition_to_write_stats.into_iter();
    let stats = stats.map(|(partition, stats)| (partition, stats.into_iter().map(alike).collect()));
    let replaced = metadata.partition_to_replace_file_ids.map(|partitions| {
        let sorted = partitions.into_iter().map(|(partition, mut ids)| {
            ids.sort();
            (partition, ids)
        });
        sorted.collect()
    });
    CommitMetadata {
        partition_to_write_stats: stats.collect(),
        partition_to_replace_file_ids: replaced,
        ..metadata
    }
}

/// Carries out once more what Spark has planned and carried out, and compares what both made of it.
#[tokio::test(flavor = "multi_thread")]
async fn spark_makes_the_same_of_its_plans() {
    for name in ["clustering_cow", "clustering_mor"] {
        let folder = unpack(name);
        let maintainer = open(folder.path()).await.unwrap();
        let table = maintainer.table();
        let timeline = table.timeline.load().await.unwrap();
        let done = timeline.completed().find(|i| i.requested_as == Action::Clustering).unwrap();
        // The table as it was when that was completed.
        for instant in timeline.instants().filter(|i| i.time > done.time) {
            for file in table.storage.list(&".hoodie/timeline".parse().unwrap()).await.unwrap().files {
                if file.path.file_name().starts_with(instant.time.as_str()) {
                    table.storage.delete(&file.path).await.unwrap();
                }
            }
        }
        let theirs = table.timeline.commit_metadata(done).await.unwrap();
        let before = read(&table.snapshot(None).await.unwrap()).await;
        assert!(table.storage.delete(&table.timeline.path(&done.file())).await.unwrap());
        for path in theirs.write_stats().filter_map(|(_, stat)| stat.path.clone()) {
            assert!(table.storage.delete(&path.parse().unwrap()).await.unwrap());
        }
        services::clustered(&maintainer, done.time).await.unwrap();
        let after = read(&table.snapshot(None).await.unwrap()).await;
        let difference = rows::difference(&before, &after).unwrap();
        assert!(difference.is_none(), "{name}: {}", difference.unwrap());
        let timeline = table.timeline.load().await.unwrap();
        let ours = table.timeline.commit_metadata(timeline.get(done.time, Action::Clustering).unwrap()).await;
        assert_eq!(said_alike(ours.unwrap()), said_alike(theirs), "{name}");
    }
}

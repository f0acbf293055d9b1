use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use lakebed::storage::TablePath;
use lakebed::table::{Table, TableSnapshot};
use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{CleanFileInfo, CleanMetadata, CleanPartitionMetadata, CleanerPlan};

use super::{put, time_after};

const POLICY: &str = "KEEP_LATEST_FILE_VERSIONS";

/// Deletes what the latest slices do not need, as Hudi does it that keeps one version of each file.
pub async fn clean(table: &Table) {
    let snapshot = table.snapshot(None).await.unwrap();
    let mut old: BTreeMap<String, Vec<TablePath>> = BTreeMap::new();
    for (partition, files) in snapshot.partitions().await.unwrap() {
        let groups = snapshot.file_groups(&partition, &files).await.unwrap();
        let latest = groups.iter().filter_map(|group| group.latest());
        let needed: BTreeSet<&TablePath> = latest
            .flat_map(|slice| slice.base.iter().map(|f| &f.path).chain(slice.logs.iter().map(|f| &f.path)))
            .collect();
        for file in files.iter().filter(|file| !needed.contains(&file.path)) {
            let name = DataFileName::parse(file.path.file_name());
            if name.is_some_and(|name| snapshot.timeline.is_committed(name.instant())) {
                old.entry(partition.clone()).or_default().push(file.path.clone());
            }
        }
    }
    if old.is_empty() {
        return;
    }
    complete(table, &snapshot, &old, None).await;
}

/// Completes a clean that counts commits, keeps what was there from `kept` on, and finds nothing to delete.
pub async fn clean_before(table: &Table, kept: InstantTime) {
    let snapshot = table.snapshot(None).await.unwrap();
    complete(table, &snapshot, &BTreeMap::new(), Some(kept)).await;
}

async fn complete(
    table: &Table,
    snapshot: &TableSnapshot,
    old: &BTreeMap<String, Vec<TablePath>>,
    kept: Option<InstantTime>,
) {
    let start = time_after(table, snapshot.timeline.latest_time().unwrap()).await;
    let mut done = cleaned(start, old);
    done.earliest_commit_to_retain = kept.map(|kept| kept.to_string()).unwrap_or_default();
    let plan = plan(table, old);
    put(table, TimelineFile::requested(start, Action::Clean), plan.to_avro().unwrap().into()).await;
    put(table, TimelineFile::inflight(start, Action::Clean), Bytes::new()).await;
    for path in old.values().flatten() {
        assert!(table.storage.delete(path).await.unwrap());
    }
    let completion = time_after(table, start).await;
    let completed = TimelineFile::completed(start, Action::Clean, completion);
    put(table, completed, done.to_avro().unwrap().into()).await;
}

fn plan(table: &Table, old: &BTreeMap<String, Vec<TablePath>>) -> CleanerPlan {
    let uri = table.storage.uri();
    let file = |path| CleanFileInfo { file_path: uri.with_scheme(path), is_bootstrap_base_file: false };
    let files = old.iter().map(|(p, paths)| (p.clone(), paths.iter().map(file).collect()));
    CleanerPlan {
        earliest_instant_to_retain: None,
        last_completed_commit_timestamp: String::new(),
        policy: POLICY.into(),
        files_to_be_deleted_per_partition: BTreeMap::new(),
        version: CleanerPlan::VERSION,
        file_paths_to_be_deleted_per_partition: files.collect(),
        partitions_to_be_deleted: Vec::new(),
        extra_metadata: BTreeMap::new(),
    }
}

fn cleaned(start: InstantTime, old: &BTreeMap<String, Vec<TablePath>>) -> CleanMetadata {
    let partition = |(partition, paths): (&String, &Vec<TablePath>)| {
        let names: Vec<String> = paths.iter().map(|path| path.file_name().to_owned()).collect();
        let of_partition = CleanPartitionMetadata {
            partition_path: partition.clone(),
            policy: POLICY.into(),
            delete_path_patterns: names.clone(),
            success_delete_files: names,
            ..CleanPartitionMetadata::default()
        };
        (partition.clone(), of_partition)
    };
    CleanMetadata {
        start_clean_time: start,
        time_taken_in_millis: 1,
        total_files_deleted: old.values().map(Vec::len).sum::<usize>() as i32,
        earliest_commit_to_retain: String::new(),
        last_completed_commit_timestamp: String::new(),
        partition_metadata: old.iter().map(partition).collect(),
        version: CleanMetadata::VERSION,
        bootstrap_partition_metadata: BTreeMap::new(),
        extra_metadata: BTreeMap::new(),
    }
}

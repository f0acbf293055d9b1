use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use bytes::Bytes;
use futures::TryStreamExt as _;
use lakebed::read::{Scan, ScanOptions};
use lakebed::table::{
    BucketTarget, FileGroupId, FileSlice, StagedFile, StagedFiles, Table, TableSnapshot, WriteOperation,
    WriteTask,
};
use lakebed::write::{KeyRules, TableWriter, WriteOptions};
use lakebed_hudi::bucket::BucketHash;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::TableType;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{
    CommitMetadata, CompactionOperation, CompactionPlan, OperationType, WriteStat,
};

use super::{put, time_after};

/// Makes one base file of each slice with log files, as Hudi does it. A slice of which no row is left
/// stays as it is.
pub async fn compact(table: &Table) {
    let snapshot = table.snapshot(None).await.unwrap();
    let mut slices: BTreeMap<FileGroupId, FileSlice> = BTreeMap::new();
    for (_, groups) in snapshot.all_file_groups().await.unwrap() {
        for group in groups {
            slices.extend(
                group.latest().filter(|slice| !slice.logs.is_empty()).map(|s| (group.id.clone(), s.clone())),
            );
        }
    }
    let scan = Scan::plan(&snapshot, ScanOptions::default()).await.unwrap();
    let rows: Vec<RecordBatch> = scan.stream().try_collect().await.unwrap();
    let Some(first) = rows.first() else { return };
    let rows = concat_batches(&first.schema(), &rows).unwrap();
    let groups: Vec<Option<FileGroupId>> = groups_of(table, &rows, slices.keys());
    let left: BTreeSet<&FileGroupId> = groups.iter().flatten().collect();
    slices.retain(|group, _| left.contains(group));
    if slices.is_empty() {
        return;
    }
    let kept: BooleanArray = groups.iter().map(|group| Some(group.is_some())).collect();
    let rows = filter_record_batch(&rows, &kept).unwrap();

    let start = time_after(table, snapshot.timeline.latest_time().unwrap()).await;
    let operations = slices.iter().map(|(group, slice)| operation(group, slice)).collect();
    let plan = CompactionPlan { operations, version: CompactionPlan::VERSION, ..CompactionPlan::default() };
    put(table, TimelineFile::requested(start, Action::Compaction), plan.to_avro().unwrap().into()).await;
    put(table, TimelineFile::inflight(start, Action::Compaction), Bytes::new()).await;
    let staged = write(&snapshot, start, slices.keys(), &rows).await;
    let done = metadata(&staged, &snapshot.schema().await.unwrap().to_avro());
    let completion = time_after(table, start).await;
    let completed = TimelineFile::completed(start, Action::Commit, completion);
    put(table, completed, done.to_avro().unwrap().into()).await;
    let markers = format!(".hoodie/.temp/{start}").parse().unwrap();
    table.storage.delete_dir(&markers).await.unwrap();
}

/// The group of each row, if it is one of `of`.
fn groups_of<'a>(
    table: &Table,
    rows: &RecordBatch,
    of: impl Iterator<Item = &'a FileGroupId>,
) -> Vec<Option<FileGroupId>> {
    let index = table.config.bucket_index.as_ref().unwrap();
    let hash = BucketHash::new(index.hash_fields.clone(), index.buckets);
    let groups: BTreeMap<(&str, u32), &FileGroupId> =
        of.map(|group| ((group.partition.as_str(), group.file_id.bucket().unwrap()), group)).collect();
    let text = |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>();
    let group = |row| {
        let partition = format!("p={}", text("p").value(row));
        groups.get(&(partition.as_str(), hash.bucket(text("id").value(row)))).map(|group| (*group).clone())
    };
    (0..rows.num_rows()).map(group).collect()
}

fn operation(group: &FileGroupId, slice: &FileSlice) -> CompactionOperation {
    CompactionOperation {
        base_instant_time: slice.base_instant,
        delta_file_paths: slice.logs.iter().map(|log| log.path.file_name().to_owned()).collect(),
        data_file_path: slice.base.as_ref().map(|base| base.path.file_name().to_owned()),
        file_id: group.file_id.clone(),
        partition_path: group.partition.clone(),
        metrics: [("TOTAL_LOG_FILES_SIZE".to_owned(), slice.log_bytes() as f64)].into(),
        bootstrap_file_path: None,
    }
}

/// Writes the rows of groups into base files: as copying on write would, with nothing to copy.
async fn write(
    snapshot: &TableSnapshot,
    start: InstantTime,
    groups: impl Iterator<Item = &FileGroupId>,
    rows: &RecordBatch,
) -> StagedFiles {
    let mut table = snapshot.table.clone();
    table.config.table_type = TableType::CopyOnWrite;
    let mut buckets: BTreeMap<String, BTreeMap<u32, BucketTarget>> = BTreeMap::new();
    for FileGroupId { partition, file_id } in groups {
        let target = BucketTarget { file_id: file_id.clone(), has_files: false, base_file: None };
        buckets.entry(partition.clone()).or_default().insert(file_id.bucket().unwrap(), target);
    }
    let task = WriteTask {
        instant: start,
        action: Action::Commit,
        operation: WriteOperation::Upsert,
        snapshot_time: None,
        settled_time: None,
        buckets,
        built_on: BTreeSet::new(),
        token_stage: 0,
    };
    let schema = snapshot.schema().await.unwrap();
    let options = WriteOptions::of_memory(128 << 20, schema.arrow());
    let mut writer = TableWriter::new(&table, task, &schema, options).unwrap();
    let (rows, refused) = KeyRules::of(&table.config).key(rows, None).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    writer.write(rows).await.unwrap();
    writer.finish().await.unwrap()
}

fn metadata(staged: &StagedFiles, schema: &str) -> CommitMetadata {
    let mut stats: BTreeMap<String, Vec<WriteStat>> = BTreeMap::new();
    for StagedFile { group, path, size_bytes, rows, .. } in &staged.files {
        let stat = WriteStat {
            file_id: group.file_id.to_string(),
            path: Some(path.to_string()),
            partition_path: Some(group.partition.clone()),
            num_writes: rows.written as i64,
            file_size_in_bytes: *size_bytes as i64,
            ..WriteStat::default()
        };
        stats.entry(group.partition.clone()).or_default().push(stat);
    }
    CommitMetadata {
        partition_to_write_stats: stats,
        compacted: true,
        extra_metadata: [(CommitMetadata::SCHEMA_KEY.to_owned(), schema.to_owned())].into(),
        operation_type: Some(OperationType::Compact),
        ..CommitMetadata::default()
    }
}

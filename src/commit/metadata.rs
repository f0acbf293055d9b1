//! From staged files to the metadata of a commit.

use std::collections::BTreeMap;

use lakebed_hudi::file_name::{BaseFileName, FileId};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::timeline_metadata::{CommitMetadata, OperationType, RuntimeStats, WriteStat};

use crate::table::{StagedFile, StagedFiles, StagedKind, WriteOperation};

/// The metadata of a commit of `staged` at `instant`, with `extra_metadata`.
///
/// Source: `HoodieAppendHandle`, `HoodieCreateHandle` and `HoodieMergeHandle` for the conventions
/// of their stats, table version 9.
pub(super) fn commit_metadata(
    instant: InstantTime,
    operation: WriteOperation,
    staged: &StagedFiles,
    extra_metadata: BTreeMap<String, String>,
) -> CommitMetadata {
    let overwrites =
        matches!(operation, WriteOperation::InsertOverwrite | WriteOperation::InsertOverwriteTable);
    CommitMetadata {
        partition_to_write_stats: write_stats(instant, staged),
        compacted: false,
        extra_metadata,
        version: None,
        operation_type: Some(operation_type(operation)),
        partition_to_replace_file_ids: overwrites.then(|| replaced(staged)),
    }
}

/// The metadata of the completed compaction `instant`, which wrote `staged` with the columns of `schema`.
///
/// Source: `CompactHelpers.createCompactionMetadata`.
pub fn compaction_metadata(
    instant: InstantTime,
    staged: &StagedFiles,
    schema: &TableSchema,
    extra_metadata: &BTreeMap<String, String>,
) -> CommitMetadata {
    let mut extra_metadata = extra_metadata.clone();
    extra_metadata.insert(CommitMetadata::SCHEMA_KEY.to_owned(), schema.to_avro());
    CommitMetadata {
        partition_to_write_stats: write_stats(instant, staged),
        compacted: true,
        extra_metadata,
        version: None,
        operation_type: Some(OperationType::Compact),
        partition_to_replace_file_ids: None,
    }
}

/// The metadata of the completed clustering `instant`, which wrote `staged` with the columns of `schema`.
///
/// Source: `CommitUtils.buildMetadata` as `BaseCommitActionExecutor.executeClustering` calls it.
pub fn clustering_metadata(
    instant: InstantTime,
    staged: &StagedFiles,
    schema: &TableSchema,
) -> CommitMetadata {
    CommitMetadata {
        partition_to_write_stats: write_stats(instant, staged),
        compacted: false,
        extra_metadata: [(CommitMetadata::SCHEMA_KEY.to_owned(), schema.to_avro())].into(),
        version: None,
        operation_type: Some(OperationType::Cluster),
        partition_to_replace_file_ids: Some(replaced(staged)),
    }
}

/// The groups that end, by partition.
fn replaced(staged: &StagedFiles) -> BTreeMap<String, Vec<FileId>> {
    let mut replaced: BTreeMap<String, Vec<FileId>> = BTreeMap::new();
    for group in &staged.replaced {
        replaced.entry(group.partition.clone()).or_default().push(group.file_id.clone());
    }
    replaced
}

fn write_stats(instant: InstantTime, staged: &StagedFiles) -> BTreeMap<String, Vec<WriteStat>> {
    let mut partition_to_write_stats: BTreeMap<String, Vec<WriteStat>> = BTreeMap::new();
    for file in &staged.files {
        let stats = partition_to_write_stats.entry(file.group.partition.clone()).or_default();
        stats.push(write_stat(instant, file));
    }
    partition_to_write_stats
}

fn operation_type(operation: WriteOperation) -> OperationType {
    match operation {
        WriteOperation::Upsert => OperationType::Upsert,
        WriteOperation::Delete => OperationType::Delete,
        WriteOperation::Insert => OperationType::Insert,
        WriteOperation::InsertOverwrite => OperationType::InsertOverwrite,
        WriteOperation::InsertOverwriteTable => OperationType::InsertOverwriteTable,
    }
}

fn write_stat(instant: InstantTime, file: &StagedFile) -> WriteStat {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let common = WriteStat {
        file_id: file.group.file_id.to_string(),
        path: Some(file.path.to_string()),
        partition_path: Some(file.group.partition.clone()),
        num_writes: count(file.rows.written),
        num_inserts: count(file.rows.inserted),
        num_update_writes: count(file.rows.updated),
        num_deletes: count(file.rows.deleted),
        total_write_bytes: count(file.size_bytes),
        file_size_in_bytes: count(file.size_bytes),
        runtime_stats: Some(RuntimeStats::default()),
        ..WriteStat::default()
    };
    match &file.kind {
        StagedKind::Base { previous } => on_base_file(previous.as_deref(), common),
        StagedKind::Compacted { previous, logs, .. } => WriteStat {
            total_log_files_compacted: count(logs.files),
            total_log_blocks: count(logs.blocks),
            total_corrupt_log_block: count(logs.corrupt_blocks),
            total_log_size_compacted: count(logs.bytes),
            total_log_records: count(logs.records),
            total_updated_records_compacted: count(logs.keys),
            ..on_base_file(previous.as_deref(), common)
        },
        StagedKind::Log { base_file } => WriteStat {
            prev_commit: instant.to_string(),
            log_version: Some(1),
            log_offset: Some(0),
            base_file: Some(base_file.clone().unwrap_or_default()),
            log_files: Some(vec![file.path.file_name().to_owned()]),
            ..common
        },
    }
}

/// The statistics of a base file that takes the place of another one, or of none.
fn on_base_file(previous: Option<&str>, common: WriteStat) -> WriteStat {
    let instant = previous.and_then(|name| Some(name.parse::<BaseFileName>().ok()?.instant.to_string()));
    WriteStat {
        prev_commit: instant.unwrap_or_else(|| WriteStat::NULL_COMMIT.to_owned()),
        prev_base_file: previous.map(str::to_owned),
        ..common
    }
}

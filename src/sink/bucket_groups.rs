//! The file groups of a bucket table, each of which must be a bucket.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::FileId;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::BucketIndex;
use lakebed_hudi::timeline_metadata::{CommitMetadata, OperationType};

use super::SinkError;
use crate::commit::Progress;
use crate::table::{FileGroup, Table, TableError};
use crate::timeline::{Instant, Timeline};

/// The groups of a partition by bucket, of which there are `buckets`.
///
/// # Errors
/// A group that is no bucket, and two groups of one bucket: bucket writers fail on them.
pub(crate) fn by_bucket(
    partition: &str,
    groups: Vec<FileGroup>,
    buckets: u32,
) -> Result<BTreeMap<u32, FileGroup>, SinkError> {
    let mut by_bucket: BTreeMap<u32, FileGroup> = BTreeMap::new();
    for group in groups {
        let (partition, file_id) = (partition.to_owned(), group.id.file_id.to_string());
        let Some(bucket) = group.id.file_id.bucket_of(buckets) else {
            return Err(SinkError::NoBucket { partition, file_id, buckets });
        };
        if let Some(before) = by_bucket.insert(bucket, group) {
            let file_ids = [before.id.file_id.to_string(), file_id];
            return Err(SinkError::TwoGroups { partition, bucket, file_ids });
        }
    }
    Ok(by_bucket)
}

/// The partitions to which a commit brought groups that are none of so many `buckets`; they may have been
/// replaced since.
pub(super) fn suspects(commit: &CommitMetadata, buckets: u32) -> impl Iterator<Item = String> {
    let is_stray = move |id: FileId| id.bucket_of(buckets).is_none();
    let strays = commit.write_stats().filter(move |(_, stat)| stat.group().is_some_and(is_stray));
    strays.map(|(partition, _)| partition.to_owned())
}

/// Refuses a bucket table with groups that are no buckets, before anything is written to it.
///
/// Runs that look for buckets refuse such a table when they open it, and when others have committed
/// to it as they begin a checkpoint. So what must be looked at is what completed since the newest
/// checkpoint of such a run began. Where `timeline` has none, all partitions are listed: a run's first
/// commit makes that needless for those after it.
///
/// # Errors
/// See [`by_bucket`]; those of the storage.
pub(super) async fn check(table: &Table, timeline: &Timeline) -> Result<(), SinkError> {
    let Some(index) = &table.config.bucket_index else { return Ok(()) };
    if timeline.completed_writes().next().is_none() {
        return Ok(());
    }
    let mut newest_first: Vec<&Instant> = timeline.completed_writes().collect();
    newest_first.sort_by_key(|instant| std::cmp::Reverse(instant.completion()));
    let (mut checked, mut suspect): (Option<InstantTime>, BTreeSet<String>) = Default::default();
    for instant in newest_first {
        if checked.is_some() && instant.completion() < checked {
            break;
        }
        let metadata = match table.timeline.commit_metadata(instant).await {
            // It has been archived since it was listed, as have all before it.
            Err(error) if error.is_not_found() => break,
            metadata => metadata.map_err(TableError::from)?,
        };
        suspect.extend(suspects(&metadata, index.buckets));
        if checked.is_none() && was_checked(&metadata) {
            checked = Some(instant.time);
        }
    }
    if checked.is_some() {
        return check_partitions(table, index, &suspect).await;
    }
    for (partition, groups) in table.snapshot(None).await?.all_file_groups().await? {
        by_bucket(&partition, groups, index.buckets)?;
    }
    Ok(())
}

/// Refuses groups in `partitions` that are no buckets.
///
/// # Errors
/// See [`by_bucket`]; those of the storage.
pub(super) async fn check_partitions(
    table: &Table,
    index: &BucketIndex,
    partitions: &BTreeSet<String>,
) -> Result<(), SinkError> {
    if partitions.is_empty() {
        return Ok(());
    }
    let snapshot = table.snapshot(None).await?;
    for partition in partitions {
        let files = snapshot.partition_files(partition).await?;
        by_bucket(partition, snapshot.file_groups(partition, &files).await?, index.buckets)?;
    }
    Ok(())
}

/// Whether a run made the commit that looks for buckets: an overwrite does not, it replaces them.
fn was_checked(commit: &CommitMetadata) -> bool {
    let overwrites = matches!(
        commit.operation_type,
        Some(OperationType::InsertOverwrite | OperationType::InsertOverwriteTable)
    );
    !overwrites && matches!(Progress::of(commit), Ok(Some(_)))
}

//! Which file group holds each bucket, kept up to date by what commits say.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::FileId;
use lakebed_hudi::instant::InstantTime;

use super::SinkError;
use crate::commit::Committer;
use crate::environment::Ids;
use crate::table::{BucketTarget, FileGroupId, StagedFiles, StagedKind, Table, TableError, TableSnapshot};
use crate::timeline::{Instant, Timeline};

/// The file groups of the partitions that were written to, by partition path and bucket.
///
/// A partition is listed once, when rows for it first come, and again after somebody else
/// committed to it.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    partitions: BTreeMap<String, BTreeMap<u32, BucketTarget>>,
    /// All commits that completed by then are taken in.
    upto: Option<InstantTime>,
    /// The table as it was when this was last brought up to date.
    snapshot: Option<TableSnapshot>,
    /// Groups that other writers have begun to write.
    unfinished: BTreeSet<FileGroupId>,
}

impl Buckets {
    /// Forgets the partitions that others have committed to, or have begun to write.
    pub(super) async fn advance(
        &mut self,
        committer: &Committer,
        ours: &BTreeSet<InstantTime>,
    ) -> Result<(), SinkError> {
        let timeline = committer.timeline().await?;
        let news =
            timeline.completed_writes().filter(|i| i.completion() > self.upto && !ours.contains(&i.time));
        for instant in news {
            if self.partitions.is_empty() {
                break;
            }
            let metadata =
                committer.table().timeline.commit_metadata(instant).await.map_err(TableError::from)?;
            let written = metadata.write_stats().map(|(partition, _)| partition);
            let replaced = metadata.partition_to_replace_file_ids.iter().flatten().map(|(p, _)| p.as_str());
            for partition in written.chain(replaced) {
                self.partitions.remove(partition);
            }
        }
        self.forget_unfinished();
        self.unfinished = unfinished(committer, &timeline, ours).await?;
        self.forget_unfinished();
        self.upto = timeline.completed_writes().filter_map(Instant::completion).max();
        self.snapshot = None;
        Ok(())
    }

    /// Partitions in which somebody was or is writing are looked at again.
    fn forget_unfinished(&mut self) {
        for group in &self.unfinished {
            self.partitions.remove(&group.partition);
        }
    }

    /// The buckets of `partition` that have a file group, or have had one.
    pub(super) async fn of_partition(
        &mut self,
        committer: &Committer,
        partition: &str,
    ) -> Result<BTreeMap<u32, BucketTarget>, SinkError> {
        if let Some(known) = self.partitions.get(partition) {
            return Ok(known.clone());
        }
        let snapshot = match &self.snapshot {
            Some(snapshot) => snapshot,
            None => self.snapshot.insert(committer.table().snapshot(None).await?),
        };
        let mut buckets = targets(committer.table(), snapshot, partition).await?;
        for group in self.unfinished.iter().filter(|group| group.partition == partition) {
            let Some(bucket) = group.file_id.bucket() else { continue };
            let target = BucketTarget { file_id: group.file_id.clone(), has_files: true, base_file: None };
            let known = buckets.entry(bucket).or_insert_with(|| target.clone());
            if !known.has_files {
                *known = target;
            }
        }
        self.partitions.insert(partition.to_owned(), buckets.clone());
        Ok(buckets)
    }

    /// Takes in what this sink itself has written.
    pub(super) fn add(&mut self, staged: &StagedFiles) {
        for group in &staged.replaced {
            self.partitions.remove(&group.partition);
        }
        for file in &staged.files {
            let Some(bucket) = file.group.file_id.bucket() else { continue };
            let Some(partition) = self.partitions.get_mut(&file.group.partition) else { continue };
            let file_id = file.group.file_id.clone();
            let target =
                partition.entry(bucket).or_insert(BucketTarget { file_id, has_files: true, base_file: None });
            target.has_files = true;
            if let StagedKind::Base { .. } = file.kind {
                target.base_file = Some(file.path.file_name().to_owned());
            }
        }
    }
}

/// The groups that other writers have begun and not finished.
async fn unfinished(
    committer: &Committer,
    timeline: &Timeline,
    ours: &BTreeSet<InstantTime>,
) -> Result<BTreeSet<FileGroupId>, SinkError> {
    let mut groups = BTreeSet::new();
    let pending = timeline.pending().filter(|i| i.action.writes_data() && !i.is_pending_service());
    for instant in pending.filter(|i| !ours.contains(&i.time)) {
        groups.extend(committer.unfinished_groups(instant.time).await?);
    }
    Ok(groups)
}

async fn targets(
    table: &Table,
    snapshot: &TableSnapshot,
    partition: &str,
) -> Result<BTreeMap<u32, BucketTarget>, SinkError> {
    let files = snapshot.partition_files(partition).await?;
    let groups = snapshot.file_groups(partition, &files).await?;
    let mut buckets: BTreeMap<u32, BucketTarget> = BTreeMap::new();
    for bucket in snapshot.replaced_groups(partition).filter_map(FileId::bucket) {
        // What was replaced never comes back: a bucket whose group ended gets another one.
        let file_id = new_group(table.environment.ids.as_ref(), bucket);
        buckets.insert(bucket, BucketTarget { file_id, has_files: false, base_file: None });
    }
    for group in groups {
        let Some(bucket) = group.id.file_id.bucket() else {
            return Err(SinkError::NoBucket {
                partition: partition.to_owned(),
                file_id: group.id.file_id.to_string(),
            });
        };
        let base_file = group.latest().and_then(|s| s.base.as_ref()).map(|base| base.name.to_string());
        let file_id = group.id.file_id.clone();
        let before = buckets.insert(bucket, BucketTarget { file_id, has_files: true, base_file });
        if let Some(before) = before.filter(|before| before.has_files) {
            let file_ids = [before.file_id.to_string(), group.id.file_id.to_string()];
            return Err(SinkError::TwoGroups { partition: partition.to_owned(), bucket, file_ids });
        }
    }
    Ok(buckets)
}

fn new_group(ids: &dyn Ids, bucket: u32) -> FileId {
    FileId::of_bucket_in(bucket, &ids.uuid().to_string())
}

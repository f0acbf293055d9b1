//! Which file group holds each bucket, kept up to date by what commits say.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::instant::InstantTime;

use crate::table::{BucketTarget, StagedFiles, StagedKind, Table, TableError};

/// The file groups of the partitions that were written to, by partition path and bucket.
///
/// A partition is listed once, when rows for it first come, and again after somebody else
/// committed to it.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    partitions: BTreeMap<String, BTreeMap<u32, BucketTarget>>,
    /// All commits that completed by then are taken in.
    upto: Option<InstantTime>,
}

impl Buckets {
    /// Forgets the partitions that others have committed to.
    pub(super) async fn advance(
        &mut self,
        table: &Table,
        ours: &BTreeSet<InstantTime>,
    ) -> Result<(), TableError> {
        let timeline = table.timeline.load().await?;
        let newest = timeline.completed_writes().filter_map(crate::timeline::Instant::completion).max();
        if self.partitions.is_empty() {
            self.upto = newest;
            return Ok(());
        }
        for instant in timeline.completed_writes() {
            if instant.completion() <= self.upto || ours.contains(&instant.time) {
                continue;
            }
            let metadata = table.timeline.commit_metadata(instant).await?;
            for (partition, _) in metadata.write_stats() {
                self.partitions.remove(partition);
            }
            for partition in metadata.partition_to_replace_file_ids.iter().flatten().map(|(p, _)| p) {
                self.partitions.remove(partition);
            }
        }
        self.upto = newest;
        Ok(())
    }

    /// The buckets of `partition` that have a file group.
    pub(super) async fn of_partition(
        &mut self,
        table: &Table,
        partition: &str,
    ) -> Result<BTreeMap<u32, BucketTarget>, TableError> {
        if let Some(known) = self.partitions.get(partition) {
            return Ok(known.clone());
        }
        let snapshot = table.snapshot(None).await?;
        let files = snapshot.partition_files(partition).await?;
        let groups = snapshot.file_groups(partition, &files).await?;
        let buckets: BTreeMap<u32, BucketTarget> = groups
            .into_iter()
            .filter_map(|group| {
                let base_file =
                    group.latest().and_then(|s| s.base.as_ref()).map(|base| base.name.to_string());
                let bucket = group.id.file_id.bucket()?;
                Some((bucket, BucketTarget { file_id: group.id.file_id, base_file }))
            })
            .collect();
        self.partitions.insert(partition.to_owned(), buckets.clone());
        Ok(buckets)
    }

    /// Takes in what this sink itself has written.
    pub(super) fn add(&mut self, staged: &StagedFiles) {
        for file in &staged.files {
            let Some(bucket) = file.group.file_id.bucket() else { continue };
            let Some(partition) = self.partitions.get_mut(&file.group.partition) else { continue };
            let file_id = file.group.file_id.clone();
            let target = partition.entry(bucket).or_insert(BucketTarget { file_id, base_file: None });
            if let StagedKind::Base { .. } = file.kind {
                target.base_file = Some(file.path.file_name().to_owned());
            }
        }
    }
}

//! Which file group holds each bucket, kept up to date by what commits say.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::FileId;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::schema::TableSchema;

use super::SinkError;
use super::bucket_groups::{by_bucket, check_partitions, suspects};
use crate::commit::Committer;
use crate::environment::Ids;
use crate::table::{
    BaseFile, BucketTarget, FileGroupId, StagedFile, StagedFiles, StagedKind, Table, TableError,
    TableSnapshot,
};
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
    /// Where the timeline began then.
    start: Option<InstantTime>,
    /// The table as it was when somebody last asked.
    snapshot: Option<TableSnapshot>,
    /// Whether that was after this was last brought up to date.
    is_recent: bool,
    /// Partitions to which others have committed groups that are no buckets.
    suspects: BTreeSet<String>,
    /// Groups that other writers have begun to write.
    unfinished: BTreeSet<FileGroupId>,
    /// Files of checkpoints of this sink that were not completed when last looked.
    in_flight: BTreeMap<InstantTime, Vec<StagedFile>>,
}

impl Buckets {
    /// Nothing is known of any bucket; of the commits that completed by `upto` nothing is news.
    pub(super) fn upto(upto: Option<InstantTime>) -> Self {
        Self { upto, ..Self::default() }
    }

    /// Forgets the partitions that others have committed to, or have begun to write, by
    /// `timeline`. Returns the columns that the table has by what others have committed since,
    /// oldest first.
    pub(super) async fn advance(
        &mut self,
        committer: &Committer,
        timeline: &Timeline,
        ours: &BTreeSet<InstantTime>,
    ) -> Result<Vec<TableSchema>, SinkError> {
        if timeline.last_restore().and_then(Instant::completion) > self.upto {
            // It takes files away that no commit speaks of.
            self.partitions.clear();
            self.in_flight.clear();
        }
        if timeline.start() != self.start {
            // What others committed may be archived, unread.
            self.partitions.clear();
        }
        let news =
            timeline.completed_writes().filter(|i| i.completion() > self.upto && !ours.contains(&i.time));
        let index = committer.table().config.bucket_index.as_ref();
        let mut schemas = Vec::new();
        for instant in news {
            let metadata = match committer.table().timeline.commit_metadata(instant).await {
                Err(error) if error.is_not_found() => {
                    self.partitions.clear();
                    continue;
                }
                metadata => metadata.map_err(TableError::from)?,
            };
            let may_change = metadata.operation_type.as_ref().is_none_or(|o| o.may_change_schema());
            if let Some(schema) = metadata.schema().filter(|_| may_change) {
                schemas.push(TableSchema::from_avro(schema).map_err(TableError::from)?);
            }
            self.suspects.extend(index.iter().flat_map(|index| suspects(&metadata, index.buckets)));
            for partition in metadata.touched_partitions() {
                self.partitions.remove(partition);
            }
        }
        self.forget_unfinished();
        self.unfinished = unfinished(committer, timeline, ours).await?;
        self.forget_unfinished();
        self.upto = timeline.completed_writes().filter_map(Instant::completion).max();
        self.start = timeline.start();
        self.is_recent = false;
        self.in_flight.retain(|instant, _| !timeline.is_committed(*instant));
        Ok(schemas)
    }

    /// Refuses groups that are no buckets in what others have committed.
    pub(super) async fn check(&mut self, table: &Table) -> Result<(), SinkError> {
        let Some(index) = &table.config.bucket_index else { return Ok(()) };
        check_partitions(table, index, &self.suspects).await?;
        self.suspects.clear();
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
        let snapshot = self.recent_snapshot(committer.table()).await?;
        let mut buckets = targets(committer.table(), snapshot, partition).await?;
        for group in self.unfinished.iter().filter(|group| group.partition == partition) {
            let Some(bucket) = group.file_id.bucket() else { continue };
            let target = BucketTarget { file_id: group.file_id.clone(), has_files: true, base_file: None };
            let known = buckets.entry(bucket).or_insert_with(|| target.clone());
            if !known.has_files {
                *known = target;
            }
        }
        for file in self.in_flight.values().flatten().filter(|file| file.group.partition == partition) {
            add_file(&mut buckets, file);
        }
        self.partitions.insert(partition.to_owned(), buckets.clone());
        Ok(buckets)
    }

    /// The table as it is now.
    pub(super) async fn snapshot_now(&mut self, table: &Table) -> Result<&TableSnapshot, SinkError> {
        self.is_recent = false;
        self.recent_snapshot(table).await
    }

    /// The table as it was when this was last brought up to date, or later.
    async fn recent_snapshot(&mut self, table: &Table) -> Result<&TableSnapshot, SinkError> {
        let snapshot = match self.snapshot.take() {
            Some(snapshot) if self.is_recent => snapshot,
            Some(mut snapshot) => {
                snapshot.refresh().await?;
                snapshot
            }
            None => table.snapshot(None).await?,
        };
        self.is_recent = true;
        Ok(self.snapshot.insert(snapshot))
    }

    /// Takes in what this sink itself has staged under `instant`.
    pub(super) fn add(&mut self, instant: InstantTime, staged: &StagedFiles) {
        for group in &staged.replaced {
            self.partitions.remove(&group.partition);
        }
        for file in &staged.files {
            if let Some(partition) = self.partitions.get_mut(&file.group.partition) {
                add_file(partition, file);
            }
        }
        self.in_flight.insert(instant, staged.files.clone());
    }

    /// The groups that this sink has staged files of and that no listing shows yet.
    pub(super) fn groups_in_flight(&self) -> impl Iterator<Item = &FileGroupId> {
        self.in_flight.values().flatten().map(|file| &file.group)
    }
}

/// Takes a staged file in among the buckets of its partition.
fn add_file(buckets: &mut BTreeMap<u32, BucketTarget>, file: &StagedFile) {
    let Some(bucket) = file.group.file_id.bucket() else { return };
    let file_id = file.group.file_id.clone();
    let new = || BucketTarget { file_id: file_id.clone(), has_files: true, base_file: None };
    let target = buckets.entry(bucket).or_insert_with(new);
    if target.file_id != file_id {
        *target = new();
    }
    target.has_files = true;
    if let StagedKind::Base { .. } = file.kind {
        target.base_file = base_file(file);
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
    let mut buckets: BTreeMap<u32, BucketTarget> = BTreeMap::new();
    let Some(index) = &table.config.bucket_index else { return Ok(buckets) };
    let files = snapshot.partition_files(partition).await?;
    let groups = snapshot.file_groups(partition, &files).await?;
    for bucket in snapshot.replaced_groups(partition).filter_map(FileId::bucket) {
        // What was replaced never comes back: a bucket whose group ended gets another one.
        let file_id = new_group(table.environment.ids.as_ref(), bucket);
        buckets.insert(bucket, BucketTarget { file_id, has_files: false, base_file: None });
    }
    for (bucket, group) in by_bucket(partition, groups, index.buckets)? {
        let base_file = group.latest().and_then(|slice| slice.base.clone());
        buckets.insert(bucket, BucketTarget { file_id: group.id.file_id, has_files: true, base_file });
    }
    Ok(buckets)
}

/// A base file that this sink has staged.
fn base_file(file: &StagedFile) -> Option<BaseFile> {
    let name = file.path.file_name().parse().ok()?;
    Some(BaseFile { name, path: file.path.clone(), size_bytes: file.size_bytes })
}

fn new_group(ids: &dyn Ids, bucket: u32) -> FileId {
    FileId::of_bucket_in(bucket, &ids.uuid().to_string())
}

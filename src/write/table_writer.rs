//! One write to a table: batches in, staged files out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt as _};
use lakebed_hudi::bucket::BucketHash;
use lakebed_hudi::file_name::FileId;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::TableType;

use super::append_writer::AppendWriter;
use super::context::WriteContext;
use super::group_writer::GroupWriter;
use super::row_format::RowFormat;
use super::run_store::RunStore;
use super::staging::make_partition;
use super::{Bucket, KeyedBatch, WriteError, WriteOptions, route, split_by_partition};
use crate::merge::MergeResources;
use crate::table::{BucketTarget, FileGroupId, StagedFile, StagedFiles, Table, WriteTask};

/// Writes rows under one [`WriteTask`]: into the buckets of a table that has a bucket index, else
/// into new base files.
///
/// Rows are buffered. When memory is short the largest buffer goes first: that of a bucket with a
/// log file becomes a block of it, that of a bucket's base file a run on the local disk, that of
/// inserts a row group.
#[derive(Debug)]
pub struct TableWriter {
    task: WriteTask,
    context: WriteContext,
    options: WriteOptions,
    partitions: BTreeSet<String>,
    /// Rows that are still to be dealt out: some thousands at once cost less than single ones, and
    /// less than so many that they do not fit the processor's cache.
    undealt: Vec<KeyedBatch>,
    undealt_rows: usize,
    undealt_bytes: usize,
    groups: Groups,
}

/// So many rows are dealt out at once.
const DEAL_ROWS: usize = 4_096;

#[derive(Debug)]
enum Groups {
    /// One writer per bucket.
    Buckets { hash: BucketHash, table_type: TableType, writers: BTreeMap<Bucket, GroupWriter> },
    /// One writer per partition.
    Append { writers: BTreeMap<String, AppendWriter> },
}

impl TableWriter {
    /// Starts writing rows of `schema` under `task`.
    ///
    /// # Errors
    /// Upserts into a table without a bucket index; a merge mode that needs a JVM.
    pub fn new(
        table: &Table,
        task: WriteTask,
        schema: &TableSchema,
        options: WriteOptions,
    ) -> Result<Self, WriteError> {
        let config = &table.config;
        let groups = match &config.bucket_index {
            Some(index) => Groups::Buckets {
                hash: BucketHash::new(index.hash_fields.iter().cloned(), index.buckets),
                table_type: config.table_type,
                writers: BTreeMap::new(),
            },
            None if task.operation.adds_only() => Groups::Append { writers: BTreeMap::new() },
            None => return Err(WriteError::NoBuckets { table: config.name.clone() }),
        };
        let spill = &table.environment.spill;
        let context = WriteContext {
            storage: table.storage.clone(),
            ids: table.environment.ids.clone(),
            format: Arc::new(RowFormat::new(task.instant, config, schema)?),
            attempt: task.attempt(),
            runs: Arc::new(RunStore::new(spill.clone())),
            merge: MergeResources { budget_bytes: options.merge_bytes, spill: Some(spill.clone()) },
        };
        let (partitions, undealt) = (BTreeSet::new(), Vec::new());
        Ok(Self { task, context, options, partitions, undealt, undealt_rows: 0, undealt_bytes: 0, groups })
    }

    /// Whether the buckets of `partition` must be told before rows of it are written.
    pub fn needs_buckets_of(&self, partition: &str) -> bool {
        matches!(self.groups, Groups::Buckets { .. })
            && !self.task.operation.overwrites()
            && !self.task.buckets.contains_key(partition)
    }

    /// Says which buckets of `partition` have a file group.
    pub fn learn(&mut self, partition: &str, buckets: BTreeMap<u32, BucketTarget>) {
        self.task.buckets.insert(partition.to_owned(), buckets);
    }

    /// Takes rows in. The buckets of their partitions are known.
    ///
    /// # Errors
    /// Rows that cannot be combined; those of the storage, if buffers had to be written.
    pub async fn write(&mut self, batch: KeyedBatch) -> Result<(), WriteError> {
        self.undealt_rows += batch.num_rows();
        self.undealt_bytes += batch.memory_bytes();
        self.undealt.push(batch);
        if self.undealt_rows < DEAL_ROWS && self.undealt_bytes < self.options.buffer_bytes / 8 {
            return Ok(());
        }
        self.deal().await?;
        self.relieve().await
    }

    /// Deals rows out to the writers of their groups.
    async fn deal(&mut self) -> Result<(), WriteError> {
        let batches = std::mem::take(&mut self.undealt);
        (self.undealt_rows, self.undealt_bytes) = (0, 0);
        let (context, task) = (&self.context, &self.task);
        match &mut self.groups {
            Groups::Buckets { hash, table_type, writers } => {
                for (bucket, rows) in route(&batches, hash)? {
                    let number = writers.len() as u32;
                    let new = |bucket: &Bucket| bucket_writer(context, task, *table_type, number, bucket);
                    writers.entry(bucket).or_insert_with_key(new).push(rows);
                }
            }
            Groups::Append { writers } => {
                for (partition, rows) in split_by_partition(&batches)? {
                    let rows = context.format.without_deleted(rows)?;
                    if rows.num_rows() == 0 {
                        continue;
                    }
                    let number = writers.len() as u32;
                    let new = |p: &String| AppendWriter::new(number, p, self.options.base_file_target_bytes);
                    writers.entry(partition).or_insert_with_key(new).push(rows);
                }
            }
        }
        self.make_partitions().await
    }

    /// Bytes of memory in buffers.
    pub fn buffered_bytes(&self) -> usize {
        let dealt: usize = match &self.groups {
            Groups::Buckets { writers, .. } => writers.values().map(GroupWriter::buffered_bytes).sum(),
            Groups::Append { writers } => writers.values().map(AppendWriter::buffered_bytes).sum(),
        };
        dealt + self.undealt_bytes
    }

    /// Writes what is buffered and makes all files durable. Nobody sees them yet.
    ///
    /// # Errors
    /// Those of the storage. Files already written are found by their markers.
    pub async fn finish(mut self) -> Result<StagedFiles, WriteError> {
        self.deal().await?;
        let Self { context, groups, options, .. } = self;
        let context = &context;
        let mut files: Vec<StagedFile> = match groups {
            Groups::Buckets { writers, .. } => {
                let finishing = writers.into_values().map(|writer| writer.finish(context));
                all_ended(finishing, options.files_at_once).await?.into_iter().flatten().collect()
            }
            Groups::Append { writers } => {
                let finishing = writers.into_values().map(|writer| writer.finish(context));
                all_ended(finishing, options.files_at_once).await?.into_iter().flatten().collect()
            }
        };
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(StagedFiles { files, replaced: Vec::new() })
    }

    /// Makes the folders of new rows partitions, before the first file in them.
    async fn make_partitions(&mut self) -> Result<(), WriteError> {
        let task = &self.task;
        let named: Vec<&String> = match &self.groups {
            Groups::Buckets { writers, .. } => writers.keys().map(|bucket| &bucket.partition).collect(),
            Groups::Append { writers } => writers.keys().collect(),
        };
        // A group that was replaced says nothing: its files, and then the folder, may have been cleaned.
        let has_files = |partition: &str| {
            task.buckets.get(partition).is_some_and(|buckets| buckets.values().any(|b| b.has_files))
        };
        let new: BTreeSet<String> =
            named.into_iter().filter(|p| !self.partitions.contains(*p)).cloned().collect();
        for partition in new.iter().filter(|partition| !has_files(partition)) {
            make_partition(self.context.storage.as_ref(), &self.context.attempt, partition).await?;
        }
        self.partitions.extend(new);
        Ok(())
    }

    /// Brings the buffers below their budget, and encodes row groups that are full anyway.
    async fn relieve(&mut self) -> Result<(), WriteError> {
        let (context, options) = (&self.context, &self.options);
        match &mut self.groups {
            Groups::Buckets { writers, .. } => relieve_buckets(context, writers, options).await,
            Groups::Append { writers } => relieve_appends(context, writers, options).await,
        }
    }
}

/// What `work` comes to, `at_once` at the same time. After an error nothing more is begun, and what
/// was begun ends before the error is told: whoever rolls the write back then meets no file that is
/// still on its way.
async fn all_ended<T, F: Future<Output = Result<T, WriteError>>>(
    work: impl IntoIterator<Item = F>,
    at_once: usize,
) -> Result<Vec<T>, WriteError> {
    let mut waiting = work.into_iter().collect::<Vec<F>>().into_iter();
    let mut begun: FuturesUnordered<F> = waiting.by_ref().take(at_once).collect();
    let (mut done, mut first_error) = (Vec::new(), None);
    while let Some(outcome) = begun.next().await {
        match outcome {
            Ok(outcome) => done.push(outcome),
            Err(error) => first_error = first_error.or(Some(error)),
        }
        if first_error.is_none() {
            begun.extend(waiting.next());
        }
    }
    first_error.map_or(Ok(done), Err)
}

async fn relieve_buckets(
    context: &WriteContext,
    writers: &mut BTreeMap<Bucket, GroupWriter>,
    options: &WriteOptions,
) -> Result<(), WriteError> {
    while writers.values().map(GroupWriter::buffered_bytes).sum::<usize>() > options.buffer_bytes {
        let mut largest: Vec<&mut GroupWriter> =
            writers.values_mut().filter(|writer| writer.buffered_bytes() > 0).collect();
        largest.sort_by_key(|writer| std::cmp::Reverse(writer.buffered_bytes()));
        largest.truncate(options.files_at_once);
        let relieving = largest.into_iter().map(|writer| writer.relieve(context));
        all_ended(relieving, options.files_at_once).await?;
    }
    Ok(())
}

async fn relieve_appends(
    context: &WriteContext,
    writers: &mut BTreeMap<String, AppendWriter>,
    options: &WriteOptions,
) -> Result<(), WriteError> {
    let ripe = writers.values_mut().filter(|writer| writer.is_ripe());
    all_ended(ripe.map(|writer| writer.encode(context, false)), options.files_at_once).await?;
    while writers.values().map(AppendWriter::buffered_bytes).sum::<usize>() > options.buffer_bytes {
        let largest = writers.values_mut().max_by_key(|writer| writer.buffered_bytes());
        let Some(writer) = largest else { return Ok(()) };
        writer.encode(context, true).await?;
    }
    while writers.values().filter(|writer| writer.has_open_file()).count() > options.open_files_max {
        let largest = writers.values_mut().filter(|w| w.has_open_file()).max_by_key(|w| w.buffered_bytes());
        let Some(writer) = largest else { return Ok(()) };
        writer.close(context).await?;
    }
    Ok(())
}

fn bucket_writer(
    context: &WriteContext,
    task: &WriteTask,
    table_type: TableType,
    number: u32,
    bucket: &Bucket,
) -> GroupWriter {
    let known = task.buckets.get(&bucket.partition).and_then(|buckets| buckets.get(&bucket.number));
    let file_id = match known {
        Some(target) => target.file_id.clone(),
        // The group that is there is replaced: its id is never used again.
        None if task.operation.overwrites() => {
            FileId::of_bucket_in(bucket.number, &context.ids.uuid().to_string())
        }
        None => FileId::of_bucket(bucket.number),
    };
    let group = FileGroupId { partition: bucket.partition.clone(), file_id };
    match known {
        Some(BucketTarget { has_files: true, base_file, .. }) => match table_type {
            TableType::CopyOnWrite => GroupWriter::base(number, group, base_file.clone()),
            TableType::MergeOnRead => GroupWriter::log(number, group, base_file.clone()),
        },
        _ => GroupWriter::base(number, group, None),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn after_an_error_what_was_begun_ends_and_nothing_more_begins() {
        let (begun, ended) = (AtomicU32::new(0), AtomicU32::new(0));
        let work = (0..4).map(async |number| {
            begun.fetch_add(1, Ordering::Relaxed);
            if number == 1 {
                return Err(WriteError::Abandoned);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            ended.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        assert!(matches!(all_ended(work, 2).await, Err(WriteError::Abandoned)));
        assert_eq!((begun.into_inner(), ended.into_inner()), (2, 1));
    }
}

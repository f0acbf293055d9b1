//! One write to a table: batches in, staged files out.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::{FuturesUnordered, TryStreamExt as _};
use lakebed_hudi::bucket::BucketHash;
use lakebed_hudi::file_name::{
    BaseFileName, FileId, LogFileName, MarkerKind, PARTITION_METADATA, WriteToken,
};
use lakebed_hudi::properties::Properties;
use lakebed_hudi::schema::TableSchema;

use super::block::{Encoded, Place, RowFormat};
use super::route::{Bucket, route};
use super::{KeyedBatch, WriteError};
use crate::merge::{LogRecords, MergeRules};
use crate::storage::{FileWriter, Storage, StorageError, TablePath};
use crate::table::{
    BucketTarget, FileGroupId, RowCounts, StagedFile, StagedFiles, StagedKind, Table, WriteTask,
    partition_folder,
};

/// Writes rows into the buckets of a merge-on-read table under one [`WriteTask`].
///
/// Rows are buffered by bucket. A bucket whose buffer is written before the end gets a block of
/// its log file; a second flush appends a further block to the same file.
#[derive(Debug)]
pub struct TableWriter {
    storage: Arc<dyn Storage>,
    task: WriteTask,
    hash: BucketHash,
    format: Arc<RowFormat>,
    groups: BTreeMap<Bucket, GroupWriter>,
    budget_bytes: usize,
}

/// The buffer and the open file of one bucket.
#[derive(Debug)]
struct GroupWriter {
    number: u32,
    group: FileGroupId,
    /// The base file that log blocks lie on; a group that is new gets a base file instead.
    kind: GroupKind,
    records: Vec<LogRecords>,
    buffered_bytes: usize,
    log: Option<OpenLog>,
}

#[derive(Debug, Clone)]
enum GroupKind {
    New,
    Existing { base_file: Option<String> },
}

#[derive(Debug)]
struct OpenLog {
    path: TablePath,
    writer: Box<dyn FileWriter>,
    rows: u64,
    deletes: u64,
}

impl TableWriter {
    /// Starts writing rows of `schema` under `task`, with buffers of at most `budget_bytes`.
    ///
    /// # Errors
    /// A table without a bucket index, or with a merge mode that needs a JVM.
    pub fn new(
        table: &Table,
        task: WriteTask,
        schema: &TableSchema,
        budget_bytes: usize,
    ) -> Result<Self, WriteError> {
        let config = &table.config;
        let index = config
            .bucket_index
            .as_ref()
            .ok_or_else(|| WriteError::NoBuckets { table: config.name.clone() })?;
        let format = Arc::new(RowFormat::new(task.instant, schema, MergeRules::of(config)?)?);
        let hash = BucketHash::new(index.hash_fields.iter().cloned(), index.buckets);
        Ok(Self { storage: table.storage.clone(), task, hash, format, groups: BTreeMap::new(), budget_bytes })
    }

    /// Whether the buckets of `partition` are known.
    pub fn knows(&self, partition: &str) -> bool {
        self.task.buckets.contains_key(partition)
    }

    /// Says which buckets of `partition` have a file group, before the first row of it is written.
    pub fn learn(&mut self, partition: &str, buckets: BTreeMap<u32, BucketTarget>) {
        self.task.buckets.insert(partition.to_owned(), buckets);
    }

    /// Takes rows in. The buckets of their partitions are known.
    ///
    /// # Errors
    /// Rows that cannot be combined; those of the storage, if buffers had to be written.
    pub async fn write(&mut self, batch: &KeyedBatch) -> Result<(), WriteError> {
        for (bucket, rows) in route(batch, &self.hash)? {
            let number = self.groups.len() as u32;
            let group =
                self.groups.entry(bucket).or_insert_with_key(|b| GroupWriter::new(number, b, &self.task));
            group.buffered_bytes += rows.memory_bytes();
            group.records.push(self.format.records(&rows)?);
        }
        while self.buffered_bytes() > self.budget_bytes {
            let largest = self.groups.values_mut().filter(|g| g.can_flush()).max_by_key(|g| g.buffered_bytes);
            let Some(group) = largest else { break };
            group.flush_log(self.storage.as_ref(), &self.task, &self.format).await?;
        }
        Ok(())
    }

    /// Bytes of memory in buffers.
    pub fn buffered_bytes(&self) -> usize {
        self.groups.values().map(|g| g.buffered_bytes).sum()
    }

    /// Writes what is buffered and makes all files durable. Nobody sees them yet.
    ///
    /// # Errors
    /// Those of the storage. Files already written are found by their markers.
    pub async fn finish(self) -> Result<StagedFiles, WriteError> {
        let Self { storage, task, format, groups, .. } = self;
        let (storage, task, format) = (&storage, &task, &format);
        let finished: FuturesUnordered<_> =
            groups.into_values().map(|group| group.finish(storage.as_ref(), task, format)).collect();
        let mut files: Vec<StagedFile> = finished.try_filter_map(|f| async { Ok(f) }).try_collect().await?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(StagedFiles { files, replaced: Vec::new() })
    }
}

impl GroupWriter {
    fn new(number: u32, bucket: &Bucket, task: &WriteTask) -> Self {
        let known = task.buckets.get(&bucket.partition).and_then(|buckets| buckets.get(&bucket.number));
        let (file_id, kind) = match known {
            Some(target) => {
                (target.file_id.clone(), GroupKind::Existing { base_file: target.base_file.clone() })
            }
            None => (FileId::of_bucket(bucket.number), GroupKind::New),
        };
        let group = FileGroupId { partition: bucket.partition.clone(), file_id };
        Self { number, group, kind, records: Vec::new(), buffered_bytes: 0, log: None }
    }

    fn can_flush(&self) -> bool {
        self.buffered_bytes > 0 && matches!(self.kind, GroupKind::Existing { .. })
    }

    async fn finish(
        mut self,
        storage: &dyn Storage,
        task: &WriteTask,
        format: &Arc<RowFormat>,
    ) -> Result<Option<StagedFile>, WriteError> {
        match self.kind.clone() {
            GroupKind::New => self.write_base(storage, task, format).await,
            GroupKind::Existing { base_file } => {
                self.flush_log(storage, task, format).await?;
                let Some(log) = self.log.take() else { return Ok(None) };
                let size_bytes = log.writer.finish().await?;
                let rows =
                    RowCounts { written: log.rows, inserted: 0, updated: log.rows, deleted: log.deletes };
                let kind = StagedKind::Log { base_file };
                Ok(Some(StagedFile {
                    group: self.group,
                    path: log.path,
                    kind,
                    size_bytes,
                    rows,
                    columns: Vec::new(),
                }))
            }
        }
    }

    async fn write_base(
        self,
        storage: &dyn Storage,
        task: &WriteTask,
        format: &Arc<RowFormat>,
    ) -> Result<Option<StagedFile>, WriteError> {
        let name =
            BaseFileName::parquet(self.group.file_id.clone(), &self.token(task), task.instant).to_string();
        let place = self.place(name.clone(), 0);
        let (format, records) = (format.clone(), self.records);
        let encoded = on_rayon(move || {
            let combined = format.combine(&records)?;
            if combined.rows.num_rows() == 0 {
                return Ok(None);
            }
            format.base_file(&combined, &place).map(Some)
        })
        .await?;
        let Some(encoded) = encoded else { return Ok(None) };
        let (path, mut writer) = create(storage, task, &self.group.partition, &name).await?;
        write_all(writer.as_mut(), &encoded).await?;
        let size_bytes = writer.finish().await?;
        let rows = RowCounts { written: encoded.rows, inserted: encoded.rows, updated: 0, deleted: 0 };
        let kind = StagedKind::Base { previous: None };
        Ok(Some(StagedFile { group: self.group, path, kind, size_bytes, rows, columns: Vec::new() }))
    }

    /// Writes the buffer as blocks of the log file.
    async fn flush_log(
        &mut self,
        storage: &dyn Storage,
        task: &WriteTask,
        format: &Arc<RowFormat>,
    ) -> Result<(), WriteError> {
        let records = std::mem::take(&mut self.records);
        self.buffered_bytes = 0;
        if records.is_empty() {
            return Ok(());
        }
        let first_row = self.log.as_ref().map_or(0, |log| log.rows);
        let place = self.place(self.group.file_id.to_string(), first_row);
        let format = format.clone();
        let encoded = on_rayon(move || format.log_blocks(&format.combine(&records)?, &place)).await?;
        if self.log.is_none() {
            let name =
                LogFileName::new(self.group.file_id.clone(), task.instant, self.token(task)).to_string();
            let (path, writer) = create(storage, task, &self.group.partition, &name).await?;
            self.log = Some(OpenLog { path, writer, rows: 0, deletes: 0 });
        }
        if let Some(log) = &mut self.log {
            write_all(log.writer.as_mut(), &encoded).await?;
            log.rows += encoded.rows;
            log.deletes += encoded.deletes;
        }
        Ok(())
    }

    fn token(&self, task: &WriteTask) -> WriteToken {
        WriteToken::new(self.number, task.token_stage, 0)
    }

    fn place(&self, file_name: String, first_row: u64) -> Place {
        Place { partition: self.group.partition.clone(), file_name, task: self.number, first_row }
    }
}

/// Creates a data file after its marker, and the partition's metadata before both.
async fn create(
    storage: &dyn Storage,
    task: &WriteTask,
    partition: &str,
    name: &str,
) -> Result<(TablePath, Box<dyn FileWriter>), WriteError> {
    let folder = partition_folder(partition)?;
    if task.buckets.get(partition).is_none_or(BTreeMap::is_empty) {
        make_partition(storage, task, &folder).await?;
    }
    let path = folder.join(name)?;
    let marker = task.marker(&path, MarkerKind::Create)?;
    let writer = storage.create(&path, Some(&marker)).await?;
    Ok((path, writer))
}

/// Makes a folder a partition: without this file Spark sees no rows in it.
///
/// Source: `HoodiePartitionMetadata`.
async fn make_partition(
    storage: &dyn Storage,
    task: &WriteTask,
    folder: &TablePath,
) -> Result<(), WriteError> {
    let depth = folder.segments().count().to_string();
    let entries = [("commitTime", task.instant.to_string()), ("partitionDepth", depth)];
    let bytes = Properties::from_iter(entries).to_bytes("partition metadata");
    match storage.put_if_absent(&folder.join(PARTITION_METADATA)?, bytes.into()).await {
        Ok(_) | Err(StorageError::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn write_all(writer: &mut dyn FileWriter, encoded: &Encoded) -> Result<(), WriteError> {
    for bytes in &encoded.bytes {
        writer.write(bytes.clone()).await?;
    }
    Ok(())
}

/// Runs CPU work off the async runtime.
async fn on_rayon<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WriteError> + Send + 'static,
) -> Result<T, WriteError> {
    let (done, wait) = tokio::sync::oneshot::channel();
    rayon::spawn(move || {
        // Nobody waits any more if the write was given up.
        let _ = done.send(work());
    });
    wait.await.unwrap_or(Err(WriteError::Panicked))
}

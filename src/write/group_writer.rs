//! The rows of one file group under one write: a buffer and the file it goes to.

use std::sync::Arc;

use arrow::array::RecordBatch;
use lakebed_hudi::file_name::{BaseFileName, LogFileName, MarkerKind, WriteToken};

use super::WriteError;
use super::base_file::{BaseFileEncoder, BaseFileSummary};
use super::meta_columns::Place;
use super::row_format::{LogBlocks, RowFormat};
use super::staging::{self, encode_into, on_rayon, send};
use crate::environment::Ids;
use crate::merge::LogRecords;
use crate::storage::{FileWriter, Storage, TablePath};
use crate::table::{ColumnRange, FileGroupId, RowCounts, StagedFile, StagedKind, WriteTask};

/// What a writer needs of the write that it is part of.
#[derive(Debug, Clone)]
pub(super) struct WriteContext {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) ids: Arc<dyn Ids>,
    pub(super) task: Arc<WriteTask>,
    pub(super) format: Arc<RowFormat>,
}

/// Where the rows of a group go.
#[derive(Debug, Clone)]
pub(super) enum GroupTarget {
    /// A base file, the first file of the group.
    NewBase,
    /// A log file on this base file, if there is one.
    Log { base_file: Option<String> },
}

/// The buffer and the open file of one group.
#[derive(Debug)]
pub(super) struct GroupWriter {
    /// The number of the writer within the instant.
    number: u32,
    group: FileGroupId,
    target: GroupTarget,
    records: Vec<LogRecords>,
    buffered_bytes: usize,
    log: Option<OpenLog>,
    rows_numbered: u64,
}

#[derive(Debug)]
struct OpenLog {
    path: TablePath,
    file: Box<dyn FileWriter>,
    rows: u64,
    deletes: u64,
    columns: Vec<ColumnRange>,
}

impl GroupWriter {
    pub(super) fn new(number: u32, group: FileGroupId, target: GroupTarget) -> Self {
        Self { number, group, target, records: Vec::new(), buffered_bytes: 0, log: None, rows_numbered: 0 }
    }

    /// Takes rows of the group, after their keys.
    pub(super) fn push(&mut self, batch: RecordBatch) {
        self.buffered_bytes += batch.get_array_memory_size();
        self.records.push(LogRecords::Rows { batch, partial: false });
    }

    /// Bytes of memory in the buffer.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// Lets go of the buffer before the end of the write.
    pub(super) async fn relieve(&mut self, context: &WriteContext) -> Result<(), WriteError> {
        match self.target {
            GroupTarget::NewBase => Ok(()),
            GroupTarget::Log { .. } => self.flush_log(context).await,
        }
    }

    /// Whether [`GroupWriter::relieve`] would let go of something.
    pub(super) fn can_be_relieved(&self) -> bool {
        self.buffered_bytes > 0 && matches!(self.target, GroupTarget::Log { .. })
    }

    /// Writes what is left and makes the file durable; `None` if there was nothing to write.
    pub(super) async fn finish(mut self, context: &WriteContext) -> Result<Option<StagedFile>, WriteError> {
        match self.target.clone() {
            GroupTarget::NewBase => self.write_base(context).await,
            GroupTarget::Log { base_file } => {
                self.flush_log(context).await?;
                self.finish_log(base_file).await
            }
        }
    }

    /// Writes the buffer as blocks of the log file.
    async fn flush_log(&mut self, context: &WriteContext) -> Result<(), WriteError> {
        let records = self.take_records();
        if records.is_empty() {
            return Ok(());
        }
        let mut place = self.place(context, self.group.file_id.to_string());
        let format = context.format.clone();
        let (blocks, rows_numbered) = on_rayon(move || {
            let blocks = format.log_blocks(format.combine(records)?, &mut place)?;
            Ok((blocks, place.rows_numbered))
        })
        .await?;
        self.rows_numbered = rows_numbered;
        let mut log = match self.log.take() {
            Some(log) => log,
            None => self.open_log(context).await?,
        };
        log.append(blocks).await?;
        self.log = Some(log);
        Ok(())
    }

    async fn open_log(&self, context: &WriteContext) -> Result<OpenLog, WriteError> {
        let token = self.token(context);
        let name = LogFileName::new(self.group.file_id.clone(), context.task.instant, token).to_string();
        // A log file is always new: every write has its own.
        let kind = MarkerKind::Create;
        let (path, file) =
            staging::create(context.storage.as_ref(), &context.task, &self.group.partition, &name, kind)
                .await?;
        Ok(OpenLog { path, file, rows: 0, deletes: 0, columns: Vec::new() })
    }

    async fn finish_log(self, base_file: Option<String>) -> Result<Option<StagedFile>, WriteError> {
        let Some(log) = self.log else { return Ok(None) };
        let size_bytes = log.file.finish().await?;
        // Whether a key was there before is not known without reading the group.
        let rows = RowCounts { written: log.rows, inserted: 0, updated: log.rows, deleted: log.deletes };
        let kind = StagedKind::Log { base_file };
        Ok(Some(StagedFile {
            group: self.group,
            path: log.path,
            kind,
            size_bytes,
            rows,
            columns: log.columns,
        }))
    }

    async fn write_base(mut self, context: &WriteContext) -> Result<Option<StagedFile>, WriteError> {
        let records = self.take_records();
        let format = context.format.clone();
        let combined = on_rayon(move || format.combine(records)).await?;
        if combined.batches.is_empty() {
            // Deletes have nothing to delete where nothing is.
            return Ok(None);
        }
        let token = self.token(context);
        let name =
            BaseFileName::parquet(self.group.file_id.clone(), &token, context.task.instant).to_string();
        let mut place = self.place(context, name.clone());
        let (storage, partition) = (context.storage.as_ref(), &self.group.partition);
        let (path, mut file) =
            staging::create(storage, &context.task, partition, &name, MarkerKind::Create).await?;
        let format = context.format.clone();
        let summary: BaseFileSummary = encode_into(file.as_mut(), move |pieces| {
            let mut encoder = BaseFileEncoder::new(format.base.clone());
            for batch in combined.batches {
                send(pieces, encoder.write(&place.with_meta(&batch, format.schema())?)?)?;
            }
            let (rest, summary) = encoder.finish()?;
            send(pieces, rest)?;
            Ok(summary)
        })
        .await?;
        let size_bytes = file.finish().await?;
        let rows = RowCounts { written: summary.rows, inserted: summary.rows, updated: 0, deleted: 0 };
        let kind = StagedKind::Base { previous: None };
        Ok(Some(StagedFile { group: self.group, path, kind, size_bytes, rows, columns: summary.columns }))
    }

    fn take_records(&mut self) -> Vec<LogRecords> {
        self.buffered_bytes = 0;
        std::mem::take(&mut self.records)
    }

    fn token(&self, context: &WriteContext) -> WriteToken {
        WriteToken::new(self.number, context.task.token_stage, 0)
    }

    fn place(&self, context: &WriteContext, file_name: String) -> Place {
        Place {
            instant: context.task.instant,
            partition: self.group.partition.clone(),
            file_name,
            task: self.number,
            rows_numbered: self.rows_numbered,
        }
    }
}

impl OpenLog {
    async fn append(&mut self, blocks: LogBlocks) -> Result<(), WriteError> {
        for bytes in blocks.bytes {
            self.file.write(bytes).await?;
        }
        self.rows += blocks.rows;
        self.deletes += blocks.deletes;
        if self.columns.is_empty() {
            self.columns = blocks.columns;
        } else {
            for (known, new) in self.columns.iter_mut().zip(&blocks.columns) {
                known.extend(new);
            }
        }
        Ok(())
    }
}

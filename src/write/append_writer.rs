//! New base files of a target size, for rows that are added whatever their keys.

use arrow::array::RecordBatch;
use lakebed_hudi::file_name::{BaseFileName, FileId, MarkerKind};

use super::WriteError;
use super::base_file::BaseFileEncoder;
use super::context::WriteContext;
use super::encoding::ROW_GROUP_ROWS;
use super::staging::{self, encode_into, send};
use crate::memory::batch_bytes;
use crate::storage::{FileWriter, TablePath};
use crate::table::{FileGroupId, RowCounts, StagedFile, StagedKind};

/// The rows of one partition on their way into new base files.
///
/// Rows keep their order. A file is ended when it has reached its target size; a row group when
/// it has its rows, or earlier when memory is short.
#[derive(Debug)]
pub(super) struct AppendWriter {
    /// The number of the writer within the instant.
    number: u32,
    partition: String,
    target_bytes: u64,
    batches: Vec<RecordBatch>,
    buffered_rows: usize,
    buffered_bytes: usize,
    open: Option<OpenBase>,
    rows_numbered: u64,
    files: Vec<StagedFile>,
}

struct OpenBase {
    group: FileGroupId,
    name: String,
    path: TablePath,
    file: Box<dyn FileWriter>,
    encoder: BaseFileEncoder,
}

impl AppendWriter {
    pub(super) fn new(number: u32, partition: &str, target_bytes: u64) -> Self {
        Self {
            number,
            partition: partition.to_owned(),
            target_bytes,
            batches: Vec::new(),
            buffered_rows: 0,
            buffered_bytes: 0,
            open: None,
            rows_numbered: 0,
            files: Vec::new(),
        }
    }

    /// Takes rows of the partition, after their keys if the table has some.
    pub(super) fn push(&mut self, batch: RecordBatch) {
        self.buffered_rows += batch.num_rows();
        self.buffered_bytes += batch_bytes(&batch);
        self.batches.push(batch);
    }

    /// Bytes of memory in buffers, those of the open file included.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes + self.open.as_ref().map_or(0, |open| open.encoder.memory_bytes())
    }

    /// Whether a row group's rows are there, so that encoding them wastes nothing.
    pub(super) fn is_ripe(&self) -> bool {
        self.buffered_rows >= ROW_GROUP_ROWS
    }

    pub(super) fn has_open_file(&self) -> bool {
        self.open.is_some()
    }

    /// Encodes what is buffered; under `pressure` the open row group ends, too.
    pub(super) async fn encode(&mut self, context: &WriteContext, pressure: bool) -> Result<(), WriteError> {
        let batches = std::mem::take(&mut self.batches);
        (self.buffered_rows, self.buffered_bytes) = (0, 0);
        if batches.is_empty() && !(pressure && self.open.is_some()) {
            return Ok(());
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.create(context).await?,
        };
        let mut place = context.place(self.number, &self.partition, open.name.clone());
        place.rows_numbered = self.rows_numbered;
        let (format, mut encoder) = (context.format.clone(), open.encoder);
        let (encoder, rows_numbered) = encode_into(open.file.as_mut(), move |pieces| {
            for batch in batches {
                let rows = match format.has_keys {
                    true => batch,
                    false => place.keyed_by_number(&batch)?,
                };
                place.rows_numbered += rows.num_rows() as u64;
                send(pieces, encoder.write(&rows)?)?;
            }
            if pressure {
                send(pieces, encoder.flush()?)?;
            }
            Ok((encoder, place.rows_numbered))
        })
        .await?;
        self.rows_numbered = rows_numbered;
        open.encoder = encoder;
        if open.encoder.file_bytes() >= self.target_bytes {
            self.files.push(open.finish().await?);
        } else {
            self.open = Some(open);
        }
        Ok(())
    }

    /// Ends the open file before its target size: too many are open.
    pub(super) async fn close(&mut self, context: &WriteContext) -> Result<(), WriteError> {
        self.encode(context, false).await?;
        if let Some(open) = self.open.take() {
            self.files.push(open.finish().await?);
        }
        Ok(())
    }

    /// Writes what is left and makes all files durable.
    pub(super) async fn finish(mut self, context: &WriteContext) -> Result<Vec<StagedFile>, WriteError> {
        self.close(context).await?;
        Ok(self.files)
    }

    async fn create(&mut self, context: &WriteContext) -> Result<OpenBase, WriteError> {
        let file_id = FileId::of_uuid(&context.ids.uuid().to_string(), 0);
        let (storage, attempt) = (context.storage.as_ref(), &context.attempt);
        let token = attempt.token(self.number, self.files.len() as u32);
        let name = BaseFileName::parquet(file_id.clone(), &token, attempt.instant).to_string();
        let (path, file) =
            staging::create(storage, attempt, &self.partition, &name, MarkerKind::Create).await?;
        let group = FileGroupId { partition: self.partition.clone(), file_id };
        let mut place = context.place(self.number, &self.partition, name.clone());
        place.rows_numbered = self.rows_numbered;
        let encoder = BaseFileEncoder::new(context.format.base.clone(), place.generated_of_new());
        Ok(OpenBase { group, name, path, file, encoder })
    }
}

impl OpenBase {
    async fn finish(mut self) -> Result<StagedFile, WriteError> {
        let encoder = self.encoder;
        let summary = encode_into(self.file.as_mut(), move |pieces| {
            let (rest, summary) = encoder.finish()?;
            send(pieces, rest)?;
            Ok(summary)
        })
        .await?;
        let size_bytes = self.file.finish().await?;
        let rows = RowCounts { written: summary.rows, inserted: summary.rows, updated: 0, deleted: 0 };
        let kind = StagedKind::Base { previous: None };
        Ok(StagedFile {
            group: self.group,
            path: self.path,
            kind,
            size_bytes,
            rows,
            columns: summary.columns,
        })
    }
}

impl std::fmt::Debug for OpenBase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenBase").field("path", &self.path).finish_non_exhaustive()
    }
}

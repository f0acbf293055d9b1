//! The log file of one group.

use lakebed_hudi::file_name::{LogFileName, MarkerKind};

use super::WriteError;
use super::buffer::Buffer;
use super::context::WriteContext;
use super::row_format::LogBlocks;
use super::staging::{self, on_rayon};
use crate::storage::{FileWriter, TablePath};
use crate::table::{BaseFile, ColumnRange, FileGroupId, RowCounts, StagedFile, StagedKind};

/// Rows on their way into a log file: each time the buffer is let go of, it becomes blocks of it.
#[derive(Debug)]
pub(super) struct LogWriter {
    /// The number of the writer within the instant.
    number: u32,
    group: FileGroupId,
    base_file: Option<BaseFile>,
    pub(super) rows: Buffer,
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

impl LogWriter {
    pub(super) fn new(number: u32, group: FileGroupId, base_file: Option<BaseFile>) -> Self {
        Self { number, group, base_file, rows: Buffer::default(), log: None, rows_numbered: 0 }
    }

    /// Writes the buffer as blocks of the log file.
    pub(super) async fn flush(&mut self, context: &WriteContext) -> Result<(), WriteError> {
        let batches = self.rows.take();
        if batches.is_empty() {
            return Ok(());
        }
        let mut place = context.place(self.number, &self.group.partition, self.group.file_id.to_string());
        place.rows_numbered = self.rows_numbered;
        let format = context.format.clone();
        let (blocks, rows_numbered) = on_rayon(move || {
            let blocks = format.log_blocks(format.combine(batches)?, &mut place)?;
            Ok((blocks, place.rows_numbered))
        })
        .await?;
        self.rows_numbered = rows_numbered;
        let mut log = match self.log.take() {
            Some(log) => log,
            None => self.open(context).await?,
        };
        log.append(blocks).await?;
        self.log = Some(log);
        Ok(())
    }

    async fn open(&mut self, context: &WriteContext) -> Result<OpenLog, WriteError> {
        let (storage, attempt) = (context.storage.as_ref(), &context.attempt);
        let token = attempt.token(self.number, 0);
        let name = LogFileName::new(self.group.file_id.clone(), attempt.instant, token).to_string();
        // A log file is always new: every write has its own.
        let (path, file) =
            staging::create(storage, attempt, &self.group.partition, &name, MarkerKind::Create).await?;
        Ok(OpenLog { path, file, rows: 0, deletes: 0, columns: Vec::new() })
    }

    /// Writes what is left and makes the file durable; `None` if there was nothing to write.
    pub(super) async fn finish(mut self, context: &WriteContext) -> Result<Option<StagedFile>, WriteError> {
        self.flush(context).await?;
        let Some(log) = self.log else { return Ok(None) };
        let size_bytes = log.file.finish().await?;
        // Whether a key was there before is not known without reading the group.
        let rows = RowCounts { written: log.rows, inserted: 0, updated: log.rows, deleted: log.deletes };
        let kind = StagedKind::Log { base_file: self.base_file.map(|base| base.name.to_string()) };
        let (group, path, columns) = (self.group, log.path, log.columns);
        Ok(Some(StagedFile { group, path, kind, size_bytes, rows, columns }))
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

//! The rows of one file group under one write: a buffer and the file that it goes to.

use std::sync::Arc;

use arrow::array::RecordBatch;
use lakebed_hudi::file_name::WriteToken;

use super::WriteError;
use super::base_writer::BaseWriter;
use super::log_writer::LogWriter;
use super::meta_columns::Place;
use super::row_format::RowFormat;
use super::run_store::RunStore;
use crate::environment::Ids;
use crate::memory::batch_bytes;
use crate::merge::MergeResources;
use crate::storage::Storage;
use crate::table::{BaseFile, FileGroupId, StagedFile, WriteTask};

/// What a writer needs of the write that it is part of.
#[derive(Debug, Clone)]
pub(super) struct WriteContext {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) ids: Arc<dyn Ids>,
    pub(super) task: Arc<WriteTask>,
    pub(super) format: Arc<RowFormat>,
    /// Where rows go for which there is no memory.
    pub(super) runs: Arc<RunStore>,
    /// What each merge with a base file may take.
    pub(super) merge: MergeResources,
}

impl WriteContext {
    /// The token of the one file that writer `number` makes.
    pub(super) fn token(&self, number: u32) -> WriteToken {
        WriteToken::new(number, self.task.token_stage, 0)
    }

    /// Where the first rows of writer `number` go.
    pub(super) fn place(&self, number: u32, partition: &str, file_name: String) -> Place {
        Place {
            instant: self.task.instant,
            partition: partition.to_owned(),
            file_name,
            task: number,
            rows_numbered: 0,
        }
    }
}

/// The buffer and the file of one group.
#[derive(Debug)]
pub(super) enum GroupWriter {
    /// Rows go to a base file: the group's first one, or one that takes the place of another.
    Base(BaseWriter),
    /// Rows go to a log file.
    Log(LogWriter),
}

impl GroupWriter {
    /// A writer of a base file in the place of `previous`, if there is one.
    pub(super) fn base(number: u32, group: FileGroupId, previous: Option<BaseFile>) -> Self {
        Self::Base(BaseWriter::new(number, group, previous))
    }

    /// A writer of a log file on `base_file`, if there is one.
    pub(super) fn log(number: u32, group: FileGroupId, base_file: Option<BaseFile>) -> Self {
        Self::Log(LogWriter::new(number, group, base_file))
    }

    /// Takes rows of the group, after their keys.
    pub(super) fn push(&mut self, batch: RecordBatch) {
        match self {
            Self::Base(writer) => writer.rows.push(batch),
            Self::Log(writer) => writer.rows.push(batch),
        }
    }

    /// Bytes of memory in the buffer.
    pub(super) fn buffered_bytes(&self) -> usize {
        match self {
            Self::Base(writer) => writer.rows.bytes(),
            Self::Log(writer) => writer.rows.bytes(),
        }
    }

    /// Lets go of the buffer before the end of the write: to the log file, or to a run that is
    /// read again when the base file is written.
    pub(super) async fn relieve(&mut self, context: &WriteContext) -> Result<(), WriteError> {
        match self {
            Self::Base(writer) => writer.put_aside(context).await,
            Self::Log(writer) => writer.flush(context).await,
        }
    }

    /// Writes what is left and makes the file durable; `None` if there was nothing to write.
    pub(super) async fn finish(self, context: &WriteContext) -> Result<Option<StagedFile>, WriteError> {
        match self {
            Self::Base(writer) => writer.finish(context).await,
            Self::Log(writer) => writer.finish(context).await,
        }
    }
}

/// Rows that wait.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    batches: Vec<RecordBatch>,
    bytes: usize,
}

impl Buffer {
    fn push(&mut self, batch: RecordBatch) {
        self.bytes += batch_bytes(&batch);
        self.batches.push(batch);
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    /// All rows, in the order in which they came; the buffer is empty then.
    pub(super) fn take(&mut self) -> Vec<RecordBatch> {
        self.bytes = 0;
        std::mem::take(&mut self.batches)
    }
}

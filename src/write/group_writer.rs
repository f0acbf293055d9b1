//! The rows of one file group under one write: a buffer and the file that it goes to.

use arrow::array::RecordBatch;

use super::WriteError;
use super::base_writer::BaseWriter;
use super::context::WriteContext;
use super::log_writer::LogWriter;
use crate::table::{BaseFile, FileGroupId, StagedFile};

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

//! Batches put aside in a file that no folder names.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use super::MergeError;
use crate::memory::SpillArea;

/// A file of batches.
#[derive(Debug)]
pub(crate) struct SpillFile {
    file: File,
    end: u64,
    folder: PathBuf,
}

/// Where in a [`SpillFile`] a batch lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    at: u64,
    bytes: usize,
}

impl SpillFile {
    /// A new file in `area`.
    pub(crate) fn create(area: &SpillArea) -> Result<Self, MergeError> {
        let folder = area.folder();
        match area.file() {
            Ok(file) => Ok(Self { file, end: 0, folder }),
            Err(source) => Err(MergeError::Spill { folder, source }),
        }
    }

    /// Puts a batch aside.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<Frame, MergeError> {
        let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
        writer.write(batch)?;
        let bytes = writer.into_inner()?;
        let put = |file: &mut File, at| {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&bytes)
        };
        put(&mut self.file, self.end).map_err(|source| self.error(source))?;
        let frame = Frame { at: self.end, bytes: bytes.len() };
        self.end += bytes.len() as u64;
        Ok(frame)
    }

    /// Takes a batch back.
    pub(crate) fn read(&mut self, frame: Frame) -> Result<RecordBatch, MergeError> {
        let mut bytes = vec![0; frame.bytes];
        let mut get = |file: &mut File| {
            file.seek(SeekFrom::Start(frame.at))?;
            file.read_exact(&mut bytes)
        };
        get(&mut self.file).map_err(|source| self.error(source))?;
        let batch = StreamReader::try_new(bytes.as_slice(), None)?.next().transpose()?;
        batch.ok_or_else(|| self.error(io::ErrorKind::UnexpectedEof.into()))
    }

    fn error(&self, source: io::Error) -> MergeError {
        MergeError::Spill { folder: self.folder.clone(), source }
    }
}

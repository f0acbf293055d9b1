//! Rows in a Parquet file: how rows are passed to and from the other systems.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

/// Why rows could not be passed on.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct ParquetFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a file of rows.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// It cannot be opened or made.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no Parquet.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    /// Its rows do not go together.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// Writes `batch` to `path`.
///
/// # Errors
/// Those of the disk, and types that Parquet lacks.
pub fn write(path: &Path, batch: &RecordBatch) -> Result<(), ParquetFileError> {
    let write = || -> Result<(), Reason> {
        let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), None)?;
        writer.write(batch)?;
        writer.close()?;
        Ok(())
    };
    write().map_err(|reason| ParquetFileError { path: path.to_owned(), reason })
}

/// All rows of `path`.
///
/// # Errors
/// Those of the disk, and a file that is no Parquet.
pub fn read(path: &Path) -> Result<RecordBatch, ParquetFileError> {
    let read = || -> Result<RecordBatch, Reason> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()?;
        let schema = Arc::new(arrow::record_batch::RecordBatchReader::schema(&reader).as_ref().clone());
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        Ok(concat_batches(&schema, &batches)?)
    };
    read().map_err(|reason| ParquetFileError { path: path.to_owned(), reason })
}

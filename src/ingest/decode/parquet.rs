//! Parquet files.

use std::fs::File;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::guard::guarded;
use super::{BatchReader, DecodeProblem, Limits};

const KIND: &str = "parquet";

/// Bytes that a batch is meant to have at most, by the sizes that the footer declares.
const BATCH_BYTES: u64 = 8 << 20;

/// Opens a Parquet file.
pub(super) fn open(file: File, limits: &Limits) -> Result<Box<dyn BatchReader>, DecodeProblem> {
    let options = ArrowReaderOptions::new();
    let metadata = guarded(KIND, || ArrowReaderMetadata::load(&file, options))?;
    let batch_rows = batch_rows(&metadata, limits);
    let schema = metadata.schema().clone();
    let mut reader = ParquetFile { file, metadata, schema, batch_rows, read: None };
    reader.start(0)?;
    Ok(Box::new(reader))
}

struct ParquetFile {
    file: File,
    metadata: ArrowReaderMetadata,
    schema: SchemaRef,
    batch_rows: usize,
    /// `None` behind the end, and after a failure.
    read: Option<ParquetRecordBatchReader>,
}

impl std::fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetFile").field("file", &self.file).finish_non_exhaustive()
    }
}

impl ParquetFile {
    fn start(&mut self, offset: u64) -> Result<(), DecodeProblem> {
        let file = self.file.try_clone().map_err(DecodeProblem::Io)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_batch_size(self.batch_rows)
            .with_offset(usize::try_from(offset).unwrap_or(usize::MAX));
        self.read = Some(guarded(KIND, || builder.build())?);
        Ok(())
    }

    fn records(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }
}

impl BatchReader for ParquetFile {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, DecodeProblem> {
        let Some(mut read) = self.read.take() else { return Ok(None) };
        let batch = guarded(KIND, || read.next().transpose())?;
        self.read = batch.is_some().then_some(read);
        Ok(batch)
    }

    /// Starts anew behind the records; meant to be called once, before the first are read.
    fn skip(&mut self, records: u64) -> Result<u64, DecodeProblem> {
        let skipped = records.min(self.records());
        self.start(skipped)?;
        Ok(skipped)
    }
}

/// Rows of a batch, so that wide rows do not take more memory than narrow ones.
fn batch_rows(metadata: &ArrowReaderMetadata, limits: &Limits) -> usize {
    let widest = metadata
        .metadata()
        .row_groups()
        .iter()
        .filter(|group| group.num_rows() > 0)
        .map(|group| group.total_byte_size().max(0) / group.num_rows())
        .max();
    let row_bytes = u64::try_from(widest.unwrap_or(0)).unwrap_or(0).max(1);
    usize::try_from(BATCH_BYTES / row_bytes).unwrap_or(usize::MAX).clamp(1, limits.batch_rows)
}

//! Parquet files.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lakebed_hudi::parquet_guard;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::batch_reader::BATCH_BYTES;
use super::guard::guarded;
use super::parquet_pages::CheckedFile;
use super::{BatchReader, DecodeProblem, Limits};

const KIND: &str = "parquet";

/// The length of the footer and the mark behind it, and the longest footer.
const MARK_BYTES: u64 = 8;
const FOOTER_BYTES_MAX: u64 = 256 << 20;

/// Opens a Parquet file.
pub(super) fn open(file: File, limits: &Limits) -> Result<Box<dyn BatchReader>, DecodeProblem> {
    let bytes = check_end(&file)?;
    let options = ArrowReaderOptions::new();
    let metadata = guarded(KIND, || ArrowReaderMetadata::load(&file, options))?;
    check_counts(&metadata, bytes)?;
    let batch_rows = batch_rows(&metadata, limits);
    let schema = metadata.schema().clone();
    let page_bytes_max = usize::try_from(limits.unit_bytes).unwrap_or(usize::MAX);
    let mut reader = ParquetFile { file, metadata, schema, batch_rows, page_bytes_max, read: None };
    reader.start(0)?;
    Ok(Box::new(reader))
}

/// Checks what the end of the file claims before the library reserves memory for it; returns the
/// size of the file.
fn check_end(mut file: &File) -> Result<u64, DecodeProblem> {
    let unsound = |found: String| DecodeProblem::Unsound { kind: KIND, found };
    let bytes = file.seek(SeekFrom::End(0)).map_err(DecodeProblem::Io)?;
    let read_back = |mut file: &File, count: u64| {
        file.seek(SeekFrom::Start(bytes - count))?;
        let mut end = Vec::new();
        file.take(count).read_to_end(&mut end).map(|_| end)
    };
    let mark = read_back(file, bytes.min(MARK_BYTES)).map_err(DecodeProblem::Io)?;
    let footer_bytes = match mark.split_first_chunk() {
        Some((length, b"PAR1")) => u64::from(u32::from_le_bytes(*length)),
        _ => return Err(unsound("it does not end in \"PAR1\"".to_owned())),
    };
    let room = (bytes - MARK_BYTES).min(FOOTER_BYTES_MAX);
    if footer_bytes > room {
        return Err(unsound(format!("its footer claims {footer_bytes} bytes, at most {room} are possible")));
    }
    let end = read_back(file, footer_bytes + MARK_BYTES).map_err(DecodeProblem::Io)?;
    parquet_guard::check_footer(&end).map_err(|found| unsound(found.to_owned()))?;
    file.seek(SeekFrom::Start(0)).map_err(DecodeProblem::Io)?;
    Ok(bytes)
}

/// Checks the numbers that the library takes as they are.
fn check_counts(metadata: &ArrowReaderMetadata, file_bytes: u64) -> Result<(), DecodeProblem> {
    for (number, group) in metadata.metadata().row_groups().iter().enumerate() {
        let outside = |column: &ColumnChunkMetaData| {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let range = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
            let end = range.and_then(|(start, bytes)| start.checked_add(bytes));
            end.is_none_or(|end| end > file_bytes)
        };
        if group.num_rows() < 0 || group.columns().iter().any(outside) {
            let found = format!("its row group {number} claims rows or columns that are not there");
            return Err(DecodeProblem::Unsound { kind: KIND, found });
        }
    }
    Ok(())
}

struct ParquetFile {
    file: File,
    metadata: ArrowReaderMetadata,
    schema: SchemaRef,
    batch_rows: usize,
    page_bytes_max: usize,
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
        let file = CheckedFile::new(file, self.metadata.metadata(), self.page_bytes_max);
        let file = file.map_err(|found| DecodeProblem::Unsound { kind: KIND, found: found.to_owned() })?;
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

/// Rows of a batch by the sizes that the footer declares, so that wide rows do not take more memory
/// than narrow ones.
fn batch_rows(metadata: &ArrowReaderMetadata, limits: &Limits) -> usize {
    let row_bytes = |group: &RowGroupMetaData| {
        let bytes = group.columns().iter().map(parquet_guard::decoded_bytes).fold(0, u64::saturating_add);
        bytes.checked_div(group.num_rows().unsigned_abs())
    };
    let row_bytes = metadata.metadata().row_groups().iter().filter_map(row_bytes).max().unwrap_or(0).max(1);
    usize::try_from(BATCH_BYTES as u64 / row_bytes).unwrap_or(usize::MAX).clamp(1, limits.batch_rows)
}

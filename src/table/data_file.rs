//! The outlines of data files: footers of Parquet files.
//!
//! Sizes that a file claims are checked against caps before memory is taken for them, and a
//! panic of the Parquet library is caught and named.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use lakebed_hudi::log_file::LogScanError;
use lakebed_hudi::parquet_guard;
use parquet::DecodeResult;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Type as PhysicalType;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataPushDecoder,
};
use parquet::file::page_index::offset_index::PageLocation;

use crate::human;
use crate::storage::{Storage, StorageError, TablePath};

/// What is read of the end of a Parquet file at first; ordinary footers fit.
const TAIL_BYTES: u64 = 64 << 10;
/// Length and magic at the very end.
const FOOTER_END_BYTES: u64 = 8;
/// Footers are megabytes at most, Hudi's bloom filters included.
const FOOTER_BYTES_MAX: u64 = 256 << 20;

/// Why a data file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataFileError {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A Parquet file, or one within a log block, that is damaged or claims what cannot be.
    #[error("{path} (Parquet at byte {offset}): {reason}; restore the file, or roll its commit back")]
    Parquet {
        /// The file.
        path: TablePath,
        /// Where in the file the Parquet file starts.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A log file without meaning.
    #[error("{path}: {source}")]
    Log {
        /// The file.
        path: TablePath,
        /// What is wrong with it.
        source: LogScanError,
    },
    /// Blocks that say more of themselves than is kept.
    #[error(
        "{path}: with the block at byte {offset}, the headers of the slice's blocks hold more than the {} \
         that are kept of different schemas and of instants; compact the file group with the engine that \
         wrote it", human::bytes(*max_bytes as u64)
    )]
    LogHeaders {
        /// The log file.
        path: TablePath,
        /// Where the block starts.
        offset: u64,
        /// The limit.
        max_bytes: usize,
    },
}

/// A file, or a part of one that is a file itself.
#[derive(Debug, Clone)]
pub(crate) struct ByteSource {
    /// The file.
    pub(crate) path: TablePath,
    /// Where in the file the part starts.
    pub(crate) offset: u64,
    /// Its size.
    pub(crate) bytes: u64,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Stored(Arc<dyn Storage>),
    Held(Bytes),
    /// Some parts, with where they start.
    Parts(Arc<[(u64, Bytes)]>),
}

/// What is read of the end of a Parquet file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FooterParts {
    /// Its schema and row groups.
    Footer,
    /// The page index as well, if it has one.
    PageIndex,
    /// All that is to be kept of chunks which are copied.
    ForCopying,
}

impl ByteSource {
    /// A whole file.
    pub(crate) fn file(storage: Arc<dyn Storage>, path: TablePath, bytes: u64) -> Self {
        Self { path, offset: 0, bytes, place: Place::Stored(storage) }
    }

    /// The bytes `range` of this source, as a source.
    pub(crate) fn part(&self, range: Range<u64>) -> Self {
        let bytes = range.end.saturating_sub(range.start);
        let place = match &self.place {
            Place::Stored(storage) => Place::Stored(storage.clone()),
            Place::Held(held) => {
                let end = (range.end as usize).min(held.len());
                Place::Held(held.slice((range.start as usize).min(end)..end))
            }
            Place::Parts(parts) => {
                let moved = parts.iter().filter_map(|(start, part)| {
                    let from = range.start.saturating_sub(*start).min(part.len() as u64);
                    let to = range.end.saturating_sub(*start).min(part.len() as u64);
                    let part = (from < to).then(|| part.slice(from as usize..to as usize))?;
                    Some(((start + from).saturating_sub(range.start), part))
                });
                Place::Parts(moved.collect())
            }
        };
        Self { offset: self.offset + range.start, bytes, path: self.path.clone(), place }
    }

    /// This source with nothing but `parts`, each with where it starts: reading anything else fails.
    pub(crate) fn with_parts(&self, parts: impl IntoIterator<Item = (u64, Bytes)>) -> Self {
        Self { place: Place::Parts(parts.into_iter().collect()), ..self.clone() }
    }

    /// This source, held in memory.
    pub(crate) async fn held(&self) -> Result<Self, StorageError> {
        let bytes = self.all().await?;
        Ok(Self { place: Place::Held(bytes), ..self.clone() })
    }

    /// All bytes.
    pub(crate) async fn all(&self) -> Result<Bytes, StorageError> {
        let ranges = self.get(std::slice::from_ref(&(0..self.bytes))).await?;
        Ok(ranges.into_iter().next().unwrap_or_default())
    }

    /// Ranges of bytes, all in one call to the storage.
    pub(crate) async fn get(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StorageError> {
        let bytes = match &self.place {
            Place::Held(held) => self.bytes.min(held.len() as u64),
            Place::Stored(_) | Place::Parts(_) => self.bytes,
        };
        if let Some(outside) = ranges.iter().find(|r| r.start > r.end || r.end > bytes) {
            return Err(StorageError::OutOfRange {
                location: self.path.to_string(),
                range: outside.clone(),
                size: self.bytes,
            });
        }
        match &self.place {
            Place::Held(held) => {
                Ok(ranges.iter().map(|r| held.slice(r.start as usize..r.end as usize)).collect())
            }
            Place::Stored(storage) => {
                let at = |r: &Range<u64>| self.offset + r.start..self.offset + r.end;
                storage.get_ranges(&self.path, &ranges.iter().map(at).collect::<Vec<_>>()).await
            }
            Place::Parts(parts) => ranges.iter().map(|range| self.of_parts(parts, range)).collect(),
        }
    }

    /// A range of bytes of [`ByteSource::with_parts`].
    ///
    /// # Errors
    /// A range that no part has.
    pub(crate) fn in_memory(&self, range: &Range<u64>) -> Result<Bytes, StorageError> {
        match &self.place {
            Place::Parts(parts) => self.of_parts(parts, range),
            Place::Stored(_) | Place::Held(_) => self.of_parts(&[], range),
        }
    }

    fn of_parts(&self, parts: &[(u64, Bytes)], range: &Range<u64>) -> Result<Bytes, StorageError> {
        let within = parts.iter().find_map(|(start, part)| {
            let from = usize::try_from(range.start.checked_sub(*start)?).ok()?;
            let to = usize::try_from(range.end.checked_sub(*start)?).ok()?;
            (to <= part.len()).then(|| part.slice(from..to))
        });
        within.ok_or_else(|| StorageError::OutOfRange {
            location: self.path.to_string(),
            range: range.clone(),
            size: self.bytes,
        })
    }

    /// What is wrong with the Parquet file here.
    pub(crate) fn parquet_error(&self, reason: &(impl ToString + ?Sized)) -> DataFileError {
        let reason = reason.to_string().chars().take(300).collect();
        DataFileError::Parquet { path: self.path.clone(), offset: self.offset, reason }
    }

    /// Runs the Parquet library: its errors and panics become values.
    pub(crate) fn guarded<T>(
        &self,
        run: impl FnOnce() -> Result<T, ParquetError>,
    ) -> Result<T, DataFileError> {
        let outcome = catch_unwind(AssertUnwindSafe(run));
        let outcome = outcome.map_err(|panic| {
            let text = panic_text(panic.as_ref());
            self.parquet_error(&format!("the Parquet library panicked: {text}"))
        })?;
        outcome.map_err(|error| self.parquet_error(&error))
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Reads the footer of a Parquet file, and the `parts` that are asked for besides.
///
/// Types are those of the Parquet schema alone: what Arrow writers note beside it is passed over.
/// INT96 times come as microseconds in UTC, as Spark reads them.
pub(crate) async fn load_footer(
    source: &ByteSource,
    parts: FooterParts,
) -> Result<ArrowReaderMetadata, DataFileError> {
    if source.bytes < FOOTER_END_BYTES + 4 {
        return Err(source.parquet_error(&format!("{} bytes are too few for a Parquet file", source.bytes)));
    }
    let tail_bytes = source.bytes.min(TAIL_BYTES);
    let mut tail = one(source, source.bytes - tail_bytes..source.bytes).await?;
    let footer = footer_bytes(source, &tail)?;
    if footer + FOOTER_END_BYTES > tail_bytes {
        tail = one(source, source.bytes - footer - FOOTER_END_BYTES..source.bytes).await?;
    }
    parquet_guard::check_footer(&tail).map_err(|reason| source.parquet_error(reason))?;
    let tail_range = source.bytes - tail.len() as u64..source.bytes;
    let metadata = source.guarded(|| {
        let exact = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
        let mut decoder = ParquetMetaDataPushDecoder::try_new(source.bytes)?
            .with_page_index_policy(PageIndexPolicy::Skip)
            .with_metadata_options((parts == FooterParts::ForCopying).then(|| Arc::new(exact)));
        decoder.push_ranges(vec![tail_range], vec![tail])?;
        decoded(decoder)
    })?;
    check_counts(source, &metadata)?;
    let metadata = match parts {
        FooterParts::Footer => metadata,
        FooterParts::PageIndex | FooterParts::ForCopying => with_page_index(source, metadata).await?,
    };
    source.guarded(|| arrow_metadata(Arc::new(metadata)))
}

pub(super) async fn one(source: &ByteSource, range: Range<u64>) -> Result<Bytes, DataFileError> {
    let mut ranges = source.get(&[range]).await?;
    Ok(ranges.pop().unwrap_or_default())
}

/// The length that the end of a file declares for its footer.
fn footer_bytes(source: &ByteSource, tail: &[u8]) -> Result<u64, DataFileError> {
    let end = tail.len().checked_sub(FOOTER_END_BYTES as usize).and_then(|at| tail.get(at..));
    let Some(([a, b, c, d], magic)) = end.and_then(|end| end.split_first_chunk::<4>()) else {
        return Err(source.parquet_error("it is cut short"));
    };
    if magic != b"PAR1" {
        let found = magic.escape_ascii().to_string();
        return Err(source.parquet_error(&format!("expected PAR1 at its end, found {found:?}")));
    }
    let footer = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
    let room = (source.bytes - FOOTER_END_BYTES).min(FOOTER_BYTES_MAX);
    if footer > room {
        let reason = format!("its footer claims {footer} bytes, at most {room} are possible");
        return Err(source.parquet_error(&reason));
    }
    Ok(footer)
}

fn decoded(mut decoder: ParquetMetaDataPushDecoder) -> Result<ParquetMetaData, ParquetError> {
    match decoder.try_decode()? {
        DecodeResult::Data(metadata) => Ok(metadata),
        DecodeResult::NeedsData(_) | DecodeResult::Finished => {
            Err(ParquetError::General("its footer lies outside of the bytes that it declares".into()))
        }
    }
}

/// Checks the numbers that the library takes as they are.
fn check_counts(source: &ByteSource, metadata: &ParquetMetaData) -> Result<(), DataFileError> {
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let wrong = |what: &str| {
            source.parquet_error(&format!("row group {number} declares {what} that is impossible"))
        };
        if group.num_rows() < 0 {
            return Err(wrong("a count of rows"));
        }
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let range = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
            let end = range.and_then(|(start, bytes)| start.checked_add(bytes));
            if end.is_none_or(|end| end > source.bytes) {
                return Err(wrong("a column"));
            }
        }
    }
    Ok(())
}

async fn with_page_index(
    source: &ByteSource,
    metadata: ParquetMetaData,
) -> Result<ParquetMetaData, DataFileError> {
    let decoder = || {
        let decoder = ParquetMetaDataPushDecoder::try_new_with_metadata(source.bytes, metadata.clone())?;
        Ok::<_, ParquetError>(decoder.with_page_index_policy(PageIndexPolicy::Optional))
    };
    let asked = source.guarded(|| match decoder()?.try_decode()? {
        DecodeResult::NeedsData(ranges) => Ok(ranges),
        DecodeResult::Data(_) | DecodeResult::Finished => Ok(Vec::new()),
    })?;
    if asked.is_empty() || asked.iter().any(|r| r.end.saturating_sub(r.start) > FOOTER_BYTES_MAX) {
        return Ok(metadata);
    }
    let bytes = source.get(&asked).await?;
    check_page_index(source, &metadata, &asked, &bytes)?;
    let metadata = source.guarded(|| {
        let mut decoder = decoder()?;
        decoder.push_ranges(asked, bytes)?;
        decoded(decoder)
    })?;
    check_page_places(source, &metadata)?;
    Ok(metadata)
}

/// Checks that the pages of the index lie within their column chunks: they are checked as pages of
/// the chunk that they lie in.
fn check_page_places(source: &ByteSource, metadata: &ParquetMetaData) -> Result<(), DataFileError> {
    let groups = metadata.row_groups().iter().zip(metadata.offset_index().into_iter().flatten());
    let chunks = groups.flat_map(|(group, indexes)| group.columns().iter().zip(indexes));
    for (column, index) in chunks {
        let (start, bytes) = column.byte_range();
        let chunk = start..start.saturating_add(bytes);
        let is_outside = |page: &PageLocation| {
            let place = u64::try_from(page.offset).ok().zip(u64::try_from(page.compressed_page_size).ok());
            let end = place.and_then(|(at, bytes)| at.checked_add(bytes).filter(|_| chunk.start <= at));
            end.is_none_or(|end| end > chunk.end)
        };
        if index.page_locations().iter().any(is_outside) {
            return Err(source.parquet_error("its page index leads out of a column"));
        }
    }
    Ok(())
}

fn check_page_index(
    source: &ByteSource,
    metadata: &ParquetMetaData,
    asked: &[Range<u64>],
    bytes: &[Bytes],
) -> Result<(), DataFileError> {
    let entries = metadata.row_groups().iter().flat_map(|group| group.columns()).flat_map(|column| {
        [
            column.column_index_offset().zip(column.column_index_length()),
            column.offset_index_offset().zip(column.offset_index_length()),
        ]
    });
    for (offset, length) in entries.flatten() {
        let entry = asked.iter().zip(bytes).find_map(|(range, bytes)| {
            let start = usize::try_from(u64::try_from(offset).ok()?.checked_sub(range.start)?).ok()?;
            bytes.get(start..start.checked_add(usize::try_from(length).ok()?)?)
        });
        let entry = entry.ok_or_else(|| source.parquet_error("its page index lies outside of the file"))?;
        parquet_guard::check_struct(entry).map_err(|reason| source.parquet_error(reason))?;
    }
    Ok(())
}

fn arrow_metadata(metadata: Arc<ParquetMetaData>) -> Result<ArrowReaderMetadata, ParquetError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let columns = metadata.file_metadata().schema_descr().columns();
    if !columns.iter().any(|column| column.physical_type() == PhysicalType::INT96) {
        return ArrowReaderMetadata::try_new(metadata, options);
    }
    let plain = ArrowReaderMetadata::try_new(metadata.clone(), options.clone())?;
    let micros = |field: &Arc<Field>| match field.data_type() {
        // Only INT96 comes without a zone and with nanoseconds from writers of Hudi tables.
        DataType::Timestamp(TimeUnit::Nanosecond, None) => {
            let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            Arc::new(field.as_ref().clone().with_data_type(utc))
        }
        _ => field.clone(),
    };
    let fields: Vec<_> = plain.schema().fields().iter().map(micros).collect();
    ArrowReaderMetadata::try_new(metadata, options.with_schema(Arc::new(Schema::new(fields))))
}

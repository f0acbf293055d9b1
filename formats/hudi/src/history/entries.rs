//! Rows of archived instants, read from the Parquet files that hold them.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::HistoryError;
use crate::instant::InstantTime;
use crate::parquet_guard::{ChunkForm, check_footer, check_pages};
use crate::timeline_file::Action;
use crate::timeline_metadata::evidence;

pub(super) const INSTANT: &str = "instantTime";
pub(super) const COMPLETION: &str = "completionTime";
pub(super) const ACTION: &str = "action";
pub(super) const METADATA: &str = "metadata";
pub(super) const PLAN: &str = "plan";
pub(super) const VERSION: &str = "version";

/// Rows are converted few at a time, since one row's metadata may have megabytes.
pub(super) const BATCH_ROWS: usize = 16;

/// A dictionary may repeat a value for next to no bytes. Commits that wrote nothing do say the same as each
/// other; but rows that hold more than this many times what the pages do, and more than
/// [`REPEATED_BYTES_MAX`] besides, are not history.
const VALUE_RATIO_MAX: usize = 8;
const REPEATED_BYTES_MAX: usize = 256 << 20;

/// One completed instant of the archived timeline.
///
/// Source: `HoodieLSMTimelineInstant`, `MetadataConversionUtils.createLSMTimelineInstant`;
/// table versions 8 and 9.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The instant's requested time.
    pub instant: InstantTime,
    /// When it completed.
    pub completion: InstantTime,
    /// What it did, as the completed file was named: a compaction is a `commit`.
    pub action: Action,
    /// The completed file's content, unchanged; `None` for an empty one, and where only
    /// [`HistoryColumns::Instants`] were read.
    pub metadata: Option<Bytes>,
    /// The requested file's content of a clean, compaction, log compaction or clustering; of
    /// any other `replacecommit` its inflight file's, unless that is empty. `None` for all
    /// other actions, and where only [`HistoryColumns::Instants`] were read.
    pub plan: Option<Bytes>,
    /// The version of this form; [`HistoryEntry::VERSION`] when written.
    pub version: i32,
}

impl HistoryEntry {
    /// The version that Hudi 1.0 to 1.2 write.
    pub const VERSION: i32 = 1;
}

/// How much of each archived instant to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HistoryColumns {
    /// When and what, without [`HistoryEntry::metadata`] and [`HistoryEntry::plan`]: a small
    /// part of the file.
    Instants,
    /// Everything.
    #[default]
    All,
}

impl HistoryColumns {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Instants => &[INSTANT, COMPLETION, ACTION, VERSION],
            Self::All => &[INSTANT, COMPLETION, ACTION, METADATA, PLAN, VERSION],
        }
    }
}

/// Reads the rows of a file of archived instants, in file order. Values that repeat are held once.
///
/// # Errors
/// [`HistoryError::Parquet`] for a broken file or one that claims more than its bytes can
/// hold, [`HistoryError::Column`] and [`HistoryError::Row`] for one of other content.
pub fn read_entries(file: &Bytes, columns: HistoryColumns) -> Result<Vec<HistoryEntry>, HistoryError> {
    let mut reader = EntryReader::open(file, columns)?;
    let (mut entries, mut values) = (Vec::new(), HashSet::new());
    while let Some(mut more) = reader.next()? {
        for entry in &mut more {
            let HistoryEntry { metadata, plan, .. } = entry;
            [metadata, plan].into_iter().flatten().for_each(|value| share(value, &mut values));
        }
        entries.extend(more);
    }
    Ok(entries)
}

/// Takes the value of `values` that is the same, if there is one.
fn share(value: &mut Bytes, values: &mut HashSet<Bytes>) {
    match values.get(value) {
        Some(known) => *value = known.clone(),
        None => _ = values.insert(value.clone()),
    }
}

/// Reads the rows of a file few at a time.
pub(super) struct EntryReader {
    reader: AssertUnwindSafe<ParquetRecordBatchReader>,
    columns: HistoryColumns,
    /// Bytes that the rest of the rows may hold.
    values_left: usize,
    /// Rows that were read.
    rows: usize,
}

impl EntryReader {
    pub(super) fn open(file: &Bytes, columns: HistoryColumns) -> Result<Self, HistoryError> {
        check_footer(file).map_err(HistoryError::parquet)?;
        let (reader, unpacked_bytes) = guarded(|| open(file, columns))?;
        let values_left = unpacked_bytes.saturating_mul(VALUE_RATIO_MAX).saturating_add(REPEATED_BYTES_MAX);
        Ok(Self { reader: AssertUnwindSafe(reader), columns, values_left, rows: 0 })
    }

    /// The next rows, in file order.
    pub(super) fn next(&mut self) -> Result<Option<Vec<HistoryEntry>>, HistoryError> {
        let Some(batch) = guarded(|| Ok(self.reader.0.next().transpose()?))? else { return Ok(None) };
        let entries = read_batch(&batch, self.columns, self.rows, &mut self.values_left)?;
        self.rows += entries.len();
        Ok(Some(entries))
    }
}

type Opened = (ParquetRecordBatchReader, usize);

fn open(file: &Bytes, columns: HistoryColumns) -> Result<Opened, ParquetError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options)?;
    let unpacked_bytes = check_claims(file, builder.metadata(), columns.names())
        .map_err(|problem| ParquetError::General(problem.to_owned()))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.names().iter().copied());
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?;
    Ok((reader, unpacked_bytes))
}

/// Checks row counts and pages; returns what the pages hold unpacked.
fn check_claims(file: &[u8], metadata: &ParquetMetaData, columns: &[&str]) -> Result<usize, &'static str> {
    let mut unpacked_bytes = 0_usize;
    let mut rows_left = file.len();
    for group in metadata.row_groups() {
        let rows = usize::try_from(group.num_rows()).map_err(|_| "a row group has a negative row count")?;
        rows_left = rows_left.checked_sub(rows).ok_or("it claims more rows than it has bytes")?;
        for column in group.columns().iter().filter(|c| columns.contains(&c.column_path().string().as_str()))
        {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let start = usize::try_from(start).map_err(|_| "a column starts before the file")?;
            let len =
                usize::try_from(column.compressed_size()).map_err(|_| "a column has a negative size")?;
            let chunk = start.checked_add(len).and_then(|end| file.get(start..end));
            let chunk = chunk.ok_or("a column ends after the file")?;
            unpacked_bytes = unpacked_bytes.saturating_add(check_pages(chunk, &ChunkForm::of(column))?);
        }
    }
    Ok(unpacked_bytes)
}

/// Runs the Parquet library on foreign input; its panics become errors.
pub(super) fn guarded<T>(run: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, HistoryError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => done.map_err(|error| HistoryError::parquet(&error)),
        Err(_) => Err(HistoryError::parquet("the Parquet library panicked")),
    }
}

fn read_batch(
    batch: &RecordBatch,
    columns: HistoryColumns,
    first_row: usize,
    values_left: &mut usize,
) -> Result<Vec<HistoryEntry>, HistoryError> {
    let (instants, completions) = (text_column(batch, INSTANT)?, text_column(batch, COMPLETION)?);
    let actions = text_column(batch, ACTION)?;
    let versions = column(batch, VERSION, "int32")?
        .as_primitive_opt::<Int32Type>()
        .ok_or(HistoryError::Column { column: VERSION, expected: "int32" })?;
    let (metadata, plans) = match columns {
        HistoryColumns::Instants => (None, None),
        HistoryColumns::All => (Some(bytes_column(batch, METADATA)?), Some(bytes_column(batch, PLAN)?)),
    };
    let mut entries = Vec::with_capacity(batch.num_rows());
    for at in 0..batch.num_rows() {
        let row = first_row + at;
        let mut bytes = |column: Option<&BinaryArray>| {
            let value = column.filter(|column| !column.is_null(at)).map(|column| column.value(at));
            let left = values_left.checked_sub(value.map_or(0, <[u8]>::len));
            *values_left = left.ok_or_else(|| HistoryError::parquet("its rows hold more than its pages"))?;
            Ok(value.map(Bytes::copy_from_slice))
        };
        let wrong = |column, expected| move |found| HistoryError::Row { row, column, found, expected };
        entries.push(HistoryEntry {
            instant: parsed((instants, at), instant, wrong(INSTANT, "an instant time"))?,
            completion: parsed((completions, at), instant, wrong(COMPLETION, "an instant time"))?,
            action: parsed((actions, at), action, wrong(ACTION, "an action of the timeline"))?,
            metadata: bytes(metadata)?,
            plan: bytes(plans)?,
            version: if versions.is_null(at) { HistoryEntry::VERSION } else { versions.value(at) },
        });
    }
    Ok(entries)
}

fn column<'a>(
    batch: &'a RecordBatch,
    column: &'static str,
    expected: &'static str,
) -> Result<&'a ArrayRef, HistoryError> {
    batch.column_by_name(column).ok_or(HistoryError::Column { column, expected })
}

fn text_column<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a StringArray, HistoryError> {
    let expected = "binary (string)";
    let array = column(batch, name, expected)?.as_string_opt();
    array.ok_or(HistoryError::Column { column: name, expected })
}

fn bytes_column<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a BinaryArray, HistoryError> {
    let expected = "binary";
    let array = column(batch, name, expected)?.as_binary_opt();
    array.ok_or(HistoryError::Column { column: name, expected })
}

/// A text that `parse` understands; null reads as `"null"`, which nothing understands.
fn parsed<T>(
    (array, at): (&StringArray, usize),
    parse: fn(&str) -> Option<T>,
    error: impl FnOnce(String) -> HistoryError,
) -> Result<T, HistoryError> {
    let text = if array.is_null(at) { "null" } else { array.value(at) };
    parse(text).ok_or_else(|| error(evidence(text)))
}

fn instant(text: &str) -> Option<InstantTime> {
    text.parse().ok()
}

fn action(text: &str) -> Option<Action> {
    Action::ALL.into_iter().find(|action| action.as_str() == text)
}

//! The Parquet files of archived instants, as Hudi writes them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::entries::{
    ACTION, BATCH_ROWS, COMPLETION, EntryReader, INSTANT, METADATA, PLAN, VERSION, guarded,
};
use super::{HistoryColumns, HistoryEntry, HistoryError};

const ROOT: &str = "org.apache.hudi.avro.model.HoodieLSMTimelineInstant";
const AVRO_SCHEMA: &str = include_str!("timeline_instant.avsc");

/// A row group ends when its columns take so much memory.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// A file of archived instants as Hudi 1.2 writes it: one row group, GZIP, the Avro schema in
/// the footer.
///
/// The entries have to be in instant order; this is the caller's to see to, since the file's
/// name says the first and the last.
///
/// # Errors
/// [`HistoryError::Parquet`], which no entries are known to cause.
pub fn write_entries(entries: &[HistoryEntry]) -> Result<Vec<u8>, HistoryError> {
    guarded(|| {
        let mut writer = writer()?;
        for rows in entries.chunks(BATCH_ROWS) {
            writer.write(&to_batch(rows)?)?;
        }
        writer.into_inner()
    })
}

/// The rows of `files`, one file after the other, as one file of the next level. Takes the memory of the
/// files, of the new one, and of few rows.
///
/// # Errors
/// Those of [`read_entries`](super::read_entries).
///
/// Source: `LSMTimelineWriter.compactFiles`.
pub fn merge_files(files: &[Bytes]) -> Result<Vec<u8>, HistoryError> {
    let mut writer = guarded(writer)?;
    for file in files {
        let mut reader = EntryReader::open(file, HistoryColumns::All)?;
        while let Some(entries) = reader.next()? {
            guarded(|| {
                writer.write(&to_batch(&entries)?)?;
                if writer.in_progress_size() >= ROW_GROUP_BYTES { writer.flush() } else { Ok(()) }
            })?;
        }
    }
    guarded(|| writer.into_inner())
}

/// Without dictionaries of what instants say: where it repeats, a reader could not tell it from a small file
/// that claims to be huge.
fn writer() -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_column_dictionary_enabled(METADATA.into(), false)
        .set_column_dictionary_enabled(PLAN.into(), false)
        .set_compression(Compression::GZIP(parquet::basic::GzipLevel::default()))
        .set_key_value_metadata(Some(footer()))
        .build();
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true)
        .with_schema_root(ROOT.to_owned());
    ArrowWriter::try_new_with_options(Vec::new(), to_batch(&[])?.schema(), options)
}

fn footer() -> Vec<KeyValue> {
    let schema = AVRO_SCHEMA.trim_end().to_owned();
    vec![
        KeyValue::new("parquet.avro.schema".to_owned(), schema),
        KeyValue::new("writer.model.name".to_owned(), "avro".to_owned()),
    ]
}

pub(super) fn to_batch(entries: &[HistoryEntry]) -> Result<RecordBatch, ParquetError> {
    let texts = |text: fn(&HistoryEntry) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(entries.iter().map(text)))
    };
    let bytes = |bytes: fn(&HistoryEntry) -> Option<&Bytes>| -> ArrayRef {
        Arc::new(BinaryArray::from_iter(entries.iter().map(bytes)))
    };
    let columns = [
        (INSTANT, texts(|entry| entry.instant.as_str())),
        (COMPLETION, texts(|entry| entry.completion.as_str())),
        (ACTION, texts(|entry| entry.action.as_str())),
        (METADATA, bytes(|entry| entry.metadata.as_ref())),
        (PLAN, bytes(|entry| entry.plan.as_ref())),
        (VERSION, Arc::new(Int32Array::from_iter_values(entries.iter().map(|entry| entry.version)))),
    ];
    let field = |(name, array): &(&str, ArrayRef)| {
        Field::new(*name, array.data_type().clone(), array.data_type() != &DataType::Int32)
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    Ok(RecordBatch::try_new(Arc::new(schema), arrays)?)
}

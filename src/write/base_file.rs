//! Rows as the bytes of a base file.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use lakebed_hudi::base_file::{BaseFileFooter, RECORD_KEY};
use lakebed_hudi::bloom::BloomFilter;
use parquet::file::metadata::KeyValue;

use super::WriteError;
use super::column_ranges::column_ranges;
use super::encoding::{EncodingSet, ROW_GROUP_ROWS};
use super::generated_columns::GeneratedColumns;
use super::parquet_schema::parquet_schema;
use super::parquet_writer::ParquetWriter;
use crate::memory::batch_bytes;
use crate::table::ColumnRange;

/// What all base files of one write share.
#[derive(Debug, Clone)]
pub(super) struct BaseFileFormat {
    /// The columns, meta columns first.
    pub(super) schema: SchemaRef,
    /// The same in Avro, for the footer.
    pub(super) avro: Arc<str>,
    pub(super) encodings: EncodingSet,
    /// Whether writers with a bloom index may come: without a filter in every base file they fail.
    pub(super) bloom_filter: bool,
}

/// What was written to a base file.
#[derive(Debug, Clone, Default)]
pub(super) struct BaseFileSummary {
    pub(super) rows: u64,
    pub(super) columns: Vec<ColumnRange>,
    /// Bytes that were copied from another file.
    pub(super) copied_bytes: u64,
}

/// The first row group's rows are looked at before it is encoded, up to so many bytes.
const SAMPLE_BYTES: usize = 32 << 20;

/// A base file on its way: batches in, bytes out as soon as a row group is full.
pub(super) struct BaseFileEncoder {
    format: BaseFileFormat,
    generated: GeneratedColumns,
    /// Batches of the first row group, from which its encodings are chosen.
    sample: Vec<RecordBatch>,
    sample_rows: usize,
    sample_bytes: usize,
    writer: Option<ParquetWriter>,
    keys: KeySummary,
    rows: u64,
}

impl BaseFileEncoder {
    /// Encodes rows that have all columns but `generated` ones.
    pub(super) fn new(format: BaseFileFormat, generated: GeneratedColumns) -> Self {
        Self {
            format,
            generated,
            sample: Vec::new(),
            sample_rows: 0,
            sample_bytes: 0,
            writer: None,
            keys: KeySummary::new(None),
            rows: 0,
        }
    }

    /// Takes rows; returns the bytes that are ready, often none.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<Vec<Bytes>, WriteError> {
        self.rows += batch.num_rows() as u64;
        match &mut self.writer {
            Some(writer) => {
                self.keys.add(batch);
                writer.write(batch)?;
            }
            None => {
                self.sample.push(batch.clone());
                self.sample_rows += batch.num_rows();
                self.sample_bytes += batch_bytes(batch);
                if self.sample_rows < ROW_GROUP_ROWS && self.sample_bytes < SAMPLE_BYTES {
                    return Ok(Vec::new());
                }
                self.start()?;
            }
        }
        Ok(self.take_bytes())
    }

    /// Ends the open row group early and returns its bytes.
    pub(super) fn flush(&mut self) -> Result<Vec<Bytes>, WriteError> {
        self.start()?;
        if let Some(writer) = &mut self.writer {
            writer.flush()?;
        }
        Ok(self.take_bytes())
    }

    /// Bytes of rows that are held back, encoded or not.
    pub(super) fn memory_bytes(&self) -> usize {
        self.sample_bytes + self.writer.as_ref().map_or(0, ParquetWriter::memory_bytes)
    }

    /// Bytes of the file so far, those of the open row group by estimate.
    pub(super) fn file_bytes(&self) -> u64 {
        self.writer.as_ref().map_or(self.sample_bytes / 4, ParquetWriter::file_bytes) as u64
    }

    /// Ends the file: its last bytes, and what is in it. A file may have no rows.
    pub(super) fn finish(mut self) -> Result<(Vec<Bytes>, BaseFileSummary), WriteError> {
        self.start()?;
        let Some(writer) = self.writer.take() else { return Err(WriteError::Panicked) };
        let footer = self.keys.footer(&self.format.avro).to_key_values().into_iter();
        let entries = footer.map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let (rest, metadata) = writer.finish(entries)?;
        Ok((rest, BaseFileSummary { rows: self.rows, columns: column_ranges(&metadata), copied_bytes: 0 }))
    }

    /// Opens the file with encodings that fit the rows collected so far.
    fn start(&mut self) -> Result<(), WriteError> {
        if self.writer.is_some() {
            return Ok(());
        }
        let BaseFileFormat { schema, encodings, .. } = &self.format;
        let properties = encodings.properties(schema, &self.generated, &self.sample)?.build();
        let parquet = parquet_schema(schema)?;
        let mut writer =
            ParquetWriter::new(schema, &parquet, (properties, *encodings), self.generated.clone())?;
        if self.format.bloom_filter {
            let keys_per_row = u32::try_from(self.sample_rows).unwrap_or(u32::MAX);
            self.keys.bloom_filter = Some(BloomFilter::new(keys_per_row, FALSE_POSITIVE_RATE));
        }
        self.sample_bytes = 0;
        for batch in std::mem::take(&mut self.sample) {
            self.keys.add(&batch);
            writer.write(&batch)?;
        }
        self.writer = Some(writer);
        Ok(())
    }

    fn take_bytes(&mut self) -> Vec<Bytes> {
        self.writer.as_mut().map(ParquetWriter::take_bytes).unwrap_or_default()
    }
}

/// Hudi's default, `hoodie.index.bloom.fpp`.
const FALSE_POSITIVE_RATE: f64 = 1e-9;

/// What the footer says of record keys.
#[derive(Debug)]
pub(super) struct KeySummary {
    range: Option<(String, String)>,
    /// A row of it takes as many keys as the first row group has.
    bloom_filter: Option<BloomFilter>,
}

impl KeySummary {
    /// Of no keys yet, with a filter of some if there is one.
    pub(super) fn new(bloom_filter: Option<BloomFilter>) -> Self {
        Self { range: None, bloom_filter }
    }

    /// Takes in the keys of rows.
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        let Some(keys) = batch.column_by_name(RECORD_KEY).and_then(|keys| keys.as_string_opt::<i32>()) else {
            return;
        };
        self.add_range(keys);
        if let Some(filter) = &mut self.bloom_filter {
            keys.iter().flatten().for_each(|key| filter.insert(key));
        }
    }

    /// Takes in keys that the filter knows.
    pub(super) fn add_range(&mut self, keys: &StringArray) {
        let bounds = arrow::compute::min_string(keys).zip(arrow::compute::max_string(keys));
        if let Some((least, greatest)) = bounds {
            self.add_bounds(least, greatest);
        }
    }

    /// Takes in the least and the greatest of keys that the filter knows.
    pub(super) fn add_bounds(&mut self, least: &str, greatest: &str) {
        let known = self.range.get_or_insert_with(|| (least.to_owned(), greatest.to_owned()));
        if least < known.0.as_str() {
            known.0 = least.to_owned();
        }
        if greatest > known.1.as_str() {
            known.1 = greatest.to_owned();
        }
    }

    pub(super) fn footer(self, avro: &str) -> BaseFileFooter {
        let (min_record_key, max_record_key) = self.range.unzip();
        let bloom_filter = self.bloom_filter;
        BaseFileFooter { avro_schema: Some(avro.to_owned()), min_record_key, max_record_key, bloom_filter }
    }
}

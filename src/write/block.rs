//! Rows and deletes as bytes: log blocks and base files. CPU work only.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use lakebed_hudi::base_file::{BaseFileFooter, RECORD_KEY};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::log_file::{BlockFrame, BlockHeader, BlockKind, DeleteRecord, encode_deletes};
use lakebed_hudi::schema::TableSchema;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::{KeyedBatch, WriteError};
use crate::merge::{Combined, Deleted, LogRecords, MergeColumns, MergeRules, combine};

/// What all files of one instant share.
#[derive(Debug)]
pub(super) struct RowFormat {
    pub(super) instant: InstantTime,
    pub(super) schema: TableSchema,
    /// The schema in blocks and footers, meta columns included.
    avro: String,
    arrow: SchemaRef,
    rules: Arc<MergeRules>,
    columns: Arc<MergeColumns>,
}

/// One piece of a file, and what is in it.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    pub(super) bytes: Vec<Bytes>,
    pub(super) rows: u64,
    pub(super) deletes: u64,
}

/// Where rows go: what their meta columns say.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) partition: String,
    /// The base file's name, or in log blocks the file id.
    pub(super) file_name: String,
    /// The number of the writer within the instant, first part of sequence numbers.
    pub(super) task: u32,
    /// Rows that the writer has numbered so far.
    pub(super) first_row: u64,
}

impl RowFormat {
    pub(super) fn new(
        instant: InstantTime,
        schema: &TableSchema,
        rules: MergeRules,
    ) -> Result<Self, WriteError> {
        let arrow = schema.arrow_with_meta();
        let columns = Arc::new(MergeColumns::for_combining(schema, &rules)?);
        Ok(Self {
            instant,
            schema: schema.clone(),
            avro: schema.to_avro_with_meta(),
            arrow,
            rules: Arc::new(rules),
            columns,
        })
    }

    /// Brings keyed rows into the form in which they are combined.
    pub(super) fn records(&self, batch: &KeyedBatch) -> Result<LogRecords, WriteError> {
        let batch = MergeColumns::keyed(&batch.rows, &batch.keys, batch.deletes.as_ref())?;
        Ok(LogRecords::Rows { batch, partial: false })
    }

    /// Makes rows of one key one.
    pub(super) fn combine(&self, records: &[LogRecords]) -> Result<Combined, WriteError> {
        Ok(combine(records, self.columns.clone(), self.rules.clone())?)
    }

    /// The blocks of a log file that hold `combined`: rows, then deletes.
    pub(super) fn log_blocks(&self, combined: &Combined, place: &Place) -> Result<Encoded, WriteError> {
        let header = BlockHeader::new(self.instant, self.avro.as_str());
        let mut encoded = Encoded {
            rows: combined.rows.num_rows() as u64,
            deletes: combined.deletes.len() as u64,
            ..Encoded::default()
        };
        if combined.rows.num_rows() > 0 {
            let content = self.parquet(&combined.rows, place, None)?;
            encoded.push_block(BlockKind::Parquet, &header, content)?;
        }
        if !combined.deletes.is_empty() {
            let records: Vec<DeleteRecord> =
                combined.deletes.iter().map(|d| delete_record(d, &place.partition)).collect();
            encoded.push_block(BlockKind::Delete, &header, encode_deletes(&records)?)?;
        }
        Ok(encoded)
    }

    /// A base file of the rows of `combined`; deletes have nothing to delete there.
    pub(super) fn base_file(&self, combined: &Combined, place: &Place) -> Result<Encoded, WriteError> {
        let keys = combined.rows.column_by_name(RECORD_KEY).cloned();
        let keys = keys.as_ref().and_then(|keys| keys.as_any().downcast_ref::<StringArray>());
        let footer = BaseFileFooter {
            avro_schema: Some(self.avro.clone()),
            min_record_key: keys.and_then(arrow::compute::min_string).map(str::to_owned),
            max_record_key: keys.and_then(arrow::compute::max_string).map(str::to_owned),
            bloom_filter: None,
        };
        let bytes = self.parquet(&combined.rows, place, Some(&footer))?;
        Ok(Encoded { bytes: vec![bytes.into()], rows: combined.rows.num_rows() as u64, deletes: 0 })
    }

    fn parquet(
        &self,
        rows: &RecordBatch,
        place: &Place,
        footer: Option<&BaseFileFooter>,
    ) -> Result<Vec<u8>, WriteError> {
        let entries = footer.map(BaseFileFooter::to_key_values).unwrap_or_default();
        let entries = entries.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(entries))
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), self.arrow.clone(), options)?;
        writer.write(&self.with_meta(rows, place)?)?;
        Ok(writer.into_inner()?)
    }

    /// Combined rows after their five meta columns.
    fn with_meta(&self, rows: &RecordBatch, place: &Place) -> Result<RecordBatch, WriteError> {
        let count = rows.num_rows();
        let constant = |text: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count)))
        };
        let numbers = (place.first_row..).take(count).map(|n| format!("{}_{}_{n}", self.instant, place.task));
        let mut columns: Vec<ArrayRef> = vec![
            constant(self.instant.as_str()),
            Arc::new(StringArray::from_iter_values(numbers)),
            rows.column(0).clone(),
            constant(&place.partition),
            constant(&place.file_name),
        ];
        columns.extend(rows.columns().iter().skip(1).cloned());
        Ok(RecordBatch::try_new(self.arrow.clone(), columns)?)
    }
}

impl Encoded {
    fn push_block(
        &mut self,
        kind: BlockKind,
        header: &BlockHeader,
        content: Vec<u8>,
    ) -> Result<(), WriteError> {
        let frame = BlockFrame::new(kind, header, content.len() as u64)?;
        self.bytes.extend([frame.prefix.into(), content.into(), Bytes::copy_from_slice(&frame.suffix)]);
        Ok(())
    }
}

fn delete_record(deleted: &Deleted, partition: &str) -> DeleteRecord {
    DeleteRecord {
        record_key: deleted.record_key.clone(),
        partition_path: Some(partition.to_owned()),
        ordering: deleted.ordering.clone(),
    }
}

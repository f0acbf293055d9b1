//! What all rows of one write share.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::log_file::{
    AvroBlockEncoder, BlockFrame, BlockHeader, BlockKind, DeleteRecord, encode_deletes,
};
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{TableConfig, key};

use super::WriteError;
use super::base_file::BaseFileFormat;
use super::column_ranges::column_ranges;
use super::encoding::EncodingSet;
use super::meta_columns::Place;
use super::parquet_schema::parquet_schema;
use super::parquet_writer::ParquetWriter;
use crate::merge::{Combined, Deleted, LogRecords, MergeColumns, MergeRules, combine};
use crate::table::ColumnRange;

/// What all rows of one write share: columns, merge rules, encodings.
#[derive(Debug)]
pub(super) struct RowFormat {
    pub(super) instant: InstantTime,
    pub(super) base: BaseFileFormat,
    pub(super) rules: Arc<MergeRules>,
    /// Whether rows have record keys of their own.
    pub(super) has_keys: bool,
    /// What rows have that are put over those of a base file.
    pub(super) rewritten: Arc<MergeColumns>,
    log_blocks: LogBlockFormat,
    /// Record key and user columns: what rows have before they get their meta columns.
    keyed: Arc<MergeColumns>,
}

/// How rows stand in log files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogBlockFormat {
    Parquet,
    Avro,
}

impl LogBlockFormat {
    /// Parquet, but where text orders rows: of Parquet blocks Spark with Hudi 1.2.0 then lets late
    /// rows win, its own blocks included.
    fn of(schema: &TableSchema, rules: &MergeRules) -> Self {
        let is_text = |column: &String| {
            schema.arrow().field_with_name(column).is_ok_and(|field| *field.data_type() == DataType::Utf8)
        };
        if rules.ordering_fields.iter().any(is_text) { Self::Avro } else { Self::Parquet }
    }
}

/// Blocks of a log file, and what is in them.
#[derive(Debug, Default)]
pub(super) struct LogBlocks {
    pub(super) bytes: Vec<Bytes>,
    pub(super) rows: u64,
    pub(super) deletes: u64,
    pub(super) columns: Vec<ColumnRange>,
}

impl RowFormat {
    pub(super) fn new(
        instant: InstantTime,
        config: &TableConfig,
        schema: &TableSchema,
    ) -> Result<Self, WriteError> {
        let rules = MergeRules::of(config)?;
        let base = BaseFileFormat {
            schema: schema.arrow_with_meta(),
            avro: schema.to_avro_with_meta().into(),
            encodings: EncodingSet::of_readers(config.properties.get(key::READERS).unwrap_or_default()),
            bloom_filter: config.bucket_index.is_none() && config.record_key.is_some(),
        };
        let keyed = Arc::new(MergeColumns::for_combining(schema, &rules)?);
        let rewritten = Arc::new(MergeColumns::for_rewriting(schema, &rules)?);
        let log_blocks = LogBlockFormat::of(schema, &rules);
        let has_keys = config.record_key.is_some();
        Ok(Self { instant, base, rules: Arc::new(rules), has_keys, rewritten, log_blocks, keyed })
    }

    /// The rows to add that do not say of themselves that they are deleted: base files are read as they are.
    ///
    /// Source: `HoodieCreateHandle.doWrite`.
    pub(super) fn without_deleted(&self, rows: RecordBatch) -> Result<RecordBatch, WriteError> {
        if !self.rewritten.can_delete() {
            return Ok(rows);
        }
        let keyed = match self.has_keys {
            true => rows.clone(),
            false => MergeColumns::keyed(&rows, &StringArray::new_null(rows.num_rows()), None)?,
        };
        let columns = MergeColumns::new(keyed.schema_ref(), None, &self.rules)?;
        match columns.deleted(&keyed)? {
            Some(deleted) => Ok(filter_record_batch(&rows, &not(&deleted)?)?),
            None => Ok(rows),
        }
    }

    /// The columns of rows with their meta columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.base.schema
    }

    /// Makes rows of one key one.
    pub(super) fn combine(&self, batches: Vec<RecordBatch>) -> Result<Combined, WriteError> {
        let records = batches.into_iter().map(|batch| LogRecords::Rows { batch, partial: false });
        Ok(combine(records.collect(), &self.keyed, &self.rules)?)
    }

    /// The blocks of a log file that hold `combined`: rows, then deletes.
    pub(super) fn log_blocks(&self, combined: Combined, place: &mut Place) -> Result<LogBlocks, WriteError> {
        let header = BlockHeader::new(self.instant, &*self.base.avro);
        let mut blocks = LogBlocks {
            rows: combined.num_rows() as u64,
            deletes: combined.deletes.len() as u64,
            ..LogBlocks::default()
        };
        if !combined.batches.is_empty() {
            let rows = combined.batches;
            let (kind, content) = match self.log_blocks {
                LogBlockFormat::Parquet => {
                    (BlockKind::Parquet, self.parquet(rows, place, &mut blocks.columns)?)
                }
                LogBlockFormat::Avro => (BlockKind::Avro, vec![self.avro(&rows, place)?.into()]),
            };
            blocks.push(kind, &header, content)?;
        }
        if !combined.deletes.is_empty() {
            let records: Vec<DeleteRecord> = combined
                .deletes
                .into_iter()
                .map(|deleted| delete_record(deleted, &place.partition))
                .collect();
            blocks.push(BlockKind::Delete, &header, vec![encode_deletes(&records)?.into()])?;
        }
        Ok(blocks)
    }

    fn avro(&self, rows: &[RecordBatch], place: &mut Place) -> Result<Vec<u8>, WriteError> {
        let mut encoder = AvroBlockEncoder::try_new(&self.base.avro, self.schema())?;
        for batch in rows {
            encoder.push(&place.with_meta(batch, self.schema())?)?;
        }
        Ok(encoder.finish())
    }

    fn parquet(
        &self,
        rows: Vec<RecordBatch>,
        place: &mut Place,
        columns: &mut Vec<ColumnRange>,
    ) -> Result<Vec<Bytes>, WriteError> {
        let (schema, encodings) = (self.schema(), self.base.encodings);
        let mut generated = place.generated_of_new();
        place.rows_numbered += rows.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
        let rows = generated.take_generated(schema, rows)?;
        let properties = encodings.properties(schema, &generated, &rows)?.build();
        let parquet = parquet_schema(schema)?;
        let mut writer = ParquetWriter::new(schema, &parquet, (properties, encodings), generated)?;
        for batch in rows {
            writer.write(&batch)?;
        }
        let (bytes, metadata) = writer.finish([])?;
        *columns = column_ranges(&metadata);
        Ok(bytes)
    }
}

impl LogBlocks {
    fn push(&mut self, kind: BlockKind, header: &BlockHeader, content: Vec<Bytes>) -> Result<(), WriteError> {
        let content_bytes: usize = content.iter().map(Bytes::len).sum();
        let frame = BlockFrame::new(kind, header, content_bytes as u64)?;
        self.bytes.push(frame.prefix.into());
        self.bytes.extend(content);
        self.bytes.push(Bytes::copy_from_slice(&frame.suffix));
        Ok(())
    }
}

fn delete_record(deleted: Deleted, partition: &str) -> DeleteRecord {
    DeleteRecord {
        record_key: deleted.record_key,
        partition_path: Some(partition.to_owned()),
        ordering: deleted.ordering,
    }
}

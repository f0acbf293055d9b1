//! The content of Avro data blocks: records to Arrow batches and back.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_avro::schema::SCHEMA_METADATA_KEY;
use arrow_avro::writer::format::AvroBinaryFormat;
use arrow_avro::writer::{Encoder, WriterBuilder};
use bytes::Bytes;

use crate::avro_rows::{
    AvroRows, AvroRowsError, AvroRowsOptions, AvroSchemaError, Origin, RowSchema, bounded, guard,
};

/// The version of data block contents that is written; 1 to 3 have one form.
const CONTENT_VERSION: i32 = 3;
const LENGTH_BYTES: usize = 4;
/// What a batch takes in memory.
const BATCH_BYTES: u64 = 64 * 1024 * 1024;
/// What a byte of a record may take in memory, beyond what any record may: numbers are a byte at least.
const RECORD_RATIO_MAX: u64 = 64;

/// Why the content of an Avro block cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AvroBlockError {
    /// The header's schema.
    #[error(transparent)]
    Schema(#[from] AvroSchemaError),
    /// The Avro library does not take the schema.
    #[error("the schema cannot be turned into columns: {reason}")]
    Columns {
        /// What it says.
        reason: String,
    },
    /// A content of another version.
    #[error("the avro block's content has version {found}: known are 1 to 3")]
    Version {
        /// The version found.
        found: i32,
    },
    /// A content that ends too early or too late, or whose numbers do not fit it.
    #[error("the avro block's content is broken: {reason}")]
    Content {
        /// What is wrong.
        reason: String,
    },
    /// A record that is not one of the schema.
    #[error("record {record} of the avro block is broken: {reason}")]
    Record {
        /// The record, counted from 0.
        record: u64,
        /// What is wrong.
        reason: String,
    },
    /// Rows that the schema has no form for.
    #[error("rows cannot be encoded by the block's schema: {reason}")]
    Encode {
        /// What the Avro library says.
        reason: String,
    },
    /// More rows than one block can hold.
    #[error("{bytes} bytes of rows are too many for one block: the limit is 2 GiB; split them")]
    TooLarge {
        /// The bytes they take.
        bytes: usize,
    },
}

/// How to read an Avro block.
#[derive(Debug, Clone, Copy)]
pub struct AvroReadOptions<'a> {
    /// The top-level columns to decode, as far as the block has them; `None` for all.
    pub columns: Option<&'a [&'a str]>,
    /// Rows per batch at most. Wide rows make batches smaller.
    pub batch_rows: usize,
}

impl Default for AvroReadOptions<'_> {
    fn default() -> Self {
        Self { columns: None, batch_rows: 8192 }
    }
}

/// The rows of an Avro block as Arrow batches, in the order of the records.
///
/// Columns come in the order and with the types of the block's own schema, which may be older than
/// the table's or, in a partial block, lack columns; bringing them to the table's schema is left
/// to who reads base files, too. Timestamps have the zone `UTC` or none, enums come as
/// dictionaries of strings, uuids as strings, lists have items named `item`; no field has metadata.
///
/// Ends after the first error.
///
/// Source: `HoodieAvroDataBlock.RecordIterator`, table versions 6 to 9.
pub struct AvroBlockReader {
    content: Bytes,
    at: usize,
    record: u64,
    records: u64,
    rows: AvroRows,
    done: bool,
}

impl AvroBlockReader {
    /// Reads the head of a block's content; `schema` is that of the block's header.
    ///
    /// # Errors
    /// A schema that rows cannot be read by (unions other than of null and one type, records that
    /// hold themselves, more than 16,384 columns, …), or a content of another version or with more
    /// records than bytes.
    pub fn try_new(
        content: Bytes,
        schema: &str,
        options: AvroReadOptions<'_>,
    ) -> Result<Self, AvroBlockError> {
        let rows = AvroRowsOptions {
            columns: options.columns,
            batch_rows: options.batch_rows,
            batch_bytes: BATCH_BYTES,
            origin: Origin::Table,
        };
        let rows = AvroRows::try_new(schema, rows).map_err(|error| of_record(error, 0))?;
        let mut head = content.iter().copied();
        let mut number = || {
            let bytes: Vec<u8> = head.by_ref().take(LENGTH_BYTES).collect();
            bytes.try_into().map(i32::from_be_bytes).map_err(|_| broken("it ends within its head"))
        };
        let version = number()?;
        if !(1..=CONTENT_VERSION).contains(&version) {
            return Err(AvroBlockError::Version { found: version });
        }
        let count = number()?;
        let at = 2 * LENGTH_BYTES;
        let possible = (content.len() - at) / (LENGTH_BYTES + 1);
        let records = u64::try_from(count).ok().filter(|count| *count <= possible as u64);
        let records = records
            .ok_or_else(|| broken(&format!("it declares {count} records and has room for {possible}")))?;

        Ok(Self { content, at, record: 0, records, rows, done: false })
    }

    /// The schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    /// How many records the block declares.
    pub fn records(&self) -> u64 {
        self.records
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, AvroBlockError> {
        while !self.rows.is_full() && self.record < self.records {
            let body = self.take_body()?;
            let record_bytes_max = BATCH_BYTES.max(RECORD_RATIO_MAX * body.len() as u64);
            let taken = self.rows.push(&body, record_bytes_max);
            let taken = taken.map_err(|error| of_record(error, self.record))?;
            if taken < body.len() {
                let reason = format!("it takes {taken} of its {} bytes", body.len());
                return Err(AvroBlockError::Record { record: self.record, reason });
            }
            self.record += 1;
        }
        if self.record == self.records && self.at < self.content.len() {
            return Err(broken(&format!("{} bytes follow its last record", self.content.len() - self.at)));
        }
        self.rows.flush().map_err(|error| of_record(error, self.record))
    }

    fn take_body(&mut self) -> Result<Bytes, AvroBlockError> {
        let left = self.content.get(self.at..).unwrap_or_default();
        let (length, rest) = left.split_first_chunk().ok_or_else(|| broken("it ends within a length"))?;
        let length = i32::from_be_bytes(*length);
        let body = usize::try_from(length).ok().filter(|length| *length > 0 && *length <= rest.len());
        let body = body.ok_or_else(|| AvroBlockError::Record {
            record: self.record,
            reason: format!("it declares {length} bytes, {} are left", rest.len()),
        })?;
        let from = self.at + LENGTH_BYTES;
        self.at = from + body;
        Ok(self.content.slice(from..self.at))
    }
}

impl Iterator for AvroBlockReader {
    type Item = Result<RecordBatch, AvroBlockError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = guard(|| self.next_batch())
            .unwrap_or_else(|reason| Err(AvroBlockError::Record { record: self.record, reason }));
        self.done = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

/// Encodes rows as the content of an Avro block.
///
/// Source: `HoodieAvroDataBlock.serializeRecords`, table versions 6 to 9.
pub struct AvroBlockEncoder {
    encoder: Encoder,
    content: Vec<u8>,
    records: i32,
}

impl AvroBlockEncoder {
    /// An encoder for batches of `rows`; `schema` is what the block's header will hold.
    ///
    /// Columns are found by name.
    ///
    /// # Errors
    /// A schema that is wrong or has another column, or another type, than the rows.
    pub fn try_new(schema: &str, rows: &Schema) -> Result<Self, AvroBlockError> {
        let json = RowSchema::parse(schema, Origin::Table)?.to_json();
        let mut metadata = rows.metadata().clone();
        metadata.insert(SCHEMA_METADATA_KEY.to_owned(), json);
        let rows = Schema::new_with_metadata(rows.fields().clone(), metadata);
        let encoder = guard(|| WriterBuilder::new(rows).build_encoder::<AvroBinaryFormat>())
            .and_then(|built| built.map_err(|error| bounded(&error.to_string())))
            .map_err(|reason| AvroBlockError::Encode { reason })?;
        let mut content = CONTENT_VERSION.to_be_bytes().to_vec();
        content.extend_from_slice(&[0; LENGTH_BYTES]);
        Ok(Self { encoder, content, records: 0 })
    }

    /// Appends the rows of a batch.
    ///
    /// # Errors
    /// Rows of another schema, a null where the schema allows none, or more than 2 GiB in all.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), AvroBlockError> {
        guard(|| self.encoder.encode(batch))
            .and_then(|encoded| encoded.map_err(|error| bounded(&error.to_string())))
            .map_err(|reason| AvroBlockError::Encode { reason })?;
        for row in self.encoder.flush().iter() {
            let bytes = self.content.len() + LENGTH_BYTES + row.len();
            let length = i32::try_from(row.len()).ok().filter(|_| i32::try_from(bytes).is_ok());
            let length = length.ok_or(AvroBlockError::TooLarge { bytes })?;
            self.content.extend_from_slice(&length.to_be_bytes());
            self.content.extend_from_slice(&row);
            self.records += 1;
        }
        Ok(())
    }

    /// Bytes of the content so far.
    pub fn content_bytes(&self) -> usize {
        self.content.len()
    }

    /// The content of a block with all rows pushed so far.
    pub fn finish(mut self) -> Vec<u8> {
        for (to, from) in self.content.iter_mut().skip(LENGTH_BYTES).zip(self.records.to_be_bytes()) {
            *to = from;
        }
        self.content
    }
}

/// The error of reading `record`, or of what it is read by.
fn of_record(error: AvroRowsError, record: u64) -> AvroBlockError {
    match error {
        AvroRowsError::Schema(error) => AvroBlockError::Schema(error),
        AvroRowsError::Columns { reason } => AvroBlockError::Columns { reason },
        error => AvroBlockError::Record { record, reason: error.to_string() },
    }
}

fn broken(reason: &str) -> AvroBlockError {
    AvroBlockError::Content { reason: reason.to_owned() }
}

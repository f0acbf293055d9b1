//! The content of Avro data blocks: records to Arrow batches and back.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_avro::codec::Tz;
use arrow_avro::reader::{Decoder, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SCHEMA_METADATA_KEY, SchemaStore};
use arrow_avro::writer::format::AvroBinaryFormat;
use arrow_avro::writer::{Encoder, WriterBuilder};
use bytes::Bytes;

use super::avro_schema::{AvroSchemaError, BlockSchema};
use super::plain_fields::{plain_batch, plain_schema};

/// The version of data block contents that is written; 1 to 3 have one form.
const CONTENT_VERSION: i32 = 3;
const LENGTH_BYTES: usize = 4;
/// What the decoder wants before each record: a magic byte and the id of the schema.
const FRAME: [u8; 5] = [0, 0, 0, 0, 7];
const SCHEMA_ID: u32 = 7;
/// Encoded records, and memory of nulls, per batch.
const BATCH_BYTES: u64 = 64 * 1024 * 1024;

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
    batch_rows: usize,
    decoder: Decoder,
    schema: SchemaRef,
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
        let written = BlockSchema::parse(schema)?;
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

        let wanted = written.project(options.columns);
        let rows_max = BATCH_BYTES / written.row_bytes().max(1);
        let batch_rows = options.batch_rows.min(usize::try_from(rows_max).unwrap_or(usize::MAX)).max(1);
        let reader_schema = options.columns.is_some().then(|| wanted.to_json());
        let decoder = guard(|| build_decoder(written.to_json(), reader_schema, batch_rows))
            .and_then(|built| built)
            .map_err(|reason| AvroBlockError::Columns { reason })?;
        let schema = plain_schema(&decoder.schema());
        Ok(Self { content, at, record: 0, records, batch_rows, decoder, schema, done: false })
    }

    /// The schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// How many records the block declares.
    pub fn records(&self) -> u64 {
        self.records
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, AvroBlockError> {
        let mut rows = 0;
        let mut bytes = 0;
        while rows < self.batch_rows && bytes < BATCH_BYTES && self.record < self.records {
            let body = self.take_body()?;
            bytes += body.len() as u64;
            decode_record(&mut self.decoder, &body)
                .map_err(|reason| AvroBlockError::Record { record: self.record, reason })?;
            self.record += 1;
            rows += 1;
        }
        if self.record == self.records && self.at < self.content.len() {
            return Err(broken(&format!("{} bytes follow its last record", self.content.len() - self.at)));
        }
        let record = self.record;
        let unflushed =
            |error: ArrowError| AvroBlockError::Record { record, reason: bounded(&error.to_string()) };
        let batch = self.decoder.flush().map_err(|error| unflushed(error.into()))?;
        batch.map(|batch| plain_batch(&batch, &self.schema)).transpose().map_err(unflushed)
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

fn build_decoder(written: String, wanted: Option<String>, batch_rows: usize) -> Result<Decoder, String> {
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    let text = |error: ArrowError| bounded(&error.to_string());
    store.set(Fingerprint::Id(SCHEMA_ID), AvroSchema::new(written)).map_err(text)?;
    let mut builder =
        ReaderBuilder::new().with_writer_schema_store(store).with_batch_size(batch_rows).with_tz(Tz::Utc);
    if let Some(wanted) = wanted {
        builder = builder.with_reader_schema(AvroSchema::new(wanted));
    }
    builder.build_decoder().map_err(text)
}

/// Feeds one record. The decoder reads a stream; the lengths keep it from running on.
fn decode_record(decoder: &mut Decoder, body: &[u8]) -> Result<(), String> {
    let room = decoder.capacity();
    let mut feed = |bytes: &[u8]| decoder.decode(bytes).map_err(|error| bounded(&error.to_string()));
    let taken = feed(&FRAME)?;
    let frame_only = decoder.capacity() == room;
    if taken != FRAME.len() || !frame_only {
        return Err("the record before it is longer than its schema says".to_owned());
    }
    let taken = decoder.decode(body).map_err(|error| bounded(&error.to_string()))?;
    match taken {
        0 => Err(format!("it ends within a value, after {} bytes", body.len())),
        taken if taken < body.len() => Err(format!("it takes {taken} of its {} bytes", body.len())),
        _ => Ok(()),
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
        let json = BlockSchema::parse(schema)?.to_json();
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

/// Turns a panic of the Avro library, on bytes from outside, into its message.
fn guard<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = |panic: &dyn Any| {
            panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref().cloned())
        };
        let text: String = text(panic.as_ref()).unwrap_or_default();
        bounded(&format!("the avro library panicked: {text}"))
    })
}

fn broken(reason: &str) -> AvroBlockError {
    AvroBlockError::Content { reason: reason.to_owned() }
}

fn bounded(text: &str) -> String {
    text.chars().take(300).collect()
}

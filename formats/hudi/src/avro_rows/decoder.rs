//! Records, one at a time, to Arrow batches.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow_avro::codec::Tz;
use arrow_avro::reader::{Decoder, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};

use super::plain_fields::{plain_batch, plain_schema};
use super::primitive::PrimitiveError;
use super::schema::{AvroSchemaError, Origin, RowSchema};
use super::shape::{Misshapen, Shape, Walk};

/// What the decoder wants before each record: a magic byte and the id of the schema.
const FRAME: [u8; 5] = [0, 0, 0, 0, 7];
const SCHEMA_ID: u32 = 7;

/// Why records cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AvroRowsError {
    /// Their schema.
    #[error(transparent)]
    Schema(#[from] AvroSchemaError),
    /// The Avro library does not take the schema.
    #[error("the schema cannot be turned into columns: {reason}")]
    Columns {
        /// What it says.
        reason: String,
    },
    /// A record that is not one of the schema.
    #[error("{reason}")]
    Record {
        /// What is wrong.
        reason: String,
    },
    /// A record of nulls or short values, that would take far more memory than bytes.
    #[error("it takes more than {max_bytes} bytes of memory")]
    TooLarge {
        /// What it may take.
        max_bytes: u64,
    },
}

/// How records are read.
#[derive(Debug, Clone, Copy)]
pub struct AvroRowsOptions<'a> {
    /// The top-level columns to decode, as far as there are; `None` for all.
    pub columns: Option<&'a [&'a str]>,
    /// Rows per batch at most.
    pub batch_rows: usize,
    /// A batch ends with the row that makes it take so many bytes of memory.
    pub batch_bytes: u64,
    /// Whose records they are.
    pub origin: Origin,
}

/// The size of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSize {
    /// Its bytes in Avro.
    pub bytes: usize,
    /// What its columns take in memory, at a guess and rather too much.
    pub memory_bytes: u64,
}

/// Decodes records of one schema.
///
/// Columns come in the order and with the types of the schema. Timestamps have the zone `UTC` or
/// none, enums come as dictionaries of strings, uuids as strings, lists have items named `item`; no
/// field has metadata. After an error, and after a panic of the Avro library, no more can be read.
pub struct AvroRows {
    /// The columns, and whether they are decoded.
    columns: Vec<(Shape, bool)>,
    bytes_min: u64,
    decoder: Decoder,
    schema: SchemaRef,
    batch_bytes: u64,
    memory_bytes: u64,
}

impl AvroRows {
    /// Records that were written by `schema`.
    ///
    /// # Errors
    /// A schema that rows cannot be read by (records that hold themselves, more than 16,384 columns,
    /// columns without any bytes, …).
    pub fn try_new(schema: &str, options: AvroRowsOptions<'_>) -> Result<Self, AvroRowsError> {
        let written = RowSchema::parse(schema, options.origin)?;
        let reader_schema = options.columns.map(|names| written.project(names).to_json());
        let batch_rows = options.batch_rows.max(1);
        let decoder = guard(|| build_decoder(written.to_json(), reader_schema, batch_rows))
            .and_then(|built| built)
            .map_err(|reason| AvroRowsError::Columns { reason })?;
        let schema = plain_schema(&decoder.schema());
        Ok(Self {
            bytes_min: written.bytes_min(),
            columns: written.shapes(options.columns),
            decoder,
            schema,
            batch_bytes: options.batch_bytes,
            memory_bytes: 0,
        })
    }

    /// The schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The fewest bytes that a record takes, at least one.
    pub fn record_bytes_min(&self) -> u64 {
        self.bytes_min
    }

    /// The size of the record at the front of `bytes`, which is not decoded.
    ///
    /// # Errors
    /// Bytes that do not start with a whole record, or one that takes more than `memory_bytes_max`.
    pub fn measure(&self, bytes: &[u8], memory_bytes_max: u64) -> Result<RecordSize, AvroRowsError> {
        let mut walk = Walk::new(bytes, memory_bytes_max);
        let walked = self.columns.iter().try_for_each(|(shape, kept)| walk.column(shape, *kept));
        let record = |reason: &str| AvroRowsError::Record { reason: reason.to_owned() };
        walked.map_err(|error| match error {
            Misshapen::TooLarge => AvroRowsError::TooLarge { max_bytes: memory_bytes_max },
            Misshapen::Choice => record("it has a branch or symbol that its schema does not have"),
            Misshapen::Primitive(PrimitiveError::CutShort) => record("it ends within a value"),
            Misshapen::Primitive(_) => record("it has a number or length out of range"),
        })?;
        Ok(RecordSize { bytes: bytes.len() - walk.left(), memory_bytes: walk.memory_bytes() })
    }

    /// Decodes the record at the front of `bytes`; says how many bytes it has. Look first whether
    /// the batch [is full](Self::is_full).
    ///
    /// # Errors
    /// As [`Self::measure`].
    pub fn push(&mut self, bytes: &[u8], memory_bytes_max: u64) -> Result<usize, AvroRowsError> {
        let size = self.measure(bytes, memory_bytes_max)?;
        let record = bytes.get(..size.bytes).unwrap_or_default();
        decode_record(&mut self.decoder, record).map_err(|reason| AvroRowsError::Record { reason })?;
        self.memory_bytes = self.memory_bytes.saturating_add(size.memory_bytes);
        Ok(size.bytes)
    }

    /// Whether the batch has all that it may have.
    pub fn is_full(&self) -> bool {
        self.decoder.batch_is_full() || self.memory_bytes >= self.batch_bytes
    }

    /// The rows since the last batch; `None` if there are none.
    ///
    /// # Errors
    /// Values that their columns cannot have, as text that is not UTF-8.
    pub fn flush(&mut self) -> Result<Option<RecordBatch>, AvroRowsError> {
        self.memory_bytes = 0;
        let text = |error: ArrowError| AvroRowsError::Record { reason: bounded(&error.to_string()) };
        let batch = self.decoder.flush().map_err(|error| text(error.into()))?;
        batch.map(|batch| plain_batch(&batch, &self.schema)).transpose().map_err(text)
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

/// Feeds one record. The decoder reads a stream; the length keeps it from running on.
fn decode_record(decoder: &mut Decoder, record: &[u8]) -> Result<(), String> {
    let room = decoder.capacity();
    let text = |error: ArrowError| bounded(&error.to_string());
    let taken = decoder.decode(&FRAME).map_err(|error| text(error.into()))?;
    if taken != FRAME.len() || decoder.capacity() != room {
        return Err("the record before it is longer than its schema says".to_owned());
    }
    match decoder.decode(record).map_err(|error| text(error.into()))? {
        0 => Err(format!("it ends within a value, after {} bytes", record.len())),
        taken if taken < record.len() => Err(format!("it takes {taken} of its {} bytes", record.len())),
        _ => Ok(()),
    }
}

/// Turns a panic of the Avro library, on bytes from outside, into its message.
pub(crate) fn guard<T>(call: impl FnOnce() -> T) -> Result<T, String> {
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

pub(crate) fn bounded(text: &str) -> String {
    text.chars().take(300).collect()
}

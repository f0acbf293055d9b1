//! From values to Avro containers and back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use apache_avro::schema::ResolvedSchema;
use apache_avro::{Schema, Writer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::cursor::Cursor;
use super::{MetadataError, container, datum, evidence};

/// Hudi's own schemas have less than 4 KiB.
const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// A record of Hudi's timeline: its full name and the schema it is written with.
pub(super) struct RecordKind {
    pub(super) name: &'static str,
    pub(super) schema: &'static str,
}

/// Names a record of `org.apache.hudi.avro.model` and the file with its schema.
macro_rules! record_kind {
    ($name:literal, $file:literal) => {
        crate::timeline_metadata::avro::RecordKind {
            name: concat!("org.apache.hudi.avro.model.", $name),
            schema: include_str!(concat!("schemas/", $file, ".avsc")),
        }
    };
}
pub(super) use record_kind;

/// Gives a type that is always written as the same record its two conversions.
macro_rules! avro_record {
    ($type:ty, $name:literal, $file:literal) => {
        impl $type {
            const KIND: crate::timeline_metadata::avro::RecordKind =
                crate::timeline_metadata::avro::record_kind!($name, $file);

            #[doc = concat!("Reads the Avro container of a `", $name, "`, by whatever schema it was written.")]
            ///
            /// Fields unknown here are passed over; absent and null fields get their defaults.
            ///
            /// # Errors
            /// [`MetadataError`](super::MetadataError): an empty file, a broken container, another
            /// kind of record, a record without what it must have.
            pub fn from_avro(bytes: &[u8]) -> Result<Self, super::MetadataError> {
                crate::timeline_metadata::avro::decode(bytes, &[Self::KIND])
            }

            #[doc = concat!("The Avro container of a `", $name, "`, as Hudi 1.2 writes it.")]
            ///
            /// Equal values give equal bytes.
            ///
            /// # Errors
            /// [`MetadataError::Encode`](super::MetadataError::Encode), which no value is known
            /// to cause.
            pub fn to_avro(&self) -> Result<Vec<u8>, super::MetadataError> {
                crate::timeline_metadata::avro::encode(&Self::KIND, self)
            }
        }
    };
}
pub(super) use avro_record;

/// Reads a container of one record of one of the kinds `accepted`.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], accepted: &[RecordKind]) -> Result<T, MetadataError> {
    let container = container::open(bytes)?;
    let schema = parse_schema(container.schema)?;
    let found = match &schema {
        Schema::Record(record) => record.name.fullname(None),
        _ => "value that is no record".to_owned(),
    };
    let expected = accepted.first().map_or("", |kind| kind.name);
    if !accepted.iter().any(|kind| kind.name == found) {
        return Err(MetadataError::Kind { expected, found: evidence(&found) });
    }
    let resolved =
        guard(|| ResolvedSchema::try_from(&schema)).map_err(|problem| MetadataError::Schema { problem })?;
    datum::deserialize(container.record, &schema, resolved.get_names()).map_err(|(offset, error)| {
        let offset = container.record_offset + offset;
        MetadataError::Record { record: expected, offset, problem: evidence(&error) }
    })
}

/// The container of `value` as a record of `kind`.
pub(super) fn encode<T: Serialize>(kind: &RecordKind, value: &T) -> Result<Vec<u8>, MetadataError> {
    let error = |problem| MetadataError::Encode { record: kind.name, problem };
    // The header repeats the schema as Java prints it: without blanks, keys in the same order.
    let json: Json = serde_json::from_str(kind.schema).map_err(|e| error(evidence(&e)))?;
    let schema = guard(|| Schema::parse(&json)).map_err(error)?;
    let block = guard(|| encode_block(&schema, value)).map_err(error)?;
    let mut block = Cursor::new(&block);
    let record = block.long().and_then(|_| block.bytes()).map_err(|e| error(e.to_owned()))?;
    Ok(container::build(&json.to_string(), record))
}

/// A block of one record: how many, how long, the record, a sync marker.
fn encode_block<T: Serialize>(schema: &Schema, value: &T) -> Result<Vec<u8>, apache_avro::Error> {
    let mut writer = Writer::append_to(schema, Vec::new(), [0; 16]);
    writer.append_ser(value)?;
    writer.into_inner()
}

/// The schema of a writer, reduced to what decoding needs.
fn parse_schema(text: &[u8]) -> Result<Schema, MetadataError> {
    if text.len() > SCHEMA_BYTES_MAX {
        let problem = format!("it has {} bytes, expected at most {SCHEMA_BYTES_MAX}", text.len());
        return Err(MetadataError::Schema { problem });
    }
    let mut json: Json =
        serde_json::from_slice(text).map_err(|e| MetadataError::Schema { problem: evidence(&e) })?;
    drop_defaults(&mut json);
    guard(|| Schema::parse(&json)).map_err(|problem| MetadataError::Schema { problem })
}

/// Takes the defaults out: decoding by the writer's schema needs none, and checking a nested
/// default takes the library time exponential in its depth.
fn drop_defaults(schema: &mut Json) {
    match schema {
        Json::Object(object) => {
            object.remove("default");
            object.values_mut().for_each(drop_defaults);
        }
        Json::Array(items) => items.iter_mut().for_each(drop_defaults),
        _ => {}
    }
}

/// Runs a library on foreign input; its panics become errors.
fn guard<T>(run: impl FnOnce() -> Result<T, apache_avro::Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => done.map_err(|error| evidence(&error)),
        Err(_) => Err("the Avro library panicked".to_owned()),
    }
}

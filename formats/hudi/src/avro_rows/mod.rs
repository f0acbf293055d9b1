//! Rows in Avro's binary encoding, to Arrow batches of bounded size.
//!
//! Records stand one behind the other and say neither where they end nor what they take: a byte can
//! be a null of a thousand columns. So each is measured by the schema first, and then handed to the
//! Avro library. Blocks of log files and Avro files are read this way.

mod decoder;
mod plain_fields;
pub(crate) mod primitive;
mod schema;
mod shape;

pub use decoder::{AvroRows, AvroRowsError, AvroRowsOptions, RecordSize};
pub(crate) use decoder::{bounded, guard};
pub(crate) use schema::RowSchema;
pub use schema::{AvroSchemaError, Origin};

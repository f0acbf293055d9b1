//! Apache Hudi's table format as plain values: bytes in, values out, and back.
//!
//! This crate knows file names, the text of `hoodie.properties`, the Avro and JSON of the
//! timeline, record keys and partition paths, bucket numbers, Parquet footers and log blocks.
//! It does no I/O, reads no clock and draws no random number; whoever calls it brings the
//! bytes, the time and the ids. That is what makes every fact in it a test.
//!
//! | module | value | Hudi's home of it |
//! |---|---|---|
//! | [`properties`] | text of `hoodie.properties` | `java.util.Properties` |
//! | [`table_config`] | its typed meaning | `HoodieTableConfig` |
//! | [`instant`] | instant times and their zone | `HoodieInstantTimeGenerator` |
//! | [`timeline_file`] | names under `.hoodie/timeline` | `InstantFileNameGeneratorV1/V2` |
//! | [`timeline_metadata`] | their content: commits, plans, results | `CommitMetadataSerDeV1/V2`, `hudi-common` `*.avsc` |
//! | [`history`] | the archived timeline of layout 2 | `LSMTimeline`, `HoodieLSMTimelineManifest` |
//! | [`file_name`] | base files, log files, markers | `FSUtils` |
//! | [`record_key`], [`value_text`] | record keys from columns | `KeyGenUtils` |
//! | [`partition_path`], [`date_pattern`] | partition paths from columns | `KeyGenUtils`, `TimestampBasedAvroKeyGenerator` |
//! | [`bucket`] | the bucket of a record key | `BucketIdentifier` |
//! | [`schema`] | Avro JSON, Arrow and how schemas grow | `TableSchemaResolver` |
//! | [`base_file`], [`bloom`] | a base file's footer | `HoodieAvroWriteSupport` |
//! | [`parquet_guard`] | what a Parquet file claims, checked before it is read | - |
//! | [`avro_rows`] | rows in Avro, measured before they are decoded | - |
//! | [`log_file`] | log blocks: found, planned, decoded, encoded | `HoodieLogFileReader`, `HoodieLogFormatWriter` |
//! | [`ordering_value`] | what decides between two versions of a record | `OrderingValues` |
//!
//! # Rules
//! * Bytes from outside never panic and never allocate more than their own size times a
//!   constant; declared sizes are checked against a cap before a library sees them.
//! * What is written follows table version 9 and timeline layout 2. What is read also covers
//!   versions 6 and 8 and layout 1.

#![warn(clippy::indexing_slicing)]

#[cfg(test)]
mod allocations;
pub mod avro_rows;
pub mod base_file;
pub mod bloom;
pub mod bucket;
pub mod date_pattern;
pub mod file_name;
pub mod history;
pub mod instant;
pub mod log_file;
pub mod ordering_value;
pub mod parquet_guard;
pub mod partition_path;
pub mod properties;
pub mod record_key;
pub mod schema;
pub mod table_config;
pub mod timeline_file;
pub mod timeline_metadata;
pub mod value_text;

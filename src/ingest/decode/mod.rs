//! From the bytes of an input to record batches, each record with its place.
//!
//! ```text
//! Read -> unpack -> TextReader -> TextBlock -> RecordDecoder (parallel) -> Decoded     csv, jsonl
//! file                         -> BatchReader                           -> Decoded     parquet
//! Read -> unpack               -> BatchReader                           -> Decoded     avro, arrow
//! ```
//!
//! Text is cut into blocks of whole records first, without looking at values: so that every record
//! has its line and byte, blocks decode side by side, and reading goes on at any record. A record
//! that does not decode is found by halving its block; the others are kept.
//!
//! # Invariants
//! * Records are counted from 0 within an input, good and bad ones alike; lines and bytes (of the
//!   unpacked text) likewise from 1 and 0.
//! * Nothing in an input makes this panic: a panic of a library is caught and named. A record or
//!   block takes bounded memory ([`Limits`]).

mod avro;
mod avro_blocks;
mod batch_reader;
mod csv;
mod error;
mod format;
mod guard;
mod infer;
mod ipc;
mod json;
mod json_numbers;
mod meter;
mod parquet;
mod parquet_pages;
mod read_hash;
mod reader;
mod record;
mod text_block;
mod text_hash;
mod text_reader;
mod unpack;

#[cfg(test)]
mod tests;

pub use batch_reader::BatchReader;
pub use error::{DecodeError, DecodeProblem};
pub use format::{CsvOptions, Format, FormatKind, Limits, Packing};
pub use infer::{Inferred, first_misfit, infer_schema};
pub use meter::Meter;
pub use read_hash::ReadHash;
pub use reader::{Chunk, ChunkBody, InputReader, PlainInput};
pub use record::{BadRecord, Decoded, Fault, Place, Wanted, WantedColumn};
pub use text_block::{RecordDecoder, TextBlock};
pub use text_hash::TextHash;

pub(super) use guard::guarded;
pub(crate) use record::excerpt;
pub(super) use record::{brief, has_delimiter};
pub(super) use text_hash::hex;

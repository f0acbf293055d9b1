//! Log files: blocks of rows, deletes and commands that are merged over a base file.
//!
//! A file is a row of blocks, all integers big-endian, with no length fields around the maps:
//!
//! | bytes | field |
//! |---|---|
//! | 6 | `#HUDI#` |
//! | 8 | block length: everything after this field, the trailer included |
//! | 4 | log format version, 1 |
//! | 4 | [`BlockKind`] |
//! | 4 + … | header: count, then (key, length, UTF-8) each |
//! | 8 | content length |
//! | … | content |
//! | 4 | footer: count, always 0 |
//! | 8 | trailer: block length + 6 |
//!
//! Reading goes [`LogScanner`] -> [`BlockRef`] -> [`plan_scan`] -> content: [`AvroBlockReader`],
//! [`DeleteRecords`] or any Parquet reader over [`BlockRef::content`]. Writing goes
//! [`AvroBlockEncoder`] or [`encode_deletes`] or a Parquet file -> [`BlockFrame`] -> file; files
//! and appended blocks are plain concatenations.
//!
//! Source: `HoodieLogFormatWriter`, `HoodieLogFileReader`, log format version 1.

mod avro_block;
mod block;
mod block_fields;
mod delete_block;
mod ordering_branch;
mod scan_error;
mod scan_plan;
mod scanner;
mod writer;

pub use avro_block::{AvroBlockEncoder, AvroBlockError, AvroBlockReader, AvroReadOptions};
pub use block::{
    BlockBody, BlockHeader, BlockHeaderError, BlockKind, BlockRef, CommandKind, UnsupportedBlock,
};
pub use delete_block::{DeleteBlockError, DeleteRecord, DeleteRecords, encode_deletes};
pub use ordering_branch::OrderingBranchError;
pub use scan_error::{Corruption, LogScanError};
pub use scan_plan::{
    PlannedBlock, ScanPlan, ScanPlanError, ScanRules, ScannedLogFile, SkipReason, SkippedBytes, plan_scan,
};
pub use scanner::{BlockCheck, CorruptBlock, LogScanner, ScannedBlock, Step, scan_bytes};
pub use writer::{BlockFrame, WriteBlockError, encode_block};

#[cfg(test)]
mod tests;

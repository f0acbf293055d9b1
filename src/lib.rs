//! Lakebed writes and maintains Apache Hudi tables with no JVM.

pub mod cli;
pub mod commit;
pub mod environment;
mod error;
pub mod ingest;
pub mod memory;
pub mod merge;
pub mod near_match;
pub mod read;
pub mod sink;
pub mod storage;
pub mod table;
pub mod timeline;
pub mod write;

pub use error::{Error, ErrorKind};

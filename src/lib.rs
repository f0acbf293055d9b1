//! Lakebed writes and maintains Apache Hudi tables with no JVM.

pub mod cli;
pub mod commit;
pub mod environment;
<<<<<<< HEAD
mod error;
=======
pub mod ingest;
>>>>>>> 66a93fc (Decode CSV, JSON lines, Parquet, Avro and Arrow, each record with its place)
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

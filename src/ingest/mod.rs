//! From files and streams to a table, and on from where the table says the last run came to.
//!
//! ```text
//! source -> decode -> mapping -> sink -> commit (rows and the source's position in one)
//! ```

mod bad_records;
mod check;
mod checkpoint;
mod columns;
mod create;
pub mod decode;
mod dry_run;
mod error;
pub mod job;
mod mapping;
mod memory;
mod metrics;
mod progress;
mod reading;
mod report;
mod run;
mod services;
pub mod source;
mod target;
mod watermark;

pub use columns::{ColumnsError, SAMPLE_RECORDS, sampled_columns, stated_columns};
pub use create::create_or_check;
pub use dry_run::{DryBucket, DryRun, dry_run};
pub use error::IngestError;
pub use mapping::MappingError;
pub use metrics::Metrics;
pub use progress::{committed_progress, drop_progress};
pub use report::{Committed, Event, Summary};
pub use run::{Events, RunOptions, run};

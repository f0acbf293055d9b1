//! Restoring: the table is taken back to a savepoint.
//!
//! ```text
//! savepoint -> later_than(timeline) -> RestorePlan, on the timeline
//! RestorePlan -> instant after instant, the last completed first, rolled back -> RestoreMetadata
//! ```
//!
//! Nobody may be at work on the table, and until a restore is completed nobody begins anything. One that was
//! cut off is gone on with, whoever planned it.
//!
//! Source: `BaseHoodieWriteClient.restoreToSavepoint`, `BaseRestoreActionExecutor` of Hudi 1.2.0; table
//! versions 8 and 9.

mod run;

pub use run::{RestoreEvent, RestoreReport};

//! What can go wrong in a sink.

use crate::commit::CommitError;
use crate::storage::StorageError;
use crate::storage::lock::LockOptionsError;
use crate::table::{ConformError, TableError};
use crate::write::WriteError;

/// What can go wrong in a sink.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The table uses what Lakebed does not write.
    #[error("table {table}: {feature} is not supported; {advice}")]
    Refused {
        /// The table's name.
        table: String,
        /// The feature.
        feature: String,
        /// What to do next.
        advice: &'static str,
    },
    /// Rows do not fit the table.
    #[error(transparent)]
    Conform(#[from] ConformError),
    /// Rows cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The timeline cannot be changed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Settings of the table lock.
    #[error(transparent)]
    Lock(#[from] LockOptionsError),
}

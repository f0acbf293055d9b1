//! What can go wrong in a sink.

use crate::commit::CommitError;
use crate::human;
use crate::read::ReadError;
use crate::storage::StorageError;
use crate::storage::lock::LockOptionsError;
use crate::table::{ConformError, Refusal, TableError};
use crate::write::WriteError;

/// What can go wrong in a sink.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The table uses what Lakebed does not write.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The table's properties do not fit its columns, or say too little.
    #[error(
        "table {table} cannot be written: {source}; correct its hoodie.properties, or write it with the engine \
         that made it"
    )]
    Unwritable {
        /// The table's name.
        table: String,
        /// What the first write would meet.
        source: Box<WriteError>,
    },
    /// A bucket table with a group that is no bucket: its bucket writers fail.
    #[error(
        "partition {partition:?} has file group {file_id}, which is none of the table's {buckets} buckets: \
         a writer without its index has written it; delete it with that writer, or rewrite the partition"
    )]
    NoBucket {
        /// The partition path.
        partition: String,
        /// The group.
        file_id: String,
        /// How many buckets the table has.
        buckets: u32,
    },
    /// Two groups of one bucket.
    #[error("partition {partition:?} has two file groups of bucket {bucket}, {} and {}: rewrite the partition", file_ids[0], file_ids[1])]
    TwoGroups {
        /// The partition path.
        partition: String,
        /// The bucket.
        bucket: u32,
        /// The groups.
        file_ids: [String; 2],
    },
    /// A key that is not in the bucket that the index stated by the job gives it.
    #[error(
        "record key {record_key:?} lies in file group {file_id} of partition {partition:?}, which an index of \
         {index} does not give it: state the index that the table's writers use"
    )]
    WrongBucket {
        /// The partition path.
        partition: String,
        /// The group.
        file_id: String,
        /// The key.
        record_key: String,
        /// The index as stated.
        index: String,
    },
    /// Stored keys cannot be read.
    #[error(transparent)]
    Read(Box<ReadError>),
    /// The memory that was allowed is too little.
    #[error(
        "{} of memory are too little for this table: expected at least {}",
        human::bytes(*memory_bytes), human::bytes(*needed_bytes)
    )]
    Memory {
        /// What was allowed.
        memory_bytes: u64,
        /// What is needed at least.
        needed_bytes: u64,
    },
    /// Rows have a column that the table lacks.
    #[error("the table has no column {column:?}{}", hint(near))]
    UnknownColumn {
        /// The column.
        column: String,
        /// A column of the table with a similar name.
        near: Option<String>,
    },
    /// Deletes were written where rows can only be added.
    #[error("row {row} is a delete, and this sink only adds rows: upsert or delete instead")]
    DeleteInInsert {
        /// The row within its batch, counted from 0.
        row: usize,
    },
    /// A checkpoint failed, and what came after it is not to be built on.
    #[error("an earlier checkpoint was given up ({reason}): rewind the sink and go on from its progress")]
    Rewind {
        /// Why.
        reason: String,
    },
    /// The table is not what it was when it was opened: what was written on the strength of that is
    /// given up.
    #[error("{reason}: open the table anew")]
    Changed {
        /// What was changed.
        reason: String,
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

impl From<ReadError> for SinkError {
    fn from(error: ReadError) -> Self {
        Self::Read(Box::new(error))
    }
}

fn hint(near: &Option<String>) -> String {
    near.as_ref().map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}

//! What kind of write made a commit.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What kind of write made a commit.
///
/// Source: `WriteOperationType`; commit metadata holds the names of its constants, table
/// versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationType {
    /// New rows, not checked against those that exist.
    Insert,
    /// [`OperationType::Insert`] of rows whose place is already known.
    InsertPrepped,
    /// New rows and new values of rows.
    Upsert,
    /// [`OperationType::Upsert`] of rows whose place is already known.
    UpsertPrepped,
    /// New rows, sorted and sized in one go.
    BulkInsert,
    /// [`OperationType::BulkInsert`] of rows whose place is already known.
    BulkInsertPrepped,
    /// Removal of rows.
    Delete,
    /// [`OperationType::Delete`] of rows whose place is already known.
    DeletePrepped,
    /// Files of another format taken over.
    Bootstrap,
    /// New rows in place of everything in the partitions that they touch.
    InsertOverwrite,
    /// New rows in place of everything.
    InsertOverwriteTable,
    /// Removal of whole partitions.
    DeletePartition,
    /// The same rows under another number of buckets.
    BucketRescale,
    /// The same rows in other file groups.
    Cluster,
    /// Logs merged into base files.
    Compact,
    /// Logs merged into fewer logs.
    LogCompact,
    /// Building of an index.
    Index,
    /// Another schema, no rows.
    AlterSchema,
    /// Not recorded.
    Unknown,
    /// A name that this library does not know.
    Other(String),
}

impl OperationType {
    /// Every type that has a name of its own, in no meaningful order.
    pub const ALL: [Self; 19] = [
        Self::Insert,
        Self::InsertPrepped,
        Self::Upsert,
        Self::UpsertPrepped,
        Self::BulkInsert,
        Self::BulkInsertPrepped,
        Self::Delete,
        Self::DeletePrepped,
        Self::Bootstrap,
        Self::InsertOverwrite,
        Self::InsertOverwriteTable,
        Self::DeletePartition,
        Self::BucketRescale,
        Self::Cluster,
        Self::Compact,
        Self::LogCompact,
        Self::Index,
        Self::AlterSchema,
        Self::Unknown,
    ];

    /// The name, as commit metadata spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Insert => "INSERT",
            Self::InsertPrepped => "INSERT_PREPPED",
            Self::Upsert => "UPSERT",
            Self::UpsertPrepped => "UPSERT_PREPPED",
            Self::BulkInsert => "BULK_INSERT",
            Self::BulkInsertPrepped => "BULK_INSERT_PREPPED",
            Self::Delete => "DELETE",
            Self::DeletePrepped => "DELETE_PREPPED",
            Self::Bootstrap => "BOOTSTRAP",
            Self::InsertOverwrite => "INSERT_OVERWRITE",
            Self::InsertOverwriteTable => "INSERT_OVERWRITE_TABLE",
            Self::DeletePartition => "DELETE_PARTITION",
            Self::BucketRescale => "BUCKET_RESCALE",
            Self::Cluster => "CLUSTER",
            Self::Compact => "COMPACT",
            Self::LogCompact => "LOG_COMPACT",
            Self::Index => "INDEX",
            Self::AlterSchema => "ALTER_SCHEMA",
            Self::Unknown => "UNKNOWN",
            Self::Other(name) => name,
        }
    }

    /// Whether a commit of this type may change the table's schema.
    ///
    /// Source: `WriteOperationType.canUpdateSchema`.
    pub fn may_change_schema(&self) -> bool {
        !matches!(self, Self::Cluster | Self::Compact | Self::Index | Self::LogCompact)
    }
}

impl FromStr for OperationType {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Infallible> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == name);
        Ok(known.unwrap_or_else(|| Self::Other(name.to_owned())))
    }
}

impl fmt::Display for OperationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for OperationType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for OperationType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(name.parse().unwrap_or_else(|never: Infallible| match never {}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_round_trips_and_foreign_names_survive() {
        let foreign = OperationType::Other("TELEPORT".into());
        for operation in OperationType::ALL.into_iter().chain([foreign]) {
            assert_eq!(operation.as_str().parse(), Ok(operation));
        }
    }
}

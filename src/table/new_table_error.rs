//! Why a table cannot be as it was asked for.

use std::fmt;

use arrow::datatypes::DataType;
use lakebed_hudi::schema::{SchemaError, sql_type};

use super::reader::Reader;

/// Why a table cannot be created as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum NewTableError {
    /// A name that cannot be a table's.
    #[error("table name {name:?} is not usable: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The columns cannot be a table's.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A table without columns.
    #[error("the schema has no columns")]
    NoColumns,
    /// A column whose name Hudi keeps for itself.
    #[error(
        "column {column:?} has a name that Hudi keeps for itself: rename it, names must not begin with \"_hoodie_\""
    )]
    Reserved {
        /// The column.
        column: String,
    },
    /// A column with a given meaning is not in the schema.
    #[error("{role} column {column:?} is not in the schema{}", hint(near.as_deref(), known))]
    UnknownColumn {
        /// What the column was to be.
        role: Role,
        /// The column.
        column: String,
        /// The column that may have been meant.
        near: Option<String>,
        /// All columns.
        known: Vec<String>,
    },
    /// A column is named twice in one list.
    #[error("{role} column {column:?} is named twice")]
    Repeated {
        /// What the column was to be.
        role: Role,
        /// The column.
        column: String,
    },
    /// A column whose type does not allow its meaning.
    #[error("{role} column {column:?} has type {}: {why}", sql_type(data_type))]
    Type {
        /// What the column was to be.
        role: Role,
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
        /// What is wrong with it, and what to do.
        why: &'static str,
    },
    /// Settings that need another.
    #[error("{what} needs {needs}")]
    Needs {
        /// The setting.
        what: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// A number of buckets that cannot be.
    #[error("{buckets} buckets are not possible: expected 1 to {BUCKETS_MAX} in each partition")]
    Buckets {
        /// The number.
        buckets: u32,
    },
    /// A hashed column that is not in the record key.
    #[error(
        "hash column {column:?} is not one of the record key columns ({keys}): buckets are found by hashing the key"
    )]
    HashOutsideKey {
        /// The column.
        column: String,
        /// The key columns.
        keys: String,
    },
    /// An engine that is not known.
    #[error("reader {reader:?} is not known: expected spark, flink, trino or hudi-rs{}", hint(near.as_deref(), &[]))]
    UnknownReader {
        /// The engine.
        reader: String,
        /// The one that may have been meant.
        near: Option<String>,
    },
    /// An engine that would refuse the table, or show other rows than it has.
    #[error(
        "reader {reader} cannot read this table rightly: {why}; {advice}, or leave {reader} out of the readers"
    )]
    Misread {
        /// The engine.
        reader: Reader,
        /// What it gets wrong.
        why: String,
        /// What to change.
        advice: &'static str,
    },
    /// There is a table, and it is another one.
    #[error(
        "the table at {uri} is another one than was asked for: {}; {}ask for what it is (a job may leave out \
         table.create), or name another place",
        differences.join("; "), if *empty { "nothing was ever committed to it: delete it to have it made anew, or " } else { "" }
    )]
    Different {
        /// The place.
        uri: String,
        /// What differs.
        differences: Vec<String>,
        /// Whether it has neither a commit nor a file of data: a first run that failed leaves such a one.
        empty: bool,
    },
}

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Part of the record key.
    Key,
    /// Part of the partition path.
    Partition,
    /// Orders the rows of one key.
    Ordering,
    /// Decides on the bucket.
    Hash,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Key => "key",
            Self::Partition => "partition",
            Self::Ordering => "ordering",
            Self::Hash => "hash",
        })
    }
}

/// More buckets than this make no table that anybody can list.
pub(super) const BUCKETS_MAX: u32 = 100_000;

fn hint(near: Option<&str>, known: &[String]) -> String {
    match near {
        Some(near) => format!("; did you mean {near:?}?"),
        None if known.is_empty() => String::new(),
        None => {
            let first: Vec<&str> = known.iter().take(20).map(String::as_str).collect();
            let more = if known.len() > first.len() { ", …" } else { "" };
            format!("; it has {}{more}", first.join(", "))
        }
    }
}

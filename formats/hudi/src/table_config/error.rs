//! Why properties are no table that Lakebed understands.

use super::TableVersion;
use crate::partition_path::TimestampRuleError;

/// Why properties are no table that Lakebed understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableConfigError {
    /// A required property is missing.
    #[error("hoodie.properties has no {key}")]
    Missing {
        /// The property.
        key: &'static str,
    },
    /// A property with a value that has no meaning.
    #[error("hoodie.properties: {key} is {found:?}, expected {expected}")]
    Value {
        /// The property.
        key: String,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A table version that this library does not know.
    #[error("table version {found} is not supported: Lakebed reads versions 6, 8 and 9 and writes 8 and 9")]
    Version {
        /// The version found.
        found: String,
    },
    /// A timeline layout that does not go with the table version.
    #[error("timeline layout {found} does not go with table version {version}: expected {expected}")]
    Layout {
        /// The table version.
        version: TableVersion,
        /// The layout of that version.
        expected: &'static str,
        /// The layout found.
        found: String,
    },
    /// The checksum does not belong to the table's name.
    #[error(
        "hoodie.table.checksum is {found}, expected {expected} for the table's name: hoodie.properties was edited or is damaged"
    )]
    Checksum {
        /// The value found.
        found: String,
        /// The value that belongs to the name.
        expected: u32,
    },
    /// Settings of a timestamp key generator that cannot be followed.
    #[error(transparent)]
    TimestampKeys(#[from] TimestampRuleError),
}

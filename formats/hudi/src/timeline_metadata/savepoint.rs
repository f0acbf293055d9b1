//! What a savepoint keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::avro::avro_record;
use super::one;

/// What a savepoint keeps: the content of a completed `savepoint`.
///
/// Source: `HoodieSavepointMetadata`; table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SavepointMetadata {
    /// Who asked for it.
    #[serde(rename = "savepointedBy")]
    pub savepointed_by: String,
    /// When, in milliseconds since the epoch.
    #[serde(rename = "savepointedAt")]
    pub savepointed_at_ms: i64,
    /// What for.
    pub comments: String,
    /// The files kept, by partition path.
    #[serde(rename = "partitionMetadata")]
    pub partition_metadata: BTreeMap<String, SavepointPartitionMetadata>,
    /// The version of this form; 1 when written.
    #[serde(default = "one")]
    pub version: i32,
}

avro_record!(SavepointMetadata, "HoodieSavepointMetadata", "savepoint_metadata");

/// The files that a savepoint keeps in one partition.
///
/// Source: `HoodieSavepointPartitionMetadata`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SavepointPartitionMetadata {
    /// The partition path, `""` without partitions.
    pub partition_path: String,
    /// The bare names of the base and log files of the latest slices.
    pub savepoint_data_file: Vec<String>,
}

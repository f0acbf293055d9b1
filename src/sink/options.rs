//! How a sink writes.

use std::collections::BTreeMap;

use lakebed_hudi::instant::TimelineZone;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::BucketIndex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::commit::CommitOptions;
use crate::storage::lock::LockOptions;
use crate::table::WriteOperation;

/// How a sink writes.
#[derive(Debug, Clone)]
pub struct SinkOptions {
    /// What its checkpoints do.
    pub operation: WriteOperation,
    /// The index of a table whose properties declare none.
    pub index: StatedIndex,
    /// Columns that its rows have; those that the table lacks are added by the next commit. `None`
    /// leaves the table's columns as they are.
    pub schema: Option<TableSchema>,
    /// Bytes of memory for buffers and encoding; `None` takes a share of what the machine or the
    /// control group has.
    pub memory_bytes: Option<u64>,
    /// Whether the rows that the caller holds before they are written are to fit this memory, too:
    /// [`Sink::input_bytes`](super::Sink::input_bytes) says how much of it is theirs.
    pub counts_input: bool,
    /// The size that base files of inserts grow to.
    pub base_file_target_bytes: u64,
    /// Whether a checkpoint without rows is committed all the same.
    pub commit_empty: bool,
    /// Whether its commits drop the pipeline's progress, which otherwise they and all later ones carry: a
    /// run after that begins anew.
    pub drop_progress: bool,
    /// What to do with a metadata table.
    pub metadata_table: MetadataTablePolicy,
    /// The zone of a timeline in LOCAL time: that of the JVMs which write to the table.
    pub timeline_zone: Option<TimelineZone>,
    /// More extra metadata for each commit.
    pub extra_metadata: BTreeMap<String, String>,
    /// How commits are made.
    pub commit: CommitOptions,
    /// The table lock.
    pub lock: LockOptions,
}

/// What is stated of the index of a table whose properties declare none, as Spark and Flink leave
/// their tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StatedIndex {
    /// Nothing. A table whose file groups look like buckets is refused then.
    #[default]
    Unstated,
    /// The simple bucket index: stored keys are checked against it once, then it is recorded in the
    /// properties. Without hash fields those of the properties are hashed, else the record key's columns.
    Bucket(BucketIndex),
    /// Its writers place rows by no index of buckets.
    None,
}

/// What to do with a metadata table, which Lakebed does not keep up to date yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetadataTablePolicy {
    /// Refuse to write.
    #[default]
    Refuse,
    /// Remove it first, as Hudi's own writers do with `hoodie.metadata.enable=false`.
    Drop,
}

impl Default for SinkOptions {
    /// Upserts with Hudi's defaults.
    fn default() -> Self {
        Self {
            operation: WriteOperation::Upsert,
            index: StatedIndex::Unstated,
            schema: None,
            memory_bytes: None,
            counts_input: false,
            base_file_target_bytes: 120 << 20,
            commit_empty: false,
            drop_progress: false,
            metadata_table: MetadataTablePolicy::Refuse,
            timeline_zone: None,
            extra_metadata: BTreeMap::new(),
            commit: CommitOptions::default(),
            lock: LockOptions::default(),
        }
    }
}

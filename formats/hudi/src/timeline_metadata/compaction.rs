//! What a compaction is to merge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::avro::avro_record;
use super::one;
use crate::file_name::FileId;
use crate::instant::InstantTime;

/// What a compaction is to merge: the content of `compaction.requested` and of
/// `logcompaction.requested`.
///
/// Source: `HoodieCompactionPlan`, `CompactionUtils`; table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompactionPlan {
    /// The file slices, one operation each.
    #[serde(default)]
    pub operations: Vec<CompactionOperation>,
    /// What the planner adds.
    #[serde(default)]
    pub extra_metadata: BTreeMap<String, String>,
    /// The version of this form; [`CompactionPlan::VERSION`] when written.
    #[serde(default = "one")]
    pub version: i32,
    /// How to merge, if not the usual way; a log compaction names its executor here.
    #[serde(default)]
    pub strategy: Option<CompactionStrategy>,
    /// Whether rows keep their meta columns; so for log compaction.
    #[serde(default)]
    pub preserve_hoodie_metadata: bool,
    /// Partitions for which the planner found no place in the plan.
    #[serde(default)]
    pub missing_schedule_partitions: Vec<String>,
}

impl CompactionPlan {
    /// The version in which paths are bare file names.
    pub const VERSION: i32 = 2;
}

avro_record!(CompactionPlan, "HoodieCompactionPlan", "compaction_plan");

/// One file slice to merge.
///
/// Source: `HoodieCompactionOperation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompactionOperation {
    /// The slice's base instant: that of its base file, or of its first log file.
    pub base_instant_time: InstantTime,
    /// The names of the log files, in no order that matters.
    #[serde(default)]
    pub delta_file_paths: Vec<String>,
    /// The name of the base file, if the slice has one.
    #[serde(default)]
    pub data_file_path: Option<String>,
    /// The file group.
    pub file_id: FileId,
    /// The partition path, `""` without partitions.
    #[serde(default)]
    pub partition_path: String,
    /// What the planner measured. Spark's executor fails without `TOTAL_LOG_FILES_SIZE`.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// The file of another format below the base file, in a bootstrapped table.
    #[serde(default)]
    pub bootstrap_file_path: Option<String>,
}

/// The class that executes a plan.
///
/// Source: `HoodieCompactionStrategy`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompactionStrategy {
    /// A Java class name.
    #[serde(default)]
    pub compactor_class_name: Option<String>,
    /// Its parameters.
    #[serde(default)]
    pub strategy_params: BTreeMap<String, String>,
    /// The version of this form.
    #[serde(default = "one")]
    pub version: i32,
}

//! What a rollback is to remove, and what it removed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use super::avro::avro_record;
use super::one;
use crate::instant::InstantTime;
use crate::timeline_file::Action;

/// An instant that is, or was, taken back.
///
/// Source: `HoodieInstantInfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstantInfo {
    /// The instant's requested time.
    pub commit_time: InstantTime,
    /// Its pending action, for example `compaction` rather than `commit`.
    #[serde(serialize_with = "action_text")]
    pub action: Action,
}

pub(super) fn action_text<S: Serializer>(action: &Action, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(action.as_str())
}

/// What a rollback is to remove: the content of `rollback.requested`.
///
/// Source: `HoodieRollbackPlan`; table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RollbackPlan {
    /// The failed instant.
    #[serde(rename = "instantToRollback", default)]
    pub instant_to_rollback: Option<InstantInfo>,
    /// The files of it.
    #[serde(rename = "RollbackRequests", default)]
    pub rollback_requests: Vec<RollbackRequest>,
    /// The version of this form.
    #[serde(default = "one")]
    pub version: i32,
}

avro_record!(RollbackPlan, "HoodieRollbackPlan", "rollback_plan");

/// Files of one file group to remove.
///
/// Source: `HoodieRollbackRequest`; Hudi 1.2 makes one request for each file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RollbackRequest {
    /// The partition path, `""` without partitions.
    pub partition_path: String,
    /// The file group, `""` where the planner did not care.
    pub file_id: String,
    /// The base instant of the slice, `""` where the planner did not care; see
    /// [`RollbackRequest::base_instant`].
    pub latest_base_instant: String,
    /// The files to delete, absolute, without a scheme.
    pub files_to_be_deleted: Vec<String>,
    /// Layout 1: log files that hold blocks of the failed instant, and their sizes; a rollback
    /// block is appended after them.
    pub log_blocks_to_be_deleted: BTreeMap<String, i64>,
}

impl RollbackRequest {
    /// The base instant of the slice; in table version 9 the failed instant itself.
    pub fn base_instant(&self) -> Option<InstantTime> {
        self.latest_base_instant.parse().ok()
    }
}

/// What a rollback removed: the content of a completed `rollback`.
///
/// Source: `HoodieRollbackMetadata`; table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "HoodieRollbackMetadata", rename_all = "camelCase")]
pub struct RollbackMetadata {
    /// The rollback's own instant.
    pub start_rollback_time: InstantTime,
    /// How long it took; -1 where not measured.
    pub time_taken_in_millis: i64,
    /// How many files were deleted.
    pub total_files_deleted: i32,
    /// The failed instants.
    pub commits_rollback: Vec<InstantTime>,
    /// What was deleted, by partition path.
    pub partition_metadata: BTreeMap<String, RollbackPartitionMetadata>,
    /// The version of this form.
    #[serde(default = "one")]
    pub version: i32,
    /// The failed instants with their actions.
    #[serde(default)]
    pub instants_rollback: Vec<InstantInfo>,
}

avro_record!(RollbackMetadata, "HoodieRollbackMetadata", "rollback_metadata");

/// What a rollback removed from one partition.
///
/// Source: `HoodieRollbackPartitionMetadata`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RollbackPartitionMetadata {
    /// The partition path, `""` without partitions.
    pub partition_path: String,
    /// The files deleted, absolute, without a scheme.
    pub success_delete_files: Vec<String>,
    /// The files that could not be deleted.
    pub failed_delete_files: Vec<String>,
    /// Layout 1: log files with a new rollback block, and their sizes.
    pub rollback_log_files: BTreeMap<String, i64>,
    /// Layout 1: log files of the failed instant, and their sizes.
    pub log_files_from_failed_commit: BTreeMap<String, i64>,
}

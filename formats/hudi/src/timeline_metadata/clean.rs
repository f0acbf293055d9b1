//! What a clean is to delete, and what it deleted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::avro::avro_record;
use super::one;
use super::rollback::action_text;
use crate::instant::InstantTime;
use crate::timeline_file::Action;

/// What a clean is to delete: the content of `clean.requested`.
///
/// Source: `HoodieCleanerPlan`; table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanerPlan {
    /// The oldest instant that stays readable; `None` where file versions are counted instead.
    #[serde(default)]
    pub earliest_instant_to_retain: Option<ActionInstant>,
    /// The last instant that the plan knows, `""` where there was none; see
    /// [`CleanerPlan::last_completed`].
    #[serde(default)]
    pub last_completed_commit_timestamp: String,
    /// The policy's name: `KEEP_LATEST_COMMITS`, `KEEP_LATEST_FILE_VERSIONS` or
    /// `KEEP_LATEST_BY_HOURS`.
    pub policy: String,
    /// Version 1: bare names of files to delete, by partition path.
    #[serde(default)]
    pub files_to_be_deleted_per_partition: BTreeMap<String, Vec<String>>,
    /// The version of this form; [`CleanerPlan::VERSION`] when written.
    #[serde(default = "one")]
    pub version: i32,
    /// The files to delete, by partition path.
    #[serde(default)]
    pub file_paths_to_be_deleted_per_partition: BTreeMap<String, Vec<CleanFileInfo>>,
    /// The partitions of which nothing stays.
    #[serde(default)]
    pub partitions_to_be_deleted: Vec<String>,
    /// What the planner adds.
    #[serde(default)]
    pub extra_metadata: BTreeMap<String, String>,
}

avro_record!(CleanerPlan, "HoodieCleanerPlan", "cleaner_plan");

impl CleanerPlan {
    /// The version in which files are named by absolute URI.
    pub const VERSION: i32 = 2;

    /// The last instant that the plan knows.
    pub fn last_completed(&self) -> Option<InstantTime> {
        self.last_completed_commit_timestamp.parse().ok()
    }
}

/// An instant as a cleaner plan names it.
///
/// Source: `HoodieActionInstant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionInstant {
    /// The instant's requested time.
    pub timestamp: InstantTime,
    /// Its action.
    #[serde(serialize_with = "action_text")]
    pub action: Action,
    /// Its state: `COMPLETED`, `INFLIGHT` or `REQUESTED`.
    pub state: String,
}

/// A file to delete.
///
/// Source: `HoodieCleanFileInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CleanFileInfo {
    /// The file as an absolute URI.
    pub file_path: String,
    /// Whether it is a file of another format below a base file, in a bootstrapped table.
    pub is_bootstrap_base_file: bool,
}

/// What a clean deleted: the content of a completed `clean`.
///
/// Source: `HoodieCleanMetadata`; table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanMetadata {
    /// The clean's own instant.
    pub start_clean_time: InstantTime,
    /// How long it took.
    pub time_taken_in_millis: i64,
    /// How many files were deleted.
    pub total_files_deleted: i32,
    /// The oldest instant that stays readable, `""` where file versions are counted instead;
    /// see [`CleanMetadata::earliest_retained`].
    pub earliest_commit_to_retain: String,
    /// The last instant that the plan knew, `""` where there was none; see
    /// [`CleanMetadata::last_completed`].
    #[serde(default)]
    pub last_completed_commit_timestamp: String,
    /// What was deleted, by partition path.
    pub partition_metadata: BTreeMap<String, CleanPartitionMetadata>,
    /// The version of this form; [`CleanMetadata::VERSION`] when written.
    #[serde(default = "one")]
    pub version: i32,
    /// What was deleted below base files, by partition path, in a bootstrapped table.
    #[serde(default)]
    pub bootstrap_partition_metadata: BTreeMap<String, CleanPartitionMetadata>,
    /// What the planner added.
    #[serde(default)]
    pub extra_metadata: BTreeMap<String, String>,
}

avro_record!(CleanMetadata, "HoodieCleanMetadata", "clean_metadata");

impl CleanMetadata {
    /// The version in which files are bare names.
    pub const VERSION: i32 = 2;

    /// The oldest instant that stays readable.
    pub fn earliest_retained(&self) -> Option<InstantTime> {
        self.earliest_commit_to_retain.parse().ok()
    }

    /// The last instant that the plan knew.
    pub fn last_completed(&self) -> Option<InstantTime> {
        self.last_completed_commit_timestamp.parse().ok()
    }
}

/// What a clean deleted from one partition, by bare file names.
///
/// Source: `HoodieCleanPartitionMetadata`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CleanPartitionMetadata {
    /// The partition path, `""` without partitions.
    pub partition_path: String,
    /// The policy's name.
    pub policy: String,
    /// What was to be deleted.
    pub delete_path_patterns: Vec<String>,
    /// What was deleted.
    pub success_delete_files: Vec<String>,
    /// What could not be deleted.
    pub failed_delete_files: Vec<String>,
    /// Whether nothing of the partition stays.
    pub is_partition_deleted: bool,
}

//! What a clustering, or another replacement of file groups, is to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::avro::avro_record;
use super::{OperationType, one};
use crate::file_name::FileId;

/// What a replacement is to do: the content of `clustering.requested` and of
/// `replacecommit.requested`.
///
/// Insert overwrite leaves every field out; delete partition has all but the plan.
///
/// Source: `HoodieRequestedReplaceMetadata`; table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RequestedReplaceMetadata {
    /// What kind of write it is.
    pub operation_type: Option<OperationType>,
    /// The plan of a clustering.
    pub clustering_plan: Option<ClusteringPlan>,
    /// What the planner adds.
    pub extra_metadata: Option<BTreeMap<String, String>>,
    /// The version of this form.
    pub version: Option<i32>,
}

avro_record!(RequestedReplaceMetadata, "HoodieRequestedReplaceMetadata", "requested_replace_metadata");

/// Which file groups to write anew, and how.
///
/// Source: `HoodieClusteringPlan`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusteringPlan {
    /// The groups, each of which one task writes.
    #[serde(default)]
    pub input_groups: Vec<ClusteringGroup>,
    /// How rows are sorted and sized.
    #[serde(default)]
    pub strategy: Option<ClusteringStrategy>,
    /// What the planner adds.
    #[serde(default)]
    pub extra_metadata: BTreeMap<String, String>,
    /// The version of this form.
    #[serde(default = "one")]
    pub version: i32,
    /// Whether rows keep their meta columns.
    #[serde(default)]
    pub preserve_hoodie_metadata: bool,
    /// Partitions for which the planner found no place in the plan.
    #[serde(default)]
    pub missing_schedule_partitions: Vec<String>,
}

impl ClusteringPlan {
    /// The version of this form that is written.
    pub const VERSION: i32 = 1;
}

/// File slices that are written anew together.
///
/// Source: `HoodieClusteringGroup`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusteringGroup {
    /// The slices.
    #[serde(default)]
    pub slices: Vec<ClusteringSlice>,
    /// What the planner measured.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// How many file groups to make of them.
    #[serde(default = "one")]
    pub num_output_file_groups: i32,
    /// What the planner adds.
    #[serde(default)]
    pub extra_metadata: Option<BTreeMap<String, String>>,
    /// The version of this form.
    #[serde(default = "one")]
    pub version: i32,
}

/// One file slice to write anew.
///
/// Source: `HoodieSliceInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusteringSlice {
    /// The base file as an absolute URI, `""` without one; see [`ClusteringSlice::data_file`].
    #[serde(default)]
    pub data_file_path: String,
    /// The log files as absolute URIs.
    #[serde(default)]
    pub delta_file_paths: Vec<String>,
    /// The file group.
    pub file_id: FileId,
    /// The partition path, `""` without partitions.
    #[serde(default)]
    pub partition_path: String,
    /// The file of another format below the base file, `""` without one.
    #[serde(default)]
    pub bootstrap_file_path: String,
    /// The version of this form.
    #[serde(default = "one")]
    pub version: i32,
}

impl ClusteringSlice {
    /// The base file as an absolute URI.
    pub fn data_file(&self) -> Option<&str> {
        Some(self.data_file_path.as_str()).filter(|path| !path.is_empty())
    }
}

/// The class that executes a plan.
///
/// Source: `HoodieClusteringStrategy`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusteringStrategy {
    /// A Java class name.
    #[serde(default)]
    pub strategy_class_name: Option<String>,
    /// Its parameters, for example the columns to sort by.
    #[serde(default)]
    pub strategy_params: BTreeMap<String, String>,
    /// The version of this form.
    #[serde(default = "one")]
    pub version: i32,
}

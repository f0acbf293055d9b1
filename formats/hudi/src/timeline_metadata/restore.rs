//! What a restore is to take back, and what it took back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::avro::avro_record;
use super::one;
use super::rollback::{InstantInfo, RollbackMetadata};
use crate::instant::InstantTime;

/// What a restore is to take back: the content of `restore.requested`.
///
/// Source: `HoodieRestorePlan`; table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestorePlan {
    /// The instants, newest first.
    #[serde(default)]
    pub instants_to_rollback: Vec<InstantInfo>,
    /// The version of this form; [`RestorePlan::VERSION`] when written.
    #[serde(default = "plan_version")]
    pub version: i32,
    /// The savepoint to return to.
    #[serde(default)]
    pub savepoint_to_restore_timestamp: Option<InstantTime>,
}

avro_record!(RestorePlan, "HoodieRestorePlan", "restore_plan");

impl RestorePlan {
    /// The version that names the savepoint.
    pub const VERSION: i32 = 2;
}

fn plan_version() -> i32 {
    RestorePlan::VERSION
}

/// What a restore took back: the content of a completed `restore`.
///
/// Source: `HoodieRestoreMetadata`; table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreMetadata {
    /// The restore's own instant.
    pub start_restore_time: InstantTime,
    /// How long it took.
    pub time_taken_in_millis: i64,
    /// The instants taken back, newest first.
    pub instants_to_rollback: Vec<InstantTime>,
    /// The rollbacks that did it, by instant; they leave no rollback on the timeline.
    pub hoodie_restore_metadata: BTreeMap<InstantTime, Vec<RollbackMetadata>>,
    /// The version of this form; 1 when written.
    #[serde(default = "one")]
    pub version: i32,
    /// The instants taken back, with their actions.
    #[serde(default)]
    pub restore_instant_info: Vec<InstantInfo>,
}

avro_record!(RestoreMetadata, "HoodieRestoreMetadata", "restore_metadata");

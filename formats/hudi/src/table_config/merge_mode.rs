//! Which of two rows of one key stays, and what it takes from the other.

use serde::{Deserialize, Serialize};

use super::{TableConfigError, TableVersion, bad_value, key};
use crate::properties::Properties;

const EVENT_TIME_STRATEGY: &str = "eeb8d96f-b1e4-49fd-bbf8-28ac514178e5";
const COMMIT_TIME_STRATEGY: &str = "ce9acb64-bde0-424c-9b91-f6ebba25356d";
const PAYLOAD_STRATEGY: &str = "00000000-0000-0000-0000-000000000000";
const LEGACY_STRATEGY_ID: &str = "hoodie.compaction.record.merger.strategy";

/// Which of two rows of one key stays.
///
/// Source: `RecordMergeMode`, `HoodieTableConfig.inferMergingConfigsForPreV9Table`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MergeMode {
    /// The later one.
    CommitTime,
    /// The one with the greater ordering value; of equal ones the later.
    EventTime,
    /// A Java class decides; its name, or that of its strategy.
    Custom(String),
}

impl MergeMode {
    pub(super) fn of(
        properties: &Properties,
        version: TableVersion,
        ordering_fields: &[String],
    ) -> Result<Self, TableConfigError> {
        let by_ordering = if ordering_fields.is_empty() { Self::CommitTime } else { Self::EventTime };
        let declared = match properties.get(key::MERGE_MODE) {
            Some("COMMIT_TIME_ORDERING") => Some(Self::CommitTime),
            Some("EVENT_TIME_ORDERING") => Some(by_ordering.clone()),
            Some("CUSTOM") => Some(Self::Custom(custom_name(properties))),
            Some(found) => {
                return Err(bad_value(
                    key::MERGE_MODE,
                    found,
                    "COMMIT_TIME_ORDERING, EVENT_TIME_ORDERING or CUSTOM",
                ));
            }
            None => None,
        };
        if version == TableVersion::Nine {
            return Ok(declared.unwrap_or(by_ordering));
        }
        // Before version 9 the payload class decides what the merge mode only names.
        let by_payload = properties.get(key::PAYLOAD_CLASS).map(|class| match simple_name(class) {
            "DefaultHoodieRecordPayload" | "EventTimeAvroPayload" => by_ordering.clone(),
            "OverwriteWithLatestAvroPayload" => Self::CommitTime,
            _ => Self::Custom(class.to_owned()),
        });
        let strategy = properties.get(key::MERGE_STRATEGY_ID).or_else(|| properties.get(LEGACY_STRATEGY_ID));
        let by_strategy = strategy.filter(|id| *id != PAYLOAD_STRATEGY).map(|id| match id {
            EVENT_TIME_STRATEGY => by_ordering.clone(),
            COMMIT_TIME_STRATEGY => Self::CommitTime,
            other => Self::Custom(other.to_owned()),
        });
        let custom = |mode: &Option<Self>| mode.clone().filter(|mode| matches!(mode, Self::Custom(_)));
        Ok(custom(&by_payload)
            .or_else(|| custom(&by_strategy))
            .or(declared)
            .or(by_payload)
            .or(by_strategy)
            .unwrap_or(by_ordering))
    }
}

fn custom_name(properties: &Properties) -> String {
    [key::PAYLOAD_CLASS, key::MERGE_STRATEGY_ID]
        .into_iter()
        .find_map(|key| properties.get(key))
        .unwrap_or("a class that the table does not name")
        .to_owned()
}

fn simple_name(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// How the row that stays is filled from the other one.
///
/// Source: `PartialUpdateMode`, table version 9.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartialUpdateMode {
    /// Top-level columns that hold their default (null) take the other row's value.
    IgnoreDefaults,
    /// Text columns that hold this marker take the other row's value; binary ones keep it in Spark.
    FillUnavailable {
        /// The marker; `None` where the table does not name one, so that nothing is filled.
        marker: Option<String>,
    },
}

impl PartialUpdateMode {
    pub(super) fn of(properties: &Properties) -> Result<Option<Self>, TableConfigError> {
        match properties.get(key::PARTIAL_UPDATE_MODE) {
            None => Ok(None),
            Some("IGNORE_DEFAULTS") => Ok(Some(Self::IgnoreDefaults)),
            Some("FILL_UNAVAILABLE") => {
                let key =
                    format!("{}hoodie.write.partial.update.unavailable.value", key::MERGE_PROPERTY_PREFIX);
                Ok(Some(Self::FillUnavailable { marker: properties.get(&key).map(str::to_owned) }))
            }
            Some(found) => {
                Err(bad_value(key::PARTIAL_UPDATE_MODE, found, "IGNORE_DEFAULTS or FILL_UNAVAILABLE"))
            }
        }
    }
}

/// A column and the value in it that marks a deleted row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteMarker {
    /// The column.
    pub column: String,
    /// The value.
    pub value: String,
}

impl DeleteMarker {
    pub(super) fn of(properties: &Properties) -> Option<Self> {
        let get = |name: &str| {
            let prefixed = format!("{}{name}", key::MERGE_PROPERTY_PREFIX);
            properties.get(&prefixed).or_else(|| properties.get(name)).map(str::to_owned)
        };
        Some(Self {
            column: get("hoodie.payload.delete.field")?,
            value: get("hoodie.payload.delete.marker")?,
        })
    }
}

//! The settings of a job's table.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use lakebed_hudi::instant::TimelineZone;
use lakebed_hudi::table_config::BucketIndex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::CreateSettings;
use crate::commit::CommitOptions;
use crate::settings::{TimeSpan, Timezone};
use crate::sink::{MetadataTablePolicy, StatedIndex};
use crate::storage::lock::LockOptions;

/// By how much clocks may differ where others write too, as Hudi has it.
const SHARED_CLOCK_SKEW: Duration = Duration::from_millis(200);

/// The table of a job.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableSettings {
    /// Where it is: a path, file:///path, s3://bucket/path or s3a://bucket/path.
    pub uri: String,
    /// What it is to be if it is not there; one that is there must be the same.
    #[serde(default)]
    pub create: Option<CreateSettings>,
    /// The index of a table whose properties declare none, as Spark and Flink leave them. A bucket
    /// index is checked against all stored keys once, then recorded.
    #[serde(default)]
    pub index: Option<IndexSettings>,
    /// What to do with a metadata table, which Lakebed does not keep up to date: refuse to write,
    /// or remove it first.
    #[serde(default)]
    pub metadata_table: MetadataTablePolicy,
    /// For a table whose timeline is in LOCAL time: the zone of the JVMs that write to it, for
    /// example Europe/Berlin.
    #[serde(default)]
    pub timeline_timezone: Option<Timezone>,
    /// Whether others write the table too: then clocks may differ.
    #[serde(default)]
    pub shared: bool,
    /// For a shared table: by how much the clocks of its writers may differ, 200ms if not set
    /// (hoodie.time.generator.max_expected_clock_skew_ms).
    #[serde(default)]
    pub clock_skew: Option<TimeSpan>,
    /// The table lock: all writers of a table should agree on it.
    #[serde(default)]
    pub lock: LockSettings,
    /// The signs of life of this writer: all writers of a table should agree on them.
    #[serde(default)]
    pub heartbeat: HeartbeatSettings,
}

/// The index by which the writers of a table place rows: a simple bucket index, or none.
#[derive(Debug, Clone, PartialEq)]
pub enum IndexSettings {
    /// A simple bucket index.
    Bucket(BucketIndexSettings),
    /// None that makes buckets.
    None,
}

/// A simple bucket index.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketIndexSettings {
    /// Buckets in each partition (hoodie.bucket.index.num.buckets).
    pub buckets: u32,
    /// Key columns that are hashed to find the bucket; if not set those that the table declares
    /// (hoodie.bucket.index.hash.field), else all.
    #[serde(default)]
    pub hash_field: Vec<String>,
}

/// The table lock.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockSettings {
    /// How long to wait for it. If not set 1m, in a bucket for so long after the lock of a dead
    /// writer has lost its validity.
    #[serde(default)]
    pub wait: Option<TimeSpan>,
    /// On disk: after which time a lock file is taken for abandoned, in whole minutes; never if not
    /// set (hoodie.write.lock.filesystem.expire).
    #[serde(default)]
    pub expire: Option<TimeSpan>,
    /// In a bucket: how long a lock is valid once written; 5m if not set
    /// (hoodie.write.lock.storage.validity.timeout.secs).
    #[serde(default)]
    pub validity: Option<TimeSpan>,
    /// In a bucket: how often a lock is renewed while it is held; 30s if not set
    /// (hoodie.write.lock.storage.renew.interval.secs).
    #[serde(default)]
    pub renew: Option<TimeSpan>,
}

/// The signs of life of a writer.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatSettings {
    /// How often; 1m if not set (hoodie.client.heartbeat.interval_in_ms).
    #[serde(default)]
    pub interval: Option<TimeSpan>,
    /// After how many missed ones a writer is dead; 2 if not set
    /// (hoodie.client.heartbeat.tolerable.misses).
    #[serde(default)]
    pub misses: Option<u32>,
}

impl TableSettings {
    /// How commits are made.
    pub fn commit_options(&self) -> CommitOptions {
        let span = |set: Option<TimeSpan>, default| set.map_or(default, |TimeSpan(span)| span);
        let default = CommitOptions::default();
        let clock_skew = if self.shared { SHARED_CLOCK_SKEW } else { default.clock_skew };
        CommitOptions {
            lock_wait: self.lock.wait.map(|TimeSpan(wait)| wait),
            clock_skew: span(self.clock_skew, clock_skew),
            heartbeat_interval: span(self.heartbeat.interval, default.heartbeat_interval),
            heartbeat_misses: self.heartbeat.misses.unwrap_or(default.heartbeat_misses),
        }
    }

    /// How the lock is kept.
    pub fn lock_options(&self) -> LockOptions {
        let count = |set: Option<TimeSpan>, unit_seconds, default| match set {
            Some(TimeSpan(span)) => u32::try_from(span.as_secs() / unit_seconds).unwrap_or(u32::MAX),
            None => default,
        };
        let default = LockOptions::default();
        LockOptions {
            file_system_expire_minutes: count(self.lock.expire, 60, default.file_system_expire_minutes),
            storage_validity_seconds: count(self.lock.validity, 1, default.storage_validity_seconds),
            storage_renew_seconds: count(self.lock.renew, 1, default.storage_renew_seconds),
        }
    }

    /// What is stated of the index of a table that declares none.
    pub fn stated_index(&self) -> StatedIndex {
        match &self.index {
            None => StatedIndex::Unstated,
            Some(IndexSettings::None) => StatedIndex::None,
            Some(IndexSettings::Bucket(BucketIndexSettings { buckets, hash_field })) => {
                StatedIndex::Bucket(BucketIndex { buckets: *buckets, hash_fields: hash_field.clone() })
            }
        }
    }

    /// The zone of a timeline in LOCAL time.
    pub fn timeline_zone(&self) -> Option<TimelineZone> {
        self.timeline_timezone.map(|Timezone(zone)| zone)
    }
}

impl<'de> Deserialize<'de> for IndexSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Index;

        impl<'de> Visitor<'de> for Index {
            type Value = IndexSettings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the settings of a bucket index, or none")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<IndexSettings, E> {
                match text {
                    "none" => Ok(IndexSettings::None),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, settings: A) -> Result<IndexSettings, A::Error> {
                BucketIndexSettings::deserialize(MapAccessDeserializer::new(settings))
                    .map(IndexSettings::Bucket)
            }
        }

        deserializer.deserialize_any(Index)
    }
}

impl JsonSchema for IndexSettings {
    fn schema_name() -> Cow<'static, str> {
        "IndexSettings".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The index by which the writers of a table place rows: a simple bucket index, or none.",
            "anyOf": [generator.subschema_for::<BucketIndexSettings>(), { "const": "none" }]
        })
    }
}

//! The settings of a job's table.

use std::borrow::Cow;
use std::fmt;

use lakebed_hudi::instant::TimelineZone;
use lakebed_hudi::table_config::BucketIndex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::CreateSettings;
use crate::commit::{CommitOptions, HeartbeatSettings, LockSettings};
use crate::settings::{TimeSpan, Timezone};
use crate::sink::{MetadataTablePolicy, StatedIndex};
use crate::storage::lock::LockOptions;

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

impl TableSettings {
    /// How commits are made.
    pub fn commit_options(&self) -> CommitOptions {
        CommitOptions::of_settings(self.shared, self.clock_skew, &self.lock, &self.heartbeat)
    }

    /// How the lock is kept.
    pub fn lock_options(&self) -> LockOptions {
        self.lock.options()
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

//! What a job's table is to be if it is not there.

use std::borrow::Cow;

use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{BucketIndex, NewTable, PartialUpdateMode, TableType};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::settings::NumberOrText;
use crate::storage::TableUri;

/// Buckets of a table whose owner names no number.
const BUCKETS_DEFAULT: u32 = 4;

/// What a table is to be if it is not there; one that is there must be the same.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSettings {
    /// The table's name; the last part of the address if not set.
    #[serde(default)]
    pub name: Option<String>,
    /// The columns: an Avro schema (.avsc), or a Parquet or Arrow file that has them. Told from the
    /// first input, as mapped, if not set: key columns become required.
    #[serde(default)]
    pub schema: Option<String>,
    /// How updates are stored; merge_on_read if not set.
    #[serde(default, rename = "type")]
    pub table_type: TableKind,
    /// Record key columns; none for rows that are only added.
    #[serde(default)]
    pub key: Vec<String>,
    /// Partition columns.
    #[serde(default)]
    pub partition: Vec<String>,
    /// Of two rows of one key the one with the greater value here stays.
    #[serde(default)]
    pub ordering: Vec<String>,
    /// Which of two rows of one key stays; by the ordering columns if there are any, else by arrival.
    #[serde(default)]
    pub merge_mode: Option<MergeKind>,
    /// How the row that stays is filled from the other.
    #[serde(default)]
    pub partial_update: Option<PartialUpdate>,
    /// Buckets in each partition, for good; 4 if not set. `none` for rows that are only added.
    #[serde(default)]
    pub buckets: Option<Buckets>,
    /// Key columns that are hashed to find the bucket; all if not set.
    #[serde(default)]
    pub hash_field: Vec<String>,
    /// The engines that will read the table: spark, flink, trino, hudi-rs. Spark if not set.
    #[serde(default = "spark")]
    pub readers: Vec<String>,
    /// Whether partition folders are `column=value`.
    #[serde(default = "yes")]
    pub hive_style: bool,
    /// Whether special characters in partition folders are escaped.
    #[serde(default = "yes")]
    pub url_encode: bool,
}

fn spark() -> Vec<String> {
    vec!["spark".to_owned()]
}

fn yes() -> bool {
    true
}

/// How updates are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// Every commit rewrites the files it changes.
    #[serde(alias = "cow")]
    CopyOnWrite,
    /// Updates go to log files until a compaction.
    #[default]
    #[serde(alias = "mor")]
    MergeOnRead,
}

/// Which of two rows of one key stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MergeKind {
    /// The row with the greater ordering value.
    #[serde(alias = "event_time_ordering")]
    EventTime,
    /// The row that comes later.
    #[serde(alias = "commit_time_ordering")]
    CommitTime,
}

/// How the row that stays is filled from the other: `ignore_defaults` where it is null,
/// `fill_unavailable=TEXT` where it has that text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialUpdate(pub PartialUpdateMode);

/// A number of buckets, or that there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buckets {
    /// None.
    None,
    /// So many in each partition.
    Count(u32),
}

impl CreateSettings {
    /// The name of the table at `uri`.
    pub fn table_name(&self, uri: &TableUri) -> String {
        let last = || uri.path().rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(uri.bucket());
        self.name.clone().unwrap_or_else(|| last().to_owned())
    }

    /// Whether the table is to have buckets.
    pub fn has_buckets(&self) -> bool {
        self.bucket_count().is_some()
    }

    fn bucket_count(&self) -> Option<u32> {
        match self.buckets {
            None => (!self.key.is_empty()).then_some(BUCKETS_DEFAULT),
            Some(Buckets::None) => None,
            Some(Buckets::Count(buckets)) => Some(buckets),
        }
    }

    /// The table at `uri` with the columns `schema`; without columns, only to be compared.
    pub fn new_table(&self, uri: &TableUri, schema: Option<&TableSchema>) -> NewTable {
        let hash_fields = if self.hash_field.is_empty() { &self.key } else { &self.hash_field };
        NewTable {
            name: self.table_name(uri),
            table_type: match self.table_type {
                TableKind::CopyOnWrite => TableType::CopyOnWrite,
                TableKind::MergeOnRead => TableType::MergeOnRead,
            },
            record_key_fields: self.key.clone(),
            partition_fields: self.partition.clone(),
            ordering_fields: self.ordering.clone(),
            partial_update: self.partial_update.clone().map(|PartialUpdate(mode)| mode),
            bucket_index: self
                .bucket_count()
                .map(|buckets| BucketIndex { buckets, hash_fields: hash_fields.clone() }),
            hive_style: self.hive_style,
            url_encode: self.url_encode,
            create_schema: schema.map(TableSchema::to_avro).unwrap_or_default(),
            readers: self.readers.clone(),
        }
    }
}

impl std::str::FromStr for PartialUpdate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mode, marker) = text.split_once('=').unwrap_or((text, ""));
        match (mode.to_lowercase().replace('-', "_").as_str(), marker) {
            ("ignore_defaults", "") => Ok(Self(PartialUpdateMode::IgnoreDefaults)),
            ("fill_unavailable", marker) if !marker.is_empty() => {
                Ok(Self(PartialUpdateMode::FillUnavailable { marker: Some(marker.to_owned()) }))
            }
            _ => Err("expected ignore-defaults or fill-unavailable=TEXT".to_owned()),
        }
    }
}

impl std::str::FromStr for Buckets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            text => text.parse().map(Self::Count).map_err(|_| "expected a number or `none`".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for PartialUpdate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(deserializer, "ignore-defaults or fill-unavailable=TEXT")
    }
}

impl<'de> Deserialize<'de> for Buckets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(deserializer, "a number or `none`")
    }
}

fn parse<'de, T, D>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    T: std::str::FromStr<Err = String>,
    D: Deserializer<'de>,
{
    let text = deserializer.deserialize_any(NumberOrText(expected))?;
    text.parse().map_err(|problem| de::Error::custom(format!("{problem}, found {text:?}")))
}

impl JsonSchema for PartialUpdate {
    fn schema_name() -> Cow<'static, str> {
        "PartialUpdate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^(ignore[-_]defaults|fill[-_]unavailable=.+)$",
            "description": "ignore_defaults where it is null, fill_unavailable=TEXT where it has that text.",
        })
    }
}

impl JsonSchema for Buckets {
    fn schema_name() -> Cow<'static, str> {
        "Buckets".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "integer", "minimum": 1 }, { "const": "none" }],
            "description": "A number of buckets, or `none`.",
        })
    }
}

//! What a commit wrote.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;

use super::avro::{self, RecordKind, record_kind};
use super::container::MAGIC;
use super::room::Room;
use super::{MetadataError, OperationType, WriteStat, evidence};
use crate::file_name::FileId;

/// What a commit wrote: the content of a completed `commit`, `deltacommit` or `replacecommit`,
/// and, as a mere work profile, of their inflight files.
///
/// Source: `HoodieCommitMetadata`, `HoodieReplaceCommitMetadata`, `CommitMetadataSerDeV1`
/// (layout 1, JSON), `CommitMetadataSerDeV2` (layout 2, Avro); table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CommitMetadata {
    /// The files written, by partition path (`""` without partitions).
    pub partition_to_write_stats: BTreeMap<String, Vec<WriteStat>>,
    /// Whether this is a compaction, whole or of logs.
    pub compacted: bool,
    /// What the writer adds: the schema, progress of sources.
    pub extra_metadata: BTreeMap<String, String>,
    /// The version of this form; Java leaves it out.
    pub version: Option<i32>,
    /// What kind of write it was.
    pub operation_type: Option<OperationType>,
    /// The file groups that are no more, by partition path. `Some` exactly in a completed
    /// `replacecommit`: it decides which of the two records is written.
    pub partition_to_replace_file_ids: Option<BTreeMap<String, Vec<FileId>>>,
}

impl CommitMetadata {
    /// The key of [`CommitMetadata::extra_metadata`] under which the writer's schema stands.
    pub const SCHEMA_KEY: &str = "schema";

    const KIND: RecordKind = record_kind!("HoodieCommitMetadata", "commit_metadata");
    const REPLACE_KIND: RecordKind = record_kind!("HoodieReplaceCommitMetadata", "replace_commit_metadata");

    /// Reads the content of either layout: Avro or JSON, as the first byte tells.
    ///
    /// # Errors
    /// Those of [`CommitMetadata::from_avro`] and [`CommitMetadata::from_json`], and
    /// [`MetadataError::Magic`] for bytes of neither form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MetadataError> {
        match bytes.trim_ascii_start().first() {
            None => Err(MetadataError::Empty),
            Some(b'{') => Self::from_json(bytes),
            Some(_) if bytes.starts_with(MAGIC) => Self::from_avro(bytes),
            Some(_) => Err(MetadataError::Magic {
                expected: "an Avro container (\"Obj\\x01\") or JSON (\"{\")",
                found: bytes.iter().take(MAGIC.len()).copied().collect(),
            }),
        }
    }

    /// Reads the Avro container of layout 2, by whatever schema it was written.
    ///
    /// Fields unknown here are passed over; absent and null fields get their defaults.
    ///
    /// # Errors
    /// [`MetadataError`]: an empty file, a broken container, another kind of record.
    pub fn from_avro(bytes: &[u8]) -> Result<Self, MetadataError> {
        avro::decode(bytes, &[Self::KIND, Self::REPLACE_KIND])
    }

    /// The Avro container of layout 2, as Hudi 1.2 writes it: a `HoodieReplaceCommitMetadata`
    /// where file groups are replaced, else a `HoodieCommitMetadata`.
    ///
    /// Equal values give equal bytes.
    ///
    /// # Errors
    /// [`MetadataError::Encode`], which no value is known to cause.
    pub fn to_avro(&self) -> Result<Vec<u8>, MetadataError> {
        let replaces = self.partition_to_replace_file_ids.is_some();
        avro::encode(if replaces { &Self::REPLACE_KIND } else { &Self::KIND }, self)
    }

    /// Reads the JSON of layout 1.
    ///
    /// # Errors
    /// [`MetadataError::Empty`] and [`MetadataError::Json`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, MetadataError> {
        if bytes.is_empty() {
            return Err(MetadataError::Empty);
        }
        let error = |problem| MetadataError::Json { record: Self::KIND.name, problem };
        let mut json: Json = serde_json::from_slice(bytes).map_err(|e| error(evidence(&e)))?;
        if !json.is_object() {
            return Err(error("expected an object".to_owned()));
        }
        drop_nulls(&mut json);
        make_room_for_stats(&json, bytes.len()).map_err(|problem| error(problem.to_owned()))?;
        Self::deserialize(json).map_err(|e| error(evidence(&e)))
    }

    /// Every file written, with its partition path.
    pub fn write_stats(&self) -> impl Iterator<Item = (&str, &WriteStat)> {
        let partitions = self.partition_to_write_stats.iter();
        partitions.flat_map(|(partition, stats)| stats.iter().map(move |stat| (partition.as_str(), stat)))
    }

    /// Every group that it ended, with its partition path.
    pub fn replaced_groups(&self) -> impl Iterator<Item = (&str, &FileId)> {
        let partitions = self.partition_to_replace_file_ids.iter().flatten();
        partitions.flat_map(|(partition, ids)| ids.iter().map(move |id| (partition.as_str(), id)))
    }

    /// The partition paths in which it wrote files or ended groups.
    pub fn touched_partitions(&self) -> BTreeSet<&str> {
        let written = self.write_stats().map(|(partition, _)| partition);
        written.chain(self.replaced_groups().map(|(partition, _)| partition)).collect()
    }

    /// The Avro schema of the rows written, if the writer says it.
    pub fn schema(&self) -> Option<&str> {
        self.extra_metadata.get(Self::SCHEMA_KEY).map(String::as_str).filter(|schema| !schema.is_empty())
    }
}

/// Accounts for the statistics before there are any. Of all that JSON names in a few bytes they alone take
/// much memory.
fn make_room_for_stats(json: &Json, bytes: usize) -> Result<(), &'static str> {
    let partitions = json.get("partitionToWriteStats").and_then(Json::as_object);
    let stats = partitions.into_iter().flat_map(|partitions| partitions.values().filter_map(Json::as_array));
    Room::of(bytes).make_for::<WriteStat>(stats.map(Vec::len).sum())
}

/// Null fields are absent fields, in JSON as in Avro.
fn drop_nulls(json: &mut Json) {
    match json {
        Json::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Json::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

impl Serialize for CommitMetadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = if self.partition_to_replace_file_ids.is_some() { 6 } else { 5 };
        let mut record = serializer.serialize_struct("HoodieCommitMetadata", fields)?;
        record.serialize_field("partitionToWriteStats", &self.partition_to_write_stats)?;
        record.serialize_field("compacted", &self.compacted)?;
        record.serialize_field("extraMetadata", &self.extra_metadata)?;
        record.serialize_field("version", &self.version)?;
        record.serialize_field("operationType", &self.operation_type)?;
        if let Some(replaced) = &self.partition_to_replace_file_ids {
            record.serialize_field("partitionToReplaceFileIds", replaced)?;
        }
        record.end()
    }
}

//! The typed meaning of `hoodie.properties`.

mod create;
mod error;
pub mod key;
mod keys;
mod merge_mode;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::partition_path::PartitionPathRule;
use crate::properties::Properties;
use crate::record_key::RecordKeyRule;
use crate::timeline_file::TimelineLayout;

pub use create::NewTable;
pub use error::TableConfigError;
pub use merge_mode::{DeleteMarker, MergeMode, PartialUpdateMode};

/// Copy-on-write or merge-on-read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TableType {
    /// Every commit writes base files.
    CopyOnWrite,
    /// Updates go to log files until a compaction.
    MergeOnRead,
}

impl TableType {
    /// The type as properties spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CopyOnWrite => "COPY_ON_WRITE",
            Self::MergeOnRead => "MERGE_ON_READ",
        }
    }
}

/// The versions of the table format that Lakebed knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TableVersion {
    /// Hudi 0.14 and 0.15.
    Six,
    /// Hudi 1.0.
    Eight,
    /// Hudi 1.1 and 1.2.
    Nine,
}

impl TableVersion {
    /// The number in the properties.
    pub fn number(self) -> u8 {
        match self {
            Self::Six => 6,
            Self::Eight => 8,
            Self::Nine => 9,
        }
    }

    /// How tables of this version lay out their timeline.
    pub fn layout(self) -> TimelineLayout {
        if self == Self::Six { TimelineLayout::One } else { TimelineLayout::Two }
    }
}

impl fmt::Display for TableVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// In which zone a table's properties say that its instant times are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclaredZone {
    /// UTC.
    Utc,
    /// The zone of whichever JVM writes: Hudi's default, not recorded in the table.
    Local,
}

/// The simple bucket index that a table's properties declare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketIndex {
    /// Buckets in each partition.
    pub buckets: u32,
    /// The hashed record key columns.
    pub hash_fields: Vec<String>,
}

/// What a table's properties say, checked and typed. Unknown properties are kept.
///
/// Source: `HoodieTableConfig`, table versions 6, 8 and 9.
#[derive(Debug, Clone)]
pub struct TableConfig {
    /// The properties as they stand.
    pub properties: Properties,
    /// The table's name.
    pub name: String,
    /// Copy-on-write or merge-on-read.
    pub table_type: TableType,
    /// The version of the table format.
    pub version: TableVersion,
    /// How record keys are made; `None` where the table has no key columns.
    pub record_key: Option<RecordKeyRule>,
    /// Whether a single key column of COMPLEX could be spelled either way (before version 9).
    pub ambiguous_record_key: bool,
    /// How partition paths are made.
    pub partition_path: PartitionPathRule,
    /// Columns that order the rows of one key; empty where arrival does.
    pub ordering_fields: Vec<String>,
    /// Which of two rows of one key stays.
    pub merge_mode: MergeMode,
    /// How the row that stays is filled from the other one.
    pub partial_update: Option<PartialUpdateMode>,
    /// A column and value that mark deleted rows.
    pub delete_marker: Option<DeleteMarker>,
    /// The zone of instant times.
    pub zone: DeclaredZone,
    /// The declared bucket index; `None` also where its kind is declared and its number of buckets is not.
    pub bucket_index: Option<BucketIndex>,
}

impl TableConfig {
    /// Reads a table's properties.
    ///
    /// # Errors
    /// Missing, unknown and contradictory values, by key. Features that are understood and not
    /// supported are no error here: whoever opens the table decides.
    pub fn from_properties(properties: Properties) -> Result<Self, TableConfigError> {
        let name = required(&properties, key::NAME)?.to_owned();
        let version = version(&properties)?;
        check_checksum(&properties)?;
        let keys = keys::Keys::of(&properties, version)?;
        let ordering_fields = list(&properties, key::ORDERING_FIELDS)
            .or_else(|| list(&properties, key::PRECOMBINE_FIELD))
            .unwrap_or_default();
        let merge_mode = MergeMode::of(&properties, version, &ordering_fields)?;
        Ok(Self {
            table_type: table_type(&properties)?,
            partial_update: PartialUpdateMode::of(&properties)?,
            delete_marker: DeleteMarker::of(&properties),
            zone: zone(&properties)?,
            bucket_index: bucket_index(&properties)?,
            name,
            version,
            record_key: keys.record_key,
            ambiguous_record_key: keys.ambiguous,
            partition_path: keys.partition_path,
            ordering_fields,
            merge_mode,
            properties,
        })
    }

    /// The folder of the active timeline, relative to the table.
    pub fn timeline_folder(&self) -> String {
        match self.version.layout() {
            TimelineLayout::One => ".hoodie".to_owned(),
            TimelineLayout::Two => {
                format!(".hoodie/{}", self.properties.get(key::TIMELINE_PATH).unwrap_or("timeline"))
            }
        }
    }

    /// The folder of the archived timeline, relative to the table.
    pub fn history_folder(&self) -> String {
        match self.version.layout() {
            TimelineLayout::One => ".hoodie/archived".to_owned(),
            TimelineLayout::Two => {
                let history = self.properties.get(key::HISTORY_PATH).unwrap_or("history");
                format!("{}/{history}", self.timeline_folder())
            }
        }
    }

    /// The partitions of the metadata table, those being built included; empty where it is off.
    pub fn metadata_partitions(&self) -> Vec<String> {
        let mut partitions = list(&self.properties, key::METADATA_PARTITIONS).unwrap_or_default();
        partitions.extend(list(&self.properties, key::METADATA_PARTITIONS_INFLIGHT).unwrap_or_default());
        partitions
    }

    /// Whether a bucket index is declared without its number of buckets.
    pub fn lacks_bucket_count(&self) -> bool {
        self.bucket_index.is_none() && self.properties.get(key::INDEX_TYPE) == Some("BUCKET")
    }

    /// The columns that a bucket index hashes if nothing else is stated: those declared for it, else
    /// the record key's.
    pub fn bucket_hash_fields(&self) -> Vec<String> {
        hash_fields(&self.properties)
    }

    /// A property that is true or false; `default` where it is absent.
    pub fn flag(&self, key: &str, default: bool) -> bool {
        self.properties.get(key).map_or(default, |value| value.trim().eq_ignore_ascii_case("true"))
    }
}

/// The checksum that stands in the properties of a table of that name.
///
/// Source: `HoodieTableConfig.generateChecksum`: CRC-32 of `<database>.<table>`.
pub fn checksum(database: &str, table: &str) -> u32 {
    crc32fast::hash(format!("{database}.{table}").as_bytes())
}

fn required<'a>(properties: &'a Properties, key: &'static str) -> Result<&'a str, TableConfigError> {
    properties.get(key).ok_or(TableConfigError::Missing { key })
}

fn list(properties: &Properties, key: &str) -> Option<Vec<String>> {
    let text = properties.get(key)?;
    Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

fn bad_value(key: &str, found: &str, expected: &'static str) -> TableConfigError {
    TableConfigError::Value { key: key.to_owned(), found: found.chars().take(200).collect(), expected }
}

fn version(properties: &Properties) -> Result<TableVersion, TableConfigError> {
    let found = required(properties, key::VERSION)?;
    let version = match found {
        "6" => TableVersion::Six,
        "8" => TableVersion::Eight,
        "9" => TableVersion::Nine,
        _ => return Err(TableConfigError::Version { found: found.chars().take(40).collect() }),
    };
    let expected = if version.layout() == TimelineLayout::One { "1" } else { "2" };
    match properties.get(key::LAYOUT) {
        None => Ok(version),
        Some(layout) if layout == expected => Ok(version),
        Some(found) => Err(TableConfigError::Layout { version, expected, found: found.to_owned() }),
    }
}

fn table_type(properties: &Properties) -> Result<TableType, TableConfigError> {
    match properties.get(key::TYPE) {
        None | Some("COPY_ON_WRITE") => Ok(TableType::CopyOnWrite),
        Some("MERGE_ON_READ") => Ok(TableType::MergeOnRead),
        Some(found) => Err(bad_value(key::TYPE, found, "COPY_ON_WRITE or MERGE_ON_READ")),
    }
}

fn zone(properties: &Properties) -> Result<DeclaredZone, TableConfigError> {
    match properties.get(key::TIMEZONE).map(str::to_ascii_uppercase).as_deref() {
        Some("UTC") => Ok(DeclaredZone::Utc),
        None | Some("LOCAL") => Ok(DeclaredZone::Local),
        Some(found) => Err(bad_value(key::TIMEZONE, found, "UTC or LOCAL")),
    }
}

fn bucket_index(properties: &Properties) -> Result<Option<BucketIndex>, TableConfigError> {
    if properties.get(key::INDEX_TYPE) != Some("BUCKET") {
        return Ok(None);
    }
    // Hudi's writers take the number from their own options: a table may have the kind alone.
    let Some(buckets) = properties.get(key::BUCKETS) else { return Ok(None) };
    let buckets = buckets
        .parse()
        .ok()
        .filter(|n| (1..=99_999_999).contains(n))
        .ok_or_else(|| bad_value(key::BUCKETS, buckets, "a number from 1 to 99999999"))?;
    Ok(Some(BucketIndex { buckets, hash_fields: hash_fields(properties) }))
}

fn hash_fields(properties: &Properties) -> Vec<String> {
    let declared = list(properties, key::BUCKET_HASH_FIELD);
    declared.or_else(|| list(properties, key::RECORD_KEY_FIELDS)).unwrap_or_default()
}

fn check_checksum(properties: &Properties) -> Result<(), TableConfigError> {
    let Some(found) = properties.get(key::CHECKSUM) else { return Ok(()) };
    let database = properties.get(key::DATABASE).unwrap_or_default();
    let expected = checksum(database, properties.get(key::NAME).unwrap_or_default());
    if found.parse() == Ok(expected) {
        return Ok(());
    }
    Err(TableConfigError::Checksum { found: found.chars().take(40).collect(), expected })
}

#[cfg(test)]
mod tests;

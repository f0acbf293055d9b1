//! The properties of a new table.

use super::{BucketIndex, PartialUpdateMode, TableType, checksum, key};
use crate::properties::Properties;

/// What the owner of a new table chooses; the rest follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTable {
    /// The table's name.
    pub name: String,
    /// Copy-on-write or merge-on-read.
    pub table_type: TableType,
    /// Record key columns; empty for append-only tables without keys.
    pub record_key_fields: Vec<String>,
    /// Partition columns; empty for a table without partitions.
    pub partition_fields: Vec<String>,
    /// Ordering columns; empty lets arrival decide.
    pub ordering_fields: Vec<String>,
    /// How a row is filled from the other one.
    pub partial_update: Option<PartialUpdateMode>,
    /// The simple bucket index; `None` for append-only tables.
    pub bucket_index: Option<BucketIndex>,
    /// `column=value` folders.
    pub hive_style: bool,
    /// Escaped folders.
    pub url_encode: bool,
    /// The Avro schema without meta columns.
    pub create_schema: String,
    /// The engines that will read the table.
    pub readers: Vec<String>,
}

impl NewTable {
    /// A table for rows that are only added: without keys, partitions or declared readers.
    pub fn without_keys(name: &str, table_type: TableType, create_schema: String) -> Self {
        Self {
            name: name.to_owned(),
            table_type,
            record_key_fields: Vec::new(),
            partition_fields: Vec::new(),
            ordering_fields: Vec::new(),
            partial_update: None,
            bucket_index: None,
            hive_style: true,
            url_encode: true,
            create_schema,
            readers: Vec::new(),
        }
    }

    /// The properties of a version 9 table with its timeline in UTC.
    ///
    /// Source: `HoodieTableConfig.create`, table version 9: a merge mode and ordering fields, no
    /// strategy id and no payload class.
    pub fn to_properties(&self) -> Properties {
        let mut properties = Properties::new();
        let mut set = |key: &str, value: &str| properties.set(key, value);
        set(key::NAME, &self.name);
        set(key::TYPE, self.table_type.as_str());
        set(key::VERSION, "9");
        set(key::INITIAL_VERSION, "9");
        set(key::LAYOUT, "2");
        set(key::TIMELINE_PATH, "timeline");
        set(key::HISTORY_PATH, "history");
        set("hoodie.archivelog.folder", "archived");
        set(key::TABLE_FORMAT, "native");
        set(key::BASE_FILE_FORMAT, "PARQUET");
        set(key::TIMEZONE, "UTC");
        set(key::POPULATE_META_FIELDS, "true");
        set(key::DROP_PARTITION_COLUMNS, "false");
        set(key::HIVE_STYLE, if self.hive_style { "true" } else { "false" });
        set(key::URL_ENCODE, if self.url_encode { "true" } else { "false" });
        set(key::CDC, "false");
        set(key::KEY_GENERATOR_TYPE, self.key_generator());
        if !self.record_key_fields.is_empty() {
            set(key::RECORD_KEY_FIELDS, &self.record_key_fields.join(","));
        }
        if !self.partition_fields.is_empty() {
            set(key::PARTITION_FIELDS, &self.partition_fields.join(","));
        }
        if self.ordering_fields.is_empty() {
            set(key::MERGE_MODE, "COMMIT_TIME_ORDERING");
        } else {
            set(key::MERGE_MODE, "EVENT_TIME_ORDERING");
            set(key::ORDERING_FIELDS, &self.ordering_fields.join(","));
        }
        match &self.partial_update {
            None => {}
            Some(PartialUpdateMode::IgnoreDefaults) => set(key::PARTIAL_UPDATE_MODE, "IGNORE_DEFAULTS"),
            Some(PartialUpdateMode::FillUnavailable { marker }) => {
                set(key::PARTIAL_UPDATE_MODE, "FILL_UNAVAILABLE");
                let key =
                    format!("{}hoodie.write.partial.update.unavailable.value", key::MERGE_PROPERTY_PREFIX);
                set(&key, marker.as_deref().unwrap_or_default());
            }
        }
        set(key::CREATE_SCHEMA, &self.create_schema);
        set(key::READERS, &self.readers.join(","));
        set(key::CHECKSUM, &checksum("", &self.name).to_string());
        if let Some(index) = &self.bucket_index {
            index.set_in(&mut properties, &self.record_key_fields);
        }
        properties
    }

    /// SIMPLE for one key and one partition column, so that the key stays bare; COMPLEX for more.
    fn key_generator(&self) -> &'static str {
        match (self.record_key_fields.len(), self.partition_fields.len()) {
            (_, 0) => "NON_PARTITION",
            (0 | 1, 1) => "SIMPLE",
            _ => "COMPLEX",
        }
    }
}

impl BucketIndex {
    /// Declares the index in `properties` of a table with these record key columns.
    pub fn set_in(&self, properties: &mut Properties, record_key_fields: &[String]) {
        properties.set(key::INDEX_TYPE, "BUCKET");
        properties.set(key::BUCKET_ENGINE, "SIMPLE");
        properties.set(key::BUCKETS, self.buckets.to_string());
        properties.set(key::BUCKET_HASH_FIELD, self.hash_fields.join(","));
        // Spark's procedures take the index from here and need the key columns beside it.
        properties.set("hoodie.datasource.write.recordkey.field", record_key_fields.join(","));
    }
}

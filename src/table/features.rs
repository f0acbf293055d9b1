//! Which features of a table Lakebed reads and writes, and which it refuses by name.

use lakebed_hudi::table_config::{MergeMode, TableConfig, TableVersion, key};

/// A feature of a table that Lakebed does not support.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("table {table}: {feature} is not supported; {advice}")]
pub struct Refusal {
    /// The table's name.
    pub table: String,
    /// The feature, with the property that asks for it.
    pub feature: String,
    /// What to do next.
    pub advice: &'static str,
}

/// Refuses tables that Lakebed reads and does not write. What a job may state for a table (its
/// metadata table, zone and buckets) is checked by who opens it for writing.
pub fn check_writable(config: &TableConfig) -> Result<(), Refusal> {
    let refuse = |feature: String, advice| Err(Refusal { table: config.name.clone(), feature, advice });
    if config.version == TableVersion::Six {
        return refuse(
            "writing to table version 6".to_owned(),
            "upgrade the table with a Hudi 1.x writer first",
        );
    }
    if config.flag(key::CDC, false) {
        return refuse(
            format!("{}=true", key::CDC),
            "write it with Spark or Flink, or turn change data capture off",
        );
    }
    if config.properties.get(key::BUCKET_ENGINE) == Some("CONSISTENT_HASHING") {
        return refuse(
            format!("{}=CONSISTENT_HASHING", key::BUCKET_ENGINE),
            "write it with Spark or Flink, or rewrite it with a simple bucket index",
        );
    }
    if let Some(rules) = config.properties.get(key::BUCKET_EXPRESSIONS) {
        return refuse(
            format!("{}={rules}", key::BUCKET_EXPRESSIONS),
            "write it with Spark or Flink, or rewrite it with one number of buckets",
        );
    }
    if config.bucket_index.is_some() && config.record_key.is_none() {
        return refuse(
            format!("a bucket index without a record key ({} is not set)", key::RECORD_KEY_FIELDS),
            "write it with the engine that made it, or rewrite it with a record key",
        );
    }
    if config.ambiguous_record_key {
        return refuse(
            "a COMPLEX key generator with one column before table version 9".to_owned(),
            "its record keys are spelled in one of two ways; upgrade the table with a Hudi 1.1+ writer first",
        );
    }
    Ok(())
}

/// Refuses tables that cannot be read without a JVM.
pub fn check_readable(config: &TableConfig) -> Result<(), Refusal> {
    let refuse = |feature: String, advice| Err(Refusal { table: config.name.clone(), feature, advice });
    if let MergeMode::Custom(class) = &config.merge_mode {
        return refuse(
            format!("merging by {class}"),
            "read it with Spark or Flink, or move it to a standard merge mode",
        );
    }
    if !config.flag(key::POPULATE_META_FIELDS, true) {
        return refuse(format!("{}=false", key::POPULATE_META_FIELDS), "read it with Spark or Flink");
    }
    if config.flag(key::DROP_PARTITION_COLUMNS, false) {
        return refuse(format!("{}=true", key::DROP_PARTITION_COLUMNS), "read it with Spark or Flink");
    }
    if let Some(path) = config.properties.get(key::BOOTSTRAP_PATH) {
        return refuse(format!("a bootstrapped table ({path})"), "rewrite it with Spark first");
    }
    match config.properties.get(key::BASE_FILE_FORMAT) {
        None | Some("PARQUET") => Ok(()),
        Some(format) => refuse(format!("base files of format {format}"), "read it with Spark or Flink"),
    }
}

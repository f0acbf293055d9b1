//! Which features of a table Lakebed reads and writes, and which it refuses by name.

use lakebed_hudi::table_config::{MergeMode, TableConfig, key};

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

/// Refuses tables that cannot be read without a JVM.
pub(super) fn check_readable(config: &TableConfig) -> Result<(), Refusal> {
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

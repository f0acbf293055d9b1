//! What other engines must be told to write to a table next to Lakebed.

use lakebed_hudi::table_config::{DeclaredZone, TableConfig, key};

use crate::storage::Scheme;
use crate::storage::lock::hudi_provider;

/// An engine that writes Hudi tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Spark with Hudi's bundle; options of a DataFrame write or of a session.
    Spark,
    /// Flink with Hudi's bundle; options of a table.
    Flink,
}

/// The options with which `engine` can write to the table while Lakebed does, in the order of
/// their weight. What the table's own properties say is not repeated, but for what Hudi's writers
/// do not take from there.
///
/// Source: `HoodieWriteConfig`, `HoodieIndexConfig`, `HoodieLockConfig`, `FlinkOptions`, Hudi 1.2.0.
pub fn writer_options(config: &TableConfig, scheme: Scheme, engine: Engine) -> Vec<(&'static str, String)> {
    let mut options = identity(config, engine);
    if config.record_key.is_none() {
        let name =
            if engine == Engine::Flink { "write.operation" } else { "hoodie.datasource.write.operation" };
        options.push((name, "insert".to_owned()));
    }
    if let Some(index) = &config.bucket_index {
        options.extend([
            (if engine == Engine::Flink { "index.type" } else { key::INDEX_TYPE }, "BUCKET".to_owned()),
            (key::BUCKET_ENGINE, "SIMPLE".to_owned()),
            (key::BUCKETS, index.buckets.to_string()),
            (key::BUCKET_HASH_FIELD, index.hash_fields.join(",")),
        ]);
    }
    let metadata = if engine == Engine::Flink { "metadata.enabled" } else { "hoodie.metadata.enable" };
    options.extend([
        ("hoodie.write.concurrency.mode", "OPTIMISTIC_CONCURRENCY_CONTROL".to_owned()),
        ("hoodie.write.lock.provider", hudi_provider(scheme).to_owned()),
        ("hoodie.clean.failed.writes.policy", "LAZY".to_owned()),
        (metadata, "false".to_owned()),
        ("hoodie.write.auto.upgrade", "false".to_owned()),
        ("hoodie.write.table.version", config.version.to_string()),
    ]);
    if config.zone == DeclaredZone::Utc {
        options.push((key::TIMEZONE, "UTC".to_owned()));
    }
    options
}

/// Which table it is, and how rows find their place in it.
fn identity(config: &TableConfig, engine: Engine) -> Vec<(&'static str, String)> {
    let property =
        |key: &str| config.properties.get(key).filter(|value| !value.is_empty()).map(str::to_owned);
    let partitioned = !config.partition_path.parts.is_empty();
    let spark = engine == Engine::Spark;
    let mut options = vec![
        ("hoodie.table.name", config.name.clone()),
        (
            if spark { "hoodie.datasource.write.table.type" } else { "table.type" },
            config.table_type.as_str().to_owned(),
        ),
    ];
    if let Some(keys) = property(key::RECORD_KEY_FIELDS) {
        options.push(("hoodie.datasource.write.recordkey.field", keys));
    }
    if let Some(fields) = property(key::PARTITION_FIELDS).filter(|_| partitioned) {
        options.push(("hoodie.datasource.write.partitionpath.field", fields));
    }
    if !partitioned {
        let class = "org.apache.hudi.keygen.NonpartitionedKeyGenerator";
        options.push(("hoodie.datasource.write.keygenerator.class", class.to_owned()));
    }
    if !config.ordering_fields.is_empty() {
        let name = if spark { key::ORDERING_FIELDS } else { "ordering.fields" };
        options.push((name, config.ordering_fields.join(",")));
    }
    options.push((key::HIVE_STYLE, config.partition_path.hive_style.to_string()));
    options.push((key::URL_ENCODE, config.partition_path.url_encode.to_string()));
    if config.partition_path.slash_separated_dates {
        options.push((key::SLASH_DATES, "true".to_owned()));
    }
    options
}

//! Tables whose columns have a history of their own, which neither readers nor writers here follow.

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::TableConfig;
use lakebed_hudi::timeline_metadata::CommitMetadata;

use super::{Refusal, Table, TableError};
use crate::storage::TablePath;

/// What schema-on-read leaves behind: an entry of commits, and files in a folder.
const LATEST_SCHEMA: &str = "latest_schema";
const FOLDER: &str = ".hoodie/.schema";
const SCHEMA_COMMIT: &str = ".schemacommit";

/// Refuses a table with files of such a history.
///
/// Source: `FileBasedInternalSchemaStorageManager`.
pub(crate) async fn check_files(table: &Table) -> Result<(), TableError> {
    let files = table.storage.list(&TablePath::literal(FOLDER)).await?.files;
    match files.iter().find(|file| file.path.file_name().ends_with(SCHEMA_COMMIT)) {
        Some(file) => Err(refusal(&table.config, file.path.as_str()).into()),
        None => Ok(()),
    }
}

/// Refuses a table of which a commit has such a history.
///
/// Source: `SerDeHelper.LATEST_SCHEMA`.
pub(crate) fn check_commit(
    config: &TableConfig,
    instant: InstantTime,
    metadata: &CommitMetadata,
) -> Result<(), Refusal> {
    match metadata.extra_metadata.get(LATEST_SCHEMA).is_some_and(|schema| !schema.is_empty()) {
        true => Err(refusal(config, &format!("{LATEST_SCHEMA} in the commit of {instant}"))),
        false => Ok(()),
    }
}

fn refusal(config: &TableConfig, found: &str) -> Refusal {
    Refusal {
        table: config.name.clone(),
        feature: format!("a history of schemas ({found}), written with hoodie.schema.on.read.enable,"),
        advice: "read it with Spark, or rewrite it there without schema-on-read",
    }
}

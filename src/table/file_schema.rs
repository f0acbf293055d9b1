//! The schema that a table's files say, where no commit does.

use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::log_file::{BlockCheck, ScannedBlock};
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::timeline_metadata::CommitMetadata;

use super::data_file::{ByteSource, FooterParts, load_footer};
use super::log_outline::{KeptHeaders, scan_log};
use super::{Table, TableError};
use crate::storage::{StorageError, TablePath};

const AVRO_SCHEMA: &str = "parquet.avro.schema";

/// The schema of the first file that `commit` wrote and that is still there.
///
/// Source: `TableSchemaResolver.getTableAvroSchemaFromDataFile`.
pub(super) async fn of_commit(
    table: &Table,
    commit: &CommitMetadata,
) -> Result<Option<TableSchema>, TableError> {
    for (_, stat) in commit.write_stats() {
        let Some(path) = &stat.path else { continue };
        let path: TablePath = path.parse()?;
        let Some(name) = DataFileName::parse(path.file_name()) else { continue };
        let size = match table.storage.stat(&path).await {
            Ok(entry) => entry.size,
            // The cleaner was here.
            Err(StorageError::NotFound { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let source = ByteSource::file(table.storage.clone(), path, size);
        let schema = match name {
            DataFileName::Base(_) => Some(of_base_file(table, &source).await?),
            DataFileName::Log(name) if name.cdc => None,
            DataFileName::Log(_) => of_log_file(table, &source).await?,
        };
        if schema.is_some() {
            return Ok(schema);
        }
    }
    Ok(None)
}

async fn of_base_file(table: &Table, source: &ByteSource) -> Result<TableSchema, TableError> {
    let footer = load_footer(source, FooterParts::Footer).await?;
    let entries = footer.metadata().file_metadata().key_value_metadata().into_iter().flatten();
    let avro = entries.filter(|entry| entry.key == AVRO_SCHEMA).find_map(|entry| entry.value.as_deref());
    Ok(match avro {
        Some(avro) => TableSchema::from_avro(avro)?,
        None => TableSchema::from_arrow(footer.schema(), &table.config.name)?,
    })
}

async fn of_log_file(table: &Table, source: &ByteSource) -> Result<Option<TableSchema>, TableError> {
    let check = BlockCheck::of_scheme(table.storage.uri().scheme().as_str());
    let blocks = scan_log(source, check, &KeptHeaders::default()).await?;
    let mut schemas = blocks.iter().filter_map(|found| match found {
        ScannedBlock::Block(block) if block.kind.is_data() && !block.header.is_partial => {
            block.header.schema.as_deref()
        }
        _ => None,
    });
    Ok(schemas.next_back().map(TableSchema::from_avro).transpose()?)
}

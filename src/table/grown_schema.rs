//! Columns that a write adds to a table.

use lakebed_hudi::schema::{TableSchema, sql_type};
use lakebed_hudi::table_config::TableConfig;

use super::{Refusal, TableError};

/// The table's columns, with those that `added` has more and of the wider type where the two differ.
///
/// # Errors
/// What [`TableSchema::superset`] refuses; another type of a column of the record key, the partition
/// path or the ordering. The texts of keys and folders are made of it, and of deletes that were written
/// with another class of ordering value Spark could not read the file group any more.
pub(crate) fn grown_schema(
    config: &TableConfig,
    table: &TableSchema,
    added: &TableSchema,
) -> Result<TableSchema, TableError> {
    let keys = config.record_key.iter().flat_map(|rule| rule.columns());
    let partitions = config.partition_path.parts.iter().map(|part| &part.column);
    for column in keys.chain(partitions).chain(&config.ordering_fields) {
        let of = |schema: &TableSchema| {
            schema.arrow().field_with_name(column).ok().map(|field| field.data_type().clone())
        };
        if let (Some(old), Some(new)) = (of(table), of(added))
            && old != new
        {
            return Err(Refusal {
                table: config.name.clone(),
                feature: format!(
                    "column {column:?} as {} where it is {}",
                    sql_type(&new),
                    sql_type(&old)
                ),
                advice: "keys, partition paths and deletes are made of its values; leave its type, or rewrite the table",
            }
            .into());
        }
    }
    Ok(table.superset(added)?)
}

//! Columns that a write adds to a table.

use arrow::array::RecordBatch;
use lakebed_hudi::schema::{TableSchema, sql_type};
use lakebed_hudi::table_config::TableConfig;
use lakebed_hudi::value_text::find_column;

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
        let of = |schema: &TableSchema| find_column(&RecordBatch::new_empty(schema.arrow().clone()), column);
        if let (Some(old), Some(new)) = (of(table), of(added))
            && let (old, new) = (old.data_type(), new.data_type())
            && old != new
        {
            return Err(Refusal {
                table: config.name.clone(),
                feature: format!("column {column:?} as {} where it is {}", sql_type(new), sql_type(old)),
                advice: "keys, partition paths and deletes are made of its values; leave its type, or rewrite the table",
            }
            .into());
        }
    }
    Ok(table.superset(added)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use lakebed_hudi::properties::Properties;

    use super::*;

    /// A table whose only column is a struct of these fields.
    fn nested(fields: &[(&str, DataType)]) -> TableSchema {
        let fields = fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
        let column = Field::new("a", DataType::Struct(fields.collect()), true);
        TableSchema::from_arrow(&Arc::new(Schema::new(vec![column])), "t").unwrap()
    }

    #[test]
    fn a_field_that_is_a_key_keeps_its_type_and_others_may_come_beside_it() {
        let text = "hoodie.table.name=t\nhoodie.table.version=9\nhoodie.table.recordkey.fields=a.id\n";
        let config = TableConfig::from_properties(Properties::parse(text.as_bytes()).unwrap()).unwrap();
        let table = nested(&[("id", DataType::Int32), ("n", DataType::Int32)]);
        let grown = nested(&[("id", DataType::Int32), ("n", DataType::Int64), ("m", DataType::Utf8)]);
        assert_eq!(grown_schema(&config, &table, &grown).unwrap(), grown);
        let other = nested(&[("id", DataType::Int64), ("n", DataType::Int32)]);
        let error = grown_schema(&config, &table, &other).unwrap_err().to_string();
        assert!(error.contains("\"a.id\" as bigint where it is int"), "{error}");
    }
}

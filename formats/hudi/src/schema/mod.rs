//! The schema of a table: Avro JSON on the timeline and in blocks, Arrow in memory.

mod from_arrow;
mod from_avro;
mod merge;
mod sql_type;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use serde_json::{Value, json};

use crate::base_file::{META_COLUMNS, OPERATION};

pub use from_avro::arrow_of_avro;
pub use sql_type::sql_type;

/// The name of list elements in Arrow and Parquet: the three-level form `list.element`.
pub const LIST_ELEMENT: &str = "element";

/// Why a schema cannot be a table's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Not JSON, or not a record.
    #[error("avro schema is broken: {what}")]
    Broken {
        /// What was found instead.
        what: String,
    },
    /// A type that has no counterpart.
    #[error("column {column:?} has type {found}, which {why}")]
    Type {
        /// The column, nested fields joined by `.`.
        column: String,
        /// The type found.
        found: String,
        /// Why it cannot be.
        why: &'static str,
    },
    /// A name that Avro does not allow.
    #[error(
        "column name {name:?} is not allowed: Hudi needs letters, digits and '_', not starting with a digit"
    )]
    Name {
        /// The name found.
        name: String,
    },
    /// Two columns of one name.
    #[error("column {name:?} is there twice: names must differ in more than upper and lower case")]
    Duplicate {
        /// The name found twice.
        name: String,
    },
    /// A column that changes its type in a way that old files cannot follow.
    #[error(
        "column {column:?} is {table} in the table and {found} in the new schema: neither widens to the other"
    )]
    Incompatible {
        /// The column, nested fields joined by `.`.
        column: String,
        /// Its type in the table.
        table: String,
        /// Its type in the other schema.
        found: String,
    },
    /// A required column that older rows do not have.
    #[error("new column {column:?} must be nullable: rows written before have no value for it")]
    RequiredAddition {
        /// The new column.
        column: String,
    },
}

/// The columns of a table without Hudi's meta columns.
///
/// Keeps the Avro text it was read from, so that publishing a schema that did not change
/// publishes the same bytes.
///
/// Source: `TableSchemaResolver`, extra metadata `schema` of a commit.
#[derive(Debug, Clone)]
pub struct TableSchema {
    avro: Value,
    arrow: SchemaRef,
}

impl PartialEq for TableSchema {
    fn eq(&self, other: &Self) -> bool {
        self.arrow == other.arrow
    }
}

impl TableSchema {
    /// Reads an Avro record, with or without meta columns; they are dropped.
    ///
    /// # Errors
    /// Text that is no record, or types that no Hudi table has.
    pub fn from_avro(text: &str) -> Result<Self, SchemaError> {
        let mut avro: Value =
            serde_json::from_str(text).map_err(|error| SchemaError::Broken { what: error.to_string() })?;
        if let Some(fields) = avro.get_mut("fields").and_then(Value::as_array_mut) {
            fields.retain(|field| !field.get("name").and_then(Value::as_str).is_some_and(is_meta_column));
        }
        let arrow = Arc::new(from_avro::record(&avro)?);
        check_names(arrow.fields())?;
        Ok(Self { avro, arrow })
    }

    /// The schema of rows of `schema` in the table `table_name`; meta columns are dropped and
    /// types are brought to those that Hudi knows (for example 16-bit integers to 32).
    ///
    /// # Errors
    /// Types that no Hudi table has, and names that Avro does not allow.
    pub fn from_arrow(schema: &Schema, table_name: &str) -> Result<Self, SchemaError> {
        let fields: Vec<Field> = schema
            .fields()
            .iter()
            .filter(|field| !is_meta_column(field.name()))
            .map(|field| from_arrow::canonical_field(field))
            .collect::<Result<_, _>>()?;
        let arrow = Schema::new(fields);
        check_names(arrow.fields())?;
        let name = sanitize(table_name);
        let avro = from_arrow::record(arrow.fields(), &format!("{name}_record"), &format!("hoodie.{name}"))?;
        Ok(Self { avro, arrow: Arc::new(arrow) })
    }

    /// The columns in table order.
    pub fn arrow(&self) -> &SchemaRef {
        &self.arrow
    }

    /// The columns in table order, after the five meta columns.
    pub fn arrow_with_meta(&self) -> SchemaRef {
        let meta = META_COLUMNS.iter().map(|name| Arc::new(Field::new(*name, DataType::Utf8, true)));
        let fields: Vec<_> = meta.chain(self.arrow.fields().iter().cloned()).collect();
        Arc::new(Schema::new(fields))
    }

    /// The Avro text that goes into a commit's extra metadata.
    pub fn to_avro(&self) -> String {
        self.avro.to_string()
    }

    /// The Avro text of base file footers and log blocks: meta columns first.
    pub fn to_avro_with_meta(&self) -> String {
        let mut avro = self.avro.clone();
        if let Some(fields) = avro.get_mut("fields").and_then(Value::as_array_mut) {
            let meta = META_COLUMNS
                .iter()
                .map(|name| json!({ "name": name, "type": ["null", "string"], "doc": "", "default": null }));
            fields.splice(0..0, meta);
        }
        avro.to_string()
    }

    /// The smallest schema that both this one and `other` fit into: this one's columns, widened
    /// where `other`'s are wider, then the columns that only `other` has.
    ///
    /// # Errors
    /// A column of two types of which neither widens to the other, or a required new column.
    pub fn superset(&self, other: &Self) -> Result<Self, SchemaError> {
        merge::superset(self, other)
    }
}

/// Whether `name` is one of the columns that Hudi itself puts before the user's.
pub fn is_meta_column(name: &str) -> bool {
    META_COLUMNS.contains(&name) || name == OPERATION
}

/// A table name as it stands in Avro names.
///
/// Source: `HoodieAvroUtils.sanitizeName`.
fn sanitize(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        let allowed = c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit());
        if allowed {
            out.push(c);
        } else {
            out.push_str("__");
        }
    }
    out
}

fn check_names(fields: &Fields) -> Result<(), SchemaError> {
    let mut seen = std::collections::HashSet::new();
    for field in fields {
        if sanitize(field.name()) != *field.name() || field.name().is_empty() {
            return Err(SchemaError::Name { name: field.name().clone() });
        }
        if !seen.insert(field.name().to_lowercase()) {
            return Err(SchemaError::Duplicate { name: field.name().clone() });
        }
        check_names_within(field.data_type())?;
    }
    Ok(())
}

fn check_names_within(data_type: &DataType) -> Result<(), SchemaError> {
    match data_type {
        DataType::Struct(fields) => check_names(fields),
        DataType::List(inner) | DataType::Map(inner, _) => check_names_within(inner.data_type()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

//! The Avro schema of rows, checked and written anew for the decoder.
//!
//! A schema is bytes from outside: a short text can stand for billions of columns, name itself,
//! or make a row of no bytes. What is left after this module is a tree of bounded size without
//! references, and holds only the attributes that decide how bytes become columns.

mod expansion;

use serde_json::{Value, json};

use super::shape::Shape;
use expansion::{Column, Expansion};

const SCHEMA_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a schema is not one that rows can be read by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AvroSchemaError {
    /// The text is no JSON.
    #[error("the schema is no JSON: {reason}")]
    Json {
        /// What the parser says.
        reason: String,
    },
    /// A part of the schema that Avro does not know.
    #[error("the schema is wrong at {at}: expected {expected}, found {found}")]
    Shape {
        /// The column, its parts joined by dots.
        at: String,
        /// What was expected.
        expected: &'static str,
        /// The part found, or its beginning.
        found: String,
    },
    /// More than any table has.
    #[error("the schema has too many {what}: the limit is {max}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        max: usize,
    },
}

/// A record schema whose columns can be picked.
#[derive(Debug, Clone)]
pub(crate) struct RowSchema {
    columns: Vec<Column>,
}

/// Whose rows are read: what types there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// A table: unions are of null and one type, decimals have at most 38 digits.
    #[default]
    Table,
    /// Anyone: all unions, which become columns of unions, and decimals of up to 76 digits.
    Input,
}

impl RowSchema {
    /// Reads and checks a schema.
    pub(crate) fn parse(text: &str, origin: Origin) -> Result<Self, AvroSchemaError> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(AvroSchemaError::TooLarge { what: "bytes", max: SCHEMA_BYTES_MAX });
        }
        let schema: Value = serde_json::from_str(text).map_err(|error| AvroSchemaError::Json {
            reason: error.to_string().chars().take(200).collect(),
        })?;
        let mut expansion = Expansion::of(origin);
        let Some("record") = schema.get("type").and_then(Value::as_str) else {
            return Err(expansion.wrong("a record", &schema));
        };
        let (_, columns) = expansion.columns(&schema, "")?;
        if columns.iter().all(|column| column.part.bytes_min == 0) {
            return Err(expansion.wrong("a column that takes bytes", &schema));
        }
        Ok(Self { columns })
    }

    /// The columns of `names` in the order of the schema.
    pub(super) fn project(&self, names: &[&str]) -> Self {
        let keep = |column: &&Column| names.contains(&column.name.as_str());
        Self { columns: self.columns.iter().filter(keep).cloned().collect() }
    }

    /// The forms of all columns, and whether they are of `names`; all are for `None`.
    pub(super) fn shapes(self, names: Option<&[&str]>) -> Vec<(Shape, bool)> {
        let keep = |name: &str| names.is_none_or(|names| names.contains(&name));
        self.columns.into_iter().map(|column| (column.part.shape, keep(&column.name))).collect()
    }

    /// The schema as the decoder takes it.
    pub(crate) fn to_json(&self) -> String {
        let fields: Vec<_> =
            self.columns.iter().map(|c| json!({"name": c.name, "type": c.part.json})).collect();
        json!({"type": "record", "name": "block", "fields": fields}).to_string()
    }

    /// The fewest bytes that a row takes in Avro, at least one.
    pub(super) fn bytes_min(&self) -> u64 {
        self.columns.iter().fold(0, |sum, column| column.part.bytes_min.saturating_add(sum))
    }
}

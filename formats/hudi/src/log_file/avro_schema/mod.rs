//! The Avro schema of a block, checked and written anew for the decoder.
//!
//! A schema is bytes from outside: a short text can stand for billions of columns, name itself,
//! or make a row of no bytes. What is left after this module is a tree of bounded size without
//! references, and holds only the attributes that decide how bytes become columns.

mod expansion;

use serde_json::{Value, json};

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
pub(super) struct BlockSchema {
    columns: Vec<Column>,
}

impl BlockSchema {
    /// Reads and checks a schema.
    pub(super) fn parse(text: &str) -> Result<Self, AvroSchemaError> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(AvroSchemaError::TooLarge { what: "bytes", max: SCHEMA_BYTES_MAX });
        }
        let schema: Value = serde_json::from_str(text).map_err(|error| AvroSchemaError::Json {
            reason: error.to_string().chars().take(200).collect(),
        })?;
        let mut expansion = Expansion::default();
        let Some("record") = schema.get("type").and_then(Value::as_str) else {
            return Err(expansion.wrong("a record", &schema));
        };
        let (_, _, namespace) = expansion.full_name(&schema, "")?;
        let columns = expansion.fields(&schema, &namespace)?;
        if columns.iter().all(|column| column.part.bytes_min == 0) {
            return Err(expansion.wrong("a column that takes bytes", &schema));
        }
        Ok(Self { columns })
    }

    /// The columns of `names` in the order of the schema; all of them for `None`.
    pub(super) fn project(&self, names: Option<&[&str]>) -> Self {
        let keep = |column: &&Column| names.is_none_or(|names| names.contains(&column.name.as_str()));
        Self { columns: self.columns.iter().filter(keep).cloned().collect() }
    }

    /// The schema as the decoder takes it.
    pub(super) fn to_json(&self) -> String {
        let fields: Vec<_> =
            self.columns.iter().map(|c| json!({"name": c.name, "type": c.part.json})).collect();
        json!({"type": "record", "name": "block", "fields": fields}).to_string()
    }

    /// A guess at the memory of a row of nulls, which takes hardly any bytes in Avro.
    pub(super) fn row_bytes(&self) -> u64 {
        self.columns.iter().map(|c| c.part.fixed_bytes + 16 * c.part.columns as u64).sum()
    }
}

//! Records with their places, and those that are bad.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

/// The longest value or record that is kept for a report.
const EXCERPT_BYTES: usize = 4096;

/// The longest text of an input that the line of an error carries.
const BRIEF_BYTES: usize = 200;

/// The place of a record in an input, or of the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// Records before it.
    pub record: u64,
    /// Lines before it, in text.
    pub line: u64,
    /// Bytes of plain text before it.
    pub byte: u64,
}

/// A record that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRecord {
    /// The file, or `standard input`.
    pub input: Arc<str>,
    /// The record, from 0.
    pub record: u64,
    /// Its first line, from 1, where the input has lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The column, where one is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The value, cut to a bounded length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is wrong.
    pub reason: String,
    /// The record as it stood in the input (in JSON, where that is no text), cut to a bounded length.
    pub raw: String,
}

impl std::fmt::Display for BadRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.input)?,
            None => write!(f, "{} record {}", self.input, self.record)?,
        }
        if let Some(column) = &self.column {
            write!(f, ", column {:?}", brief(column))?;
        }
        if let Some(value) = &self.value {
            write!(f, ", value {:?}", brief(value))?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// What is wrong with a record, before it has a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The column, where one is to blame.
    pub column: Option<String>,
    /// The value.
    pub value: Option<String>,
    /// Why.
    pub reason: String,
}

impl Fault {
    pub(crate) fn of_record(reason: impl Into<String>) -> Self {
        Self { column: None, value: None, reason: reason.into() }
    }

    pub(crate) fn of_value(column: &str, value: &str, reason: impl Into<String>) -> Self {
        Self { column: Some(column.to_owned()), value: Some(excerpt(value)), reason: reason.into() }
    }
}

/// The good records of a chunk as rows, and the bad ones.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The good records.
    pub rows: RecordBatch,
    /// The record of each row, counted within the chunk; `None` if all are good.
    pub records: Option<Vec<u32>>,
    /// The bad records, by their number within the chunk, in order.
    pub bad: Vec<(u32, BadRecord)>,
}

impl Decoded {
    /// The record, within the chunk, that became `row`.
    pub fn record_of(&self, row: usize) -> u32 {
        let same = u32::try_from(row).unwrap_or(u32::MAX);
        self.records.as_ref().map_or(same, |records| records.get(row).copied().unwrap_or(same))
    }
}

/// The columns that are asked of an input, by the names that the input has for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The columns.
    pub columns: Vec<WantedColumn>,
    /// Whether the input may have others; they are skipped.
    pub unknown_allowed: bool,
}

/// A column that is asked of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedColumn {
    /// Its name in the input.
    pub name: String,
    /// The type to decode text to; inputs with types keep theirs.
    pub data_type: DataType,
    /// Whether an input without it is refused.
    pub required: bool,
}

impl Wanted {
    /// The columns as a schema; values may be null throughout.
    pub fn schema(&self) -> SchemaRef {
        let fields: Vec<Field> =
            self.columns.iter().map(|c| Field::new(&c.name, c.data_type.clone(), true)).collect();
        Arc::new(Schema::new(fields))
    }

    /// The column called `name`.
    pub fn column(&self, name: &str) -> Option<&WantedColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Checks the columns that an input has: none unknown, none missing.
    pub(super) fn check(&self, found: &[String]) -> Result<(), super::DecodeProblem> {
        if let Some(missing) = self.columns.iter().find(|c| c.required && !found.contains(&c.name)) {
            return Err(super::DecodeProblem::MissingColumn {
                column: missing.name.clone(),
                found: found.to_vec(),
            });
        }
        match found.iter().find(|name| self.column(name).is_none()) {
            Some(unknown) if !self.unknown_allowed => Err(super::DecodeProblem::UnknownColumn {
                column: unknown.clone(),
                known: self.columns.iter().map(|c| c.name.clone()).collect(),
            }),
            _ => Ok(()),
        }
    }
}

/// The start of `text`, for a report.
pub(crate) fn excerpt(text: &str) -> String {
    start_of(text, EXCERPT_BYTES)
}

/// The start of `text`, for the line of an error.
pub(in crate::ingest) fn brief(text: &str) -> String {
    start_of(text, BRIEF_BYTES)
}

fn start_of(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes);
    format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len())
}

/// Whether a name holds what parts fields in some CSV files.
pub(in crate::ingest) fn has_delimiter(name: &str) -> bool {
    name.contains(['\t', ';', '|', ','])
}

pub(super) fn near_match_note(name: &str, known: &[String]) -> String {
    match crate::near_match::near_match(&brief(name), known.iter().map(String::as_str)) {
        Some(near) => format!(" (did you mean {:?}?)", brief(near)),
        None => String::new(),
    }
}

//! The engines that a table's owner reads with, and what they cannot read rightly.

use std::fmt;
use std::str::FromStr;

use arrow::datatypes::{DataType, Schema};
use lakebed_hudi::table_config::{NewTable, PartialUpdateMode, TableConfig, TableType, key};

use super::NewTableError;
use crate::near_match::near_match;

/// An engine that reads Hudi tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Spark with Hudi's bundle.
    Spark,
    /// Flink with Hudi's bundle.
    Flink,
    /// Trino's Hudi connector.
    Trino,
    /// The Rust and Python library.
    HudiRs,
}

impl Reader {
    /// Every reader.
    pub const ALL: [Self; 4] = [Self::Spark, Self::Flink, Self::Trino, Self::HudiRs];

    /// The name in `lakebed.readers`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spark => "spark",
            Self::Flink => "flink",
            Self::Trino => "trino",
            Self::HudiRs => "hudi-rs",
        }
    }

    /// What was tried with tables that Lakebed writes.
    pub fn tested(self) -> &'static str {
        match self {
            Self::Spark => "tested with Spark 3.5 and Hudi 1.2.0",
            Self::Flink | Self::Trino => "not tested",
            Self::HudiRs => "tested with hudi-core 0.6.0-rc.1",
        }
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Reader {
    type Err = NewTableError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|reader| reader.as_str() == text).ok_or_else(|| {
            NewTableError::UnknownReader {
                reader: text.chars().take(100).collect(),
                near: near_match(text, Self::ALL.map(Self::as_str)).map(str::to_owned),
            }
        })
    }
}

/// What decides beside its columns on who reads a table rightly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traits<'a> {
    table_type: TableType,
    has_keys: bool,
    ordering_fields: &'a [String],
    partial_update: Option<&'a PartialUpdateMode>,
}

impl<'a> From<&'a NewTable> for Traits<'a> {
    fn from(new: &'a NewTable) -> Self {
        Self {
            table_type: new.table_type,
            has_keys: !new.record_key_fields.is_empty(),
            ordering_fields: &new.ordering_fields,
            partial_update: new.partial_update.as_ref(),
        }
    }
}

impl<'a> From<&'a TableConfig> for Traits<'a> {
    fn from(config: &'a TableConfig) -> Self {
        Self {
            table_type: config.table_type,
            has_keys: config.record_key.is_some(),
            ordering_fields: &config.ordering_fields,
            partial_update: config.partial_update.as_ref(),
        }
    }
}

/// Refuses to write columns of `schema` to a table that declares a reader which would misread them.
/// Of readers that are not known here nothing is known to be misread.
///
/// # Errors
/// [`NewTableError::Misread`].
pub fn check_readers(config: &TableConfig, schema: &Schema) -> Result<(), NewTableError> {
    let declared = config.properties.get(key::READERS).unwrap_or_default().split(',');
    for reader in declared.filter_map(|name| name.trim().parse().ok()) {
        check_reader(reader, schema, config.into(), &mut Vec::new())?;
    }
    Ok(())
}

/// What a declared reader cannot read rightly: of hudi-rs, what hudi-core 0.6.0-rc.1 was found to.
pub(super) fn check_reader(
    reader: Reader,
    schema: &Schema,
    table: Traits<'_>,
    notes: &mut Vec<String>,
) -> Result<(), NewTableError> {
    if reader != Reader::Spark {
        notes.push(format!("reader {reader}: {}", reader.tested()));
    }
    if reader != Reader::HudiRs {
        return Ok(());
    }
    let misread = |why: String, advice| Err(NewTableError::Misread { reader, why, advice });
    if table.ordering_fields.len() > 1 {
        return misread("it refuses tables with several ordering columns".into(), "order by one column");
    }
    if table.table_type == TableType::CopyOnWrite || !table.has_keys {
        return Ok(());
    }
    if let Some(PartialUpdateMode::FillUnavailable { .. }) = table.partial_update {
        let why = "it takes the marker of fill_unavailable in log files for a value";
        return misread(why.into(), "use ignore_defaults or a copy-on-write table");
    }
    let is_nested = |data_type: &DataType| data_type.is_nested() && has_instants(data_type);
    let Some(nested) = schema.fields().iter().find(|field| is_nested(field.data_type())) else {
        return Ok(());
    };
    let why = format!("it refuses the timestamps inside of column {:?} in Avro log blocks", nested.name());
    match table.ordering_fields.first() {
        Some(column) if is_text(schema, column) => misread(
            format!("{why}, which Lakebed writes where text orders rows"),
            "order by another type or use a copy-on-write table",
        ),
        _ => {
            notes.push(format!("reader {reader}: {why}, which Spark writes unless told otherwise"));
            Ok(())
        }
    }
}

/// Whether values have points in time in them, which are timestamps with a zone.
fn has_instants(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(_, zone) => zone.is_some(),
        DataType::List(item) | DataType::Map(item, _) => has_instants(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_instants(field.data_type())),
        _ => false,
    }
}

/// Whether a column is text.
pub(super) fn is_text(schema: &Schema, column: &str) -> bool {
    schema.field_with_name(column).is_ok_and(|field| *field.data_type() == DataType::Utf8)
}

//! A column of a table, as commands show it.

use lakebed_hudi::schema::{TableSchema, sql_type};
use serde::Serialize;

/// A column of a table.
#[derive(Debug, Serialize)]
pub(super) struct Column {
    name: String,
    data_type: String,
    nullable: bool,
}

impl Column {
    pub(super) const HEADING: [&str; 3] = ["COLUMN", "TYPE", ""];

    /// The columns of a table, in their order.
    pub(super) fn all(schema: &TableSchema) -> Vec<Self> {
        let fields = schema.arrow().fields().iter();
        let columns = fields.map(|field| Self {
            name: field.name().clone(),
            data_type: sql_type(field.data_type()),
            nullable: field.is_nullable(),
        });
        columns.collect()
    }

    pub(super) fn row(&self) -> Vec<String> {
        let null = if self.nullable { "" } else { "required" };
        vec![self.name.clone(), self.data_type.clone(), null.to_owned()]
    }
}

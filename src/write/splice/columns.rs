//! The columns of a base file, and what each is to a merge.

use std::ops::Range;

use arrow::datatypes::{Field, Schema, SchemaRef};
use lakebed_hudi::base_file::{FILE_NAME, PARTITION_PATH, RECORD_KEY};
use std::sync::Arc;

use crate::merge::MergeColumns;
use crate::read::BaseChunks;

/// What a column is to a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Another one in each file.
    FileName,
    /// The same in all rows of a group.
    PartitionPath,
    /// Never another one in a row that stays.
    RecordKey,
    /// A column of the merge's output, by number.
    Merged(usize),
}

/// A column of a base file.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) role: Role,
    /// Its leaves in Parquet.
    pub(super) leaves: Range<usize>,
    /// The column alone.
    pub(super) schema: SchemaRef,
}

/// The columns of a base file, in their order.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) columns: Vec<Column>,
    pub(super) file_name_leaf: Option<usize>,
    pub(super) key_leaf: Option<usize>,
}

impl Columns {
    /// Of a file that has the table's columns.
    pub(super) fn of(chunks: &BaseChunks, merged: &MergeColumns) -> Self {
        let output = merged.output_schema();
        let descriptor = chunks.metadata().file_metadata().schema_descr_ptr();
        let mut leaf = 0;
        let column = |(root, field): (usize, &Arc<Field>)| {
            let from = leaf;
            while leaf < descriptor.num_columns() && descriptor.get_column_root_idx(leaf) == root {
                leaf += 1;
            }
            let role = match field.name().as_str() {
                FILE_NAME => Role::FileName,
                PARTITION_PATH => Role::PartitionPath,
                RECORD_KEY => Role::RecordKey,
                name => Role::Merged(output.index_of(name).unwrap_or(usize::MAX)),
            };
            let schema = Arc::new(Schema::new(vec![field.clone()]));
            Column { role, leaves: from..leaf, schema }
        };
        let columns: Vec<Column> = chunks.schema().fields().iter().enumerate().map(column).collect();
        let leaf_of =
            |role| columns.iter().find(|column| column.role == role).map(|column| column.leaves.start);
        let (file_name_leaf, key_leaf) = (leaf_of(Role::FileName), leaf_of(Role::RecordKey));
        Self { columns, file_name_leaf, key_leaf }
    }
}

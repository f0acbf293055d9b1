//! Which columns a merge reads, and which of them it hands out.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lakebed_hudi::base_file::{IS_DELETED, OPERATION, RECORD_KEY};

use super::ordering::RowOrdering;
use super::{MergeError, MergeRules};

/// The columns of one merge.
#[derive(Debug, Clone)]
pub struct MergeColumns {
    read: SchemaRef,
    outputs: usize,
    key: usize,
    ordering: Vec<usize>,
    deletes: Vec<DeleteColumn>,
}

#[derive(Debug, Clone)]
enum DeleteColumn {
    /// `_hoodie_is_deleted`.
    Flag(usize),
    /// `_hoodie_operation`.
    Operation(usize),
    /// The table's own column and the value that deletes.
    Marker(usize, String),
}

impl MergeColumns {
    /// The columns for reading `projection` (all columns in the schema's order if `None`) from
    /// rows of `table`, meta columns included.
    ///
    /// # Errors
    /// A column of the projection or the rules that the table does not have.
    pub fn new(
        table: &Schema,
        projection: Option<&[String]>,
        rules: &MergeRules,
    ) -> Result<Self, MergeError> {
        let missing =
            |column: &str| MergeError::MissingColumn { column: column.to_owned(), place: "table schema" };
        let mut read: Vec<usize> = match projection {
            None => (0..table.fields().len()).collect(),
            Some(names) => names
                .iter()
                .map(|name| table.index_of(name).map_err(|_| missing(name)))
                .collect::<Result<_, _>>()?,
        };
        let outputs = read.len();
        let mut need = |name: &str| {
            let column = table.index_of(name).ok()?;
            let found = read.iter().position(|c| *c == column);
            Some(found.unwrap_or_else(|| {
                read.push(column);
                read.len() - 1
            }))
        };
        let key = need(RECORD_KEY).ok_or_else(|| missing(RECORD_KEY))?;
        let ordering = rules
            .ordering_fields
            .iter()
            .map(|field| need(field).ok_or_else(|| missing(field)))
            .collect::<Result<_, _>>()?;
        let is_boolean = table.field_with_name(IS_DELETED).is_ok_and(|f| *f.data_type() == DataType::Boolean);
        let mut deletes = Vec::new();
        deletes.extend(is_boolean.then(|| need(IS_DELETED)).flatten().map(DeleteColumn::Flag));
        deletes.extend(need(OPERATION).map(DeleteColumn::Operation));
        if let Some(marker) = &rules.delete_marker {
            let column = need(&marker.column);
            deletes.extend(column.map(|c| DeleteColumn::Marker(c, marker.value.clone())));
        }
        Ok(Self { read: Arc::new(table.project(&read)?), outputs, key, ordering, deletes })
    }

    /// The columns to read from base files and data blocks, as far as they have them.
    pub fn read_schema(&self) -> &SchemaRef {
        &self.read
    }

    /// The columns that come out.
    pub fn output_schema(&self) -> SchemaRef {
        let fields: Vec<_> = self.read.fields().iter().take(self.outputs).cloned().collect();
        Arc::new(Schema::new(fields))
    }

    /// Drops the columns that only merging needed.
    pub(super) fn output(&self, batch: &RecordBatch) -> Result<RecordBatch, MergeError> {
        if self.outputs == self.read.fields().len() {
            return Ok(batch.clone());
        }
        Ok(batch.project(&(0..self.outputs).collect::<Vec<_>>())?)
    }

    /// The record keys of rows in [`MergeColumns::read_schema`].
    pub(super) fn keys<'a>(
        &self,
        batch: &'a RecordBatch,
        place: &'static str,
    ) -> Result<&'a StringArray, MergeError> {
        let keys = batch.column(self.key).as_string::<i32>();
        match (0..keys.len()).find(|row| keys.is_null(*row)) {
            Some(row) => Err(MergeError::NullKey { row, place }),
            None => Ok(keys),
        }
    }

    /// The ordering values of rows in [`MergeColumns::read_schema`].
    pub(super) fn ordering(&self, batch: &RecordBatch) -> Result<RowOrdering, MergeError> {
        let columns: Vec<ArrayRef> = self.ordering.iter().map(|c| batch.column(*c).clone()).collect();
        Ok(RowOrdering::of(&columns)?)
    }

    /// Which rows of a data block are deletes; `None` if none can be.
    pub(super) fn deleted(&self, batch: &RecordBatch) -> Result<Option<BooleanArray>, MergeError> {
        let mut deleted: Option<BooleanArray> = None;
        for column in &self.deletes {
            let flags = column.flags(batch)?;
            deleted = Some(match deleted {
                Some(before) => arrow::compute::or(&before, &flags)?,
                None => flags,
            });
        }
        Ok(deleted.filter(|flags| flags.true_count() > 0))
    }
}

impl DeleteColumn {
    fn flags(&self, batch: &RecordBatch) -> Result<BooleanArray, MergeError> {
        match self {
            Self::Flag(column) => {
                let flags = batch.column(*column).as_boolean();
                Ok(flags.iter().map(|flag| Some(flag == Some(true))).collect())
            }
            Self::Operation(column) => {
                let operations = batch.column(*column).as_string::<i32>();
                Ok(operations.iter().map(|o| Some(matches!(o, Some("D" | "-U")))).collect())
            }
            Self::Marker(column, value) => {
                let options = FormatOptions::default();
                let array = batch.column(*column);
                let texts = ArrayFormatter::try_new(array.as_ref(), &options)?;
                let is_marked = |row| array.is_valid(row) && texts.value(row).to_string() == *value;
                Ok((0..array.len()).map(|row| Some(is_marked(row))).collect())
            }
        }
    }
}

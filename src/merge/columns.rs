//! Which columns a merge reads, and which of them it hands out.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lakebed_hudi::base_file::{COMMIT_SEQNO, COMMIT_TIME, IS_DELETED, OPERATION, RECORD_KEY};
use lakebed_hudi::schema::TableSchema;

use super::ordering::RowOrdering;
use super::{MergeError, MergeRules, SliceSource};

/// The columns of one merge.
#[derive(Debug, Clone)]
pub struct MergeColumns {
    /// Nullable throughout: rows of partial blocks lack columns that the table requires.
    read: SchemaRef,
    kept: SchemaRef,
    /// As the table has them.
    output: SchemaRef,
    outputs: usize,
    key: usize,
    ordering: Vec<usize>,
    deletes: Vec<DeleteColumn>,
}

#[derive(Debug, Clone)]
enum DeleteColumn {
    /// `_hoodie_is_deleted`.
    Flag(usize),
    /// `_hoodie_operation`: what was done to a row, in a word of Flink's.
    ///
    /// Source: `HoodieOperation.isDeleteRecord`.
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
        if let Some(marker) = &rules.delete_marker {
            let column = need(&marker.column);
            deletes.extend(column.map(|c| DeleteColumn::Marker(c, marker.value.clone())));
        }
        let output = Arc::new(table.project(read.get(..outputs).unwrap_or_default())?);
        let nullable = |field: &Field| field.clone().with_nullable(true);
        let read: Vec<Field> = read.iter().map(|column| nullable(table.field(*column))).collect();
        let kept = Arc::new(Schema::new(read.get(..outputs).unwrap_or_default().to_vec()));
        Ok(Self { read: Arc::new(Schema::new(read)), kept, output, outputs, key, ordering, deletes })
    }

    /// The same columns, read from logs of which blocks have `_hoodie_operation`.
    fn with_operations(&self) -> Self {
        let operation = Arc::new(Field::new(OPERATION, DataType::Utf8, true));
        let fields: Vec<_> = self.read.fields().iter().cloned().chain([operation]).collect();
        let mut with = self.clone();
        with.deletes.push(DeleteColumn::Operation(fields.len() - 1));
        with.read = Arc::new(Schema::new(fields));
        with
    }

    /// The columns for combining rows before they are written: the record key, then those of
    /// `schema`. Rows come from [`MergeColumns::keyed`].
    ///
    /// # Errors
    /// Rules that name columns which the schema does not have.
    pub fn for_combining(schema: &TableSchema, rules: &MergeRules) -> Result<Self, MergeError> {
        Self::for_writing(&[RECORD_KEY], schema, rules)
    }

    /// The columns for putting rows over those of a base file that is written anew: commit time,
    /// sequence number and record key, then those of `schema`.
    ///
    /// # Errors
    /// As [`MergeColumns::for_combining`].
    pub fn for_rewriting(schema: &TableSchema, rules: &MergeRules) -> Result<Self, MergeError> {
        Self::for_writing(&[COMMIT_TIME, COMMIT_SEQNO, RECORD_KEY], schema, rules)
    }

    fn for_writing(meta: &[&str], schema: &TableSchema, rules: &MergeRules) -> Result<Self, MergeError> {
        let meta = meta.iter().map(|name| Arc::new(Field::new(*name, DataType::Utf8, true)));
        let mut fields: Vec<_> = meta.chain(schema.arrow().fields().iter().cloned()).collect();
        let outputs: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        if schema.arrow().field_with_name(IS_DELETED).is_err() {
            fields.push(Arc::new(Field::new(IS_DELETED, DataType::Boolean, true)));
        }
        Self::new(&Schema::new(fields), Some(&outputs), rules)
    }

    /// `rows` with their record keys before them and `deletes` behind them, for combining.
    ///
    /// # Errors
    /// Keys or flags of another length than the rows.
    pub fn keyed(
        rows: &RecordBatch,
        keys: &StringArray,
        deletes: Option<&BooleanArray>,
    ) -> Result<RecordBatch, MergeError> {
        let key = Arc::new(Field::new(RECORD_KEY, DataType::Utf8, true));
        let mut fields = vec![key];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(keys.clone())];
        for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            if field.name() == IS_DELETED && deletes.is_some() {
                continue;
            }
            fields.push(field.clone());
            columns.push(column.clone());
        }
        if let Some(deletes) = deletes {
            fields.push(Arc::new(Field::new(IS_DELETED, DataType::Boolean, true)));
            columns.push(Arc::new(deletes.clone()));
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }

    /// The columns to read from base files and data blocks, as far as they have them.
    pub fn read_schema(&self) -> &SchemaRef {
        &self.read
    }

    /// The columns that come out.
    pub fn output_schema(&self) -> SchemaRef {
        self.output.clone()
    }

    /// The columns that come out, nullable as those that are read: what is kept of a row once its
    /// key, ordering and deletion are known.
    pub(super) fn kept_schema(&self) -> &SchemaRef {
        &self.kept
    }

    /// The columns of [`MergeColumns::kept_schema`].
    pub(super) fn kept(&self, batch: &RecordBatch) -> Result<RecordBatch, MergeError> {
        if self.outputs == batch.num_columns() {
            return Ok(batch.clone());
        }
        Ok(batch.project(&(0..self.outputs).collect::<Vec<_>>())?)
    }

    /// Rows of [`MergeColumns::kept_schema`] as they come out.
    pub(super) fn output(&self, batch: &RecordBatch) -> Result<RecordBatch, MergeError> {
        let columns = batch.columns().iter().take(self.outputs).cloned().collect();
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.output.clone(), columns, &rows)?)
    }

    /// The record key and the ordering columns alone; nothing comes out.
    pub(super) fn keys_and_ordering(&self) -> Self {
        let columns = std::iter::once(&self.key).chain(&self.ordering);
        let fields: Vec<_> = columns.map(|column| self.read.field(*column).clone()).collect();
        let ordering = (1..fields.len()).collect();
        let (read, none) = (Arc::new(Schema::new(fields)), Arc::new(Schema::empty()));
        Self { read, kept: none.clone(), output: none, outputs: 0, key: 0, ordering, deletes: Vec::new() }
    }

    /// The columns to read that the rows of a block have: those of `batch` if it is partial.
    pub(super) fn read_schema_of(&self, batch: &RecordBatch, partial: bool) -> SchemaRef {
        if !partial {
            return self.read.clone();
        }
        let has =
            |field: &&Arc<Field>| field.name() == RECORD_KEY || batch.column_by_name(field.name()).is_some();
        Arc::new(Schema::new(self.read.fields().iter().filter(has).cloned().collect::<Vec<_>>()))
    }

    /// The record keys of rows in [`MergeColumns::read_schema_of`].
    pub(super) fn keys_of_block(rows: &RecordBatch) -> Result<StringArray, MergeError> {
        let keys = rows.column_by_name(RECORD_KEY).and_then(|keys| keys.as_string_opt::<i32>());
        let keys =
            keys.ok_or(MergeError::MissingColumn { column: RECORD_KEY.to_owned(), place: "log block" })?;
        match (0..keys.len()).find(|row| keys.is_null(*row)) {
            Some(row) => Err(MergeError::NullKey { row, place: "log block" }),
            None => Ok(keys.clone()),
        }
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

    /// Whether rows can say of themselves that they are deletes.
    pub(crate) fn can_delete(&self) -> bool {
        !self.deletes.is_empty()
    }

    /// Which rows of a data block are deletes; `None` if none can be.
    pub(crate) fn deleted(&self, batch: &RecordBatch) -> Result<Option<BooleanArray>, MergeError> {
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

/// `columns`, read from the logs of `source`.
pub(super) fn columns_for(source: &dyn SliceSource, columns: &Arc<MergeColumns>) -> Arc<MergeColumns> {
    if source.has_operations() { Arc::new(columns.with_operations()) } else { columns.clone() }
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

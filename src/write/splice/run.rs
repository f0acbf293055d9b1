//! Making the file, row group by row group.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lakebed_hudi::base_file::RECORD_KEY;
use parquet::file::metadata::KeyValue;

use super::columns::{Column, Role};
use super::{Source, SplicedColumn};
use crate::merge::{FoldedLogs, MergeCounts, NewRows, RowChanges};
use crate::read::{GroupChunks, ReadError};
use crate::write::WriteError;
use crate::write::base_file::{BaseFileSummary, KeySummary};
use crate::write::column_ranges::column_ranges;
use crate::write::encoding::ROW_GROUP_ROWS;
use crate::write::meta_columns::Place;
use crate::write::parquet_writer::ParquetWriter;
use crate::write::row_format::RowFormat;
use crate::write::staging::{Pieces, send};

/// Rows of new keys are taken so many at a time.
const NEW_ROWS: usize = 8_192;

/// Rows that are added to a row group of fewer rows than this do not make another small one.
const SMALL_GROUP_ROWS: usize = ROW_GROUP_ROWS / 2;

/// Makes a base file of `source` and the logs on it, and sends what is ready to its file. So many columns
/// are made at the same time.
pub(in crate::write) fn splice(
    source: Source,
    logs: FoldedLogs,
    format: &RowFormat,
    place: &Place,
    (pieces, columns_at_once): (&Pieces, usize),
) -> Result<(BaseFileSummary, MergeCounts), WriteError> {
    splice_small(source, logs, format, place, (pieces, columns_at_once), SMALL_GROUP_ROWS)
}

/// [`splice`] with another idea of what a small row group is.
pub(super) fn splice_small(
    source: Source,
    logs: FoldedLogs,
    format: &RowFormat,
    place: &Place,
    (pieces, columns_at_once): (&Pieces, usize),
    small_group_rows: usize,
) -> Result<(BaseFileSummary, MergeCounts), WriteError> {
    let metadata = source.chunks.metadata();
    let schema = source.chunks.schema();
    let generated = place.generated_of_kept();
    let properties = format.base.encodings.properties_like(metadata, &generated)?.build();
    let writer = ParquetWriter::new(
        schema,
        metadata.file_metadata().schema_descr(),
        (properties, format.base.encodings),
        generated,
    )?;
    let keys = KeySummary::new(source.footer.bloom_filter.clone());
    let key_schema = Arc::new(Schema::new(vec![Field::new(RECORD_KEY, DataType::Utf8, true)]));
    Splicing { source, logs, writer, keys, key_schema, pieces, columns_at_once, small_group_rows, rows: 0 }
        .run(&format.base.avro)
}

struct Splicing<'a> {
    source: Source,
    logs: FoldedLogs,
    writer: ParquetWriter,
    keys: KeySummary,
    /// Record keys alone.
    key_schema: SchemaRef,
    pieces: &'a Pieces,
    columns_at_once: usize,
    small_group_rows: usize,
    rows: u64,
}

impl Splicing<'_> {
    fn run(mut self, avro: &str) -> Result<(BaseFileSummary, MergeCounts), WriteError> {
        let groups = self.source.chunks.metadata().num_row_groups();
        let skipped = self.source.columns.file_name_leaf;
        let fetch = |of: &Source, group| of.chunks.fetch(group, |leaf| Some(leaf) != skipped);
        let mut next = (groups > 0).then(|| fetch(&self.source, 0));
        let mut group = 0;
        while let Some(fetching) = next.take() {
            let chunks = fetching.wait()?;
            group += 1;
            next = (group < groups).then(|| fetch(&self.source, group));
            self.group(&chunks, next.is_none())?;
            send(self.pieces, self.writer.take_bytes())?;
        }
        if groups == 0 {
            let new = self.logs.new_rows();
            self.append(new)?;
        }
        let Self { logs, writer, keys, pieces, rows, .. } = self;
        let footer = keys.footer(avro).to_key_values().into_iter();
        let entries = footer.map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let copied_bytes = writer.copied_bytes();
        let (rest, metadata) = writer.finish(entries)?;
        send(pieces, rest)?;
        Ok((BaseFileSummary { rows, columns: column_ranges(&metadata), copied_bytes }, logs.counts()))
    }

    /// One row group; behind the last one the rows of new keys.
    fn group(&mut self, chunks: &GroupChunks, is_last: bool) -> Result<(), WriteError> {
        let changes = self.changes(chunks)?;
        let left = changes.rows_left();
        self.rows += left as u64;
        if !is_last {
            return self.splice(chunks, &changes);
        }
        let new = self.logs.new_rows();
        if new.left() > 0 && left < self.small_group_rows {
            self.decoded(chunks, &changes)?;
        } else {
            self.splice(chunks, &changes)?;
        }
        self.append(new)
    }

    /// What the logs do to the rows of a row group.
    fn changes(&mut self, chunks: &GroupChunks) -> Result<RowChanges, WriteError> {
        let keys = column(chunks, &self.key_schema)?;
        let Some(texts) = keys.as_string_opt::<i32>().filter(|keys| keys.null_count() == 0) else {
            let null = crate::merge::MergeError::NullKey { row: 0, place: "base file" };
            return Err(null.into());
        };
        let named = self.logs.named(texts);
        if named.is_empty() {
            self.add_keys(chunks, texts);
            return Ok(RowChanges::none(texts.len()));
        }
        let mut columns = vec![keys.clone()];
        for field in self.logs.key_schema().fields().iter().skip(1) {
            columns.push(column(chunks, &Arc::new(Schema::new(vec![field.clone()])))?);
        }
        let base = RecordBatch::try_new(self.logs.key_schema().clone(), columns)?;
        let changes = self.logs.changes(&named, &base)?;
        match changes.has_deletes() {
            true => self.keys.add_range(self.logs.without_deleted(&keys, &changes)?.as_string()),
            false => self.add_keys(chunks, texts),
        }
        Ok(changes)
    }

    /// Takes in the keys of a row group, by what its file says of them if that is exact.
    fn add_keys(&mut self, chunks: &GroupChunks, keys: &StringArray) {
        match chunks.text_bounds(self.source.columns.key_leaf) {
            Some((least, greatest)) => self.keys.add_bounds(least, greatest),
            None => self.keys.add_range(keys),
        }
    }

    /// Writes a row group of what stays and what changes.
    fn splice(&mut self, chunks: &GroupChunks, changes: &RowChanges) -> Result<(), WriteError> {
        let rows = changes.rows_left();
        if rows == 0 {
            return Ok(());
        }
        let (logs, columns) = (&self.logs, (self.source.columns.columns.as_slice(), self.columns_at_once));
        self.writer.splice(rows, columns, |column| spliced(column, chunks, changes, logs))
    }

    /// Has the rows of a row group encoded together with those that come behind it.
    fn decoded(&mut self, chunks: &GroupChunks, changes: &RowChanges) -> Result<(), WriteError> {
        let columns = self.source.columns.columns.iter();
        let given = columns.filter(|column| !is_generated(column.role)).map(|column| {
            let values = self::column(chunks, &column.schema)?;
            let values = match column.role {
                Role::Merged(number) => self.logs.changed_column(number, &values, changes)?,
                _ => self.logs.without_deleted(&values, changes)?,
            };
            Ok((column.schema.field(0).clone(), values))
        });
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) =
            given.collect::<Result<Vec<_>, WriteError>>()?.into_iter().unzip();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
        self.writer.write(&batch)
    }

    /// Writes rows of new keys.
    fn append(&mut self, mut new: NewRows) -> Result<(), WriteError> {
        while let Some(rows) = self.logs.next_new(&mut new, NEW_ROWS)? {
            self.rows += rows.num_rows() as u64;
            self.keys.add(&rows);
            let columns = self.source.columns.columns.iter();
            let given = columns.filter(|column| !is_generated(column.role)).map(|column| {
                let field = column.schema.field(0);
                rows.column_by_name(field.name()).map(|values| (field.clone(), values.clone()))
            });
            let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = given.flatten().unzip();
            self.writer.write(&RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)?;
            send(self.pieces, self.writer.take_bytes())?;
        }
        Ok(())
    }
}

fn is_generated(role: Role) -> bool {
    matches!(role, Role::FileName | Role::PartitionPath)
}

/// One column of a row group, where it comes from.
fn spliced(
    column: &Column,
    chunks: &GroupChunks,
    changes: &RowChanges,
    logs: &FoldedLogs,
) -> Result<SplicedColumn, WriteError> {
    match column.role {
        Role::FileName => return Ok(SplicedColumn::Generated),
        Role::PartitionPath if changes.has_deletes() => return Ok(SplicedColumn::Generated),
        Role::RecordKey if changes.has_deletes() => {
            let keys = self::column(chunks, &column.schema)?;
            return Ok(SplicedColumn::Encoded(vec![logs.without_deleted(&keys, changes)?]));
        }
        Role::Merged(number) if logs.may_change(number, changes) => {
            if let Some(rows) = changed(column, number, chunks, changes, logs)? {
                return Ok(SplicedColumn::Encoded(rows));
            }
        }
        _ => {}
    }
    let copied = column.leaves.clone().map(|leaf| {
        let missing = || WriteError::Parquet(parquet::errors::ParquetError::General(format!("leaf {leaf}")));
        chunks.chunk(leaf).ok_or_else(missing)
    });
    Ok(SplicedColumn::Copied(copied.collect::<Result<_, _>>()?))
}

/// The rows of a column of a row group, if they are others than before.
fn changed(
    column: &Column,
    number: usize,
    chunks: &GroupChunks,
    changes: &RowChanges,
    logs: &FoldedLogs,
) -> Result<Option<Vec<ArrayRef>>, WriteError> {
    let mut from = 0;
    let parts = chunks.views(&column.schema).map(|batch| {
        let base = batch?.column(0).clone();
        let part = changes.part(from..from + base.len());
        from += base.len();
        Ok((base, part))
    });
    let parts: Vec<(ArrayRef, RowChanges)> = parts.collect::<Result<_, WriteError>>()?;
    let mut differs = changes.has_deletes();
    for (base, part) in &parts {
        differs = differs || logs.changes_column(number, base, part)?;
    }
    if !differs {
        return Ok(None);
    }
    let patched = parts.iter().map(|(base, part)| Ok(logs.changed_column(number, base, part)?));
    patched.collect::<Result<_, WriteError>>().map(Some)
}

/// A whole column of a row group.
fn column(chunks: &GroupChunks, schema: &SchemaRef) -> Result<ArrayRef, WriteError> {
    let batches = chunks.rows(schema).collect::<Result<Vec<RecordBatch>, ReadError>>()?;
    let arrays: Vec<&dyn arrow::array::Array> =
        batches.iter().filter_map(|batch| Some(batch.columns().first()?.as_ref())).collect();
    match (batches.as_slice(), arrays.as_slice()) {
        ([batch], [_]) => Ok(batch.column(0).clone()),
        (_, []) => Ok(arrow::array::new_empty_array(schema.field(0).data_type())),
        _ => Ok(concat(&arrays)?),
    }
}

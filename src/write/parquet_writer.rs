//! Batches in, the bytes of a Parquet file out.

use std::collections::VecDeque;
use std::io::{self, Read, Take, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use lakebed_hudi::base_file::RECORD_KEY;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;

use super::WriteError;
use super::at_once;
use super::encoding::{EncodingSet, ROW_GROUP_ROWS};
use super::file_columns::{FileColumns, PreparedChunk};
use super::generated_chunk::GeneratedChunk;
use super::generated_columns::GeneratedColumns;
use super::key_pages::KeyPages;
use super::splice::SplicedColumn;

/// A row group of wide rows ends when its columns have so many bytes.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// What the writer of a column takes beside the bytes that it tells: what it was measured to take
/// in files of thousands of columns.
pub(super) const COLUMN_BYTES: usize = 48 << 10;

/// A Parquet file on its way. Bytes are there as soon as a row group is full.
pub(super) struct ParquetWriter {
    file: SerializedFileWriter<Drain>,
    groups: ArrowRowGroupWriterFactory,
    key_pages: KeyPages,
    /// Rows of the row groups that are full.
    rows_flushed: u64,
    /// Bytes of chunks that were copied.
    copied_bytes: u64,
    open: Option<OpenGroup>,
    columns: FileColumns,
}

struct OpenGroup {
    /// A writer for each leaf, those of generated columns included.
    leaves: Vec<ArrowColumnWriter>,
    rows: usize,
}

impl OpenGroup {
    /// Bytes of its columns by estimate, generated ones left out.
    fn bytes(&self) -> usize {
        self.leaves.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum()
    }
}

impl ParquetWriter {
    /// A file of the columns of `schema`, which lie in Parquet as `parquet` says.
    pub(super) fn new(
        schema: &SchemaRef,
        parquet: &SchemaDescriptor,
        (properties, encodings): (WriterProperties, EncodingSet),
        generated: GeneratedColumns,
    ) -> Result<Self, WriteError> {
        let file =
            SerializedFileWriter::new(Drain::default(), parquet.root_schema_ptr(), Arc::new(properties))?;
        let key_pages = KeyPages::default();
        let mut groups = ArrowRowGroupWriterFactory::new(&file, schema.clone());
        if generated.repeat_keys() {
            groups = groups.with_page_store_factory(Arc::new(key_pages.clone()));
        }
        let columns = FileColumns::of(&file, schema, encodings, generated);
        Ok(Self { file, groups, key_pages, rows_flushed: 0, copied_bytes: 0, open: None, columns })
    }

    /// Bytes of the chunks that were copied from another file.
    pub(super) fn copied_bytes(&self) -> u64 {
        self.copied_bytes
    }

    /// Takes rows, which have the columns that are not generated, in the order of the schema.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let mut from = 0;
        while from < batch.num_rows() {
            let open = self.open.as_ref().map_or(0, |open| open.rows);
            let rows = (ROW_GROUP_ROWS - open).min(batch.num_rows() - from);
            self.write_slice(&batch.slice(from, rows))?;
            from += rows;
            if open + rows == ROW_GROUP_ROWS || self.open_bytes() >= ROW_GROUP_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn write_slice(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let number = self.file.flushed_row_groups().len();
                none.insert(OpenGroup { leaves: self.groups.create_column_writers(number)?, rows: 0 })
            }
        };
        let mut writers = open.leaves.iter_mut();
        let mut columns = batch.columns().iter();
        for field in self.columns.schema.fields() {
            if self.columns.generated.get(field.name()).is_some() {
                writers.next();
                continue;
            }
            let Some(column) = columns.next() else { continue };
            for (leaf, writer) in compute_leaves(field, column)?.iter().zip(writers.by_ref()) {
                writer.write(leaf)?;
            }
        }
        open.rows += batch.num_rows();
        Ok(())
    }

    /// Adds a row group of `rows` rows, of which each column comes from somewhere else, as `of` says. So many
    /// columns are made at the same time.
    pub(super) fn splice<C: Sync>(
        &mut self,
        rows: usize,
        (columns, at_once): (&[C], usize),
        of: impl Fn(&C) -> Result<SplicedColumn, WriteError> + Sync,
    ) -> Result<(), WriteError> {
        self.flush()?;
        let rows = u32::try_from(rows).map_err(|error| ParquetError::General(error.to_string()))?;
        let (before, known) = (self.rows_flushed, &self.columns);
        let made = |root: usize, column: &C| known.chunks(root, (before, rows), of(column)?);
        let prepared: Vec<PreparedChunk> =
            at_once::each(columns, at_once, made)?.into_iter().flatten().collect();
        let mut at = self.file.bytes_written() as u64;
        for column in &prepared {
            if let PreparedChunk::Copied(bytes, close) = column {
                self.file.inner_mut().expect(at, bytes.clone());
                debug_assert_eq!(bytes.len() as i64, close.metadata.compressed_size());
                self.copied_bytes += bytes.len() as u64;
            }
            at += column.bytes();
        }
        let mut group = self.file.next_row_group()?;
        for column in prepared {
            match column {
                PreparedChunk::Generated(chunk) => chunk.append_to(&mut group)?,
                PreparedChunk::Copied(bytes, close) => {
                    group.append_column(&StandIn::of(&bytes, &close), close)?;
                }
                PreparedChunk::Encoded(chunk) => chunk.append_to_row_group(&mut group)?,
            }
        }
        group.close()?;
        self.rows_flushed += u64::from(rows);
        Ok(())
    }

    /// Ends the open row group.
    pub(super) fn flush(&mut self) -> Result<(), WriteError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let rows = u32::try_from(open.rows).map_err(|error| ParquetError::General(error.to_string()))?;
        let descriptors: Vec<_> = self.file.schema_descr().columns().to_vec();
        // A buffer that grows as it is filled takes up to twice the room. Of generated columns, which are
        // small, nothing is known yet.
        self.file.inner_mut().reserve(open.bytes() / 8 * 9);
        let mut group = self.file.next_row_group()?;
        let mut keys = None;
        for (writer, descriptor) in open.leaves.into_iter().zip(descriptors) {
            let name = descriptor.path().parts().first().cloned().unwrap_or_default();
            match self.columns.generated.get(&name) {
                Some(generated) => {
                    let counted = (self.rows_flushed, rows);
                    GeneratedChunk::new(
                        generated,
                        counted,
                        descriptor,
                        self.columns.encodings,
                        keys.as_ref(),
                    )?
                    .append_to(&mut group)?;
                }
                None if name == RECORD_KEY && self.columns.generated.repeat_keys() => {
                    let chunk = writer.close()?;
                    let close = chunk.close().clone();
                    chunk.append_to_row_group(&mut group)?;
                    keys = Some(GeneratedChunk::of_written(&self.key_pages.take(), close));
                }
                None => writer.close()?.append_to_row_group(&mut group)?,
            }
        }
        group.close()?;
        self.rows_flushed += u64::from(rows);
        Ok(())
    }

    /// Bytes of memory of the open row group.
    pub(super) fn memory_bytes(&self) -> usize {
        let leaves = self.open.iter().flat_map(|open| &open.leaves);
        leaves.map(|leaf| leaf.memory_size() + COLUMN_BYTES).sum()
    }

    /// Bytes of the file so far, those of the open row group by estimate.
    pub(super) fn file_bytes(&self) -> usize {
        self.file.bytes_written() + self.open_bytes()
    }

    fn open_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, OpenGroup::bytes)
    }

    /// The bytes that are there and were not yet taken, in order.
    pub(super) fn take_bytes(&mut self) -> Vec<Bytes> {
        self.file.inner_mut().take()
    }

    /// Ends the file: its last bytes, and its footer.
    pub(super) fn finish(
        mut self,
        key_values: impl IntoIterator<Item = KeyValue>,
    ) -> Result<(Vec<Bytes>, ParquetMetaData), WriteError> {
        self.flush()?;
        key_values.into_iter().for_each(|entry| self.file.append_key_value_metadata(entry));
        let metadata = self.file.finish()?;
        Ok((self.take_bytes(), metadata))
    }
}

/// So many bytes of nothing, where a chunk stood in another file: the library copies what it is handed, some
/// bytes at a time, and the [`Drain`] knows what belongs there.
struct StandIn {
    start: u64,
    bytes: u64,
}

impl StandIn {
    fn of(bytes: &Bytes, close: &ColumnCloseResult) -> Self {
        Self { start: close.metadata.byte_range().0, bytes: bytes.len() as u64 }
    }
}

impl Length for StandIn {
    fn len(&self) -> u64 {
        self.start + self.bytes
    }
}

impl ChunkReader for StandIn {
    type T = Take<Nothing>;

    fn get_read(&self, _start: u64) -> Result<Self::T, ParquetError> {
        Ok(Nothing.take(self.bytes))
    }

    fn get_bytes(&self, _start: u64, _length: usize) -> Result<Bytes, ParquetError> {
        Err(ParquetError::General("there is nothing here to look at".to_owned()))
    }
}

/// Leaves what it is to fill as it is.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
}

/// Bytes that were written and not yet taken away.
#[derive(Debug, Default)]
struct Drain {
    /// Those that are complete, in order.
    pieces: Vec<Bytes>,
    /// Those behind them.
    open: Vec<u8>,
    /// How many were written in all.
    written: u64,
    /// What stands in the place of bytes that are still to be written, by where in the file.
    expected: VecDeque<(u64, Bytes)>,
}

impl Drain {
    /// Says what belongs at a place in the file, whatever is written there.
    fn expect(&mut self, at: u64, bytes: Bytes) {
        if !bytes.is_empty() {
            self.expected.push_back((at, bytes));
        }
    }

    fn reserve(&mut self, bytes: usize) {
        self.open.reserve(bytes);
    }

    fn take(&mut self) -> Vec<Bytes> {
        self.close();
        std::mem::take(&mut self.pieces)
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.pieces.push(std::mem::take(&mut self.open).into());
        }
    }
}

impl Write for Drain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let until = |place: u64| usize::try_from(place - self.written).unwrap_or(usize::MAX);
        let taken = match self.expected.front() {
            Some((at, known)) if *at <= self.written => {
                let end = at + known.len() as u64;
                let taken = bytes.len().min(until(end));
                if self.written + taken as u64 == end {
                    self.close();
                    self.pieces.extend(self.expected.pop_front().map(|(_, known)| known));
                }
                taken
            }
            next => {
                let taken = next.map_or(bytes.len(), |(at, _)| bytes.len().min(until(*at)));
                self.open.extend_from_slice(bytes.get(..taken).unwrap_or_default());
                taken
            }
        };
        self.written += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::super::parquet_schema::parquet_schema;
    use super::*;

    #[test]
    fn a_row_group_of_many_packed_columns_ends_by_its_bytes_and_not_by_its_buffers() {
        let names: Vec<String> = (0..50).map(|number| format!("n{number}")).collect();
        let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Int64, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let numbers: ArrayRef = Arc::new((0..4_000).collect::<Int64Array>());
        let batch = RecordBatch::try_new(schema.clone(), vec![numbers; 50]).unwrap();
        let (generated, encodings) = (GeneratedColumns::default(), EncodingSet::Delta);
        let properties = encodings.properties(&schema, &generated, std::slice::from_ref(&batch)).unwrap();
        let parquet = parquet_schema(&schema).unwrap();
        let properties = (properties.build(), encodings);
        let mut writer = ParquetWriter::new(&schema, &parquet, properties, generated).unwrap();
        (0..5).for_each(|_| writer.write(&batch).unwrap());
        let (_, metadata) = writer.finish([]).unwrap();
        assert_eq!(metadata.row_groups().iter().map(|group| group.num_rows()).collect::<Vec<_>>(), [20_000]);
    }
}

//! The columns of a Parquet file that is written, and the chunks of a row group of which each comes from somewhere
//! else.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use arrow::array::ArrayRef;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{SchemaDescriptor, Type};

use super::WriteError;
use super::encoding::EncodingSet;
use super::generated_chunk::GeneratedChunk;
use super::generated_columns::GeneratedColumns;
use super::splice::SplicedColumn;

/// The columns of a Parquet file. Chunks of them are made column by column, by whichever thread asks.
pub(super) struct FileColumns {
    pub(super) schema: SchemaRef,
    pub(super) encodings: EncodingSet,
    pub(super) generated: GeneratedColumns,
    parquet: SchemaDescriptor,
    properties: WriterPropertiesPtr,
    /// What makes the writers of single columns, by number: a row group that is spliced needs some.
    writers: Vec<OnceLock<ArrowRowGroupWriterFactory>>,
}

/// A chunk of a row group that is spliced.
pub(super) enum PreparedChunk {
    Generated(GeneratedChunk),
    Copied(Bytes, ColumnCloseResult),
    Encoded(ArrowColumnChunk),
}

impl PreparedChunk {
    /// Bytes that it takes in the file.
    pub(super) fn bytes(&self) -> u64 {
        let close = match self {
            Self::Generated(chunk) => chunk.close(),
            Self::Copied(_, close) => close,
            Self::Encoded(chunk) => chunk.close(),
        };
        close.metadata.compressed_size().unsigned_abs()
    }
}

impl FileColumns {
    /// Those of `file`, which are those of `schema`.
    pub(super) fn of<W: Write + Send>(
        file: &SerializedFileWriter<W>,
        schema: &SchemaRef,
        encodings: EncodingSet,
        generated: GeneratedColumns,
    ) -> Self {
        let (parquet, properties) = (file.schema_descr().clone(), file.properties().clone());
        let writers = schema.fields().iter().map(|_| OnceLock::new()).collect();
        Self { schema: schema.clone(), encodings, generated, parquet, properties, writers }
    }

    /// The chunks of the column number `root`, one for each of its leaves, of a row group of `rows` rows, of which
    /// the file has `rows_before` before them.
    pub(super) fn chunks(
        &self,
        root: usize,
        (rows_before, rows): (u64, u32),
        column: SplicedColumn,
    ) -> Result<Vec<PreparedChunk>, WriteError> {
        let field = self.schema.fields().get(root).ok_or_else(|| self.no_column(root))?;
        match column {
            SplicedColumn::Generated => {
                let leaf = (0..self.parquet.num_columns())
                    .find(|leaf| self.parquet.get_column_root_idx(*leaf) == root)
                    .ok_or_else(|| self.no_column(root))?;
                let generated = self.generated.get(field.name()).ok_or_else(|| {
                    let reason = format!("nothing is known of column {} beforehand", field.name());
                    ParquetError::General(reason)
                })?;
                let (counted, leaf) = ((rows_before, rows), self.parquet.column(leaf));
                let chunk = GeneratedChunk::new(generated, counted, leaf, self.encodings, None)?;
                Ok(vec![PreparedChunk::Generated(chunk)])
            }
            SplicedColumn::Copied(chunks) => {
                Ok(chunks.into_iter().map(|(bytes, close)| PreparedChunk::Copied(bytes, close)).collect())
            }
            SplicedColumn::Encoded(arrays) => {
                let writers = self.written(root, field, &arrays)?.into_iter();
                let chunks = writers.map(|writer| Ok(PreparedChunk::Encoded(writer.close()?)));
                chunks.collect()
            }
        }
    }

    /// Writers of the leaves of the column number `root`, that have taken its rows.
    fn written(
        &self,
        root: usize,
        field: &FieldRef,
        arrays: &[ArrayRef],
    ) -> Result<Vec<ArrowColumnWriter>, ParquetError> {
        let place = self.writers.get(root).ok_or_else(|| self.no_column(root))?;
        let factory = match place.get() {
            Some(known) => known,
            None => {
                let made = self.alone(root, field)?;
                place.get_or_init(|| made)
            }
        };
        let mut writers = factory.create_column_writers(0)?;
        for array in arrays {
            // Text may come as views.
            let field = field.as_ref().clone().with_data_type(array.data_type().clone());
            for (writer, values) in writers.iter_mut().zip(&compute_leaves(&field, array)?) {
                writer.write(values)?;
            }
        }
        Ok(writers)
    }

    /// What makes writers of a column as of a file that has it alone.
    fn alone(&self, root: usize, field: &FieldRef) -> Result<ArrowRowGroupWriterFactory, ParquetError> {
        let all = self.parquet.root_schema();
        let column = all.get_fields().get(root).cloned().ok_or_else(|| self.no_column(root))?;
        let schema = Type::group_type_builder(all.name()).with_fields(vec![column]).build()?;
        let file = SerializedFileWriter::new(io::sink(), Arc::new(schema), self.properties.clone())?;
        Ok(ArrowRowGroupWriterFactory::new(&file, Arc::new(Schema::new(vec![field.clone()]))))
    }

    fn no_column(&self, root: usize) -> ParquetError {
        ParquetError::General(format!("the file has {} columns and no number {root}", self.writers.len()))
    }
}

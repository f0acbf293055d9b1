//! The column chunks of a base file: as they are, and decoded.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use lakebed_hudi::parquet_guard;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use super::ReadError;
use super::bridge::{Bridge, Pending};
use super::parquet_rows::{ParquetFile, ParquetRows, RowGroup};
use crate::storage::StorageError;

/// A base file of which row groups are fetched whole, for a thread that may block.
#[derive(Debug, Clone)]
pub(crate) struct BaseChunks {
    pub(super) file: ParquetFile,
    pub(super) bridge: Bridge,
    /// What the file says of itself, with text to be decoded into views.
    views: Arc<OnceLock<ArrowReaderMetadata>>,
}

/// A row group on its way.
#[derive(Debug)]
pub(crate) struct PendingGroup {
    of: BaseChunks,
    group: usize,
    /// Leaves and where their chunks lie.
    leaves: Vec<(usize, Range<u64>)>,
    /// What was asked for: neighbours are one range.
    ranges: Vec<Range<u64>>,
    bytes: Pending<Result<Vec<Bytes>, StorageError>>,
}

/// The chunks of one row group, or some of them, in memory.
#[derive(Debug)]
pub(crate) struct GroupChunks {
    of: BaseChunks,
    group: usize,
    chunks: Vec<(usize, Bytes)>,
}

impl BaseChunks {
    pub(super) fn new(file: ParquetFile, bridge: Bridge) -> Self {
        Self { file, bridge, views: Arc::default() }
    }

    fn views(&self) -> &ArrowReaderMetadata {
        self.views.get_or_init(|| {
            let view = |field: &Arc<Field>| match field.data_type() {
                DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
                _ => field.clone(),
            };
            let fields: Vec<_> = self.schema().fields().iter().map(view).collect();
            let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
            let viewed = ArrowReaderMetadata::try_new(self.metadata().clone(), options);
            viewed.unwrap_or_else(|_| self.file.metadata.clone())
        })
    }

    /// What the file says of itself.
    pub(crate) fn metadata(&self) -> &Arc<ParquetMetaData> {
        self.file.metadata.metadata()
    }

    /// Its columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        self.file.metadata.schema()
    }

    /// What it says of a row group.
    pub(crate) fn group(&self, group: usize) -> Option<&RowGroupMetaData> {
        self.metadata().row_groups().get(group)
    }

    /// Asks for the chunks of a row group that `wanted` says so of, by their leaves, in one call to the
    /// storage.
    pub(crate) fn fetch(&self, group: usize, wanted: impl Fn(usize) -> bool) -> PendingGroup {
        let columns = self.group(group).map_or(&[][..], |group| group.columns()).iter().enumerate();
        let chunk = |(leaf, column): (usize, &parquet::file::metadata::ColumnChunkMetaData)| {
            let (start, bytes) = column.byte_range();
            (leaf, start..start.saturating_add(bytes))
        };
        let leaves: Vec<_> = columns.map(chunk).filter(|(leaf, _)| wanted(*leaf)).collect();
        let ranges = joined(leaves.iter().map(|(_, range)| range));
        let (source, asked) = (self.file.source.clone(), ranges.clone());
        let bytes = self.bridge.start(async move { source.get(&asked).await });
        PendingGroup { of: self.clone(), group, leaves, ranges, bytes }
    }
}

/// Ranges of which neighbours are one.
fn joined<'a>(ranges: impl Iterator<Item = &'a Range<u64>>) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range.clone()),
        }
    }
    joined
}

impl PendingGroup {
    /// Waits for the chunks. Must not be called on a thread of the runtime.
    ///
    /// # Errors
    /// Those of the storage; pages that claim what cannot be.
    pub(crate) fn wait(self) -> Result<GroupChunks, ReadError> {
        let bytes = self.bytes.wait()??;
        let source = self.of.file.source.with_parts(self.ranges.iter().map(|range| range.start).zip(bytes));
        let mut chunks = Vec::with_capacity(self.leaves.len());
        for (leaf, range) in self.leaves {
            let bytes = source.in_memory(&range)?;
            // Whoever copies a chunk would pass a broken one on.
            let checked = parquet_guard::check_page_headers(&bytes);
            checked.map_err(|reason| self.of.file.source.parquet_error(reason))?;
            chunks.push((leaf, bytes));
        }
        Ok(GroupChunks { of: self.of, group: self.group, chunks })
    }
}

impl GroupChunks {
    /// The chunk of a leaf, with what the file says of it; offsets are those in the file.
    pub(crate) fn chunk(&self, leaf: usize) -> Option<(Bytes, ColumnCloseResult)> {
        let (_, bytes) = self.chunks.iter().find(|(fetched, _)| *fetched == leaf)?;
        let (metadata, group) = (self.of.metadata(), self.of.group(self.group)?);
        let column = group.columns().get(leaf)?;
        let index = metadata.column_index().and_then(|groups| groups.get(self.group)?.get(leaf)).cloned();
        let offsets = metadata.offset_index().and_then(|groups| groups.get(self.group)?.get(leaf)).cloned();
        let close = ColumnCloseResult {
            bytes_written: column.compressed_size().unsigned_abs(),
            rows_written: group.num_rows().unsigned_abs(),
            metadata: column.clone(),
            bloom_filter: None,
            column_index: index.filter(|index| !matches!(index, ColumnIndexMetaData::NONE)),
            offset_index: offsets,
        };
        Some((bytes.clone(), close))
    }

    /// The least and the greatest text of a leaf, if its file says that they are exactly that.
    pub(crate) fn text_bounds(&self, leaf: Option<usize>) -> Option<(&str, &str)> {
        let statistics = self.of.group(self.group)?.columns().get(leaf?)?.statistics()?;
        let is_exact = statistics.min_is_exact() && statistics.max_is_exact();
        let Statistics::ByteArray(bounds) = statistics else { return None };
        let (least, greatest) = (bounds.min_opt()?.as_utf8().ok()?, bounds.max_opt()?.as_utf8().ok()?);
        is_exact.then_some((least, greatest))
    }

    /// The rows of the row group, with those of `columns` that the file has: one batch, if they are not wide.
    pub(crate) fn rows(&self, columns: &SchemaRef) -> ParquetRows {
        self.rows_as(columns, &self.of.file.metadata)
    }

    /// The same with text as views, most of which is not copied.
    pub(crate) fn views(&self, columns: &SchemaRef) -> ParquetRows {
        self.rows_as(columns, self.of.views())
    }

    fn rows_as(&self, columns: &SchemaRef, metadata: &ArrowReaderMetadata) -> ParquetRows {
        let rows = self.of.group(self.group).map_or(0, RowGroupMetaData::num_rows);
        let batch_rows = usize::try_from(rows).unwrap_or(usize::MAX);
        let starts = self.of.group(self.group).map_or(&[][..], |group| group.columns());
        let part = |(leaf, bytes): &(usize, Bytes)| Some((starts.get(*leaf)?.byte_range().0, bytes.clone()));
        let source = self.of.file.source.with_parts(self.chunks.iter().filter_map(part));
        let file = ParquetFile { source, metadata: metadata.clone() };
        let group = RowGroup { index: self.group, rows: None };
        file.rows(columns, vec![group], batch_rows, &self.of.bridge)
    }
}

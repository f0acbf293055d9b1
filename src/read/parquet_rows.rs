//! Rows of a Parquet file, row group by row group: one call to the storage each, some ahead.

use std::collections::VecDeque;
use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use lakebed_hudi::parquet_guard::{self, ChunkForm};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, RowSelection};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::file::metadata::ColumnChunkMetaData;

use super::ReadError;
use super::bridge::{Bridge, Pending};
use crate::storage::StorageError;
use crate::table::ByteSource;

/// Wide rows make smaller batches, of about this many bytes unpacked.
const BATCH_BYTES: u64 = 32 << 20;
/// Row groups are fetched ahead until there are so many bytes of them: small ones would come too late.
const AHEAD_BYTES: u64 = 2 << 20;
/// Larger row groups are fetched when their turn comes, and not ahead.
const AHEAD_GROUP_BYTES: u64 = 64 << 20;

/// A Parquet file of which the footer was read.
#[derive(Debug, Clone)]
pub(super) struct ParquetFile {
    pub(super) source: ByteSource,
    pub(super) metadata: ArrowReaderMetadata,
}

/// A row group, or the rows of it that are wanted.
#[derive(Debug)]
pub(super) struct RowGroup {
    pub(super) index: usize,
    pub(super) rows: Option<RowSelection>,
}

impl ParquetFile {
    /// How many rows there are.
    pub(super) fn num_rows(&self) -> u64 {
        let rows = self.metadata.metadata().row_groups().iter().map(|group| group.num_rows().unsigned_abs());
        rows.fold(0, u64::saturating_add)
    }

    /// All row groups.
    pub(super) fn row_groups(&self) -> Vec<RowGroup> {
        (0..self.metadata.metadata().num_row_groups()).map(|index| RowGroup { index, rows: None }).collect()
    }

    /// The rows of `groups`, with those of `columns` that the file has, in the file's order.
    pub(super) fn rows(
        &self,
        columns: &SchemaRef,
        groups: Vec<RowGroup>,
        batch_rows: usize,
        bridge: &Bridge,
    ) -> ParquetRows {
        let fields = self.metadata.schema().fields();
        let wanted = fields.iter().enumerate().filter(|(_, f)| columns.field_with_name(f.name()).is_ok());
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), wanted.map(|(root, _)| root));
        let mut rows = ParquetRows {
            file: self.clone(),
            mask,
            batch_rows: batch_rows.max(1),
            groups: groups.into(),
            bridge: bridge.clone(),
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            reader: None,
            failed: false,
        };
        rows.fetch_ahead();
        rows
    }
}

/// Batches of rows, decoded as they are asked for; ends after the first error.
pub(crate) struct ParquetRows {
    file: ParquetFile,
    mask: ProjectionMask,
    batch_rows: usize,
    groups: VecDeque<RowGroup>,
    bridge: Bridge,
    /// With their bytes.
    ahead: VecDeque<(u64, Result<Fetch, ReadError>)>,
    ahead_bytes: u64,
    reader: Option<ParquetRecordBatchReader>,
    failed: bool,
}

/// A row group on its way.
enum Fetch {
    /// Its bytes were asked for.
    Asked {
        group: usize,
        decoder: Box<ParquetPushDecoder>,
        ranges: Vec<Range<u64>>,
        bytes: Pending<Result<Vec<Bytes>, StorageError>>,
    },
    /// It takes no bytes; `None` if it has no rows.
    Here(Option<ParquetRecordBatchReader>),
}

impl ParquetRows {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        loop {
            if let Some(reader) = &mut self.reader {
                match self.file.source.guarded(|| Ok(reader.next().transpose()?))? {
                    Some(batch) if batch.num_rows() > 0 => return Ok(Some(batch)),
                    Some(_) => continue,
                    None => self.reader = None,
                }
            }
            let Some((bytes, fetch)) = self.ahead.pop_front().or_else(|| self.next_fetch(u64::MAX)) else {
                return Ok(None);
            };
            self.ahead_bytes = self.ahead_bytes.saturating_sub(bytes);
            self.reader = self.arrived(fetch?)?;
            self.fetch_ahead();
        }
    }

    fn fetch_ahead(&mut self) {
        while self.ahead_bytes < AHEAD_BYTES
            && let Some((bytes, fetch)) = self.next_fetch(AHEAD_GROUP_BYTES)
        {
            self.ahead_bytes += bytes;
            self.ahead.push_back((bytes, fetch));
        }
    }

    /// Asks for the next row group, if it has at most `max_bytes`.
    fn next_fetch(&mut self, max_bytes: u64) -> Option<(u64, Result<Fetch, ReadError>)> {
        let next = self.groups.front()?;
        let bytes = self.column_bytes(next.index, |chunk| chunk.compressed_size().unsigned_abs());
        if bytes > max_bytes {
            return None;
        }
        let group = self.groups.pop_front()?;
        Some((bytes, self.fetch(group)))
    }

    fn fetch(&self, group: RowGroup) -> Result<Fetch, ReadError> {
        let source = &self.file.source;
        let batch_rows = self.rows_per_batch(group.index);
        let (decoder, asked) = source.guarded(|| {
            let mut builder = ParquetPushDecoderBuilder::new_with_metadata(self.file.metadata.clone())
                .with_projection(self.mask.clone())
                .with_row_groups(vec![group.index])
                .with_batch_size(batch_rows);
            if let Some(rows) = group.rows {
                builder = builder.with_row_selection(rows);
            }
            let mut decoder = builder.build()?;
            let asked = decoder.try_next_reader()?;
            Ok((decoder, asked))
        })?;
        Ok(match asked {
            DecodeResult::NeedsData(ranges) => {
                let (source, wanted) = (source.clone(), ranges.clone());
                let bytes = self.bridge.start(async move { source.get(&wanted).await });
                Fetch::Asked { group: group.index, decoder: Box::new(decoder), ranges, bytes }
            }
            DecodeResult::Data(reader) => Fetch::Here(Some(reader)),
            DecodeResult::Finished => Fetch::Here(None),
        })
    }

    /// Waits for a row group, and checks its pages before the library takes memory for them.
    fn arrived(&self, fetch: Fetch) -> Result<Option<ParquetRecordBatchReader>, ReadError> {
        let (group, mut decoder, ranges, bytes) = match fetch {
            Fetch::Here(reader) => return Ok(reader),
            Fetch::Asked { group, decoder, ranges, bytes } => (group, decoder, ranges, bytes.wait()??),
        };
        let source = &self.file.source;
        for (range, pages) in ranges.iter().zip(&bytes) {
            let checked = self.forms(group, range).and_then(|forms| {
                forms.iter().try_for_each(|form| parquet_guard::check_pages(pages, form).map(drop))
            });
            checked.map_err(|reason| source.parquet_error(reason))?;
        }
        let reader = source.guarded(|| {
            decoder.push_ranges(ranges, bytes)?;
            decoder.try_next_reader()
        })?;
        match reader {
            DecodeResult::Data(reader) => Ok(Some(reader)),
            DecodeResult::Finished => Ok(None),
            DecodeResult::NeedsData(_) => {
                Err(source.parquet_error("its columns reach beyond the ranges that it declares").into())
            }
        }
    }

    /// How the pages of a row group are written that lie in `range`, which is of one column chunk unless
    /// chunks overlap.
    fn forms(&self, group: usize, range: &Range<u64>) -> Result<Vec<ChunkForm>, &'static str> {
        let within = |column: &&ColumnChunkMetaData| {
            let (start, bytes) = column.byte_range();
            start < range.end && range.start < start.saturating_add(bytes)
        };
        let columns = self.file.metadata.metadata().row_groups().get(group).map_or(&[][..], |g| g.columns());
        let forms: Vec<_> = columns.iter().filter(within).map(ChunkForm::of).collect();
        if forms.is_empty() { Err("its pages lie in no column") } else { Ok(forms) }
    }

    /// Fewer rows a batch where rows are wide.
    fn rows_per_batch(&self, group: usize) -> usize {
        let unpacked = self.column_bytes(group, parquet_guard::decoded_bytes);
        let rows = self.file.metadata.metadata().row_groups().get(group).map_or(0, |g| g.num_rows());
        let row_bytes = unpacked / rows.unsigned_abs().max(1);
        self.batch_rows.min((BATCH_BYTES / row_bytes.max(1)).max(1) as usize)
    }

    /// The sum of a size over the wanted columns of a row group.
    fn column_bytes(&self, group: usize, size: fn(&ColumnChunkMetaData) -> u64) -> u64 {
        let columns = self.file.metadata.metadata().row_groups().get(group).map_or(&[][..], |g| g.columns());
        let wanted = columns.iter().enumerate().filter(|(leaf, _)| self.mask.leaf_included(*leaf));
        wanted.map(|(_, column)| size(column)).fold(0, u64::saturating_add)
    }
}

impl Iterator for ParquetRows {
    type Item = Result<RecordBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_batch().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

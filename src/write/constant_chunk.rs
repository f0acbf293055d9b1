//! Column chunks that say the same in every row, made by hand: a dictionary of one value and one
//! run of it.
//!
//! The ordinary writer hashes and compares the value of every row, and for Hudi's own columns that
//! costs more than for many a column of the user's.

use std::io::Write;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

/// The codec of all that is written.
pub(super) const ZSTD_LEVEL: i32 = 1;

/// The codec as Parquet names it.
pub(super) fn compression() -> Result<Compression> {
    Ok(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
}

/// Bytes before the first page: a page at offset 0 would be taken for none.
const PADDING: &[u8] = b"PAR1";

/// A chunk of an optional text column at the top level.
#[derive(Debug)]
pub(super) struct ConstantChunk {
    bytes: Bytes,
    close: ColumnCloseResult,
}

impl ConstantChunk {
    /// `text` in `rows` rows of `column`.
    pub(super) fn new(text: &str, rows: u32, column: ColumnDescPtr) -> Result<Self> {
        let mut sink = TrackedWrite::new(Vec::new());
        sink.write_all(PADDING)?;
        let mut pages = SerializedPageWriter::new(&mut sink);
        let dictionary = pages.write_page(dictionary_page(text.as_bytes())?)?;
        let data = pages.write_page(data_page(rows)?)?;
        pages.close()?;
        let sizes = [&dictionary, &data];
        let compressed: usize = sizes.iter().map(|page| page.compressed_size).sum();
        let uncompressed: usize = sizes.iter().map(|page| page.uncompressed_size).sum();
        let value = Some(text.as_bytes().to_vec().into());
        let metadata = ColumnChunkMetaData::builder(column)
            .set_compression(compression()?)
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
            .set_num_values(rows.into())
            .set_total_compressed_size(compressed as i64)
            .set_total_uncompressed_size(uncompressed as i64)
            .set_dictionary_page_offset(Some(dictionary.offset as i64))
            .set_data_page_offset(data.offset as i64)
            .set_statistics(Statistics::byte_array(value.clone(), value, None, Some(0), false))
            .build()?;
        let mut index = ColumnIndexBuilder::new(Type::BYTE_ARRAY);
        index.append(false, text.as_bytes().to_vec(), text.as_bytes().to_vec(), 0);
        let mut offsets = OffsetIndexBuilder::new();
        offsets.append_row_count(rows.into());
        offsets.append_offset_and_size(
            data.offset as i64,
            i32::try_from(data.compressed_size).unwrap_or(i32::MAX),
        );
        let close = ColumnCloseResult {
            bytes_written: compressed as u64,
            rows_written: rows.into(),
            metadata,
            bloom_filter: None,
            column_index: Some(index.build()?),
            offset_index: Some(offsets.build()),
        };
        Ok(Self { bytes: sink.into_inner()?.into(), close })
    }

    /// Makes this the next column of a row group.
    pub(super) fn append_to<W: Write + Send>(
        self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        group.append_column(&self.bytes, self.close)
    }
}

fn dictionary_page(value: &[u8]) -> Result<CompressedPage> {
    let length = u32::try_from(value.len()).map_err(|error| ParquetError::General(error.to_string()))?;
    let plain = [&length.to_le_bytes()[..], value].concat();
    let buf = compressed(&plain)?;
    let page = Page::DictionaryPage { buf, num_values: 1, encoding: Encoding::PLAIN, is_sorted: false };
    Ok(CompressedPage::new(page, plain.len()))
}

/// Definition levels that are all 1, then indices of no bits that are all 0.
fn data_page(rows: u32) -> Result<CompressedPage> {
    let mut run = Vec::new();
    put_run(&mut run, rows);
    let levels = [run.as_slice(), &[1]].concat();
    let indices = [&[0], run.as_slice()].concat();
    let plain = [&(levels.len() as u32).to_le_bytes()[..], &levels, &indices].concat();
    let page = Page::DataPage {
        buf: compressed(&plain)?,
        num_values: rows,
        encoding: Encoding::RLE_DICTIONARY,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    };
    Ok(CompressedPage::new(page, plain.len()))
}

/// The head of a run of `rows` equal values.
fn put_run(out: &mut Vec<u8>, rows: u32) {
    let mut head = u64::from(rows) << 1;
    while head >= 0x80 {
        out.push((head & 0x7f) as u8 | 0x80);
        head >>= 7;
    }
    out.push(head as u8);
}

fn compressed(plain: &[u8]) -> Result<Bytes> {
    Ok(zstd::bulk::compress(plain, ZSTD_LEVEL)?.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
    use parquet::file::metadata::PageIndexPolicy;
    use parquet::file::properties::WriterProperties;

    use super::super::encoding::ROW_GROUP_ROWS;
    use super::super::parquet_schema::parquet_schema;
    use super::super::parquet_writer::ParquetWriter;
    use super::*;

    #[test]
    fn constants_stand_in_every_row_with_statistics_and_page_index() {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let schema = Arc::new(Schema::new(vec![
            field("a", DataType::Utf8),
            field("n", DataType::Int64),
            field("b", DataType::Utf8),
        ]));
        let rows = ROW_GROUP_ROWS + 7;
        let numbers: ArrayRef = Arc::new((0..rows as i64).collect::<Int64Array>());
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let properties = WriterProperties::builder().set_compression(compression().unwrap()).build();
        let constants = vec![("a", "p=é".to_owned()), ("b", String::new())];
        let parquet = parquet_schema(&schema).unwrap();
        let mut writer = ParquetWriter::new(&schema, &parquet, properties, constants).unwrap();
        writer.write(&batch.slice(0, 10)).unwrap();
        writer.write(&batch.slice(10, rows - 10)).unwrap();
        let first = writer.take_bytes();
        let (rest, metadata) = writer.finish([]).unwrap();
        let file: Bytes = [first, rest].concat().into();

        let groups: Vec<_> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(groups, [ROW_GROUP_ROWS as i64, 7]);
        for group in metadata.row_groups() {
            let statistics = group.column(0).statistics().unwrap();
            let bounds = (statistics.min_bytes_opt(), statistics.max_bytes_opt());
            assert_eq!(bounds, (Some("p=é".as_bytes()), Some("p=é".as_bytes())));
            assert_eq!(statistics.null_count_opt(), Some(0));
            assert!(group.column(0).compressed_size() < 100);
        }
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
        let mut seen = 0;
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            assert!(batch.column(0).as_string::<i32>().iter().all(|text| text == Some("p=é")));
            assert!(batch.column(2).as_string::<i32>().iter().all(|text| text == Some("")));
            seen += batch.num_rows();
        }
        assert_eq!(seen, rows);
    }
}

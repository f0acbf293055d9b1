//! Column chunks that are made by hand, because all their rows are known beforehand: text that is
//! the same in every row, text that counts the rows, and text that repeats the record key.
//!
//! The ordinary writer hashes or compares the value of every row, and for Hudi's own columns that
//! costs more than for many a column of the user's.

use std::io::Write;

use bytes::Bytes;
use parquet::basic::{Encoding, Type};
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::codec::{ZSTD_LEVEL, compression};
use super::delta_packed::{delta_packed, put_varint};
use super::encoding::EncodingSet;
use super::generated_columns::Generated;

/// Bytes before the first page: a page at offset 0 would be taken for none.
const PADDING: &[u8] = b"PAR1";

/// A chunk of an optional text column at the top level.
#[derive(Debug)]
pub(super) struct GeneratedChunk {
    bytes: Bytes,
    close: ColumnCloseResult,
}

/// The pages of a chunk.
struct Pages {
    dictionary: Option<CompressedPage>,
    data: CompressedPage,
    encodings: Vec<Encoding>,
}

impl GeneratedChunk {
    /// `rows` rows of `column`, of which the file has `rows_before` before them. `keys` are the
    /// record keys of the same rows.
    pub(super) fn new(
        generated: &Generated,
        (rows_before, rows): (u64, u32),
        column: ColumnDescPtr,
        encodings: EncodingSet,
        keys: Option<&Self>,
    ) -> Result<Self> {
        match generated {
            Generated::Key => {
                keys.map_or_else(|| Err(no_keys(&column)), |keys| keys.of_column(column.clone()))
            }
            Generated::Same(text) => Self::of_pages(same(text.as_bytes(), rows)?, rows, column, Some(text)),
            Generated::Counted { prefix, from } => {
                let pages = counted(prefix.as_bytes(), from + rows_before, rows, encodings)?;
                // Nobody looks for rows by such numbers.
                Self::of_pages(pages, rows, column, None)
            }
        }
    }

    /// A chunk without a dictionary that was written as `pages`, each after its head.
    pub(super) fn of_written(pages: &[Bytes], close: ColumnCloseResult) -> Self {
        Self { bytes: pages.concat().into(), close }
    }

    /// The same rows in another column, which is optional as this one is.
    fn of_column(&self, column: ColumnDescPtr) -> Result<Self> {
        let known = &self.close.metadata;
        let mut metadata = ColumnChunkMetaData::builder(column)
            .set_compression_codec(known.compression_codec())
            .set_encodings_mask(*known.encodings_mask())
            .set_num_values(known.num_values())
            .set_total_compressed_size(known.compressed_size())
            .set_total_uncompressed_size(known.uncompressed_size())
            .set_data_page_offset(known.data_page_offset())
            .set_unencoded_byte_array_data_bytes(known.unencoded_byte_array_data_bytes())
            .set_definition_level_histogram(known.definition_level_histogram().cloned());
        if let Some(statistics) = known.statistics() {
            metadata = metadata.set_statistics(statistics.clone());
        }
        if let Some(statistics) = known.page_encoding_stats() {
            metadata = metadata.set_page_encoding_stats(statistics.clone());
        }
        let close = ColumnCloseResult { metadata: metadata.build()?, ..self.close.clone() };
        Ok(Self { bytes: self.bytes.clone(), close })
    }

    /// `only` is the one text, for statistics and page index.
    fn of_pages(pages: Pages, rows: u32, column: ColumnDescPtr, only: Option<&String>) -> Result<Self> {
        let mut sink = TrackedWrite::new(Vec::new());
        sink.write_all(PADDING)?;
        let mut writer = SerializedPageWriter::new(&mut sink);
        let dictionary = pages.dictionary.map(|page| writer.write_page(page)).transpose()?;
        let data = writer.write_page(pages.data)?;
        writer.close()?;
        let written = || dictionary.iter().chain([&data]);
        let compressed: usize = written().map(|page| page.compressed_size).sum();
        let uncompressed: usize = written().map(|page| page.uncompressed_size).sum();
        let mut metadata = ColumnChunkMetaData::builder(column)
            .set_compression(compression()?)
            .set_encodings(pages.encodings)
            .set_num_values(rows.into())
            .set_total_compressed_size(compressed as i64)
            .set_total_uncompressed_size(uncompressed as i64)
            .set_dictionary_page_offset(dictionary.map(|page| page.offset as i64))
            .set_data_page_offset(data.offset as i64);
        let mut column_index = None;
        if let Some(text) = only {
            let value = text.as_bytes().to_vec();
            let bound = Some(value.clone().into());
            metadata =
                metadata.set_statistics(Statistics::byte_array(bound.clone(), bound, None, Some(0), false));
            let mut index = ColumnIndexBuilder::new(Type::BYTE_ARRAY);
            index.append(false, value.clone(), value, 0);
            column_index = Some(index.build()?);
        }
        let mut offsets = OffsetIndexBuilder::new();
        offsets.append_row_count(rows.into());
        offsets.append_offset_and_size(
            data.offset as i64,
            i32::try_from(data.compressed_size).unwrap_or(i32::MAX),
        );
        let close = ColumnCloseResult {
            bytes_written: compressed as u64,
            rows_written: rows.into(),
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index,
            offset_index: Some(offsets.build()),
        };
        Ok(Self { bytes: sink.into_inner()?.into(), close })
    }

    /// What is said of it.
    pub(super) fn close(&self) -> &ColumnCloseResult {
        &self.close
    }

    /// Makes this the next column of a row group.
    pub(super) fn append_to<W: Write + Send>(
        self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        group.append_column(&self.bytes, self.close)
    }
}

fn no_keys(column: &ColumnDescPtr) -> ParquetError {
    ParquetError::General(format!("{} repeats record keys, and there are none", column.path()))
}

/// A dictionary of one value, and indices of no bits that are all 0.
fn same(value: &[u8], rows: u32) -> Result<Pages> {
    let length = u32::try_from(value.len()).map_err(|error| ParquetError::General(error.to_string()))?;
    let plain = [&length.to_le_bytes()[..], value].concat();
    let buf = compressed(&plain)?;
    let dictionary = Page::DictionaryPage { buf, num_values: 1, encoding: Encoding::PLAIN, is_sorted: false };
    let indices = [&[0], run(rows).as_slice()].concat();
    Ok(Pages {
        dictionary: Some(CompressedPage::new(dictionary, plain.len())),
        data: data_page(rows, Encoding::RLE_DICTIONARY, &indices)?,
        encodings: vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY],
    })
}

/// `prefix` and the numbers from `from` on.
fn counted(prefix: &[u8], from: u64, rows: u32, encodings: EncodingSet) -> Result<Pages> {
    let (encoding, values) = match encodings {
        EncodingSet::Delta => (Encoding::DELTA_BYTE_ARRAY, shared_prefixes(prefix, from, rows)),
        EncodingSet::Plain => (Encoding::PLAIN, plain_texts(prefix, from, rows)),
    };
    let data = data_page(rows, encoding, &values)?;
    Ok(Pages { dictionary: None, data, encodings: vec![Encoding::RLE, encoding] })
}

/// How many bytes each text shares with the one before it, how many more it has, and these.
fn shared_prefixes(prefix: &[u8], from: u64, rows: u32) -> Vec<u8> {
    let (mut shared, mut more) = (Vec::new(), Vec::new());
    let mut bytes = Vec::new();
    let mut before = None;
    let mut digits = itoa::Buffer::new();
    for number in (from..).take(rows as usize) {
        let text = digits.format(number);
        let common = match before.replace(number) {
            None => 0,
            Some(before) => common_digits(before, text),
        };
        // Only the first has the prefix to itself.
        let (kept, own) = if shared.is_empty() { (0, prefix) } else { (prefix.len() + common, &[][..]) };
        let rest = text.as_bytes().get(common..).unwrap_or_default();
        shared.push(kept as i32);
        more.push((own.len() + rest.len()) as i32);
        bytes.extend_from_slice(own);
        bytes.extend_from_slice(rest);
    }
    [delta_packed(&shared), delta_packed(&more), bytes].concat()
}

/// The digits that a number shares with the one before it, from the front.
fn common_digits(before: u64, text: &str) -> usize {
    let mut digits = itoa::Buffer::new();
    digits.format(before).bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count()
}

fn plain_texts(prefix: &[u8], from: u64, rows: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut digits = itoa::Buffer::new();
    for number in (from..).take(rows as usize) {
        let text = digits.format(number).as_bytes();
        bytes.extend_from_slice(&((prefix.len() + text.len()) as u32).to_le_bytes());
        bytes.extend_from_slice(prefix);
        bytes.extend_from_slice(text);
    }
    bytes
}

/// Definition levels that are all 1, then `values`.
fn data_page(rows: u32, encoding: Encoding, values: &[u8]) -> Result<CompressedPage> {
    let levels = [run(rows).as_slice(), &[1]].concat();
    let plain = [&(levels.len() as u32).to_le_bytes()[..], &levels, values].concat();
    let page = Page::DataPage {
        buf: compressed(&plain)?,
        num_values: rows,
        encoding,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    };
    Ok(CompressedPage::new(page, plain.len()))
}

/// The head of a run of `rows` equal values.
fn run(rows: u32) -> Vec<u8> {
    let mut head = Vec::new();
    put_varint(&mut head, u64::from(rows) << 1);
    head
}

fn compressed(plain: &[u8]) -> Result<Bytes> {
    Ok(zstd::bulk::compress(plain, ZSTD_LEVEL)?.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use lakebed_hudi::base_file::RECORD_KEY;
    use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
    use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
    use parquet::file::properties::WriterProperties;

    use super::super::encoding::ROW_GROUP_ROWS;
    use super::super::generated_columns::GeneratedColumns;
    use super::super::parquet_schema::parquet_schema;
    use super::super::parquet_writer::ParquetWriter;
    use super::*;

    /// A file of the columns `a`, `n` and `b`, of which only the numbers of `n` are given.
    fn file(rows: usize, a: Generated, b: Generated, encodings: EncodingSet) -> (Bytes, ParquetMetaData) {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let schema = Arc::new(Schema::new(vec![
            field("a", DataType::Utf8),
            field("n", DataType::Int64),
            field("b", DataType::Utf8),
        ]));
        let numbers: ArrayRef = Arc::new((0..rows as i64).collect::<Int64Array>());
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let properties = WriterProperties::builder().set_compression(compression().unwrap()).build();
        let mut generated = GeneratedColumns::default();
        generated.push("a", a);
        generated.push("b", b);
        let parquet = parquet_schema(&schema).unwrap();
        let mut writer = ParquetWriter::new(&schema, &parquet, (properties, encodings), generated).unwrap();
        writer.write(&batch.slice(0, 10)).unwrap();
        writer.write(&batch.slice(10, rows - 10)).unwrap();
        let first = writer.take_bytes();
        let (rest, metadata) = writer.finish([]).unwrap();
        ([first, rest].concat().concat().into(), metadata)
    }

    fn read(file: Bytes) -> Vec<RecordBatch> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
        reader.build().unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn the_same_text_stands_in_every_row_with_statistics_and_page_index() {
        let rows = ROW_GROUP_ROWS + 7;
        let same = |text: &str| Generated::Same(text.to_owned());
        let (file, metadata) = file(rows, same("p=é"), same(""), EncodingSet::Plain);
        let groups: Vec<_> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(groups, [ROW_GROUP_ROWS as i64, 7]);
        for group in metadata.row_groups() {
            let statistics = group.column(0).statistics().unwrap();
            let bounds = (statistics.min_bytes_opt(), statistics.max_bytes_opt());
            assert_eq!(bounds, (Some("p=é".as_bytes()), Some("p=é".as_bytes())));
            assert_eq!(statistics.null_count_opt(), Some(0));
            assert!(group.column(0).compressed_size() < 100);
        }
        assert!(metadata.column_index().is_some());
        let batches = read(file);
        for batch in &batches {
            assert!(batch.column(0).as_string::<i32>().iter().all(|text| text == Some("p=é")));
            assert!(batch.column(2).as_string::<i32>().iter().all(|text| text == Some("")));
        }
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), rows);
    }

    #[test]
    fn numbers_count_over_the_row_groups_of_a_file() {
        let counted = |from| Generated::Counted { prefix: "20260101_3_".to_owned(), from };
        let rows = ROW_GROUP_ROWS + 130;
        for encodings in [EncodingSet::Delta, EncodingSet::Plain] {
            let (file, metadata) = file(rows, counted(0), counted(99_950), encodings);
            assert!(metadata.row_group(0).column(0).statistics().is_none());
            let mut number = 0;
            for batch in read(file) {
                let (a, b) = (batch.column(0).as_string::<i32>(), batch.column(2).as_string::<i32>());
                for (a, b) in a.iter().zip(b) {
                    assert_eq!(a, Some(format!("20260101_3_{number}").as_str()));
                    assert_eq!(b, Some(format!("20260101_3_{}", 99_950 + number).as_str()));
                    number += 1;
                }
            }
            assert_eq!(number, rows);
        }
    }

    #[test]
    fn a_column_that_repeats_the_key_has_its_values_statistics_and_page_index() {
        let rows = ROW_GROUP_ROWS + 130;
        let fields = [RECORD_KEY, "id"].map(|name| Field::new(name, DataType::Utf8, true));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let keys: ArrayRef =
            Arc::new((0..rows).map(|n| Some(format!("key {}", n * 7_919 % rows))).collect::<StringArray>());
        let batch = RecordBatch::try_from_iter([(RECORD_KEY, keys.clone())]).unwrap();
        let mut generated = GeneratedColumns::default();
        generated.push("id", Generated::Key);
        for encodings in [EncodingSet::Delta, EncodingSet::Plain] {
            let properties = encodings.properties(&schema, &generated, std::slice::from_ref(&batch)).unwrap();
            let parquet = parquet_schema(&schema).unwrap();
            let properties = (properties.build(), encodings);
            let mut writer = ParquetWriter::new(&schema, &parquet, properties, generated.clone()).unwrap();
            writer.write(&batch).unwrap();
            let (file, metadata) = writer.finish([]).unwrap();
            assert_eq!(metadata.num_row_groups(), 2);
            for group in metadata.row_groups() {
                let [key, id] = [0, 1].map(|column| group.column(column));
                assert!(id.statistics().is_some());
                assert_eq!(key.statistics(), id.statistics());
                assert_eq!(key.encodings().collect::<Vec<_>>(), id.encodings().collect::<Vec<_>>());
                assert_eq!(id.data_page_offset(), key.data_page_offset() + key.compressed_size());
            }
            let pages = metadata.offset_index().unwrap()[0][1].page_locations();
            assert_eq!(pages[0].offset, metadata.row_group(0).column(1).data_page_offset());
            let mut read = 0;
            for batch in self::read(file.concat().into()) {
                let want = keys.slice(read, batch.num_rows());
                assert_eq!(batch.columns(), [want.clone(), want]);
                read += batch.num_rows();
            }
            assert_eq!(read, rows);
        }
    }
}

//! What Parquet files claim.

use ::parquet::arrow::ArrowWriter;
use ::parquet::file::properties::WriterProperties;

use super::*;

/// A Parquet file whose footer is `footer`.
fn parquet_of(footer: &[u8]) -> Vec<u8> {
    let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
    [b"PAR1", footer, &length, b"PAR1"].concat()
}

#[test]
fn what_a_parquet_footer_claims_is_checked_before_it_is_believed() {
    // A list of 2^31 - 1 columns, for which the library would reserve memory.
    let many = [0x15, 0x02, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07];
    let long = [&b"PAR1"[..], &u32::MAX.to_le_bytes(), b"PAR1"].concat();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
    let numbers = RecordBatch::try_from_iter([("id", numbers)]).unwrap();
    let mut whole = Vec::new();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(&mut whole, numbers.schema(), None).unwrap();
    writer.write(&numbers).unwrap();
    writer.close().unwrap();
    // Its pages are cut away, so that its columns lie behind its end.
    let footer_bytes = u32::from_le_bytes(*whole[..whole.len() - 4].last_chunk().unwrap()) as usize;
    let footer = &whole[whole.len() - 8 - footer_bytes..whole.len() - 8];
    for (bytes, expected) in [
        (parquet_of(&many), "a header claims more than there are bytes"),
        (long, "its footer claims 4294967295 bytes, at most 4 are possible"),
        (parquet_of(footer), "its row group 0 claims rows or columns that are not there"),
    ] {
        let found = failure("t.parquet", &bytes, &id_and_text());
        assert_eq!(found, format!("t.parquet: it is no sound parquet file: {expected}"));
    }
}

fn written(batch: &RecordBatch, properties: Option<WriterProperties>) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), properties).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

/// A Parquet file of many zeros: one page of 1.1 MB, packed to little.
fn zeros() -> Vec<u8> {
    let zeros: ArrayRef = Arc::new(Int64Array::from_value(0, 140_000));
    let batch = RecordBatch::try_from_iter([("id", zeros)]).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_compression(::parquet::basic::Compression::ZSTD(Default::default()))
        .set_data_page_size_limit(4 << 20)
        .set_data_page_row_count_limit(1 << 20)
        .set_write_batch_size(1 << 20)
        .build();
    written(&batch, Some(properties))
}

#[test]
fn what_a_parquet_page_claims_is_checked_before_it_is_believed() {
    let read = |bytes: &[u8], unit_bytes| {
        let limits = Limits { unit_bytes, ..Limits::default() };
        let format = Format { limits, ..Format::default() };
        read_on(open("t.parquet", bytes, &format, &wanted(&[("id", DataType::Int64)]))?)
            .map(|(rows, _)| rows.len())
    };
    let file = zeros();
    assert_eq!(read(&file, 4 << 20).unwrap(), 140_000);
    let refused = read(&file, 1 << 20).unwrap_err().to_string();
    assert!(
        refused.contains("a page takes 1.1 MiB, the memory allows 1.0 MiB: give the job more"),
        "{refused}"
    );
    // The kind of the page, then what it unpacks to, in four bytes.
    assert_eq!(file[4..7], [0x15, 0x00, 0x15]);
    let mut claims = file;
    claims[7..11].copy_from_slice(&[0xfe, 0xff, 0xff, 0x7f]);
    let refused = read(&claims, 1 << 30).unwrap_err().to_string();
    assert!(refused.contains("a page claims to unpack to more than its bytes can hold"), "{refused}");
}

#[test]
fn lengths_that_a_parquet_page_has_no_values_for_are_refused() {
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..40).map(|i| format!("v{i}"))));
    let batch = RecordBatch::try_from_iter([("v", texts)]).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_encoding(::parquet::basic::Encoding::DELTA_LENGTH_BYTE_ARRAY)
        .build();
    let mut file = written(&batch, Some(properties));
    let read = |file: &[u8]| {
        read_on(open("t.parquet", file, &small_blocks(), &wanted(&[("v", DataType::Utf8)]))?)
            .map(|(rows, _)| rows.len())
    };
    assert_eq!(read(&file).unwrap(), 40);
    // Blocks of 128 in 4 parts, and the count.
    let at = file.windows(4).position(|window| window == [0x80, 0x01, 4, 40]).unwrap();
    file[at + 3] = 127;
    let refused = read(&file).unwrap_err().to_string();
    assert!(refused.contains("a page claims more lengths of byte arrays than it has values"), "{refused}");
}

#[test]
fn texts_that_many_rows_share_make_smaller_batches() {
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..2_000).map(|n| {
        let letter = ["a", "b"][n % 2];
        letter.repeat(100_000)
    })));
    let batch = RecordBatch::try_from_iter([("v", texts)]).unwrap();
    let file = written(&batch, None);
    assert!(file.len() < 300_000);
    let mut reader = open("t.parquet", &file, &Format::default(), &wanted(&[("v", DataType::Utf8)])).unwrap();
    let mut rows = 0;
    while let Some(chunk) = reader.next_chunk().unwrap() {
        assert!(chunk.bytes() < 20_000_000, "{}", chunk.bytes());
        rows += chunk.records();
    }
    assert_eq!(rows, 2_000);
}

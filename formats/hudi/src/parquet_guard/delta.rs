//! The lengths of byte arrays in delta encodings, which a page holds packed.
//!
//! The library takes memory for as many lengths as the encoded bytes declare, and a run of equal
//! ones takes no bytes: four bytes can stand for any number. So pages of these encodings are unpacked
//! as far as their lengths go, before the library sees them.

use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use parquet::file::metadata::ColumnChunkMetaData;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::{Checked, DataPage, LevelBytes, PageHeader};

/// The encodings whose lengths the library unpacks at once.
const DELTA_LENGTH_BYTE_ARRAY: usize = 6;
const DELTA_BYTE_ARRAY: usize = 7;
/// How levels are encoded.
const RLE: usize = 3;
const BIT_PACKED: usize = 4;

/// Lengths of a page that are believed, whatever its bytes.
const LENGTHS_MAX: u64 = 1 << 24;
/// Lengths for each byte of a page: ordinary writers need a byte for 25 equal ones.
const LENGTHS_PER_BYTE: u64 = 256;

const BROKEN: &str = "a page of delta-encoded byte arrays is broken";

/// How the pages of a column chunk are written, by the footer.
#[derive(Debug, Clone, Copy)]
pub struct ChunkForm {
    compression: Compression,
    repetition_bits: u32,
    definition_bits: u32,
}

impl ChunkForm {
    /// The form of a column chunk.
    pub fn of(column: &ColumnChunkMetaData) -> Self {
        let bits = |level: i16| i16::BITS - level.max(0).leading_zeros();
        let descr = column.column_descr();
        Self {
            compression: column.compression(),
            repetition_bits: bits(descr.max_rep_level()),
            definition_bits: bits(descr.max_def_level()),
        }
    }
}

/// Checks how many lengths the page declares, of which `body` is all behind its header.
pub(super) fn check(page: &PageHeader, body: &[u8], form: &ChunkForm) -> Checked<()> {
    let Some(data) = page.data.filter(DataPage::is_delta) else { return Ok(()) };
    let max = LENGTHS_MAX.max(LENGTHS_PER_BYTE.saturating_mul(page.unpacked_bytes as u64));
    let max = max.min(data.values as u64);
    let Some(mut values) = values(&data, body, page.unpacked_bytes, form)? else { return Ok(()) };
    // A page of nulls alone has no lengths, not even a count of them.
    if data.encoding == DELTA_BYTE_ARRAY && !lengths(&mut values, max, true)? {
        return Ok(());
    }
    lengths(&mut values, max, false).map(drop)
}

impl DataPage {
    /// Whether its lengths must be looked at.
    pub(super) fn is_delta(&self) -> bool {
        matches!(self.encoding, DELTA_LENGTH_BYTE_ARRAY | DELTA_BYTE_ARRAY)
    }
}

/// The encoded values of a page; `None` where the library cannot unpack it either.
fn values<'a>(
    data: &DataPage,
    body: &'a [u8],
    unpacked_bytes: usize,
    form: &ChunkForm,
) -> Checked<Option<Box<dyn Read + 'a>>> {
    match data.levels {
        LevelBytes::Before { bytes, packed } => {
            let values = body.get(bytes..).ok_or(BROKEN)?;
            let room = unpacked_bytes.saturating_sub(bytes);
            if packed { unpacked(values, form.compression, room) } else { Ok(Some(Box::new(values))) }
        }
        LevelBytes::Within { repetition, definition } => {
            let Some(mut all) = unpacked(body, form.compression, unpacked_bytes)? else { return Ok(None) };
            for (encoding, bits) in [(repetition, form.repetition_bits), (definition, form.definition_bits)] {
                let bytes = match (bits, encoding) {
                    (0, _) => continue,
                    (_, RLE) => u64::from(u32::from_le_bytes(array(&mut all)?)),
                    (bits, BIT_PACKED) => (data.values as u64).saturating_mul(bits.into()).div_ceil(8),
                    _ => return Err(BROKEN),
                };
                skip(&mut all, bytes)?;
            }
            Ok(Some(all))
        }
    }
}

fn unpacked<'a>(
    packed: &'a [u8],
    compression: Compression,
    unpacked_bytes: usize,
) -> Checked<Option<Box<dyn Read + 'a>>> {
    if unpacked_bytes == 0 {
        return Ok(Some(Box::new(io::empty())));
    }
    let room = unpacked_bytes as u64;
    let plain: Box<dyn Read + 'a> = match compression {
        Compression::UNCOMPRESSED => Box::new(packed),
        Compression::GZIP(_) => Box::new(BufReader::new(MultiGzDecoder::new(packed).take(room))),
        Compression::ZSTD(_) => {
            let decoder = ZstdDecoder::with_buffer(packed).map_err(|_| BROKEN)?;
            Box::new(BufReader::new(decoder.take(room)))
        }
        Compression::SNAPPY => {
            let size = snap::raw::decompress_len(packed).ok().filter(|size| *size <= unpacked_bytes);
            size.ok_or(BROKEN)?;
            let plain = snap::raw::Decoder::new().decompress_vec(packed).map_err(|_| BROKEN)?;
            Box::new(io::Cursor::new(plain))
        }
        Compression::LZ4_RAW => {
            let plain = lz4_flex::block::decompress(packed, unpacked_bytes).map_err(|_| BROKEN)?;
            Box::new(io::Cursor::new(plain))
        }
        Compression::LZ4 => {
            return Err(
                "its byte arrays are delta-encoded and in the old LZ4 packing, which is not read: write them as LZ4_RAW",
            );
        }
        Compression::BROTLI(_) | Compression::LZO => return Ok(None),
    };
    Ok(Some(plain))
}

/// Checks a count of lengths, and passes over them if `whole`; says whether there are any.
///
/// Source: `DELTA_BINARY_PACKED` of the Parquet format, as the library reads it.
fn lengths(read: &mut dyn Read, max: u64, whole: bool) -> Checked<bool> {
    let Some(block_lengths) = varint(read)? else { return Ok(false) };
    let mut number = || -> Checked<u64> { varint(read)?.ok_or(BROKEN) };
    let (parts, count, _first) = (number()?, number()?, number()?);
    if count > max {
        return Err("a page claims more lengths of byte arrays than it has values");
    }
    if !whole {
        return Ok(true);
    }
    let part_lengths = block_lengths.checked_div(parts).ok_or(BROKEN)?;
    let mut left = count.saturating_sub(1);
    while left > 0 {
        // The least difference.
        varint(read)?.ok_or(BROKEN)?;
        let mut widths = Vec::new();
        (&mut *read).take(parts).read_to_end(&mut widths).map_err(|_| BROKEN)?;
        if part_lengths == 0 || (widths.len() as u64) < parts {
            return Err(BROKEN);
        }
        let mut bits = 0_u64;
        for width in widths {
            if left > 0 {
                bits = bits.saturating_add(u64::from(width).saturating_mul(part_lengths));
            }
            left = left.saturating_sub(part_lengths);
        }
        skip(read, bits / 8)?;
    }
    Ok(true)
}

/// A number of seven bits a byte; `None` at the end.
fn varint(read: &mut dyn Read) -> Checked<Option<u64>> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let mut byte = [0];
        match read.read(&mut byte) {
            Ok(0) if shift == 0 => return Ok(None),
            Ok(1) => {}
            _ => return Err(BROKEN),
        }
        let [byte] = byte;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some(value));
        }
    }
    Err(BROKEN)
}

fn array(read: &mut dyn Read) -> Checked<[u8; 4]> {
    let mut bytes = [0; 4];
    read.read_exact(&mut bytes).map_err(|_| BROKEN)?;
    Ok(bytes)
}

fn skip(read: &mut dyn Read, bytes: u64) -> Checked<()> {
    let skipped = io::copy(&mut read.take(bytes), &mut io::sink()).map_err(|_| BROKEN)?;
    if skipped == bytes { Ok(()) } else { Err(BROKEN) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, RecordBatch, StringArray};
    use bytes::Bytes;
    use parquet::arrow::ArrowWriter;
    use parquet::basic::Encoding;
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::super::{check_page_header, check_pages};
    use super::*;

    const ROWS: usize = 100;

    /// The one page of a column of texts, every fifth of which is null, and its form.
    fn page(properties: WriterProperties) -> (Bytes, ChunkForm) {
        let texts = (0..ROWS).map(|row| (row % 5 > 0).then(|| format!("key {row:05}")));
        let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
        let batch = RecordBatch::try_from_iter([("t", texts)]).unwrap();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let file = Bytes::from(file);
        let reader = SerializedFileReader::new(file.clone()).unwrap();
        let column = reader.metadata().row_group(0).column(0);
        let (start, bytes) = column.byte_range();
        (file.slice(start as usize..(start + bytes) as usize), ChunkForm::of(column))
    }

    fn written(encoding: Encoding, compression: Compression, version: WriterVersion) -> WriterProperties {
        let properties = WriterProperties::builder().set_dictionary_enabled(false).set_encoding(encoding);
        properties.set_compression(compression).set_writer_version(version).build()
    }

    #[test]
    fn the_lengths_of_a_page_are_found_however_it_is_packed() {
        for encoding in [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
            for compression in [
                Compression::UNCOMPRESSED,
                Compression::SNAPPY,
                Compression::GZIP(Default::default()),
                Compression::ZSTD(Default::default()),
                Compression::LZ4_RAW,
            ] {
                for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                    let what = format!("{encoding} {compression} {version:?}");
                    let (chunk, form) = page(written(encoding, compression, version));
                    assert!(check_pages(&chunk, &form).is_ok(), "{what}");
                    let mut header = check_page_header(&chunk).unwrap();
                    let body = &chunk[header.header_bytes..];
                    assert!(header.needs_body(), "{what}");
                    let mut claimed = |values| {
                        header.data = header.data.map(|data| DataPage { values, ..data });
                        check(&header, body, &form)
                    };
                    let lengths = ROWS * 4 / 5;
                    assert_eq!(claimed(lengths), Ok(()), "{what}");
                    let more = "a page claims more lengths of byte arrays than it has values";
                    assert_eq!(claimed(lengths - 1), Err(more), "{what}");
                    for end in 0..body.len() {
                        // It is enough that nothing panics.
                        let _ = check(&header, &body[..end], &form);
                    }
                }
            }
        }
    }

    #[test]
    fn both_counts_of_a_delta_byte_array_are_looked_at() {
        let properties =
            written(Encoding::DELTA_BYTE_ARRAY, Compression::UNCOMPRESSED, WriterVersion::PARQUET_2_0);
        let (chunk, form) = page(properties);
        // Blocks of 128 in 4 parts, 80 values.
        let head = [0x80, 0x01, 0x04, 80];
        let places: Vec<_> =
            (0..chunk.len() - 4).filter(|at| chunk[*at..*at + 4] == head).map(|at| at + 3).collect();
        assert_eq!(places.len(), 2);
        for place in places {
            let mut lying = chunk.to_vec();
            lying[place] = 120;
            let more = "a page claims more lengths of byte arrays than it has values";
            assert_eq!(check_pages(&lying, &form), Err(more));
        }
    }
}

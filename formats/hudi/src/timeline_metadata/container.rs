//! The Avro object container around the one record of a timeline file.

use super::MetadataError;
use super::cursor::Cursor;
use crate::avro_rows::primitive::{put_bytes, put_long};

/// The first bytes of every Avro object container.
pub(super) const MAGIC: &[u8] = b"Obj\x01";

const SCHEMA_KEY: &str = "avro.schema";
const CODEC_KEY: &str = "avro.codec";
const NO_CODEC: &[u8] = b"null";
const MARKER_BYTES: usize = 16;

/// What a container holds.
pub(super) struct Container<'a> {
    /// The writer's schema, as JSON.
    pub schema: &'a [u8],
    /// The encoded record.
    pub record: &'a [u8],
    /// Where the record starts in the file.
    pub record_offset: usize,
}

struct Header<'a> {
    schema: Option<&'a [u8]>,
    codec: &'a [u8],
    marker: [u8; MARKER_BYTES],
}

/// Takes a container of exactly one record apart.
pub(super) fn open(bytes: &[u8]) -> Result<Container<'_>, MetadataError> {
    if bytes.is_empty() {
        return Err(MetadataError::Empty);
    }
    if !bytes.starts_with(MAGIC) {
        let found = bytes.iter().take(MAGIC.len()).copied().collect();
        return Err(MetadataError::Magic { expected: "an Avro container (\"Obj\\x01\")", found });
    }
    let mut cursor = Cursor::new(bytes);
    let header = read_header(&mut cursor)
        .map_err(|problem| MetadataError::Container { offset: cursor.offset(), problem })?;
    if header.codec != NO_CODEC {
        let codec = String::from_utf8_lossy(header.codec).chars().take(40).collect();
        return Err(MetadataError::Codec { codec });
    }
    read_body(&mut cursor, &header)
        .map_err(|problem| MetadataError::Container { offset: cursor.offset(), problem })
}

fn read_header<'a>(cursor: &mut Cursor<'a>) -> Result<Header<'a>, &'static str> {
    let (mut schema, mut codec) = (None, NO_CODEC);
    cursor.take(MAGIC.len())?;
    loop {
        let count = cursor.block_count()?;
        if count == 0 {
            return Ok(Header { schema, codec, marker: cursor.array()? });
        }
        for _ in 0..count {
            let (key, value) = (cursor.text()?, cursor.bytes()?);
            match key {
                SCHEMA_KEY => schema = Some(value),
                CODEC_KEY => codec = value,
                _ => {}
            }
        }
    }
}

fn read_body<'a>(cursor: &mut Cursor<'a>, header: &Header<'a>) -> Result<Container<'a>, &'static str> {
    let schema = header.schema.ok_or("the header has no schema")?;
    if cursor.remaining() == 0 {
        return Err("there is no record");
    }
    if cursor.long()? != 1 {
        return Err("the block has another number of records than 1");
    }
    let record = cursor.bytes()?;
    let record_offset = cursor.offset() - record.len();
    if cursor.array()? != header.marker {
        return Err("the sync marker after the record is not that of the header");
    }
    if cursor.remaining() > 0 {
        return Err("there are bytes after the only record");
    }
    Ok(Container { schema, record, record_offset })
}

/// Puts one encoded record into a container, as Hudi's `DataFileWriter` does.
///
/// Java draws the sync marker at random. Here it follows from the content, so that the same
/// value always gives the same bytes.
pub(super) fn build(schema: &str, record: &[u8]) -> Vec<u8> {
    let marker = fnv1a_128([schema.as_bytes(), record]).to_be_bytes();
    let mut bytes = Vec::with_capacity(schema.len() + record.len() + 64);
    bytes.extend_from_slice(MAGIC);
    put_long(&mut bytes, 1);
    put_bytes(&mut bytes, SCHEMA_KEY.as_bytes());
    put_bytes(&mut bytes, schema.as_bytes());
    put_long(&mut bytes, 0);
    bytes.extend_from_slice(&marker);
    put_long(&mut bytes, 1);
    put_bytes(&mut bytes, record);
    bytes.extend_from_slice(&marker);
    bytes
}

fn fnv1a_128<const N: usize>(parts: [&[u8]; N]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let bytes = parts.into_iter().flatten();
    bytes.fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_opens_again() {
        for size in [0, 1, 63, 64, 8191, 8192, 100_000] {
            let record = vec![7; size];
            let bytes = build("{}", &record);
            let container = open(&bytes).unwrap();
            assert_eq!((container.schema, container.record), (&b"{}"[..], &record[..]));
            assert_eq!(&bytes[container.record_offset..][..size], record);
        }
    }

    #[test]
    fn the_marker_follows_from_the_content() {
        assert_eq!(build("{}", b"a"), build("{}", b"a"));
        assert_ne!(build("{}", b"a")[20..36], build("{}", b"b")[20..36]);
        // The published test vector of 128-bit FNV-1a.
        assert_eq!(fnv1a_128([b"foobar"]), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }

    #[test]
    fn every_way_to_cut_or_lengthen_a_container_is_refused() {
        let bytes = build("{\"type\":\"null\"}", b"record");
        for end in 0..bytes.len() {
            assert!(open(&bytes[..end]).is_err(), "{end}");
        }
        assert_eq!(open(&[]).err(), Some(MetadataError::Empty));
        let longer = [&bytes[..], b"x"].concat();
        assert!(matches!(open(&longer), Err(MetadataError::Container { .. })));
    }

    #[test]
    fn compressed_containers_are_refused_by_name() {
        let mut bytes = MAGIC.to_vec();
        put_long(&mut bytes, 2);
        for text in ["avro.schema", "{}", "avro.codec", "snappy"] {
            put_bytes(&mut bytes, text.as_bytes());
        }
        put_long(&mut bytes, 0);
        bytes.extend([0; MARKER_BYTES]);
        assert_eq!(open(&bytes).err(), Some(MetadataError::Codec { codec: "snappy".into() }));
    }
}

//! The blocks of an Avro object container file, packed and unpacked within bounds.

use std::io::{self, BufRead, Read};

use flate2::bufread::DeflateDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::unpack::ZST_WINDOW_LOG_MAX;
use super::{DecodeProblem, ReadHash};
use crate::human;

pub(super) const KIND: &str = "avro";

const MAGIC: &[u8] = b"Obj\x01";
const MARKER_BYTES: u64 = 16;

/// The longest header: a schema may have 16 MiB.
const HEADER_BYTES_MAX: u64 = 32 << 20;

/// How the blocks of a file are packed, each by itself.
#[derive(Debug, Clone, Copy)]
enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

impl Codec {
    fn of_name(name: &[u8]) -> Result<Self, DecodeProblem> {
        match name {
            b"null" => Ok(Self::Null),
            b"deflate" => Ok(Self::Deflate),
            b"snappy" => Ok(Self::Snappy),
            b"zstandard" => Ok(Self::Zstandard),
            other => {
                let name: String = String::from_utf8_lossy(other).chars().take(40).collect();
                Err(unsound(format!("its codec is {name:?}: known are null, deflate, snappy and zstandard")))
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Deflate => "deflate",
            Self::Snappy => "snappy",
            Self::Zstandard => "zstandard",
        }
    }
}

pub(super) fn unsound(found: impl Into<String>) -> DecodeProblem {
    DecodeProblem::Unsound { kind: KIND, found: found.into() }
}

/// A block as it stands in the file.
#[derive(Debug)]
pub(super) struct PackedBlock {
    /// How many records it claims.
    pub(super) records: u64,
    bytes: Vec<u8>,
}

/// Reads the blocks of a file one after the other.
pub(super) struct Blocks {
    read: Box<dyn BufRead + Send>,
    /// Of the schema, the codec and the blocks, and not of the mark behind each: writers draw one at
    /// random, and the same records have another one the next time.
    hash: Option<ReadHash>,
    codec: Codec,
    marker: Vec<u8>,
    bytes_max: u64,
}

impl Blocks {
    /// Reads the header; returns the schema that it holds, too. A block may take `bytes_max`, packed
    /// and unpacked together.
    pub(super) fn open(
        mut read: Box<dyn BufRead + Send>,
        hash: Option<ReadHash>,
        bytes_max: u64,
    ) -> Result<(Self, String), DecodeProblem> {
        let mut magic = Vec::new();
        read.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(DecodeProblem::Io)?;
        if magic != MAGIC {
            return Err(DecodeProblem::OtherFormat { kind: KIND, found: magic });
        }
        let mut header = Part { read: &mut read, left: HEADER_BYTES_MAX, what: "its header" };
        let (mut schema, mut codec) = (None, Codec::Null);
        loop {
            let entries = header.long()?;
            if entries == 0 {
                break;
            }
            if entries < 0 {
                // The bytes of the entries, for who passes over them.
                header.long()?;
            }
            for _ in 0..entries.unsigned_abs() {
                let (key, value) = (header.counted_bytes()?, header.counted_bytes()?);
                match &*key {
                    b"avro.schema" => schema = Some(value),
                    b"avro.codec" => codec = Codec::of_name(&value)?,
                    _ => {}
                }
            }
        }
        let marker = header.bytes(MARKER_BYTES)?;
        let schema = schema.ok_or_else(|| unsound("its header has no schema"))?;
        let schema = String::from_utf8(schema).map_err(|_| unsound("its schema is not UTF-8"))?;
        if let Some(hash) = &hash {
            hash.update(&(schema.len() as u64).to_le_bytes());
            hash.update(schema.as_bytes());
            hash.update(codec.name().as_bytes());
        }
        Ok((Self { read, hash, codec, marker, bytes_max }, schema))
    }

    /// The next block; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<PackedBlock>, DecodeProblem> {
        if self.is_at_end()? {
            return Ok(None);
        }
        let mut block = Part { read: &mut self.read, left: u64::MAX, what: "a block" };
        let records = block.long()?;
        let size = block.long()?;
        let claimed = u64::try_from(records).ok().zip(u64::try_from(size).ok());
        let (records, size) =
            claimed.ok_or_else(|| unsound(format!("a block claims {records} records of {size} bytes")))?;
        if size > self.bytes_max {
            return Err(too_large(&human::bytes(size), self.bytes_max));
        }
        let bytes = block.bytes(size)?;
        if block.bytes(MARKER_BYTES)? != self.marker {
            return Err(unsound("the mark behind a block is not that of the file"));
        }
        if let Some(hash) = &self.hash {
            hash.update(&records.to_le_bytes());
            hash.update(&size.to_le_bytes());
            hash.update(&bytes);
        }
        Ok(Some(PackedBlock { records, bytes }))
    }

    fn is_at_end(&mut self) -> Result<bool, DecodeProblem> {
        loop {
            match self.read.fill_buf() {
                Ok(buffer) => return Ok(buffer.is_empty()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DecodeProblem::Io(error)),
            }
        }
    }

    /// The records of a block, one behind the other.
    pub(super) fn unpack(&self, block: PackedBlock) -> Result<Vec<u8>, DecodeProblem> {
        let packed = &*block.bytes;
        let room = self.bytes_max.saturating_sub(packed.len() as u64);
        let broken = |source| DecodeProblem::Unpack { packing: self.codec.name(), source };
        let plain = match self.codec {
            Codec::Null => return Ok(block.bytes),
            Codec::Deflate => read_up_to(DeflateDecoder::new(packed), room),
            Codec::Zstandard => ZstdDecoder::with_buffer(packed).and_then(|mut decoder| {
                decoder.window_log_max(ZST_WINDOW_LOG_MAX)?;
                read_up_to(decoder, room)
            }),
            // It says its size first, and the library takes memory for it.
            Codec::Snappy => match snap::raw::decompress_len(packed) {
                Ok(size) if size as u64 > room => Ok(None),
                Ok(_) => unpack_snappy(packed).map(Some),
                Err(error) => Err(error.into()),
            },
        };
        plain.map_err(broken)?.ok_or_else(|| too_large("more unpacked", self.bytes_max))
    }
}

/// All that `read` has; `None` if that is more than `room`.
fn read_up_to(read: impl Read, room: u64) -> io::Result<Option<Vec<u8>>> {
    let mut plain = Vec::new();
    read.take(room.saturating_add(1)).read_to_end(&mut plain)?;
    Ok((plain.len() as u64 <= room).then_some(plain))
}

/// Unpacks what ends with a checksum.
fn unpack_snappy(packed: &[u8]) -> io::Result<Vec<u8>> {
    let broken = |found: &str| io::Error::new(io::ErrorKind::InvalidData, found);
    let (packed, checksum) = packed.split_last_chunk::<4>().ok_or_else(|| broken("it has no checksum"))?;
    let plain = snap::raw::Decoder::new().decompress_vec(packed)?;
    if crc32fast::hash(&plain) != u32::from_be_bytes(*checksum) {
        return Err(broken("its checksum is another"));
    }
    Ok(plain)
}

fn too_large(bytes: &str, bytes_max: u64) -> DecodeProblem {
    unsound(format!(
        "a block takes {bytes}, the memory allows {}: give the job more memory, or write smaller blocks",
        human::bytes(bytes_max)
    ))
}

/// A part of a file that has a greatest size.
struct Part<'a> {
    read: &'a mut dyn BufRead,
    left: u64,
    what: &'static str,
}

impl Part<'_> {
    /// The next `count` bytes; memory grows with what is there and not with what is asked.
    fn bytes(&mut self, count: u64) -> Result<Vec<u8>, DecodeProblem> {
        let what = self.what;
        self.left =
            self.left.checked_sub(count).ok_or_else(|| unsound(format!("{what} claims {count} bytes")))?;
        let mut bytes = Vec::new();
        Read::take(&mut *self.read, count).read_to_end(&mut bytes).map_err(DecodeProblem::Io)?;
        if (bytes.len() as u64) < count {
            return Err(unsound(format!("it ends within {what}")));
        }
        Ok(bytes)
    }

    fn counted_bytes(&mut self) -> Result<Vec<u8>, DecodeProblem> {
        let count = self.long()?;
        let what = self.what;
        let count = u64::try_from(count).map_err(|_| unsound(format!("{what} claims {count} bytes")))?;
        self.bytes(count)
    }

    fn long(&mut self) -> Result<i64, DecodeProblem> {
        let mut bits = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.bytes(1)?.first().copied().unwrap_or(0);
            bits |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
        }
        Err(unsound(format!("{} has a number that is too long", self.what)))
    }
}

//! Encodes blocks: what stands before and behind a content.

use super::block::{BlockHeader, BlockKind};
use super::block_fields::LOG_FORMAT_VERSION;
use super::scanner::{LENGTH_BYTES, MAGIC, MAGIC_BYTES};

/// Hudi takes block lengths as 32-bit integers.
const BLOCK_BYTES_MAX: u64 = i32::MAX as u64;
const SUFFIX_BYTES: usize = 12;

/// Why a block is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteBlockError {
    /// A kind of block that this library does not write.
    #[error("{kind} blocks are not written: only command, delete, avro and parquet blocks are")]
    Kind {
        /// The kind.
        kind: BlockKind,
    },
    /// A header without an entry that readers need.
    #[error("a {kind} block needs {missing} in its header: without it readers fail on the file")]
    Header {
        /// The kind of the block.
        kind: BlockKind,
        /// Hudi's name of the header key.
        missing: &'static str,
    },
    /// A block of 2 GiB or more.
    #[error("a {kind} block of {bytes} bytes is too large: Hudi reads at most {BLOCK_BYTES_MAX}; split it")]
    TooLarge {
        /// The kind of the block.
        kind: BlockKind,
        /// Bytes of the whole block.
        bytes: u64,
    },
}

/// The bytes around a content: `prefix`, content, `suffix` in this order are a block.
///
/// The content itself may be streamed: only its length must be known before. A log file is a
/// concatenation of blocks, and to append a block to a file is to write these bytes at its end.
///
/// Source: `HoodieLogFormatWriter.appendBlocks`, log format version 1, table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockFrame {
    /// From the magic to the content length.
    pub prefix: Vec<u8>,
    /// The empty footer and the trailer.
    pub suffix: [u8; SUFFIX_BYTES],
    content_bytes: u64,
}

impl BlockFrame {
    /// Frames a content of `content_bytes`.
    ///
    /// # Errors
    /// A kind that is not written, a header that lacks what readers need, or a block that is too
    /// large for them.
    pub fn new(kind: BlockKind, header: &BlockHeader, content_bytes: u64) -> Result<Self, WriteBlockError> {
        check_header(kind, header)?;
        let mut entries = Vec::new();
        let mut count = 0_i32;
        for (key, value) in header.entries() {
            count += 1;
            entries.extend_from_slice(&key.to_be_bytes());
            // A value of 2 GiB makes the block too large, which is checked below.
            entries.extend_from_slice(&(value.len() as u32).to_be_bytes());
            entries.extend_from_slice(value.as_bytes());
        }
        // Version, kind, count of the header, header, length of the content, footer and trailer.
        let around = 4 + 4 + 4 + entries.len() as u64 + LENGTH_BYTES + SUFFIX_BYTES as u64;
        let length = around.saturating_add(content_bytes);
        let total = length.saturating_add(MAGIC_BYTES + LENGTH_BYTES);
        if total > BLOCK_BYTES_MAX {
            return Err(WriteBlockError::TooLarge { kind, bytes: total });
        }
        let mut prefix = Vec::with_capacity(entries.len() + 34);
        prefix.extend_from_slice(&MAGIC);
        prefix.extend_from_slice(&length.to_be_bytes());
        prefix.extend_from_slice(&LOG_FORMAT_VERSION.to_be_bytes());
        prefix.extend_from_slice(&kind.ordinal().to_be_bytes());
        prefix.extend_from_slice(&count.to_be_bytes());
        prefix.append(&mut entries);
        prefix.extend_from_slice(&content_bytes.to_be_bytes());
        let mut suffix = [0; SUFFIX_BYTES];
        for (to, from) in suffix.iter_mut().skip(4).zip((length + MAGIC_BYTES).to_be_bytes()) {
            *to = from;
        }
        Ok(Self { prefix, suffix, content_bytes })
    }

    /// Bytes of the whole block.
    pub fn total_bytes(&self) -> u64 {
        self.prefix.len() as u64 + self.content_bytes + self.suffix.len() as u64
    }
}

/// The bytes of a whole block.
///
/// # Errors
/// As [`BlockFrame::new`].
pub fn encode_block(
    kind: BlockKind,
    header: &BlockHeader,
    content: &[u8],
) -> Result<Vec<u8>, WriteBlockError> {
    let frame = BlockFrame::new(kind, header, content.len() as u64)?;
    Ok([frame.prefix.as_slice(), content, &frame.suffix].concat())
}

fn check_header(kind: BlockKind, header: &BlockHeader) -> Result<(), WriteBlockError> {
    let missing = match kind {
        BlockKind::Hfile | BlockKind::Cdc => return Err(WriteBlockError::Kind { kind }),
        _ if header.instant.is_none() => "INSTANT_TIME",
        BlockKind::Avro | BlockKind::Parquet if header.schema.is_none() => "SCHEMA",
        BlockKind::Command if header.command.is_none() => "COMMAND_BLOCK_TYPE",
        BlockKind::Command if header.target_instant.is_none() => "TARGET_INSTANT_TIME",
        _ => return Ok(()),
    };
    Err(WriteBlockError::Header { kind, missing })
}

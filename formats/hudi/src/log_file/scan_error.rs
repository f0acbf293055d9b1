//! What can be wrong with the bytes of a log file.

use std::ops::Range;

use super::block::BlockHeaderError;

/// Why bytes of a log file are no block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Corruption {
    /// The file ends within the block length.
    #[error("the file ends within the block length")]
    LengthCutShort,
    /// The block length points to no place in the file.
    #[error("its length of {length} bytes points outside of the file")]
    OutsideOfFile {
        /// The length, as the 32 bits that Hudi takes of it.
        length: i64,
    },
    /// The lengths before and behind the block disagree.
    #[error("its length of {length} bytes does not match its trailer {trailer}, which should be 6 more")]
    Trailer {
        /// The length before the block.
        length: i64,
        /// The length behind it.
        trailer: i64,
    },
    /// What follows the block is neither the next block nor the end of the file.
    #[error("no block starts where it ends, at byte {offset}")]
    NoBlockBehind {
        /// Where the next block should start.
        offset: u64,
    },
    /// Bytes at the end of the file, too few to start a block.
    #[error("too few bytes for a block at the end of the file")]
    TrailingBytes,
}

/// Why a log file cannot be read. Hudi's readers fail on such a file as well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogScanError {
    /// Something else where a block should start.
    #[error("no block starts at byte {offset}: expected #HUDI#, found {found:?}")]
    NoMagic {
        /// Where in the file.
        offset: u64,
        /// The bytes found.
        found: String,
    },
    /// A log format of another release.
    #[error("the block at byte {offset} has log format version {found}: known is 1")]
    Version {
        /// Where in the file the block starts.
        offset: u64,
        /// The version found.
        found: i32,
    },
    /// A kind of block of another release.
    #[error("the block at byte {offset} has kind {found}: known are 0, 1 and 3 to 6")]
    Kind {
        /// Where in the file the block starts.
        offset: u64,
        /// The kind found.
        found: i32,
    },
    /// A header with an unknown key or a meaningless value.
    #[error("the block at byte {offset}: {source}")]
    Header {
        /// Where in the file the block starts.
        offset: u64,
        /// What is wrong.
        source: BlockHeaderError,
    },
    /// A number that is impossible for what it counts.
    #[error(
        "the block at byte {offset} declares {found} for its {field}: expected at most {max}, at least 0"
    )]
    Count {
        /// Where in the file the block starts.
        offset: u64,
        /// What is counted.
        field: &'static str,
        /// The number found.
        found: i64,
        /// The greatest possible number.
        max: u64,
    },
    /// A block that ends, or a file that ends, within a field.
    #[error("the block at byte {offset} ends within its {field}: {needed} bytes wanted, {left} left")]
    CutShort {
        /// Where in the file the block starts.
        offset: u64,
        /// The field.
        field: &'static str,
        /// Bytes of the field.
        needed: u64,
        /// Bytes that are there.
        left: u64,
    },
    /// A block whose parts do not add up to its length.
    #[error("the block at byte {offset} ends at {found} by its parts and at {declared} by its length")]
    Sizes {
        /// Where in the file the block starts.
        offset: u64,
        /// Where its parts end.
        found: u64,
        /// Where its length ends.
        declared: u64,
    },
    /// A command block without a command or a target.
    #[error("the command block at byte {offset} has no {missing} in its header")]
    Command {
        /// Where in the file the block starts.
        offset: u64,
        /// Hudi's name of the header key.
        missing: &'static str,
    },
    /// The caller supplied other bytes than were asked for.
    #[error("bytes {asked:?} of the file were asked for, {got} bytes were supplied")]
    Supplied {
        /// The range asked for.
        asked: Range<u64>,
        /// How many bytes came.
        got: usize,
    },
}

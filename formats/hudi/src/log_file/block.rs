//! One block of a log file: what kind it is, what its header says, where its content lies.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::instant::InstantTime;

/// What a block holds.
///
/// Ordinal 2, Hudi's CORRUPT_BLOCK, is missing: readers make it up and no writer writes it.
///
/// Source: `HoodieLogBlockType`, log format version 1, table versions 6 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// An order to the reader: a rollback. Its content is empty.
    Command,
    /// Keys of deleted records.
    Delete,
    /// Records, one after the other, in Avro's binary encoding.
    Avro,
    /// A whole HFile.
    Hfile,
    /// A whole Parquet file.
    Parquet,
    /// Change data, encoded as an Avro block.
    Cdc,
}

impl BlockKind {
    const ALL: [Self; 6] = [Self::Command, Self::Delete, Self::Avro, Self::Hfile, Self::Parquet, Self::Cdc];

    /// The number that stands for the kind in a block.
    pub fn ordinal(self) -> i32 {
        match self {
            Self::Command => 0,
            Self::Delete => 1,
            Self::Avro => 3,
            Self::Hfile => 4,
            Self::Parquet => 5,
            Self::Cdc => 6,
        }
    }

    pub(super) fn from_ordinal(ordinal: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.ordinal() == ordinal)
    }

    /// The kind in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Delete => "delete",
            Self::Avro => "avro",
            Self::Hfile => "hfile",
            Self::Parquet => "parquet",
            Self::Cdc => "cdc",
        }
    }

    /// Whether the content is rows of the table.
    pub fn is_data(self) -> bool {
        matches!(self, Self::Avro | Self::Hfile | Self::Parquet)
    }
}

impl fmt::Display for BlockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a command block orders.
///
/// Source: `HoodieCommandBlockTypeEnum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandKind {
    /// Forget the blocks of [`BlockHeader::target_instant`] that came before.
    Rollback,
}

/// Why a block's header has no meaning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockHeaderError {
    /// A key of a Hudi release that this library does not know.
    #[error("unknown header key {ordinal}: known are 0 to 8; a newer Hudi release wrote this block")]
    Key {
        /// The number found.
        ordinal: i32,
    },
    /// A value that does not fit its key.
    #[error("header {key} holds {found:?}: expected {expected}")]
    Value {
        /// Hudi's name of the key.
        key: &'static str,
        /// The value, or its beginning.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
}

const KEYS: [&str; 9] = [
    "INSTANT_TIME",
    "TARGET_INSTANT_TIME",
    "SCHEMA",
    "COMMAND_BLOCK_TYPE",
    "COMPACTED_BLOCK_TIMES",
    "RECORD_POSITIONS",
    "BLOCK_IDENTIFIER",
    "IS_PARTIAL",
    "BASE_FILE_INSTANT_TIME_OF_RECORD_POSITIONS",
];

const ROLLBACK: &str = "0";

/// How many entries a header can have: one per key.
pub(super) const HEADER_ENTRIES_MAX: usize = KEYS.len();

/// What a block says of itself.
///
/// Source: `HeaderMetadataType`, log format version 1, table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockHeader {
    /// The instant that wrote the block. Every block that readers use has one.
    pub instant: Option<InstantTime>,
    /// What a rollback block rolls back.
    pub target_instant: Option<InstantTime>,
    /// The Avro schema of the records, meta fields included, as JSON.
    pub schema: Option<Arc<str>>,
    /// What a command block orders.
    pub command: Option<CommandKind>,
    /// The instants whose blocks a log-compacted block stands for; empty in all other blocks.
    pub compacted_instants: Vec<InstantTime>,
    /// Where in the base file the records are: Base64 of a serialised `Roaring64NavigableMap`.
    pub record_positions: Option<String>,
    /// An id within the attempt of a writer. Hudi 1.2.0 neither writes nor reads it.
    pub block_identifier: Option<String>,
    /// Whether the schema lacks columns of the table, which then keep their values.
    pub is_partial: bool,
    /// The base file that the record positions count in.
    pub positions_base_instant: Option<InstantTime>,
}

impl BlockHeader {
    /// The header of a block of rows or deletes written by `instant`.
    pub fn new(instant: InstantTime, schema: impl Into<Arc<str>>) -> Self {
        Self { instant: Some(instant), schema: Some(schema.into()), ..Self::default() }
    }

    /// The header of a command block with which `instant` rolls `target` back.
    ///
    /// Only tables of version 6 need one; later versions delete the files.
    pub fn rollback(instant: InstantTime, target: InstantTime) -> Self {
        Self {
            instant: Some(instant),
            target_instant: Some(target),
            command: Some(CommandKind::Rollback),
            ..Self::default()
        }
    }

    /// Takes one entry of a header map; of two entries with one key the later counts.
    pub(super) fn insert(&mut self, ordinal: i32, value: &[u8]) -> Result<(), BlockHeaderError> {
        let key = usize::try_from(ordinal).ok().and_then(|i| KEYS.get(i)).copied();
        let key = key.ok_or(BlockHeaderError::Key { ordinal })?;
        let text = std::str::from_utf8(value)
            .map_err(|_| invalid(key, &String::from_utf8_lossy(value), "UTF-8 text"))?;
        match ordinal {
            0 => self.instant = Some(parse_instant(key, text)?),
            1 => self.target_instant = Some(parse_instant(key, text)?),
            2 => self.schema = Some(text.into()),
            3 if text == ROLLBACK => self.command = Some(CommandKind::Rollback),
            3 => return Err(invalid(key, text, "0 (rollback)")),
            4 => {
                let instants = text.split(',').map(|instant| parse_instant(key, instant));
                self.compacted_instants = instants.collect::<Result<_, _>>()?;
            }
            5 => self.record_positions = Some(text.to_owned()),
            6 => self.block_identifier = Some(text.to_owned()),
            // Java's parseBoolean: every other text means false.
            7 => self.is_partial = text.eq_ignore_ascii_case("true"),
            _ => self.positions_base_instant = Some(parse_instant(key, text)?),
        }
        Ok(())
    }

    /// The entries as a block holds them, in the order of their keys.
    pub(super) fn entries(&self) -> Vec<(i32, String)> {
        let instant = |instant: Option<InstantTime>| instant.map(|t| t.to_string());
        let compacted: Vec<_> = self.compacted_instants.iter().map(InstantTime::as_str).collect();
        let values = [
            instant(self.instant),
            instant(self.target_instant),
            self.schema.as_deref().map(str::to_owned),
            self.command.map(|CommandKind::Rollback| ROLLBACK.to_owned()),
            (!compacted.is_empty()).then(|| compacted.join(",")),
            self.record_positions.clone(),
            self.block_identifier.clone(),
            self.is_partial.then(|| "true".to_owned()),
            instant(self.positions_base_instant),
        ];
        (0..).zip(values).filter_map(|(ordinal, value)| Some((ordinal, value?))).collect()
    }
}

fn parse_instant(key: &'static str, text: &str) -> Result<InstantTime, BlockHeaderError> {
    text.parse().map_err(|_| invalid(key, text, "an instant time of 17 or 14 digits"))
}

fn invalid(key: &'static str, found: &str, expected: &'static str) -> BlockHeaderError {
    BlockHeaderError::Value { key, found: found.chars().take(60).collect(), expected }
}

/// A block within its file: everything but its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRef {
    /// What the block holds.
    pub kind: BlockKind,
    /// What it says of itself.
    pub header: BlockHeader,
    /// Its bytes in the file, from the magic to the trailing length.
    pub extent: Range<u64>,
    /// The bytes of its content in the file; of a Parquet block, the whole embedded file.
    pub content: Range<u64>,
}

/// The content of a block, as far as this library can read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockBody {
    /// Rows: see [`AvroBlockReader`](super::AvroBlockReader).
    Avro,
    /// Rows: a Parquet file.
    Parquet,
    /// Deletes: see [`DeleteRecords`](super::DeleteRecords).
    Delete,
    /// No content.
    Command(CommandKind),
}

/// A block whose content this library does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {kind} block at byte {offset} cannot be read: only avro and parquet data blocks can; \
     compact the file group with the engine that wrote it"
)]
pub struct UnsupportedBlock {
    /// The kind of the block.
    pub kind: BlockKind,
    /// Where in the file it starts.
    pub offset: u64,
}

impl BlockRef {
    /// How to read the content.
    ///
    /// # Errors
    /// HFile blocks, which Spark writes into no ordinary table unless told to and cannot read
    /// from one itself, and change data.
    pub fn body(&self) -> Result<BlockBody, UnsupportedBlock> {
        match (self.kind, self.header.command) {
            (BlockKind::Avro, _) => Ok(BlockBody::Avro),
            (BlockKind::Parquet, _) => Ok(BlockBody::Parquet),
            (BlockKind::Delete, _) => Ok(BlockBody::Delete),
            (BlockKind::Command, Some(command)) => Ok(BlockBody::Command(command)),
            (kind, _) => Err(UnsupportedBlock { kind, offset: self.extent.start }),
        }
    }

    /// How many bytes the content has.
    pub fn content_bytes(&self) -> u64 {
        self.content.end.saturating_sub(self.content.start)
    }
}

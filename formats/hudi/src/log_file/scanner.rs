//! Finds the blocks of a log file by asking for byte ranges; contents are not read.

use std::ops::Range;

use bytes::Bytes;

use super::block::BlockRef;
use super::block_fields::parse_block;
use super::scan_error::{Corruption, LogScanError};

/// The bytes that start every block.
pub(super) const MAGIC: [u8; 6] = *b"#HUDI#";
pub(super) const MAGIC_BYTES: u64 = 6;
pub(super) const LENGTH_BYTES: u64 = 8;
const FOOTER_COUNT_BYTES: u64 = 4;
/// The least that is asked for at once; the schema of an ordinary table fits.
const READ_AHEAD_BYTES: u64 = 32 * 1024;
const SEEK_BYTES: u64 = 1024 * 1024;

/// Whether the lengths around a block are compared before it is believed.
///
/// Source: `HoodieLogFileReader.isBlockCorrupted`, `StorageSchemes`, Hudi 1.2.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockCheck {
    /// A block whose lengths disagree is corrupt and is passed over.
    Lengths,
    /// Lengths are not compared: a file that was cut short is an error.
    None,
}

impl BlockCheck {
    /// What Hudi does on a storage scheme: object stores whose files appear whole are trusted.
    pub fn of_scheme(scheme: &str) -> Self {
        if matches!(scheme, "s3" | "s3a" | "gs") { Self::None } else { Self::Lengths }
    }
}

/// Bytes that Hudi's readers pass over without a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorruptBlock {
    /// The bytes, up to the next magic or the end of the file.
    pub extent: Range<u64>,
    /// What is wrong with the block that starts them.
    pub why: Corruption,
}

/// What was found in a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScannedBlock {
    /// A block.
    Block(Box<BlockRef>),
    /// Bytes that are none.
    Corrupt(CorruptBlock),
}

/// What the scanner wants, or has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// These bytes of the file are wanted: [`LogScanner::supply`] them.
    Read(Range<u64>),
    /// The next block; blocks come in file order.
    Found(ScannedBlock),
    /// There are no more blocks.
    End,
}

/// Why parsing stops: more bytes are needed, or it cannot go on.
pub(super) enum Stop {
    Need(Range<u64>),
    Fail(LogScanError),
}

impl From<LogScanError> for Stop {
    fn from(error: LogScanError) -> Self {
        Self::Fail(error)
    }
}

#[derive(Debug, Clone)]
enum State {
    /// A block, or the end of the file, is expected here.
    At(u64),
    /// The block at `start` is corrupt; the next magic is looked for from `at` on.
    Seeking {
        start: u64,
        at: u64,
        why: Corruption,
    },
    Done,
}

/// Reads the blocks of one log file without doing I/O: it asks for ranges and is given bytes.
///
/// A file whose blocks have small headers takes one read per block, since the read around the end
/// of a block brings the head of the next; a file below 32 KiB takes one read in all. Whatever
/// the bytes say, at most a block's header (capped at 64 MiB) is held.
///
/// Corrupt blocks are found as Hudi 1.2.0 finds them and come as values. One refusal is ours: a
/// block whose lengths match while its parts do not add up to them is an error, where Hudi loses
/// its place in the file and nearly always fails too.
///
/// Source: `HoodieLogFileReader`, log format version 1.
#[derive(Debug, Clone)]
pub struct LogScanner {
    file_bytes: u64,
    check: BlockCheck,
    state: State,
    asked: Option<Range<u64>>,
    read_ahead_bytes: u64,
    windows: Vec<Window>,
}

#[derive(Debug, Clone)]
struct Window {
    start: u64,
    bytes: Bytes,
}

impl LogScanner {
    /// A scanner at the start of a file of `file_bytes`.
    pub fn new(file_bytes: u64, check: BlockCheck) -> Self {
        Self {
            file_bytes,
            check,
            state: State::At(0),
            asked: None,
            read_ahead_bytes: READ_AHEAD_BYTES,
            windows: Vec::new(),
        }
    }

    /// Goes on to the next block, or says which bytes are needed for that.
    ///
    /// After an error the file has ended.
    ///
    /// # Errors
    /// A file that Hudi's readers fail on, too.
    pub fn step(&mut self) -> Result<Step, LogScanError> {
        if let Some(asked) = &self.asked {
            return Ok(Step::Read(asked.clone()));
        }
        match self.advance() {
            Ok(step) => Ok(step),
            Err(Stop::Need(range)) => {
                let ahead = range.start.saturating_add(self.read_ahead_bytes).min(self.file_bytes);
                self.read_ahead_bytes = (self.read_ahead_bytes * 2).min(SEEK_BYTES);
                let range = range.start..range.end.max(ahead);
                self.asked = Some(range.clone());
                Ok(Step::Read(range))
            }
            Err(Stop::Fail(error)) => {
                self.state = State::Done;
                Err(error)
            }
        }
    }

    /// Takes the bytes that the last [`Step::Read`] asked for.
    ///
    /// # Errors
    /// Nothing was asked for, or more or fewer bytes than these.
    pub fn supply(&mut self, bytes: Bytes) -> Result<(), LogScanError> {
        let asked = self.asked.clone().unwrap_or_default();
        if asked.end - asked.start != bytes.len() as u64 || asked.is_empty() {
            return Err(LogScanError::Supplied { asked, got: bytes.len() });
        }
        self.asked = None;
        let (start, end) = (asked.start, asked.end);
        self.windows.retain(|w| w.start < start || w.end() > end);
        self.windows.push(Window { start, bytes });
        Ok(())
    }

    fn advance(&mut self) -> Result<Step, Stop> {
        match self.state.clone() {
            State::At(offset) => self.read_block(offset),
            State::Seeking { start, at, why } => self.seek_magic(start, at, why),
            State::Done => Ok(Step::End),
        }
    }

    fn read_block(&mut self, start: u64) -> Result<Step, Stop> {
        let left = self.file_bytes.saturating_sub(start);
        if left < MAGIC_BYTES {
            self.state = State::Done;
            let extent = start..self.file_bytes;
            let corrupt = CorruptBlock { extent, why: Corruption::TrailingBytes };
            return Ok(if left == 0 { Step::End } else { Step::Found(ScannedBlock::Corrupt(corrupt)) });
        }
        let magic = self.bytes(start..start + MAGIC_BYTES)?;
        if magic != MAGIC {
            let found = magic.escape_ascii().to_string();
            return Err(LogScanError::NoMagic { offset: start, found }.into());
        }
        match self.check_lengths(start)? {
            Err(why) => self.seek_magic(start, start + MAGIC_BYTES, why),
            Ok(declared_end) => {
                let block = parse_block(self, start, declared_end)?;
                self.move_to(block.extent.end);
                Ok(Step::Found(ScannedBlock::Block(Box::new(block))))
            }
        }
    }

    /// Where the block ends by its length, if that is checked; or why it is corrupt.
    fn check_lengths(&self, start: u64) -> Result<Result<Option<u64>, Corruption>, Stop> {
        let at = start + MAGIC_BYTES;
        if self.file_bytes - at < LENGTH_BYTES {
            return Ok(Err(Corruption::LengthCutShort));
        }
        if self.check == BlockCheck::None {
            return Ok(Ok(None));
        }
        // Hudi keeps the lower half of the length and compares it with the whole trailer.
        let length = i64::from(self.i64_at(at)? as i32);
        let trailer_at = at.checked_add_signed(length);
        let trailer_at = trailer_at.filter(|trailer| *trailer <= self.file_bytes - LENGTH_BYTES);
        let Some(trailer_at) = trailer_at else {
            return Ok(Err(Corruption::OutsideOfFile { length }));
        };
        // The count of the footer stands before the trailer and is wanted soon.
        self.bytes(trailer_at.saturating_sub(FOOTER_COUNT_BYTES)..trailer_at + LENGTH_BYTES)?;
        let trailer = self.i64_at(trailer_at)?;
        if length != trailer.wrapping_sub(MAGIC_BYTES.cast_signed()) {
            return Ok(Err(Corruption::Trailer { length, trailer }));
        }
        let end = trailer_at + LENGTH_BYTES;
        if self.file_bytes - end >= MAGIC_BYTES && self.bytes(end..end + MAGIC_BYTES)? != MAGIC {
            return Ok(Err(Corruption::NoBlockBehind { offset: end }));
        }
        Ok(Ok(Some(end)))
    }

    fn seek_magic(&mut self, start: u64, mut at: u64, why: Corruption) -> Result<Step, Stop> {
        let next = loop {
            self.state = State::Seeking { start, at, why: why.clone() };
            self.windows.retain(|w| w.end() > at);
            let end = at.saturating_add(SEEK_BYTES).min(self.file_bytes);
            if end.saturating_sub(at) < MAGIC_BYTES {
                break self.file_bytes;
            }
            let bytes = self.bytes(at..end)?;
            let found = bytes.windows(MAGIC.len()).position(|window| window == MAGIC);
            if let Some(position) = found {
                break at + position as u64;
            }
            if end == self.file_bytes {
                break end;
            }
            at = end - (MAGIC_BYTES - 1);
        };
        self.move_to(next);
        Ok(Step::Found(ScannedBlock::Corrupt(CorruptBlock { extent: start..next, why })))
    }

    fn move_to(&mut self, offset: u64) {
        self.state = State::At(offset);
        self.read_ahead_bytes = READ_AHEAD_BYTES;
        self.windows.retain(|w| w.end() > offset);
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Bytes of the file. The range must lie within the file.
    pub(super) fn bytes(&self, range: Range<u64>) -> Result<&[u8], Stop> {
        let found = self.windows.iter().find_map(|window| window.get(&range));
        found.ok_or(Stop::Need(range))
    }

    pub(super) fn i64_at(&self, at: u64) -> Result<i64, Stop> {
        let bytes = self.bytes(at..at + 8)?;
        Ok(bytes.iter().fold(0, |number: i64, byte| number << 8 | i64::from(*byte)))
    }
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn get(&self, range: &Range<u64>) -> Option<&[u8]> {
        let from = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..to)
    }
}

/// The blocks of a log file that is in memory; ends after the first error.
pub fn scan_bytes(
    file: &Bytes,
    check: BlockCheck,
) -> impl Iterator<Item = Result<ScannedBlock, LogScanError>> + '_ {
    let mut scanner = LogScanner::new(file.len() as u64, check);
    std::iter::from_fn(move || {
        loop {
            match scanner.step() {
                Ok(Step::Found(block)) => return Some(Ok(block)),
                Ok(Step::End) => return None,
                Ok(Step::Read(range)) => {
                    let bytes = file.slice(range.start as usize..range.end as usize);
                    if let Err(error) = scanner.supply(bytes) {
                        return Some(Err(error));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    })
}

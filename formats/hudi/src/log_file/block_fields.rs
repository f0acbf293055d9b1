//! The fields of one block, from its version to its trailer.

use std::ops::Range;

use super::block::{BlockHeader, BlockKind, BlockRef, HEADER_ENTRIES_MAX};
use super::scan_error::LogScanError;
use super::scanner::{LENGTH_BYTES, LogScanner, MAGIC_BYTES, Stop};

/// The one log format version that is read and written.
pub(super) const LOG_FORMAT_VERSION: i32 = 1;

/// Far above any schema or bitmap of positions, far below what could hurt.
const HEADER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Reads the block at `start` up to its trailer.
///
/// `declared_end` is where it ends by its length, `None` if lengths are not trusted.
pub(super) fn parse_block(
    scanner: &LogScanner,
    start: u64,
    declared_end: Option<u64>,
) -> Result<BlockRef, Stop> {
    let limit = declared_end.unwrap_or(scanner.file_bytes());
    let mut fields = Fields { scanner, block: start, at: start + MAGIC_BYTES + LENGTH_BYTES, limit };
    let version = fields.i32("version")?;
    if version != LOG_FORMAT_VERSION {
        return Err(LogScanError::Version { offset: start, found: version }.into());
    }
    let kind = fields.i32("kind")?;
    let kind = BlockKind::from_ordinal(kind).ok_or(LogScanError::Kind { offset: start, found: kind })?;
    let header = fields.header()?;
    if kind == BlockKind::Command {
        check_command(start, &header)?;
    }
    let content = fields.content()?;
    // The footer map has no keys yet; Hudi takes a count below zero for an empty map.
    let footer = i64::from(fields.i32("footer count")?.max(0));
    fields.count("footer count", footer, 0)?;
    fields.take(LENGTH_BYTES, "trailer")?;
    let end = fields.at;
    if let Some(declared) = declared_end.filter(|declared| *declared != end) {
        return Err(LogScanError::Sizes { offset: start, found: end, declared }.into());
    }
    Ok(BlockRef { kind, header, extent: start..end, content })
}

/// The fields of one block, in order.
struct Fields<'a> {
    scanner: &'a LogScanner,
    block: u64,
    at: u64,
    limit: u64,
}

impl<'a> Fields<'a> {
    fn skip(&mut self, needed: u64, field: &'static str) -> Result<Range<u64>, LogScanError> {
        let left = self.limit.saturating_sub(self.at);
        if needed > left {
            return Err(LogScanError::CutShort { offset: self.block, field, needed, left });
        }
        let range = self.at..self.at + needed;
        self.at = range.end;
        Ok(range)
    }

    fn take(&mut self, needed: u64, field: &'static str) -> Result<&'a [u8], Stop> {
        let range = self.skip(needed, field)?;
        self.scanner.bytes(range)
    }

    fn i32(&mut self, field: &'static str) -> Result<i32, Stop> {
        let bytes = self.take(4, field)?;
        Ok(bytes.iter().fold(0, |number: i32, byte| number << 8 | i32::from(*byte)))
    }

    fn count(&self, field: &'static str, found: i64, max: u64) -> Result<u64, LogScanError> {
        let count = u64::try_from(found).ok().filter(|count| *count <= max);
        count.ok_or(LogScanError::Count { offset: self.block, field, found, max })
    }

    fn header(&mut self) -> Result<BlockHeader, Stop> {
        let count = i64::from(self.i32("header count")?.max(0));
        let count = self.count("header count", count, HEADER_ENTRIES_MAX as u64)?;
        let mut header = BlockHeader::default();
        let mut left = HEADER_BYTES_MAX;
        for _ in 0..count {
            let key = self.i32("header key")?;
            let length = i64::from(self.i32("header value length")?);
            let length = self.count("header value length", length, left)?;
            left -= length;
            let value = self.take(length, "header value")?;
            header
                .insert(key, value)
                .map_err(|source| LogScanError::Header { offset: self.block, source })?;
        }
        Ok(header)
    }

    fn content(&mut self) -> Result<Range<u64>, Stop> {
        let range = self.skip(LENGTH_BYTES, "content length")?;
        // As with the block length, Hudi keeps the lower half.
        let length = i64::from(self.scanner.i64_at(range.start)? as i32);
        let length = self.count("content length", length, i32::MAX as u64)?;
        Ok(self.skip(length, "content")?)
    }
}

fn check_command(offset: u64, header: &BlockHeader) -> Result<(), LogScanError> {
    let missing = match (header.command, header.target_instant) {
        (None, _) => "COMMAND_BLOCK_TYPE",
        (_, None) => "TARGET_INSTANT_TIME",
        _ => return Ok(()),
    };
    Err(LogScanError::Command { offset, missing })
}

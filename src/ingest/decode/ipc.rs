//! Arrow IPC, as a file or a stream.
//!
//! A file is a stream between two marks with an index behind it, so both are read as streams. The
//! library reserves whatever a message declares; here each message is read and checked first.

use std::io::{self, Cursor, Read};

use arrow::ipc::reader::StreamReader;
use arrow::ipc::{MessageHeader, root_as_message};

use super::batch_reader::Skipping;
use super::guard::guarded;
use super::{BatchReader, DecodeProblem, Limits};
use crate::human;

const KIND: &str = "arrow";

/// What an Arrow IPC file starts with, padded to eight bytes; a stream does not.
const FILE_MAGIC: &[u8] = b"ARROW1\0\0";

/// The largest description of a message.
const METADATA_BYTES_MAX: u64 = 16 << 20;

/// The widest alignment that a file's first mark is padded to.
const PADDING_BYTES_MAX: usize = 128;

/// Rows that a message may claim without a bit for each: of columns without any value.
const BARE_ROWS_MAX: u64 = 1 << 20;

const CONTINUATION: u32 = u32::MAX;

/// Opens an Arrow IPC file or stream.
pub(super) fn open(
    mut read: impl Read + Send + 'static,
    limits: &Limits,
) -> Result<Box<dyn BatchReader>, DecodeProblem> {
    let mut head = Vec::new();
    read.by_ref().take(4).read_to_end(&mut head).map_err(DecodeProblem::Io)?;
    if !is_beginning(&head) {
        return Err(DecodeProblem::OtherFormat { kind: KIND, found: head });
    }
    let read = Cursor::new(head).chain(read);
    let (message, started, is_file, ended) = (Cursor::default(), false, false, false);
    let bytes_max = limits.unit_bytes;
    let messages = Messages { read, bytes_max, message, started, is_file, ended };
    let reader = guarded(KIND, || StreamReader::try_new(messages, None))?;
    let schema = reader.schema();
    Ok(Box::new(Skipping::new(Opaque(reader), KIND, schema, limits)))
}

/// Whether a file or a stream may begin with these four bytes: before version 0.15 with a length.
fn is_beginning(head: &[u8]) -> bool {
    let first = word(head, 0);
    let is_word = first == CONTINUATION || u64::from(first) <= METADATA_BYTES_MAX;
    head.len() == 4 && (FILE_MAGIC.starts_with(head) || is_word)
}

/// The bytes of a stream, handed on message by message, each checked before.
struct Messages<R> {
    read: R,
    bytes_max: u64,
    message: Cursor<Vec<u8>>,
    started: bool,
    is_file: bool,
    ended: bool,
}

impl<R: Read> Messages<R> {
    /// Reads the next message; nothing at the end.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        let mut message = Vec::new();
        if self.ended {
            return Ok(message);
        }
        match self.take(&mut message, 4)? {
            4 => {}
            0 if !self.is_file => return Ok(message),
            _ => return Err(broken("it ends before its last message")),
        }
        if !self.started {
            self.started = true;
            if FILE_MAGIC.starts_with(&message) {
                self.take(&mut message, 4)?;
                self.is_file = message == FILE_MAGIC;
                if !self.is_file {
                    return Err(broken("it starts like no arrow file"));
                }
                self.skip_padding(&mut message)?;
            }
        }
        // Before version 0.15 there was no mark before the length.
        if word(&message, 0) == CONTINUATION {
            self.take(&mut message, 4)?;
        }
        let metadata_at = message.len();
        let length = u64::from(word(&message, metadata_at - 4));
        self.ended = length == 0;
        if self.ended {
            // The blocks of a file's footer follow its last message, and nothing that of a stream.
            if !self.is_file && self.take(&mut Vec::new(), 1)? > 0 {
                return Err(broken(
                    "bytes follow its end: write one stream, not several one behind the other",
                ));
            }
            return Ok(message);
        }
        if length > METADATA_BYTES_MAX || self.take(&mut message, length)? < length {
            return Err(broken("a message's description does not end"));
        }
        let body_bytes = check_metadata(message.get(metadata_at..).unwrap_or_default(), self.bytes_max)?;
        let body_at = message.len();
        if self.take(&mut message, body_bytes)? < body_bytes {
            return Err(broken("it ends within a message"));
        }
        let (metadata, body) = message.split_at(body_at);
        check_body(metadata.get(metadata_at..).unwrap_or_default(), body, self.bytes_max)?;
        Ok(message)
    }

    /// Replaces `message` by the first four bytes behind the mark that are not zero: writers pad it
    /// to an alignment of their choice.
    fn skip_padding(&mut self, message: &mut Vec<u8>) -> io::Result<()> {
        for _ in 0..PADDING_BYTES_MAX / 4 {
            message.clear();
            if self.take(message, 4)? < 4 {
                return Err(broken("it ends before its last message"));
            }
            if word(message, 0) != 0 {
                break;
            }
        }
        Ok(())
    }

    /// Appends at most `count` bytes; memory grows with what is there and not with what is asked.
    fn take(&mut self, message: &mut Vec<u8>, count: u64) -> io::Result<u64> {
        (&mut self.read).take(count).read_to_end(message).map(|read| read as u64)
    }
}

impl<R: Read> Read for Messages<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let is_read = |message: &Cursor<Vec<u8>>| message.position() >= message.get_ref().len() as u64;
        if is_read(&self.message) {
            self.message = Cursor::new(self.next()?);
        }
        let count = self.message.read(buffer)?;
        // The library has its own copy while it decodes.
        if is_read(&self.message) {
            self.message = Cursor::default();
        }
        Ok(count)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word))
}

fn broken(found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, found)
}

fn too_large(bytes: u64, bytes_max: u64) -> io::Error {
    broken(&format!(
        "a message takes {}, the memory allows {}: give the job more memory, or write smaller record batches",
        human::bytes(bytes),
        human::bytes(bytes_max)
    ))
}

/// The bytes of the body that follows a message's description.
fn check_metadata(metadata: &[u8], bytes_max: u64) -> io::Result<u64> {
    let message = root_as_message(metadata).map_err(|error| broken(&error.to_string()))?;
    match u64::try_from(message.bodyLength()) {
        Ok(length) if length <= bytes_max => Ok(length),
        Ok(length) => Err(too_large(length, bytes_max)),
        Err(_) => Err(broken(&format!("a message claims {} bytes", message.bodyLength()))),
    }
}

/// Checks that a message's buffers lie within it, and that neither they nor its rows claim to be more
/// than it can hold.
fn check_body(metadata: &[u8], body: &[u8], bytes_max: u64) -> io::Result<()> {
    let message = root_as_message(metadata).map_err(|error| broken(&error.to_string()))?;
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|d| d.data()),
        _ => None,
    };
    let Some(batch) = batch else { return Ok(()) };
    let mut unpacked: u64 = 0;
    for buffer in batch.buffers().into_iter().flatten() {
        let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let bytes = range.and_then(|(at, length)| body.get(at..at.checked_add(length)?));
        let bytes = bytes.ok_or_else(|| broken("a buffer lies outside of its message"))?;
        if let Some(length) = bytes.first_chunk().filter(|_| batch.compression().is_some()) {
            unpacked = unpacked.saturating_add(u64::try_from(i64::from_le_bytes(*length)).unwrap_or(0));
        }
    }
    if unpacked > bytes_max {
        return Err(too_large(unpacked, bytes_max));
    }
    let rows_max = unpacked.max(body.len() as u64).saturating_mul(8).max(BARE_ROWS_MAX);
    let mut counts = batch.nodes().into_iter().flatten().map(|node| node.length()).chain([batch.length()]);
    match counts.find(|count| u64::try_from(*count).map_or(true, |count| count > rows_max)) {
        Some(count) => Err(broken(&format!("a message claims {count} rows, it can hold {rows_max}"))),
        None => Ok(()),
    }
}

/// A reader without a debug form of its own.
struct Opaque<R: Read>(StreamReader<R>);

impl<R: Read> std::fmt::Debug for Opaque<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IpcReader")
    }
}

impl<R: Read> Iterator for Opaque<R> {
    type Item = Result<arrow::array::RecordBatch, arrow::error::ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

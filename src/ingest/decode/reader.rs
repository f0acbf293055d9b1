//! One input of any format, read in chunks.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::batch_reader::BatchReader;
use super::csv::{CsvDecoder, header_names};
use super::json::JsonDecoder;
use super::text_block::RecordDecoder;
use super::text_reader::{Framing, TextReader};
use super::unpack::{buffered, unpack};
use super::{
    BadRecord, CsvOptions, DecodeError, DecodeProblem, Decoded, Fault, Format, FormatKind, Meter, Place,
    ReadHash, TextBlock, TextHash, Wanted, avro, excerpt, ipc, parquet,
};
use crate::memory::batch_bytes;

/// Where an input's bytes come from.
pub enum PlainInput {
    /// A file, and what counts the bytes that are read of it; a Parquet file is not counted.
    File(File, Meter),
    /// Bytes that come once, in order.
    Stream(Box<dyn Read + Send>),
}

/// Reads one input.
#[derive(Debug)]
pub struct InputReader {
    input: Arc<str>,
    read: Inner,
    /// The place of the next record.
    place: Place,
}

#[derive(Debug)]
enum Inner {
    Text { read: Box<TextReader>, header: Vec<u8>, decoder: Arc<dyn RecordDecoder> },
    Batches { read: Box<dyn BatchReader>, hash: Option<ReadHash> },
}

/// Records that follow each other in one input, not decoded yet where they are text.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The input.
    pub input: Arc<str>,
    /// The place of its first record.
    pub first: Place,
    /// The records.
    pub body: ChunkBody,
}

/// The records of a [`Chunk`].
#[derive(Debug, Clone)]
pub enum ChunkBody {
    /// Text, with what decodes it.
    Text(TextBlock, Arc<dyn RecordDecoder>),
    /// Rows.
    Batch(RecordBatch),
}

impl InputReader {
    /// Opens the input called `name`.
    ///
    /// # Errors
    /// An input that is not what `format` or its name says, or lacks columns.
    pub fn open(
        name: &Arc<str>,
        input: PlainInput,
        format: &Format,
        wanted: &Wanted,
    ) -> Result<Self, DecodeError> {
        let opened = match format.kind_of(name) {
            Ok(kind) if kind.is_text() => open_text(name, input, kind, format, wanted),
            Ok(kind) => open_batches(name, input, kind, format, wanted),
            Err(problem) => Err(problem),
        };
        match opened {
            Ok(read) => {
                let place = match &read {
                    Inner::Text { read, .. } => read.place(),
                    Inner::Batches { .. } => Place::default(),
                };
                Ok(Self { input: name.clone(), read, place })
            }
            Err(problem) => Err(problem.of(name)),
        }
    }

    /// The text before the first record; nothing in formats that are no text.
    pub fn header(&self) -> &[u8] {
        match &self.read {
            Inner::Text { header, .. } => header,
            Inner::Batches { .. } => &[],
        }
    }

    /// The hash of all up to the end of the block or message that the last record so far is in, where
    /// a stream of another format than text is read.
    pub fn read_hash(&self) -> Option<&ReadHash> {
        match &self.read {
            Inner::Text { .. } => None,
            Inner::Batches { hash, .. } => hash.as_ref(),
        }
    }

    /// The hash of all text before the next chunk; `None` in formats that are no text.
    pub fn text_hash(&self) -> Option<&TextHash> {
        match &self.read {
            Inner::Text { read, .. } => Some(read.hash()),
            Inner::Batches { .. } => None,
        }
    }

    /// Goes on to `place`, where an earlier run stopped. Call it at most once, before the first chunk.
    ///
    /// # Errors
    /// An input that is not that long.
    pub fn skip_to(&mut self, place: Place) -> Result<(), DecodeError> {
        let problem = match &mut self.read {
            Inner::Text { read, .. } => match read.skip_to(place) {
                Ok(true) => None,
                Ok(false) => {
                    let found = read.place().byte;
                    Some(DecodeProblem::Shorter { unit: "bytes of text", expected: place.byte, found })
                }
                Err(problem) => Some(problem),
            },
            Inner::Batches { read, .. } => match read.skip(place.record) {
                Ok(found) if found < place.record => {
                    Some(DecodeProblem::Shorter { unit: "records", expected: place.record, found })
                }
                Ok(_) => None,
                Err(problem) => Some(problem),
            },
        };
        match problem {
            Some(problem) => Err(problem.of(&self.input)),
            None => {
                self.place = place;
                Ok(())
            }
        }
    }

    /// The next records; `None` at the end.
    ///
    /// # Errors
    /// An input that cannot be read on.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, DecodeError> {
        let first = self.place;
        let body = match &mut self.read {
            Inner::Text { read, decoder, .. } => {
                let block = read.next().map_err(|problem| {
                    let Place { line, record, .. } = read.place();
                    problem.at(&self.input, Some(line + 1), record)
                })?;
                block.map(|block| {
                    self.place = block.end;
                    ChunkBody::Text(block, decoder.clone())
                })
            }
            Inner::Batches { read, .. } => {
                let batch = read.next().map_err(|problem| problem.at(&self.input, None, first.record))?;
                batch.map(|batch| {
                    self.place.record += batch.num_rows() as u64;
                    ChunkBody::Batch(batch)
                })
            }
        };
        Ok(body.map(|body| Chunk { input: self.input.clone(), first, body }))
    }
}

impl Chunk {
    /// How many records there are.
    pub fn records(&self) -> usize {
        match &self.body {
            ChunkBody::Text(block, _) => block.records(),
            ChunkBody::Batch(batch) => batch.num_rows(),
        }
    }

    /// Bytes of memory that it takes; in text, also the bytes of input.
    pub fn bytes(&self) -> usize {
        match &self.body {
            ChunkBody::Text(block, _) => block.bytes.len(),
            ChunkBody::Batch(batch) => batch_bytes(batch),
        }
    }

    /// The place of the record `index`, or of the end.
    pub fn place(&self, index: usize) -> Place {
        match &self.body {
            ChunkBody::Text(block, _) => block.place(index),
            ChunkBody::Batch(_) => Place { record: self.first.record + index as u64, ..self.first },
        }
    }

    /// The hash of the input's text before the record `index` of the chunk; `None` in formats that are
    /// no text.
    pub fn text_hash(&self, index: usize) -> Option<TextHash> {
        match &self.body {
            ChunkBody::Text(block, _) => Some(block.hash_before(index)),
            ChunkBody::Batch(_) => None,
        }
    }

    /// The record `index` as a bad one.
    pub fn bad(&self, index: usize, fault: Fault) -> BadRecord {
        let place = self.place(index);
        let raw = match &self.body {
            ChunkBody::Text(block, _) => block.raw(index),
            ChunkBody::Batch(batch) if index < batch.num_rows() => row_as_json(&batch.slice(index, 1)),
            ChunkBody::Batch(_) => String::new(),
        };
        let line = matches!(self.body, ChunkBody::Text(..)).then_some(place.line + 1);
        BadRecord {
            input: self.input.clone(),
            record: place.record,
            line,
            column: fault.column,
            value: fault.value,
            reason: fault.reason,
            raw,
        }
    }

    /// Decodes the records. Works on the caller's thread: meant for rayon.
    ///
    /// # Errors
    /// Only failures that are no record's fault.
    pub fn decode(&self) -> Result<Decoded, DecodeError> {
        match &self.body {
            ChunkBody::Text(block, decoder) => block
                .decode(&self.input, decoder.as_ref())
                .map_err(|problem| problem.at(&self.input, Some(self.first.line + 1), self.first.record)),
            ChunkBody::Batch(batch) => Ok(Decoded { rows: batch.clone(), records: None, bad: Vec::new() }),
        }
    }
}

/// A row in JSON; as much of it as JSON can hold.
fn row_as_json(row: &RecordBatch) -> String {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    let written = writer.write(row).and_then(|()| writer.finish());
    match written {
        Ok(()) => excerpt(String::from_utf8_lossy(&writer.into_inner()).trim_end()),
        Err(error) => format!("(the record cannot be written as JSON: {error})"),
    }
}

fn open_text(
    name: &str,
    input: PlainInput,
    kind: FormatKind,
    format: &Format,
    wanted: &Wanted,
) -> Result<Inner, DecodeProblem> {
    let mut read = text_reader(name, input, kind, format)?;
    if kind == FormatKind::Jsonl {
        return Ok(Inner::Text {
            read: Box::new(read),
            header: Vec::new(),
            decoder: Arc::new(JsonDecoder::new(wanted)),
        });
    }
    let (header, names) = csv_header(&mut read, &format.csv)?;
    let decoder = Arc::new(CsvDecoder::new(&names, &format.csv, wanted)?);
    Ok(Inner::Text { read: Box::new(read), header, decoder })
}

fn text_reader(
    name: &str,
    input: PlainInput,
    kind: FormatKind,
    format: &Format,
) -> Result<TextReader, DecodeProblem> {
    let (read, eager): (Box<dyn Read + Send>, bool) = match input {
        PlainInput::File(file, meter) => (Box::new(meter.of(file)), false),
        PlainInput::Stream(stream) => (stream, true),
    };
    let CsvOptions { delimiter, quote, escape, .. } = format.csv;
    let framing = match kind {
        // A quote before a quote is a doubled one.
        FormatKind::Csv => Framing::Csv { delimiter, quote, escape: escape.filter(|e| *e != quote) },
        _ => Framing::Lines,
    };
    let mut read = TextReader::new(unpack(read, format.packing_of(name))?, framing, format.limits, eager)?;
    if kind == FormatKind::Jsonl && read.first_byte()? == Some(b'[') {
        return Err(DecodeProblem::JsonArray);
    }
    Ok(read)
}

/// The header's text and the names of the columns, which may be stated instead.
fn csv_header(read: &mut TextReader, csv: &CsvOptions) -> Result<(Vec<u8>, Vec<String>), DecodeProblem> {
    if !csv.header {
        return Ok((Vec::new(), csv.columns.clone()));
    }
    let broken = |found: &str| DecodeProblem::Header { found: found.to_owned() };
    let header = match read.header() {
        Err(DecodeProblem::OpenQuote) => {
            Err(broken("a quote in it is not closed up to the end of the input"))
        }
        header => header?.ok_or_else(|| broken("it is empty")),
    }?;
    let names = header_names(&header, csv)?;
    Ok((header.to_vec(), names))
}

fn open_batches(
    name: &str,
    input: PlainInput,
    kind: FormatKind,
    format: &Format,
    wanted: &Wanted,
) -> Result<Inner, DecodeProblem> {
    let (read, hash) = match (kind, input) {
        (FormatKind::Parquet, PlainInput::Stream(_)) => {
            return Err(DecodeProblem::NotStreamable { kind: kind.as_str() });
        }
        (_, PlainInput::File(file, meter)) => (open_file(name, file, &meter, kind, format)?, None),
        (_, PlainInput::Stream(stream)) => {
            let hash = ReadHash::default();
            (open_stream(name, stream, kind, format, Some(&hash))?, Some(hash))
        }
    };
    let names: Vec<String> = read.schema().fields().iter().map(|field| field.name().clone()).collect();
    wanted.check(&names)?;
    Ok(Inner::Batches { read, hash })
}

/// A file whose records are no text.
pub(super) fn open_file(
    name: &str,
    mut file: File,
    meter: &Meter,
    kind: FormatKind,
    format: &Format,
) -> Result<Box<dyn BatchReader>, DecodeProblem> {
    if kind != FormatKind::Parquet {
        return open_stream(name, Box::new(meter.of(file)), kind, format, None);
    }
    let mut head = Vec::new();
    file.by_ref().take(4).read_to_end(&mut head).map_err(DecodeProblem::Io)?;
    file.seek(SeekFrom::Start(0)).map_err(DecodeProblem::Io)?;
    match unpack(Box::new(std::io::Cursor::new(head)), format.packing_of(name))?.packing() {
        Some(packing) => Err(DecodeProblem::PackedBinary { packing, kind: kind.as_str() }),
        None => parquet::open(file, &format.limits),
    }
}

fn open_stream(
    name: &str,
    stream: Box<dyn Read + Send>,
    kind: FormatKind,
    format: &Format,
    hash: Option<&ReadHash>,
) -> Result<Box<dyn BatchReader>, DecodeProblem> {
    let read = buffered(unpack(stream, format.packing_of(name))?);
    match (kind, hash) {
        (FormatKind::Avro, hash) => avro::open(Box::new(read), hash, &format.limits),
        (_, Some(hash)) => ipc::open(hash.of(read), &format.limits),
        (_, None) => ipc::open(read, &format.limits),
    }
}

impl std::fmt::Debug for PlainInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(..) => "File",
            Self::Stream(_) => "Stream",
        })
    }
}

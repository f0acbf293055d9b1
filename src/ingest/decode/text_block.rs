//! Whole records of text, and their decoding.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use bytes::Bytes;

use super::guard::guarded;
use super::record::{Fault, Place, excerpt};
use super::{BadRecord, DecodeProblem, Decoded, TextHash};

/// What is wrong with a record whose quotes do not tell where its fields end.
pub(super) const STRAY_TEXT: &str = "text follows a closing quote; a quote within quotes is to be doubled";

/// Whole records of text that follow each other.
#[derive(Debug, Clone)]
pub struct TextBlock {
    /// The text, line ends included.
    pub(super) bytes: Bytes,
    /// Where records start, counted from the start of the block.
    pub(super) starts: Vec<Start>,
    /// The place of the block's first byte.
    pub(super) first: Place,
    /// The place behind the block's last byte.
    pub(super) end: Place,
    /// The hash of the text before the block.
    pub(super) before: TextHash,
}

/// Where a record starts in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) byte: u32,
    pub(super) line: u32,
    /// Whether text follows the closing quote of a field. Readers do not agree what that means.
    pub(super) has_stray_text: bool,
}

impl TextBlock {
    /// How many records there are.
    pub fn records(&self) -> usize {
        self.starts.len()
    }

    /// The place of the record `index`, or of the end.
    pub fn place(&self, index: usize) -> Place {
        let Some(start) = self.starts.get(index) else { return self.end };
        Place {
            record: self.first.record + index as u64,
            line: self.first.line + u64::from(start.line),
            byte: self.first.byte + u64::from(start.byte),
        }
    }

    /// The hash of the input's text before the record `index`.
    pub fn hash_before(&self, index: usize) -> TextHash {
        let mut hash = self.before.clone();
        hash.update(self.text_before(index));
        hash
    }

    /// The block's text before the record `index`.
    pub(super) fn text_before(&self, index: usize) -> &[u8] {
        let end = self.starts.get(index).map_or(self.bytes.len(), |start| start.byte as usize);
        self.bytes.get(..end).unwrap_or_default()
    }

    /// The record `index` as it stands, cut to a bounded length.
    pub(super) fn raw(&self, index: usize) -> String {
        excerpt(String::from_utf8_lossy(self.text(index..index + 1)).trim_end_matches(['\r', '\n']))
    }

    /// Whether text follows a closing quote in any of the records.
    pub(super) fn has_stray_text(&self, records: Range<usize>) -> bool {
        self.starts.get(records).unwrap_or_default().iter().any(|start| start.has_stray_text)
    }

    pub(super) fn text(&self, records: Range<usize>) -> &[u8] {
        let start = self.text_before(records.start).len();
        let end = self.text_before(records.end).len();
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The rows of the block's records. Works on the caller's thread: meant for rayon.
    ///
    /// # Errors
    /// Only failures that are no record's fault.
    pub fn decode(&self, input: &Arc<str>, decoder: &dyn RecordDecoder) -> Result<Decoded, DecodeProblem> {
        let mut halves =
            Halves { block: self, decoder, input, batches: Vec::new(), good: Vec::new(), bad: Vec::new() };
        halves.decode(0..self.records())?;
        let Halves { batches, good, bad, .. } = halves;
        let rows = match <[RecordBatch; 1]>::try_from(batches) {
            Ok([only]) => only,
            Err(several) => concat_batches(&decoder.schema(), &several)
                .map_err(|error| DecodeProblem::Unsound { kind: decoder.kind(), found: error.to_string() })?,
        };
        let records = (!bad.is_empty()).then_some(good);
        Ok(Decoded { rows, records, bad })
    }
}

/// Decodes records of one text format.
pub trait RecordDecoder: Send + Sync + std::fmt::Debug {
    /// The format's name.
    fn kind(&self) -> &'static str;

    /// The columns it makes.
    fn schema(&self) -> SchemaRef;

    /// Decodes `records` whole records.
    ///
    /// # Errors
    /// If any of them is bad; which one, the caller finds out.
    fn decode(&self, text: &[u8], records: usize) -> Result<RecordBatch, ArrowError>;

    /// What is wrong with a record that does not decode.
    fn explain(&self, record: &[u8], reason: &str) -> Fault;
}

/// The search for bad records by halving.
struct Halves<'a> {
    block: &'a TextBlock,
    decoder: &'a dyn RecordDecoder,
    input: &'a Arc<str>,
    batches: Vec<RecordBatch>,
    good: Vec<u32>,
    bad: Vec<(u32, BadRecord)>,
}

impl Halves<'_> {
    fn decode(&mut self, records: Range<usize>) -> Result<(), DecodeProblem> {
        let text = self.block.text(records.clone());
        let is_stray = self.block.has_stray_text(records.clone());
        let decoded = match is_stray {
            true => Err(DecodeProblem::Unsound { kind: self.decoder.kind(), found: STRAY_TEXT.to_owned() }),
            false => guarded(self.decoder.kind(), || self.decoder.decode(text, records.len())),
        };
        let reason = match decoded {
            Ok(batch) if batch.num_rows() == records.len() => {
                self.batches.push(batch);
                self.good.extend(records.map(|record| record as u32));
                return Ok(());
            }
            Ok(batch) => format!("it holds {} values instead of one", batch.num_rows()),
            Err(DecodeProblem::Unsound { found, .. }) => found,
            Err(DecodeProblem::Panicked { message, .. }) => format!("decoding it panicked: {message}"),
            Err(problem) => return Err(problem),
        };
        if records.len() > 1 {
            let middle = records.start + records.len() / 2;
            self.decode(records.start..middle)?;
            return self.decode(middle..records.end);
        }
        let explain = || match is_stray {
            true => Ok(Fault::of_record(STRAY_TEXT)),
            false => Ok(self.decoder.explain(text, &reason)),
        };
        let fault = guarded::<_, DecodeProblem>(self.decoder.kind(), explain)
            .unwrap_or_else(|_| Fault::of_record(reason.clone()));
        let place = self.block.place(records.start);
        let bad = BadRecord {
            input: self.input.clone(),
            record: place.record,
            line: Some(place.line + 1),
            column: fault.column,
            value: fault.value,
            reason: fault.reason,
            raw: self.block.raw(records.start),
        };
        self.bad.push((records.start as u32, bad));
        Ok(())
    }
}

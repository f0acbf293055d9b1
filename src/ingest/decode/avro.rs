//! Avro object container files.

use std::io::BufRead;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lakebed_hudi::avro_rows::{AvroRows, AvroRowsError, AvroRowsOptions, Origin};

use super::avro_blocks::{Blocks, KIND, PackedBlock, unsound};
use super::batch_reader::{BATCH_BYTES, Skipping};
use super::guard::guarded;
use super::{BatchReader, DecodeProblem, Limits, ReadHash};
use crate::human;

/// Opens an Avro file. One block of it is in memory at a time. Where it comes as a stream, which has a
/// `hash`, a batch ends with each block, so that nothing waits for a block that is still to come.
pub(super) fn open(
    read: Box<dyn BufRead + Send>,
    hash: Option<&ReadHash>,
    limits: &Limits,
) -> Result<Box<dyn BatchReader>, DecodeProblem> {
    let by_block = hash.is_some();
    let (blocks, schema) = Blocks::open(read, hash.cloned(), limits.unit_bytes)?;
    let options = AvroRowsOptions {
        columns: None,
        batch_rows: limits.batch_rows,
        batch_bytes: BATCH_BYTES as u64,
        origin: Origin::Input,
    };
    let rows = AvroRows::try_new(&schema, options).map_err(problem)?;
    let schema = rows.schema();
    let (block, record_bytes_max) = (OpenBlock::default(), limits.unit_bytes);
    let batches = Batches { blocks, rows, block, by_block, record_bytes_max };
    Ok(Box::new(AvroFile(Skipping::new(batches, KIND, schema, limits))))
}

fn problem(error: AvroRowsError) -> DecodeProblem {
    unsound(match error {
        AvroRowsError::TooLarge { max_bytes } => format!(
            "a record takes more than the {} that the memory allows: give the job more memory",
            human::bytes(max_bytes)
        ),
        error => error.to_string(),
    })
}

#[derive(Debug)]
struct AvroFile(Skipping<Batches>);

impl BatchReader for AvroFile {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, DecodeProblem> {
        self.0.next()
    }

    /// Passes over records without decoding them; meant to be called once, before the first are read.
    fn skip(&mut self, records: u64) -> Result<u64, DecodeProblem> {
        guarded(KIND, || self.0.batches.pass_over(records))
    }
}

/// Batches of records.
struct Batches {
    blocks: Blocks,
    rows: AvroRows,
    block: OpenBlock,
    by_block: bool,
    record_bytes_max: u64,
}

/// What is left of a block.
#[derive(Default)]
struct OpenBlock {
    bytes: Vec<u8>,
    at: usize,
    records: u64,
}

impl OpenBlock {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn pass(&mut self, bytes: usize) {
        self.at += bytes;
        self.records -= 1;
    }
}

impl Batches {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, DecodeProblem> {
        while !self.rows.is_full() && self.has_record()? {
            let bytes = self.rows.push(self.block.rest(), self.record_bytes_max).map_err(problem)?;
            self.block.pass(bytes);
            if self.by_block && self.block.records == 0 {
                break;
            }
        }
        self.rows.flush().map_err(problem)
    }

    /// Whether there is a further record, which the open block then starts with.
    fn has_record(&mut self) -> Result<bool, DecodeProblem> {
        while self.block.records == 0 {
            let left = self.block.rest().len();
            if left > 0 {
                return Err(unsound(format!("{left} bytes follow the last record of a block")));
            }
            let Some(block) = self.blocks.next()? else { return Ok(false) };
            self.open_block(block)?;
        }
        Ok(true)
    }

    fn open_block(&mut self, block: PackedBlock) -> Result<(), DecodeProblem> {
        // Its memory is free before the next one takes any.
        self.block = OpenBlock::default();
        let records = block.records;
        let bytes = self.blocks.unpack(block)?;
        let records_max = bytes.len() as u64 / self.rows.record_bytes_min();
        if records > records_max {
            return Err(unsound(format!("a block claims {records} records, it can hold {records_max}")));
        }
        self.block = OpenBlock { bytes, at: 0, records };
        Ok(())
    }

    /// Passes over records; blocks of which none is wanted are not unpacked.
    fn pass_over(&mut self, records: u64) -> Result<u64, DecodeProblem> {
        let mut left = records;
        while left > 0 {
            if self.block.records > 0 {
                let size = self.rows.measure(self.block.rest(), u64::MAX).map_err(problem)?;
                self.block.pass(size.bytes);
                left -= 1;
                continue;
            }
            match self.blocks.next()? {
                Some(block) if block.records <= left => left -= block.records,
                Some(block) => self.open_block(block)?,
                None => break,
            }
        }
        Ok(records - left)
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, DecodeProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

/// Without the bytes.
impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AvroBatches").field("records_left", &self.block.records).finish_non_exhaustive()
    }
}

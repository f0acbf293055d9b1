//! Formats with types of their own: batches as they stand in the file.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::DecodeProblem;

/// Reads the batches of one input.
pub trait BatchReader: Send + std::fmt::Debug {
    /// The columns.
    fn schema(&self) -> SchemaRef;

    /// The next records; `None` at the end.
    ///
    /// # Errors
    /// An input that is broken from here on.
    fn next(&mut self) -> Result<Option<RecordBatch>, DecodeProblem>;

    /// Passes over the next `records` records; says how many there were.
    ///
    /// # Errors
    /// As [`BatchReader::next`].
    fn skip(&mut self, records: u64) -> Result<u64, DecodeProblem>;
}

/// Passes over records by reading them.
#[derive(Debug)]
pub(super) struct Skipping<I> {
    batches: I,
    kind: &'static str,
    schema: SchemaRef,
    /// The rest of a batch of which some records were passed over.
    rest: Option<RecordBatch>,
    failed: bool,
}

impl<I> Skipping<I> {
    pub(super) fn new(batches: I, kind: &'static str, schema: SchemaRef) -> Self {
        Self { batches, kind, schema, rest: None, failed: false }
    }
}

impl<I, E> BatchReader for Skipping<I>
where
    I: Iterator<Item = Result<RecordBatch, E>> + Send + std::fmt::Debug,
    E: Into<super::guard::Caught>,
{
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, DecodeProblem> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        if self.failed {
            return Ok(None);
        }
        let batch = super::guard::guarded(self.kind, || self.batches.next().transpose());
        self.failed = batch.is_err();
        batch
    }

    fn skip(&mut self, records: u64) -> Result<u64, DecodeProblem> {
        let mut skipped = 0;
        while skipped < records {
            let Some(batch) = self.next()? else { break };
            let rows = batch.num_rows();
            let count = usize::try_from(records - skipped).unwrap_or(usize::MAX).min(rows);
            skipped += count as u64;
            if count < rows {
                self.rest = Some(batch.slice(count, rows - count));
            }
        }
        Ok(skipped)
    }
}

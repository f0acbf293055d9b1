//! The base file of one group: its first one, or one that takes the place of another.
//!
//! Rows in memory that meet no others become one per key and are encoded. All others are merged as
//! a compaction would do it: folded, then put over the rows of the base file before.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lakebed_hudi::file_name::{BaseFileName, MarkerKind};

use super::WriteError;
use super::base_file::{BaseFileEncoder, BaseFileSummary};
use super::buffer::Buffer;
use super::context::WriteContext;
use super::merged_file;
use super::meta_columns::Place;
use super::row_format::RowFormat;
use super::run_store::{Run, RunStore};
use super::staging::{self, Pieces, encode_into, on_rayon, send};
use crate::merge::{Batches, LogRecords, MergeCounts, MergeError, MergeResources, SliceSource};
use crate::read::SliceReader;
use crate::table::{BaseFile, FileGroupId, RowCounts, StagedFile, StagedKind};

/// Rows on their way into a base file.
#[derive(Debug)]
pub(super) struct BaseWriter {
    /// The number of the writer within the instant.
    number: u32,
    group: FileGroupId,
    previous: Option<BaseFile>,
    pub(super) rows: Buffer,
    /// Rows that came before those in the buffer.
    run: Run,
}

impl BaseWriter {
    pub(super) fn new(number: u32, group: FileGroupId, previous: Option<BaseFile>) -> Self {
        Self { number, group, previous, rows: Buffer::default(), run: Run::default() }
    }

    /// Puts the buffer on the local disk.
    pub(super) async fn put_aside(&mut self, context: &WriteContext) -> Result<(), WriteError> {
        let (batches, runs) = (self.rows.take(), context.runs.clone());
        let mut run = std::mem::take(&mut self.run);
        self.run = on_rayon(move || {
            runs.append(&mut run, &batches)?;
            Ok(run)
        })
        .await?;
        Ok(())
    }

    /// Writes the file and makes it durable; `None` if there was nothing to write.
    pub(super) async fn finish(mut self, context: &WriteContext) -> Result<Option<StagedFile>, WriteError> {
        if !self.run.is_empty() {
            // The rest is little beside the run, and merging needs its memory.
            self.put_aside(context).await?;
        }
        let batches = self.rows.take();
        if self.previous.is_none() && self.run.is_empty() {
            let format = context.format.clone();
            let combined = on_rayon(move || format.combine(batches)).await?;
            if combined.batches.is_empty() {
                // Deletes have nothing to delete where nothing is.
                return Ok(None);
            }
            return self.write(context, GroupRows::Combined(combined.batches)).await.map(Some);
        }
        if batches.is_empty() && self.run.is_empty() {
            return Ok(None);
        }
        let base = match &self.previous {
            Some(previous) => Some(SliceReader::open_base_file(context.storage.clone(), previous).await?),
            None => None,
        };
        let (runs, run) = (context.runs.clone(), std::mem::take(&mut self.run));
        let place = context.place(self.number, &self.group.partition, String::new());
        let rows = RowsOverBase { base, runs, run, batches, place };
        self.write(context, GroupRows::Merged(Box::new(rows))).await.map(Some)
    }

    async fn write(self, context: &WriteContext, rows: GroupRows) -> Result<StagedFile, WriteError> {
        let attempt = &context.attempt;
        let token = attempt.token(self.number, 0);
        let name = BaseFileName::parquet(self.group.file_id.clone(), &token, attempt.instant).to_string();
        let place = context.place(self.number, &self.group.partition, name.clone());
        let marker = if self.previous.is_some() { MarkerKind::Merge } else { MarkerKind::Create };
        let (storage, partition) = (context.storage.as_ref(), &self.group.partition);
        let (path, mut file) = staging::create(storage, attempt, partition, &name, marker).await?;
        let (format, resources) = (context.format.clone(), context.merge.clone());
        let (summary, counts) =
            encode_into(file.as_mut(), move |pieces| rows.encode(&format, &resources, &place, pieces))
                .await?;
        let size_bytes = file.finish().await?;
        let (written, columns) = (summary.rows, summary.columns);
        let MergeCounts { added, updated, deleted, .. } = counts;
        let rows = RowCounts { written, inserted: added, updated, deleted };
        let kind = StagedKind::Base { previous: self.previous.map(|base| base.name.to_string()) };
        Ok(StagedFile { group: self.group, path, kind, size_bytes, rows, columns })
    }
}

/// What a base file is made of.
enum GroupRows {
    /// Rows of which each has a key of its own.
    Combined(Vec<RecordBatch>),
    /// Rows that are still to be merged.
    Merged(Box<RowsOverBase>),
}

impl GroupRows {
    /// Encodes the rows and sends what is ready to the file.
    fn encode(
        self,
        format: &RowFormat,
        resources: &MergeResources,
        place: &Place,
        pieces: &Pieces,
    ) -> Result<(BaseFileSummary, MergeCounts), WriteError> {
        let batches = match self {
            Self::Combined(batches) => batches,
            Self::Merged(rows) => {
                return merged_file::encode(
                    rows.as_ref(),
                    rows.base.as_ref(),
                    format,
                    resources,
                    place,
                    (pieces, 1),
                );
            }
        };
        let added = batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
        let mut generated = place.generated_of_new();
        let batches = generated.take_generated(format.schema(), batches)?;
        let mut encoder = BaseFileEncoder::new(format.base.clone(), generated);
        for batch in batches {
            send(pieces, encoder.write(&batch)?)?;
        }
        let (rest, summary) = encoder.finish()?;
        send(pieces, rest)?;
        Ok((summary, MergeCounts { added, ..MergeCounts::default() }))
    }
}

/// Rows that came for a group, over those of its base file.
struct RowsOverBase {
    base: Option<SliceReader>,
    runs: Arc<RunStore>,
    run: Run,
    /// Rows that came after those of the run.
    batches: Vec<RecordBatch>,
    /// What the new rows' meta columns say.
    place: Place,
}

impl SliceSource for RowsOverBase {
    fn logs(
        &self,
        _columns: &SchemaRef,
    ) -> Result<Box<dyn Iterator<Item = Result<LogRecords, MergeError>> + Send + '_>, MergeError> {
        let mut place = self.place.clone();
        let batches = self.runs.read(&self.run).chain(self.batches.iter().cloned().map(Ok));
        let records = batches.map(move |batch| {
            let batch = place.stamped(&batch?)?;
            Ok(LogRecords::Rows { batch, partial: false })
        });
        Ok(Box::new(records))
    }

    fn base(&self, columns: &SchemaRef) -> Result<Batches<'_>, MergeError> {
        match &self.base {
            Some(base) => base.base(columns),
            None => Ok(Box::new(std::iter::empty())),
        }
    }
}

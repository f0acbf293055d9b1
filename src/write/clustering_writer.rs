//! The base files that a clustering makes of file slices.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use lakebed_hudi::file_name::{BaseFileName, FileId, MarkerKind};
use lakebed_hudi::schema::TableSchema;
use tokio::sync::mpsc;

use super::WriteError;
use super::base_file::{BaseFileEncoder, BaseFileSummary};
use super::context::WriteContext;
use super::row_format::RowFormat;
use super::run_store::RunStore;
use super::sorter::{SortOrder, Sorter};
use super::staging::{self, PIECES_WAITING, on_rayon};
use super::unfinished_file::UnfinishedFile;
use crate::merge::{MergeColumns, MergeResources, MergeRules, MergedRows};
use crate::read::SliceOpener;
use crate::table::{Attempt, FileGroupId, FileSlice, RowCounts, StagedFile, StagedKind, Table};

/// Writes base files of new groups under one [`Attempt`] at a clustering, with the rows of slices as readers see
/// them. Rows keep their commit times and sequence numbers.
///
/// Source: `SparkSortAndSizeExecutionStrategy` of Hudi 1.2.0; table versions 8 and 9.
#[derive(Debug, Clone)]
pub struct ClusteringWriter {
    context: Arc<WriteContext>,
    slices: SliceOpener,
    sorting: Option<Arc<Sorting>>,
}

/// How rows are sorted.
#[derive(Debug)]
struct Sorting {
    order: SortOrder,
    budget_bytes: usize,
}

/// Slices of a partition whose rows come into files of their own.
#[derive(Debug, Clone)]
pub struct SlicesTogether {
    /// Their number in the plan.
    pub number: u32,
    /// The partition.
    pub partition: String,
    /// The slices.
    pub slices: Vec<FileSlice>,
    /// At most so many files are made of them.
    pub max_files: u32,
    /// A file of this size is ended, unless it is the last one.
    pub target_bytes: u64,
}

impl ClusteringWriter {
    /// Writes files with the columns of `schema`, of slices that `slices` opens, with rows sorted by
    /// `sort_columns`. Each group of slices takes at most `rows_bytes` for rows that are merged and sorted.
    ///
    /// # Errors
    /// A merge mode that needs a JVM; columns that rows cannot be sorted by.
    pub fn new(
        (table, slices): (&Table, SliceOpener),
        attempt: Attempt,
        schema: &TableSchema,
        sort_columns: &[String],
        rows_bytes: usize,
    ) -> Result<Self, WriteError> {
        let spill = &table.environment.spill;
        let format = Arc::new(RowFormat::new(attempt.instant, &table.config, schema)?);
        // Merging and sorting hold rows at the same time.
        let budget_bytes = if sort_columns.is_empty() { rows_bytes } else { rows_bytes / 2 };
        let order = || SortOrder::new(&format.rewritten.output_schema(), sort_columns);
        let sorting = (!sort_columns.is_empty()).then(order).transpose()?;
        let context = WriteContext {
            storage: table.storage.clone(),
            ids: table.environment.ids.clone(),
            format,
            attempt,
            runs: Arc::new(RunStore::new(spill.clone())),
            merge: MergeResources { budget_bytes, spill: Some(spill.clone()) },
        };
        let sorting = sorting.map(|order| Arc::new(Sorting { order, budget_bytes }));
        Ok(Self { context: Arc::new(context), slices, sorting })
    }

    /// Checks that rows of `schema` can be sorted by `sort_columns`.
    ///
    /// # Errors
    /// Columns that are not there, or whose values have no order.
    pub fn check_sort(
        table: &Table,
        schema: &TableSchema,
        sort_columns: &[String],
    ) -> Result<(), WriteError> {
        let rules = MergeRules::of(&table.config)?;
        let columns = MergeColumns::for_rewriting(schema, &rules)?;
        SortOrder::new(&columns.output_schema(), sort_columns)?;
        Ok(())
    }

    /// Begins to write the rows of `slices`; none if no row is left of them.
    pub fn write(&self, slices: SlicesTogether) -> ClusteredFiles {
        let (context, partition) = (self.context.clone(), slices.partition.clone());
        let (pieces, arriving) = mpsc::channel(PIECES_WAITING);
        let Self { slices: opener, sorting, .. } = self.clone();
        let files = Files { context: context.clone(), slices, pieces, open: None, begun: 0 };
        let encoding = on_rayon(move || files.encode(&opener, sorting.as_deref()));
        ClusteredFiles { context, partition, arriving, encoding: Some(Box::pin(encoding)) }
    }
}

/// What the encoding thread sends.
enum Piece {
    /// A file begins.
    Begin { file_id: FileId, name: String },
    /// Its next bytes.
    Bytes(Vec<Bytes>),
    /// It is over.
    End(BaseFileSummary),
}

/// Base files on their way, one after the other. Dropping it gives up those that are not out.
pub struct ClusteredFiles {
    context: Arc<WriteContext>,
    partition: String,
    arriving: mpsc::Receiver<Piece>,
    /// Until it has ended.
    encoding: Option<BoxFuture<'static, Result<(), WriteError>>>,
}

impl ClusteredFiles {
    /// The next file; `None` after the last one.
    ///
    /// # Errors
    /// Files that cannot be read, rows that cannot be merged or sorted; those of the storage. No more comes then.
    pub async fn next(&mut self) -> Result<Option<UnfinishedFile>, WriteError> {
        let (storage, attempt) = (self.context.storage.as_ref(), &self.context.attempt);
        let mut open: Option<UnfinishedFile> = None;
        while let Some(piece) = self.arriving.recv().await {
            match piece {
                Piece::Begin { file_id, name } => {
                    let (path, file) =
                        staging::create(storage, attempt, &self.partition, &name, MarkerKind::Create).await?;
                    let group = FileGroupId { partition: self.partition.clone(), file_id };
                    let staged = StagedFile {
                        group,
                        path,
                        kind: StagedKind::Base { previous: None },
                        size_bytes: 0,
                        rows: RowCounts::default(),
                        columns: Vec::new(),
                    };
                    open = Some(UnfinishedFile { file, staged });
                }
                Piece::Bytes(bytes) => {
                    let Some(open) = &mut open else { return Err(WriteError::Panicked) };
                    for piece in bytes {
                        open.file.write(piece).await?;
                    }
                }
                Piece::End(summary) => {
                    let Some(mut ended) = open else { return Err(WriteError::Panicked) };
                    let (written, columns) = (summary.rows, summary.columns);
                    ended.staged.rows = RowCounts { written, inserted: written, ..RowCounts::default() };
                    ended.staged.columns = columns;
                    return Ok(Some(ended));
                }
            }
        }
        match self.encoding.take() {
            Some(encoding) => encoding.await.map(|()| None),
            None => Ok(None),
        }
    }
}

/// Encodes rows into one file after the other.
struct Files {
    context: Arc<WriteContext>,
    slices: SlicesTogether,
    pieces: mpsc::Sender<Piece>,
    open: Option<BaseFileEncoder>,
    begun: u32,
}

impl Files {
    fn encode(mut self, opener: &SliceOpener, sorting: Option<&Sorting>) -> Result<(), WriteError> {
        let context = self.context.clone();
        let slices = std::mem::take(&mut self.slices.slices);
        match sorting {
            None => each_batch(slices, opener, &context, |batch| self.push(&batch))?,
            Some(Sorting { order, budget_bytes }) => {
                // What was put aside for these slices goes with them.
                let runs = context.runs.another();
                let mut sorter = Sorter::new(order, *budget_bytes, &runs)?;
                each_batch(slices, opener, &context, |batch| sorter.push(batch))?;
                sorter.finish(|batch| self.push(&batch))?;
            }
        }
        self.end()
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let mut encoder = match self.open.take() {
            Some(open) => open,
            None => self.begin()?,
        };
        self.send_bytes(encoder.write(batch)?)?;
        let is_full = encoder.file_bytes() >= self.slices.target_bytes;
        self.open = Some(encoder);
        if is_full && self.begun < self.slices.max_files { self.end() } else { Ok(()) }
    }

    fn begin(&mut self) -> Result<BaseFileEncoder, WriteError> {
        let Self { context, slices, .. } = self;
        let file_id = FileId::of_uuid(&context.ids.uuid().to_string(), 0);
        let token = context.attempt.token(slices.number, self.begun);
        let name = BaseFileName::parquet(file_id.clone(), &token, context.attempt.instant).to_string();
        let place = context.place(slices.number, &slices.partition, name.clone());
        let encoder = BaseFileEncoder::new(context.format.base.clone(), place.generated_of_kept());
        self.begun += 1;
        self.send(Piece::Begin { file_id, name })?;
        Ok(encoder)
    }

    fn end(&mut self) -> Result<(), WriteError> {
        let Some(encoder) = self.open.take() else { return Ok(()) };
        let (rest, summary) = encoder.finish()?;
        self.send_bytes(rest)?;
        self.send(Piece::End(summary))
    }

    fn send_bytes(&self, bytes: Vec<Bytes>) -> Result<(), WriteError> {
        if bytes.is_empty() { Ok(()) } else { self.send(Piece::Bytes(bytes)) }
    }

    fn send(&self, piece: Piece) -> Result<(), WriteError> {
        self.pieces.blocking_send(piece).map_err(|_| WriteError::Abandoned)
    }
}

/// Gives the rows of slices to `take`, slice by slice.
fn each_batch(
    slices: Vec<FileSlice>,
    opener: &SliceOpener,
    context: &WriteContext,
    mut take: impl FnMut(RecordBatch) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let format = &context.format;
    for reader in opener.open(slices) {
        let reader = reader?;
        if let Some(corrupt) = reader.log_outline().corrupt_blocks.first() {
            return Err(WriteError::CorruptLog(Box::new(corrupt.clone())));
        }
        let rows = MergedRows::new(&reader, format.rewritten.clone(), format.rules.clone(), &context.merge)?;
        for batch in rows {
            take(batch?)?;
        }
    }
    Ok(())
}

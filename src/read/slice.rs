//! The rows of one file slice, straight from its files.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::ReadError;
use super::base_chunks::BaseChunks;
use super::bridge::Bridge;
use super::filter::BoundFilter;
use super::log_file::{LogBlock, LogOutline, LogRows, plan_blocks};
use super::parquet_rows::ParquetFile;
use crate::merge::{Batches, LogRecords, MergeError, SliceSource};
use crate::storage::Storage;
use crate::table::{BaseFile, ByteSource, FileSlice, FooterParts, TableSnapshot, load_footer};

const BATCH_ROWS: usize = 8192;

/// The files of a slice, opened: footers are read, blocks found and put in order.
///
/// Its rows are pulled by [`MergedRows`](crate::merge::MergedRows) on a thread that may block,
/// a rayon thread or one of `spawn_blocking`, never on a worker of the runtime:
///
/// ```no_run
/// # use std::sync::Arc;
/// # use lakebed::merge::{MergeColumns, MergeResources, MergeRules, MergedRows};
/// # use lakebed::read::{ReadError, SliceReader};
/// # use lakebed::table::{FileSlice, TableSnapshot};
/// # async fn example(snapshot: &TableSnapshot, slice: &FileSlice) -> Result<(), ReadError> {
/// let rules = Arc::new(MergeRules::of(&snapshot.table.config)?);
/// let schema = snapshot.schema().await?.arrow_with_meta();
/// let columns = Arc::new(MergeColumns::new(&schema, None, &rules)?);
/// let reader = SliceReader::open(snapshot, slice).await?;
/// rayon::spawn(move || {
///     let rows = MergedRows::new(&reader, columns, rules, &MergeResources::default());
///     for batch in rows.into_iter().flatten() {
///         // Write it.
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SliceReader {
    base: Option<ParquetFile>,
    blocks: Vec<LogBlock>,
    log_outline: LogOutline,
    filters: Vec<BoundFilter>,
    batch_rows: usize,
    bridge: Bridge,
}

impl SliceReader {
    /// Opens the files of `slice`. Its rows are read by the runtime of the caller.
    ///
    /// # Errors
    /// Files that are gone, damaged or of a form that is not read.
    pub async fn open(snapshot: &TableSnapshot, slice: &FileSlice) -> Result<Self, ReadError> {
        Self::open_with(snapshot, slice, Vec::new(), FooterParts::Footer).await
    }

    /// Opens the files of `slice` so that what stays of its base file can be copied.
    ///
    /// # Errors
    /// As [`SliceReader::open`].
    pub async fn open_to_rewrite(snapshot: &TableSnapshot, slice: &FileSlice) -> Result<Self, ReadError> {
        Self::open_with(snapshot, slice, Vec::new(), FooterParts::ForCopying).await
    }

    /// Opens the files of `slice`, whose base rows may be left out where they fail `filters`.
    ///
    /// The caller sees to it that leaving them out changes nothing after the merge, and applies
    /// the filters to what comes out.
    pub(super) async fn open_filtered(
        snapshot: &TableSnapshot,
        slice: &FileSlice,
        filters: Vec<BoundFilter>,
    ) -> Result<Self, ReadError> {
        let parts = if filters.is_empty() { FooterParts::Footer } else { FooterParts::PageIndex };
        Self::open_with(snapshot, slice, filters, parts).await
    }

    async fn open_with(
        snapshot: &TableSnapshot,
        slice: &FileSlice,
        filters: Vec<BoundFilter>,
        parts: FooterParts,
    ) -> Result<Self, ReadError> {
        let base = async {
            let Some(base) = &slice.base else { return Ok::<_, ReadError>(None) };
            let storage = snapshot.table.storage.clone();
            Ok(Some(open_parquet(storage, base, parts).await?))
        };
        let (base, (blocks, log_outline)) = futures::try_join!(base, plan_blocks(snapshot, &slice.logs))?;
        let bridge = Bridge::current();
        Ok(Self { base, blocks, log_outline, filters, batch_rows: BATCH_ROWS, bridge })
    }

    /// Opens a base file without a look at log files, committed or not, so that what stays of it can be copied.
    ///
    /// # Errors
    /// As [`SliceReader::open`].
    pub async fn open_base_file(storage: Arc<dyn Storage>, base: &BaseFile) -> Result<Self, ReadError> {
        let base = Some(open_parquet(storage, base, FooterParts::ForCopying).await?);
        let (blocks, filters, bridge) = (Vec::new(), Vec::new(), Bridge::current());
        let log_outline = LogOutline::default();
        Ok(Self { base, blocks, log_outline, filters, batch_rows: BATCH_ROWS, bridge })
    }

    /// With batches of at most `batch_rows` rows; 8192 if not set.
    #[must_use]
    pub fn with_batch_rows(self, batch_rows: usize) -> Self {
        Self { batch_rows: batch_rows.max(1), ..self }
    }

    /// The column chunks of its base file.
    pub(crate) fn base_chunks(&self) -> Option<BaseChunks> {
        let file = self.base.clone()?;
        Some(BaseChunks::new(file, self.bridge.clone()))
    }

    /// What its log files consist of.
    pub fn log_outline(&self) -> &LogOutline {
        &self.log_outline
    }

    /// How many rows the base file has.
    pub fn base_rows(&self) -> u64 {
        self.base.as_ref().map_or(0, ParquetFile::num_rows)
    }
}

async fn open_parquet(
    storage: Arc<dyn Storage>,
    base: &BaseFile,
    parts: FooterParts,
) -> Result<ParquetFile, ReadError> {
    let source = ByteSource::file(storage, base.path.clone(), base.size_bytes);
    let metadata = load_footer(&source, parts).await?;
    Ok(ParquetFile { source, metadata })
}

impl SliceSource for SliceReader {
    fn logs(
        &self,
        columns: &SchemaRef,
    ) -> Result<Box<dyn Iterator<Item = Result<LogRecords, MergeError>> + Send + '_>, MergeError> {
        let rows = LogRows::new(&self.blocks, columns, self.batch_rows, &self.bridge);
        Ok(Box::new(rows.map(|records| records.map_err(Into::into))))
    }

    fn has_operations(&self) -> bool {
        self.blocks.iter().any(|block| block.has_operations)
    }

    fn base(&self, columns: &SchemaRef) -> Result<Batches<'_>, MergeError> {
        let Some(file) = &self.base else { return Ok(Box::new(std::iter::empty())) };
        let groups = super::prune::row_groups(file, &self.filters)?;
        let rows = file.rows(columns, groups, self.batch_rows, &self.bridge);
        Ok(Box::new(rows.map(|batch| batch.map_err(Into::into))))
    }
}

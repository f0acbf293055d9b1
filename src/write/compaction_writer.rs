//! The base files that a compaction makes of file slices.

use std::sync::Arc;

use lakebed_hudi::file_name::{BaseFileName, MarkerKind};
use lakebed_hudi::schema::TableSchema;

use super::WriteError;
use super::base_file::BaseFileSummary;
use super::context::WriteContext;
use super::merged_file::encode;
use super::meta_columns::Place;
use super::row_format::RowFormat;
use super::run_store::RunStore;
use super::staging::{self, Pieces, encode_into, make_partition};
use super::unfinished_file::UnfinishedFile;
use crate::memory::{Room, Share};
use crate::merge::{MergeCounts, MergeError, MergeResources};
use crate::read::SliceReader;
use crate::storage::FileWriter;
use crate::table::{Attempt, BaseFile, CompactedLogs, FileGroupId, RowCounts, StagedFile, StagedKind, Table};

/// Writes base files under one [`Attempt`] at a compaction, each with the rows of a slice as readers see
/// them. Rows keep their commit times and sequence numbers.
///
/// Source: `FileGroupReaderBasedMergeHandle` of Hudi 1.2.0; table versions 8 and 9.
#[derive(Debug, Clone)]
pub struct CompactionWriter {
    context: Arc<WriteContext>,
    room: Arc<Room>,
    copies: bool,
}

impl CompactionWriter {
    /// Writes files with the columns of `schema`; log records that are merged take a share of `room` each.
    ///
    /// # Errors
    /// A merge mode that needs a JVM.
    pub fn new(
        table: &Table,
        attempt: Attempt,
        schema: &TableSchema,
        room: Room,
    ) -> Result<Self, WriteError> {
        let spill = &table.environment.spill;
        let context = WriteContext {
            storage: table.storage.clone(),
            ids: table.environment.ids.clone(),
            format: Arc::new(RowFormat::new(attempt.instant, &table.config, schema)?),
            attempt,
            runs: Arc::new(RunStore::new(spill.clone())),
            merge: MergeResources { budget_bytes: room.bytes(), spill: Some(spill.clone()) },
        };
        Ok(Self { context: Arc::new(context), room: Arc::new(room), copies: true })
    }

    /// With files that are written anew as a whole: no chunk of another one is copied.
    #[must_use]
    pub fn without_copying(self) -> Self {
        Self { copies: false, ..self }
    }

    /// Makes the folder of `partition` a partition, where it is none yet.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn make_partition(&self, partition: &str) -> Result<(), WriteError> {
        make_partition(self.context.storage.as_ref(), &self.context.attempt, partition).await
    }

    /// Merges `slice` into file `number` of the attempt, in the place of `previous`, which is the slice's
    /// base file. A slice of which no row is left makes a file without rows.
    ///
    /// # Errors
    /// Files that cannot be read, rows that cannot be merged; those of the storage.
    pub async fn write(
        &self,
        number: u32,
        group: FileGroupId,
        previous: Option<&BaseFile>,
        slice: SliceReader,
    ) -> Result<UnfinishedFile, WriteError> {
        let context = &self.context;
        let token = context.attempt.token(number, 0);
        let name = BaseFileName::parquet(group.file_id.clone(), &token, context.attempt.instant).to_string();
        let place = context.place(number, &group.partition, name.clone());
        let storage = context.storage.as_ref();
        let (path, mut file) =
            staging::create(storage, &context.attempt, &group.partition, &name, MarkerKind::Merge).await?;
        let outline = slice.log_outline().clone();
        let (slice, place) = (Arc::new(slice), Arc::new(place));
        let mut share = self.room.share().await;
        let (summary, counts) = loop {
            match self.encoded(file.as_mut(), &slice, &place, &share).await {
                Err(WriteError::Merge(MergeError::Memory { .. })) => share = share.grown().await,
                encoded => break encoded?,
            }
        };
        let logs = CompactedLogs {
            files: outline.files,
            blocks: outline.blocks,
            corrupt_blocks: outline.corrupt_blocks.len() as u64,
            bytes: outline.bytes,
            records: counts.log_records,
            keys: counts.log_keys,
        };
        let rows = RowCounts {
            written: summary.rows,
            inserted: counts.added,
            updated: counts.updated,
            deleted: counts.deleted,
        };
        let kind = StagedKind::Compacted {
            previous: previous.map(|base| base.name.to_string()),
            logs,
            copied_bytes: summary.copied_bytes,
        };
        let staged = StagedFile { group, path, kind, size_bytes: 0, rows, columns: summary.columns };
        Ok(UnfinishedFile { file, staged })
    }

    /// Merges `slice` into `file` within a share of the memory. Logs that do not fit it are put aside only if more
    /// would not help; else this fails before anything is in the file.
    async fn encoded(
        &self,
        file: &mut dyn FileWriter,
        slice: &Arc<SliceReader>,
        place: &Arc<Place>,
        share: &Share<'_>,
    ) -> Result<(BaseFileSummary, MergeCounts), WriteError> {
        let context = &self.context;
        let MergeResources { budget_bytes: all_bytes, spill } = context.merge.clone();
        // Rows take more than packed ones.
        let may_fit = !share.is_all() && slice.log_outline().bytes <= all_bytes as u64;
        let merge = MergeResources { budget_bytes: share.bytes(), spill: if may_fit { None } else { spill } };
        let columns_at_once = share.count();
        let (slice, place, format, copies) =
            (slice.clone(), place.clone(), context.format.clone(), self.copies);
        let encode = move |pieces: &Pieces| {
            let base = Some(slice.as_ref()).filter(|_| copies);
            encode(slice.as_ref(), base, &format, &merge, &place, (pieces, columns_at_once))
        };
        encode_into(file, encode).await
    }
}

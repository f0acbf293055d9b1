//! The base files that a compaction makes of file slices.

use std::sync::Arc;

use lakebed_hudi::file_name::{BaseFileName, MarkerKind};
use lakebed_hudi::schema::TableSchema;

use super::WriteError;
use super::context::WriteContext;
use super::merged_file::encode;
use super::row_format::RowFormat;
use super::run_store::RunStore;
use super::staging::{self, Pieces, encode_into, make_partition};
use super::unfinished_file::UnfinishedFile;
use crate::merge::MergeResources;
use crate::read::SliceReader;
use crate::table::{Attempt, BaseFile, CompactedLogs, FileGroupId, RowCounts, StagedFile, StagedKind, Table};

/// Writes base files under one [`Attempt`] at a compaction, each with the rows of a slice as readers see
/// them. Rows keep their commit times and sequence numbers.
///
/// Source: `FileGroupReaderBasedMergeHandle` of Hudi 1.2.0; table versions 8 and 9.
#[derive(Debug, Clone)]
pub struct CompactionWriter {
    context: Arc<WriteContext>,
    copies: bool,
}

impl CompactionWriter {
    /// Writes files with the columns of `schema`; each merge takes at most `merge_bytes` for log records.
    ///
    /// # Errors
    /// A merge mode that needs a JVM.
    pub fn new(
        table: &Table,
        attempt: Attempt,
        schema: &TableSchema,
        merge_bytes: usize,
    ) -> Result<Self, WriteError> {
        let spill = &table.environment.spill;
        let context = WriteContext {
            storage: table.storage.clone(),
            ids: table.environment.ids.clone(),
            format: Arc::new(RowFormat::new(attempt.instant, &table.config, schema)?),
            attempt,
            runs: Arc::new(RunStore::new(spill.clone())),
            merge: MergeResources { budget_bytes: merge_bytes, spill: spill.clone() },
        };
        Ok(Self { context: Arc::new(context), copies: true })
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
        let (format, merge) = (context.format.clone(), context.merge.clone());
        let copies = self.copies;
        let encode = move |pieces: &Pieces| {
            encode(&slice, Some(&slice).filter(|_| copies), &format, &merge, &place, pieces)
        };
        let (summary, counts) = encode_into(file.as_mut(), encode).await?;
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
}

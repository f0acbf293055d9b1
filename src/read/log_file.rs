//! The log records of a slice: blocks found, put in order, decoded one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::base_file::OPERATION;
use lakebed_hudi::file_name::LogFileName;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::log_file::{
    AvroBlockReader, AvroReadOptions, BlockBody, BlockCheck, CorruptBlock, DeleteRecords, ScanRules,
    ScannedBlock, ScannedLogFile, SkippedBytes, plan_scan,
};
use lakebed_hudi::table_config::TableConfig;

use super::ReadError;
use super::bridge::{Bridge, Pending};
use super::parquet_rows::{ParquetFile, ParquetRows};
use crate::merge::{Deleted, LogRecords};
use crate::storage::Storage;
use crate::table::{ByteSource, FooterParts, KeptHeaders, LogFile, TableSnapshot, load_footer, scan_log};

/// Files up to this size are fetched once, whole, as long as a slice has no more of them than fit
/// [`HELD_BYTES_MAX`].
const SMALL_FILE_BYTES: u64 = 256 << 10;
const HELD_BYTES_MAX: u64 = 8 << 20;
/// Parquet blocks up to this size are fetched whole: one request instead of two.
const SMALL_BLOCK_BYTES: u64 = 1 << 20;
/// Avro and delete blocks are decoded from memory.
const BLOCK_BYTES_MAX: u64 = 2 << 30;
/// Larger blocks are fetched when their turn comes, and not one ahead.
const AHEAD_BYTES: u64 = 64 << 20;
const SCANS: usize = 16;
/// Deletes are handed on in pieces of this many.
const DELETES: usize = 8192;

/// A block that counts, ready to be read.
#[derive(Debug, Clone)]
pub(super) struct LogBlock {
    body: BlockBody,
    /// Of Avro blocks alone.
    schema: Option<Arc<str>>,
    partial: bool,
    /// Whether its rows have `_hoodie_operation`.
    pub(super) has_operations: bool,
    content: ByteSource,
}

/// What the log files of a slice consist of.
///
/// Source: `HoodieReadStats` as `LogScanningRecordBufferLoader` fills it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogOutline {
    /// Log files.
    pub files: u64,
    /// Their blocks, those that do not count and bytes that are none included.
    pub blocks: u64,
    /// Bytes that are no block, each run of them as one.
    pub corrupt_blocks: Vec<CorruptBytes>,
    /// Bytes of the rows in blocks that count, as they are encoded: deletes and headers are left out.
    pub bytes: u64,
}

/// Bytes of a log file that readers pass over, since they are no block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorruptBytes {
    /// The log file.
    pub file: LogFileName,
    /// Which bytes of it, and what is wrong with them.
    pub block: CorruptBlock,
}

impl LogOutline {
    fn of(files: &[ScannedLogFile], counted: &[LogBlock]) -> Self {
        let blocks = || files.iter().flat_map(|file| &file.blocks);
        let corrupt_in = |file: &ScannedLogFile| {
            let of = |block: &ScannedBlock| match block {
                ScannedBlock::Corrupt(block) => {
                    Some(CorruptBytes { file: file.name.clone(), block: block.clone() })
                }
                ScannedBlock::Block(_) => None,
            };
            file.blocks.iter().filter_map(of).collect::<Vec<_>>()
        };
        let of_rows = counted.iter().filter(|block| block.body != BlockBody::Delete);
        Self {
            files: files.len() as u64,
            blocks: blocks().count() as u64,
            corrupt_blocks: files.iter().flat_map(corrupt_in).collect(),
            bytes: of_rows.map(|block| block.content.bytes).sum(),
        }
    }
}

/// Finds the blocks of `logs` that count, oldest first.
pub(super) async fn plan_blocks(
    snapshot: &TableSnapshot,
    logs: &[LogFile],
) -> Result<(Vec<LogBlock>, LogOutline), ReadError> {
    let check = BlockCheck::of_scheme(snapshot.table.storage.uri().scheme().as_str());
    let kept = &KeptHeaders::default();
    let scanned = stream::iter(sources(snapshot, logs))
        .map(|(name, source, hold)| async move {
            let source = if hold { source.held().await? } else { source };
            let blocks = scan_log(&source, check, kept).await?;
            Ok::<_, ReadError>((ScannedLogFile { name, blocks }, source))
        })
        .buffered(SCANS)
        .try_collect::<Vec<_>>()
        .await?;
    let (files, sources): (Vec<_>, Vec<_>) = scanned.into_iter().unzip();
    let counted = planned(snapshot, &files, &sources)?;
    let outline = LogOutline::of(&files, &counted);
    Ok((counted, outline))
}

/// The files of which a block may count, and whether they are held in memory.
fn sources(snapshot: &TableSnapshot, logs: &[LogFile]) -> Vec<(LogFileName, ByteSource, bool)> {
    let is_committed = |instant: InstantTime| snapshot.timeline.is_committed(instant);
    let rules = rules(snapshot, &is_committed);
    let mut held_left = HELD_BYTES_MAX;
    let logs = logs.iter().filter(|log| rules.skip_file(&log.name).is_none());
    logs.map(|log| {
        let hold = log.size_bytes <= SMALL_FILE_BYTES.min(held_left);
        held_left -= if hold { log.size_bytes } else { 0 };
        let storage: Arc<dyn Storage> = snapshot.table.storage.clone();
        (log.name.clone(), ByteSource::file(storage, log.path.clone(), log.size_bytes), hold)
    })
    .collect()
}

fn rules<'a>(snapshot: &TableSnapshot, is_committed: &'a dyn Fn(InstantTime) -> bool) -> ScanRules<'a> {
    ScanRules {
        layout: snapshot.table.config.version.layout(),
        is_committed,
        query_instant: snapshot.as_of.unwrap_or_else(latest_instant),
    }
}

fn planned(
    snapshot: &TableSnapshot,
    files: &[ScannedLogFile],
    sources: &[ByteSource],
) -> Result<Vec<LogBlock>, ReadError> {
    let is_committed = |instant: InstantTime| snapshot.timeline.is_committed(instant);
    let plan = plan_scan(files, &rules(snapshot, &is_committed))?;
    for skipped in plan.skipped.iter().filter(|skipped| skipped.why.is_warning()) {
        warn(&snapshot.table.config, skipped);
    }
    let source_of = |name: &LogFileName| {
        let found = files.iter().zip(sources).find(|(file, _)| file.name == *name);
        found.map(|(_, source)| source)
    };
    let mut blocks = Vec::with_capacity(plan.blocks.len());
    for planned in &plan.blocks {
        let Some(source) = source_of(planned.file) else { continue };
        let body = planned.block.body();
        let body =
            body.map_err(|error| ReadError::UnsupportedBlock { path: source.path.clone(), source: error })?;
        let schema = planned.block.header.schema.clone();
        blocks.push(LogBlock {
            body,
            has_operations: schema.as_ref().is_some_and(|schema| schema.contains(OPERATION)),
            schema: schema.filter(|_| body == BlockBody::Avro),
            partial: planned.block.header.is_partial,
            content: source.part(planned.block.content.clone()),
        });
    }
    Ok(blocks)
}

/// Greater than every instant.
fn latest_instant() -> InstantTime {
    InstantTime::from_unix_millis(i64::MAX, lakebed_hudi::instant::TimelineZone::Utc)
}

fn warn(config: &TableConfig, skipped: &SkippedBytes<'_>) {
    tracing::warn!(
        table = config.name,
        log_file = %skipped.file,
        from = skipped.extent.start,
        to = skipped.extent.end,
        why = ?skipped.why,
        "bytes of a log file are passed over, as Hudi's readers do; rows in them do not show"
    );
}

/// The records of blocks, oldest first, decoded as they are asked for; ends after the first
/// error. The next block is fetched while one is decoded.
pub(super) struct LogRows {
    columns: SchemaRef,
    batch_rows: usize,
    bridge: Bridge,
    blocks: VecDeque<LogBlock>,
    ahead: Option<Fetch>,
    open: Option<OpenBlock>,
    failed: bool,
}

struct Fetch {
    block: LogBlock,
    content: Pending<Result<Content, ReadError>>,
}

enum Content {
    Bytes(Bytes),
    Parquet(ParquetFile),
}

enum OpenBlock {
    Parquet { rows: Box<ParquetRows>, partial: bool },
    Avro { rows: Box<AvroBlockReader>, partial: bool, content: ByteSource },
    Deletes { records: DeleteRecords, content: ByteSource },
}

impl LogRows {
    pub(super) fn new(blocks: &[LogBlock], columns: &SchemaRef, batch_rows: usize, bridge: &Bridge) -> Self {
        let blocks = blocks.iter().cloned().collect();
        let (columns, bridge) = (columns.clone(), bridge.clone());
        let mut rows = Self { columns, batch_rows, bridge, blocks, ahead: None, open: None, failed: false };
        rows.fetch_ahead();
        rows
    }

    fn next_records(&mut self) -> Result<Option<LogRecords>, ReadError> {
        loop {
            if let Some(open) = &mut self.open {
                match open.next()? {
                    Some(records) => return Ok(Some(records)),
                    None => self.open = None,
                }
            }
            let Some(fetch) = self.ahead.take().or_else(|| self.next_fetch(u64::MAX)) else {
                return Ok(None);
            };
            let content = fetch.content.wait()??;
            self.open = Some(self.open(fetch.block, content)?);
            self.fetch_ahead();
        }
    }

    fn fetch_ahead(&mut self) {
        self.ahead = self.next_fetch(AHEAD_BYTES);
    }

    fn next_fetch(&mut self, max_bytes: u64) -> Option<Fetch> {
        if self.blocks.front()?.content.bytes > max_bytes {
            return None;
        }
        let block = self.blocks.pop_front()?;
        let (source, body) = (block.content.clone(), block.body);
        let content = self.bridge.start(async move { fetch(source, body).await });
        Some(Fetch { block, content })
    }

    fn open(&self, block: LogBlock, content: Content) -> Result<OpenBlock, ReadError> {
        let (path, offset) = (block.content.path.clone(), block.content.offset);
        Ok(match content {
            Content::Parquet(file) => {
                let rows = file.rows(&self.columns, file.row_groups(), self.batch_rows, &self.bridge);
                OpenBlock::Parquet { rows: Box::new(rows), partial: block.partial }
            }
            Content::Bytes(bytes) if block.body == BlockBody::Delete => {
                let records = DeleteRecords::try_new(&bytes);
                let records = records.map_err(|source| ReadError::DeleteBlock { path, offset, source })?;
                OpenBlock::Deletes { records, content: block.content }
            }
            Content::Bytes(bytes) => {
                let Some(schema) = &block.schema else {
                    return Err(ReadError::NoBlockSchema { path, offset });
                };
                let columns: Vec<&str> = self.columns.fields().iter().map(|f| f.name().as_str()).collect();
                let options = AvroReadOptions { columns: Some(&columns), batch_rows: self.batch_rows.max(1) };
                let rows = AvroBlockReader::try_new(bytes, schema, options)
                    .map_err(|source| ReadError::AvroBlock { path, offset, source })?;
                OpenBlock::Avro { rows: Box::new(rows), partial: block.partial, content: block.content }
            }
        })
    }
}

async fn fetch(source: ByteSource, body: BlockBody) -> Result<Content, ReadError> {
    if body == BlockBody::Parquet {
        let source = if source.bytes <= SMALL_BLOCK_BYTES { source.held().await? } else { source };
        let metadata = load_footer(&source, FooterParts::Footer).await?;
        return Ok(Content::Parquet(ParquetFile { source, metadata }));
    }
    if source.bytes > BLOCK_BYTES_MAX {
        return Err(ReadError::BlockTooLarge {
            offset: source.offset,
            bytes: source.bytes,
            max_bytes: BLOCK_BYTES_MAX,
            path: source.path,
        });
    }
    Ok(Content::Bytes(source.all().await?))
}

impl OpenBlock {
    fn next(&mut self) -> Result<Option<LogRecords>, ReadError> {
        match self {
            Self::Parquet { rows, partial } => {
                let batch = rows.next().transpose()?;
                Ok(batch.map(|batch| LogRecords::Rows { batch, partial: *partial }))
            }
            Self::Avro { rows, partial, content } => {
                let batch = rows.next().transpose().map_err(|source| ReadError::AvroBlock {
                    path: content.path.clone(),
                    offset: content.offset,
                    source,
                })?;
                Ok(batch.map(|batch| LogRecords::Rows { batch, partial: *partial }))
            }
            Self::Deletes { records, content } => {
                let deletes = records
                    .by_ref()
                    .take(DELETES)
                    .map(|record| record.map(|r| Deleted { record_key: r.record_key, ordering: r.ordering }))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|source| ReadError::DeleteBlock {
                        path: content.path.clone(),
                        offset: content.offset,
                        source,
                    })?;
                Ok((!deletes.is_empty()).then_some(LogRecords::Deletes(deletes)))
            }
        }
    }
}

impl Iterator for LogRows {
    type Item = Result<LogRecords, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_records().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

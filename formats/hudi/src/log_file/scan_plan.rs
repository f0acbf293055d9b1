//! Which blocks of a file slice count, and in which order.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::block::{BlockKind, BlockRef};
use super::scan_error::Corruption;
use super::scanner::ScannedBlock;
use crate::file_name::LogFileName;
use crate::instant::InstantTime;
use crate::timeline_file::TimelineLayout;

/// A log file of a slice and what was found in it, in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedLogFile {
    /// The name of the file.
    pub name: LogFileName,
    /// What the scanner found.
    pub blocks: Vec<ScannedBlock>,
}

/// What decides whether a block counts.
#[derive(Clone, Copy)]
pub struct ScanRules<'a> {
    /// [`TimelineLayout::One`] for tables of version 6, [`TimelineLayout::Two`] from version 8 on.
    pub layout: TimelineLayout,
    /// Whether an instant is completed, or older than the active timeline and not pending.
    pub is_committed: &'a dyn Fn(InstantTime) -> bool,
    /// The latest instant that the query sees.
    pub query_instant: InstantTime,
}

impl ScanRules<'_> {
    /// Why no block of a file can count, if so: such a file need not be scanned.
    pub fn skip_file(&self, name: &LogFileName) -> Option<SkipReason> {
        if name.cdc {
            return Some(SkipReason::ChangeData);
        }
        // Before version 8 the name holds the instant of the base file instead of the writer's.
        let uncommitted = self.layout == TimelineLayout::Two && !(self.is_committed)(name.instant);
        uncommitted.then_some(SkipReason::Uncommitted)
    }
}

/// A block that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedBlock<'a> {
    /// The file it lies in.
    pub file: &'a LogFileName,
    /// An Avro, HFile, Parquet or delete block.
    pub block: &'a BlockRef,
}

/// Why bytes of a log file do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipReason {
    /// They are no block. Their rows are lost to every reader.
    Corrupt(Corruption),
    /// Their instant, or from version 8 on the file's, is not committed.
    Uncommitted,
    /// Their instant is later than the query's.
    AfterQuery,
    /// A later command block took them back (version 6).
    RolledBack,
    /// They are part of a log-compacted block.
    LogCompacted {
        /// The instant of that block.
        into: InstantTime,
    },
    /// A log-compacted block none of whose parts is in the slice: it has no place to stand.
    LogCompactionWithoutParts,
    /// The file holds change data.
    ChangeData,
}

impl SkipReason {
    /// Whether rows may be missing from the result, so that someone should be told.
    pub fn is_warning(&self) -> bool {
        matches!(self, Self::Corrupt(_) | Self::LogCompactionWithoutParts)
    }
}

/// Bytes of a log file that do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedBytes<'a> {
    /// The file they lie in.
    pub file: &'a LogFileName,
    /// The bytes, a whole block or what stands in its place.
    pub extent: Range<u64>,
    /// Why they do not count.
    pub why: SkipReason,
}

/// The blocks of a slice as they are merged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanPlan<'a> {
    /// The blocks that count, oldest first.
    pub blocks: Vec<PlannedBlock<'a>>,
    /// Everything else, command blocks excepted.
    pub skipped: Vec<SkippedBytes<'a>>,
}

/// Why the blocks of a slice cannot be put in order. Hudi's readers fail on them as well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanPlanError {
    /// A block of rows or deletes without an instant.
    #[error("log file {file}: the {kind} block at byte {offset} has no INSTANT_TIME in its header")]
    NoInstant {
        /// The name of the file.
        file: String,
        /// The kind of the block.
        kind: BlockKind,
        /// Where in the file it starts.
        offset: u64,
    },
    /// Change data outside of a `.cdc` file.
    #[error("log file {file}: the cdc block at byte {offset} belongs into a file that ends in .cdc")]
    ChangeData {
        /// The name of the file.
        file: String,
        /// Where in the file it starts.
        offset: u64,
    },
}

/// Puts the blocks of one file slice in the order in which they are merged.
///
/// Blocks of one instant stay together, where the instant was first met, however many files they
/// lie in. `BLOCK_IDENTIFIER` plays no part: Hudi 1.2.0 drops no duplicates by it. Corrupt blocks
/// are skipped, as Spark does without a word, and come back as warnings.
///
/// Source: `BaseHoodieLogRecordReader.scanInternal`, `InputSplit`,
/// `AbstractTableFileSystemView.filterUncommittedLogs`, Hudi 1.2.0.
///
/// # Errors
/// Blocks on which Hudi's read fails: without an instant, or change data.
pub fn plan_scan<'a>(
    files: &'a [ScannedLogFile],
    rules: &ScanRules<'_>,
) -> Result<ScanPlan<'a>, ScanPlanError> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by(|left, right| left.name.cmp(&right.name));
    let mut gathering = Gathering::default();
    for file in files {
        if let Some(why) = rules.skip_file(&file.name) {
            let extents = file.blocks.iter().map(extent);
            gathering.skipped.extend(extents.map(|extent| SkippedBytes {
                file: &file.name,
                extent,
                why: why.clone(),
            }));
            continue;
        }
        for found in &file.blocks {
            match found {
                ScannedBlock::Block(block) => {
                    gathering.add(PlannedBlock { file: &file.name, block }, rules)?;
                }
                ScannedBlock::Corrupt(corrupt) => {
                    let why = SkipReason::Corrupt(corrupt.why.clone());
                    let extent = corrupt.extent.clone();
                    gathering.skipped.push(SkippedBytes { file: &file.name, extent, why });
                }
            }
        }
    }
    Ok(gathering.into_plan())
}

fn extent(found: &ScannedBlock) -> Range<u64> {
    match found {
        ScannedBlock::Block(block) => block.extent.clone(),
        ScannedBlock::Corrupt(corrupt) => corrupt.extent.clone(),
    }
}

/// The blocks seen so far, by instant.
#[derive(Default)]
struct Gathering<'a> {
    /// Instants in the order in which they were first met.
    instants: Vec<InstantTime>,
    blocks: HashMap<InstantTime, Vec<PlannedBlock<'a>>>,
    skipped: Vec<SkippedBytes<'a>>,
}

impl<'a> Gathering<'a> {
    fn add(&mut self, planned: PlannedBlock<'a>, rules: &ScanRules<'_>) -> Result<(), ScanPlanError> {
        let (file, block) = (planned.file, planned.block);
        if block.kind == BlockKind::Command {
            if let Some(target) = block.header.target_instant {
                self.roll_back(target);
            }
            return Ok(());
        }
        let offset = block.extent.start;
        let instant = block.header.instant.ok_or_else(|| ScanPlanError::NoInstant {
            file: file.to_string(),
            kind: block.kind,
            offset,
        })?;
        if instant > rules.query_instant {
            self.skip(planned, SkipReason::AfterQuery);
        } else if rules.layout == TimelineLayout::One && !(rules.is_committed)(instant) {
            self.skip(planned, SkipReason::Uncommitted);
        } else if block.kind == BlockKind::Cdc {
            return Err(ScanPlanError::ChangeData { file: file.to_string(), offset });
        } else {
            let blocks = self.blocks.entry(instant).or_default();
            if blocks.is_empty() {
                self.instants.push(instant);
            }
            blocks.push(planned);
        }
        Ok(())
    }

    fn skip(&mut self, planned: PlannedBlock<'a>, why: SkipReason) {
        let extent = planned.block.extent.clone();
        self.skipped.push(SkippedBytes { file: planned.file, extent, why });
    }

    /// Takes back what was met before; blocks of the same instant that follow do count.
    fn roll_back(&mut self, target: InstantTime) {
        self.instants.retain(|instant| *instant != target);
        for planned in self.blocks.remove(&target).unwrap_or_default() {
            self.skip(planned, SkipReason::RolledBack);
        }
    }

    /// From the last instant to the first: a log-compacted block takes the place of its last part.
    fn into_plan(mut self) -> ScanPlan<'a> {
        let instants = std::mem::take(&mut self.instants);
        let mut compacted: HashMap<InstantTime, InstantTime> = HashMap::new();
        let mut placed = HashSet::new();
        let mut order = Vec::new();
        for instant in instants.iter().rev() {
            let parts = self.compacted_instants(instant);
            let into = compacted.get(instant).copied();
            if !parts.is_empty() {
                compacted.extend(parts.iter().map(|part| (*part, into.unwrap_or(*instant))));
                continue;
            }
            let stands = into.unwrap_or(*instant);
            if placed.insert(stands) {
                order.push(stands);
            }
        }
        let mut plan = ScanPlan::default();
        for instant in order.iter().rev() {
            plan.blocks.extend(self.blocks.remove(instant).unwrap_or_default());
        }
        for instant in instants {
            let why = match compacted.get(&instant) {
                Some(into) => SkipReason::LogCompacted { into: *into },
                None => SkipReason::LogCompactionWithoutParts,
            };
            for planned in self.blocks.remove(&instant).unwrap_or_default() {
                self.skip(planned, why.clone());
            }
        }
        plan.skipped = self.skipped;
        plan
    }

    /// What the blocks of an instant stand for; Hudi asks the first of them.
    fn compacted_instants(&self, instant: &InstantTime) -> &'a [InstantTime] {
        let first = self.blocks.get(instant).and_then(|blocks| blocks.first());
        first.map_or(&[], |planned| &planned.block.header.compacted_instants)
    }
}

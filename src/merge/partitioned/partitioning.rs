//! Folding, partition by partition.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::take_record_batch;
use foldhash::fast::FixedState;

use super::super::apply::Apply;
use super::super::fold::Fold;
use super::super::spill::{Frame, SpillFile};
use super::super::{
    LogRecords, MergeColumns, MergeCounts, MergeError, MergeResources, MergeRules, SliceSource,
};
use super::frame::{FrameWriter, LogKind, decoded, encoded, numbered, unnumbered};
use super::run::{MergedRuns, NumberedRows, Run, coded, rows_in};
use crate::table::conform;

/// Partitions that one is divided into.
const FAN_OUT: usize = 16;
/// By then a partition has one key in 16^6: dividing it further does not help.
const LEVELS_MAX: u64 = 6;

/// Number columns of frames; they stand behind all others.
const ARRIVAL: &str = "arrival";
const BASE_ROW: &str = "base row";

/// What a hash leads to: log records in log order, and base keys in the base's.
#[derive(Debug, Default)]
struct Partition {
    logs: FrameWriter<LogKind>,
    base: FrameWriter<()>,
}

/// What a folded partition does to the slice.
#[derive(Debug, Default)]
struct Leaf {
    patches: Run,
    rest: Run,
}

/// What folding all of a slice leads to.
pub(super) struct Runs {
    /// Where they are.
    pub(super) file: SpillFile,
    /// What happens to base rows.
    pub(super) patches: MergedRuns,
    /// Rows of keys that the base does not have.
    pub(super) rest: MergedRuns,
    /// Whether a partial block has come.
    pub(super) partial: bool,
    /// What was read of the logs.
    pub(super) counts: MergeCounts,
}

/// Folding, partition by partition.
pub(super) struct Partitioning {
    columns: Arc<MergeColumns>,
    /// Record key and ordering columns alone.
    key_columns: Arc<MergeColumns>,
    rules: Arc<MergeRules>,
    budget_bytes: usize,
    /// How large frames are: of each part of a partition one is in memory.
    frame_bytes: usize,
    file: SpillFile,
    /// A partial block has come. Every partition is told, since all merging changes with it.
    partial: bool,
    counts: MergeCounts,
}

impl Partitioning {
    pub(super) fn new(
        columns: Arc<MergeColumns>,
        rules: Arc<MergeRules>,
        resources: &MergeResources,
    ) -> Result<Self, MergeError> {
        let Some(spill) = &resources.spill else {
            return Err(MergeError::Memory { budget_bytes: resources.budget_bytes });
        };
        Ok(Self {
            key_columns: Arc::new(columns.keys_and_ordering()),
            columns,
            rules,
            budget_bytes: resources.budget_bytes,
            frame_bytes: resources.budget_bytes / (4 * FAN_OUT),
            file: SpillFile::create(spill)?,
            partial: false,
            counts: MergeCounts::default(),
        })
    }

    /// Folds all log records of `source`, and looks up its base keys.
    pub(super) fn run(mut self, source: &dyn SliceSource) -> Result<Runs, MergeError> {
        let partitions = self.partition_source(source)?;
        let (patches, rest) = self.fold_all(partitions, 0)?;
        Ok(Runs { file: self.file, patches, rest, partial: self.partial, counts: self.counts })
    }

    fn partition_source(&mut self, source: &dyn SliceSource) -> Result<Vec<Partition>, MergeError> {
        let mut partitions = partitions();
        let mut arrived = 0;
        for records in source.logs(self.columns.read_schema())? {
            let records = records?;
            let next = arrived + records.count() as u64;
            let arrivals = UInt64Array::from_iter_values(arrived..next);
            arrived = next;
            self.put_logs(&records, &arrivals, 0, &mut partitions)?;
        }
        self.counts.log_records = arrived;
        let mut rows = 0;
        for batch in source.base(self.key_columns.read_schema())? {
            let keys = conform(&batch?, self.key_columns.read_schema())?;
            let numbers = UInt64Array::from_iter_values(rows..rows + keys.num_rows() as u64);
            rows += keys.num_rows() as u64;
            self.put_base(&numbered(&keys, BASE_ROW, numbers)?, 0, &mut partitions)?;
        }
        Ok(partitions)
    }

    fn put_logs(
        &mut self,
        records: &LogRecords,
        arrivals: &UInt64Array,
        level: u64,
        partitions: &mut [Partition],
    ) -> Result<(), MergeError> {
        let (batch, keys, kind) = match records {
            LogRecords::Rows { batch, partial } => {
                self.partial |= partial;
                let rows = conform(batch, &self.columns.read_schema_of(batch, *partial))?;
                let keys = MergeColumns::keys_of_block(&rows)?;
                let keys: Vec<String> = keys.iter().map(|k| k.unwrap_or_default().to_owned()).collect();
                (numbered(&rows, ARRIVAL, arrivals.clone())?, keys, LogKind::Rows { partial: *partial })
            }
            LogRecords::Deletes(deletes) => {
                let keys = deletes.iter().map(|delete| delete.record_key.clone()).collect();
                (numbered(&encoded(deletes)?, ARRIVAL, arrivals.clone())?, keys, LogKind::Deletes)
            }
        };
        let tells_all = kind == LogKind::Rows { partial: true };
        let rows = rows_of(keys.iter().map(String::as_str), level);
        for (rows, partition) in rows.into_iter().zip(partitions) {
            if !rows.is_empty() || tells_all {
                let part = take_record_batch(&batch, &UInt32Array::from(rows))?;
                partition.logs.push(kind, part, &mut self.file, self.frame_bytes)?;
            }
        }
        Ok(())
    }

    fn put_base(
        &mut self,
        batch: &RecordBatch,
        level: u64,
        partitions: &mut [Partition],
    ) -> Result<(), MergeError> {
        let keys = self.key_columns.keys(batch, "base file")?;
        let rows = rows_of(keys.iter().map(Option::unwrap_or_default), level);
        for (rows, partition) in rows.into_iter().zip(partitions).filter(|(rows, _)| !rows.is_empty()) {
            let part = take_record_batch(batch, &UInt32Array::from(rows))?;
            partition.base.push((), part, &mut self.file, self.frame_bytes)?;
        }
        Ok(())
    }

    /// Folds the parts of a partition, or all of a slice.
    fn fold_all(
        &mut self,
        partitions: Vec<Partition>,
        level: u64,
    ) -> Result<(MergedRuns, MergedRuns), MergeError> {
        let mut frames = Vec::with_capacity(partitions.len());
        for Partition { logs, base } in partitions {
            frames.push((logs.finish(&mut self.file)?, base.finish(&mut self.file)?));
        }
        let (mut patches, mut rest) = (Vec::new(), Vec::new());
        for (logs, base) in frames {
            let leaf = self.fold(&logs, &base, level)?;
            patches.push(leaf.patches);
            rest.push(leaf.rest);
        }
        Ok((MergedRuns::new(patches), MergedRuns::new(rest)))
    }

    /// Folds a partition, or its parts where it is too large.
    fn fold(
        &mut self,
        logs: &[(LogKind, Frame)],
        base: &[((), Frame)],
        level: u64,
    ) -> Result<Leaf, MergeError> {
        let mut fold = Fold::new(self.columns.clone(), self.rules.clone());
        for frame in logs {
            let (records, arrivals) = self.read_logs(*frame)?;
            fold.push_numbered(&records, arrivals.values())?;
            let divisible = level < LEVELS_MAX && fold.keys() > 1;
            if divisible && !fold.fits_gathered(self.budget_bytes)? {
                drop(fold);
                return self.divide(logs, base, level + 1);
            }
        }
        if fold.keys() == 0 { Ok(Leaf::default()) } else { self.apply(fold, base) }
    }

    fn divide(
        &mut self,
        logs: &[(LogKind, Frame)],
        base: &[((), Frame)],
        level: u64,
    ) -> Result<Leaf, MergeError> {
        let mut parts = partitions();
        for frame in logs {
            let (records, arrivals) = self.read_logs(*frame)?;
            self.put_logs(&records, &arrivals, level, &mut parts)?;
        }
        for (_, frame) in base {
            let keys = self.file.read(*frame)?;
            self.put_base(&keys, level, &mut parts)?;
        }
        let (patches, rest) = self.fold_all(parts, level)?;
        Ok(Leaf {
            patches: patches.into_run(&mut self.file, self.frame_bytes)?,
            rest: rest.into_run(&mut self.file, self.frame_bytes)?,
        })
    }

    fn read_logs(
        &mut self,
        (kind, frame): (LogKind, Frame),
    ) -> Result<(LogRecords, UInt64Array), MergeError> {
        let (batch, arrivals) = unnumbered(&self.file.read(frame)?)?;
        let records = match kind {
            LogKind::Deletes => LogRecords::Deletes(decoded(&batch)?),
            LogKind::Rows { partial } => LogRecords::Rows { batch, partial },
        };
        Ok((records, arrivals))
    }

    /// What the folded records of a partition do to its base rows, and its new rows.
    fn apply(&mut self, fold: Fold, base: &[((), Frame)]) -> Result<Leaf, MergeError> {
        self.counts.log_keys += fold.keys() as u64;
        let (folded, arrivals) = fold.finish_numbered()?;
        let Some(sample) = folded.sources.first() else { return Ok(Leaf::default()) };
        let frame_rows = rows_in(self.frame_bytes, &sample.rows);
        let mut apply = Apply::new(self.key_columns.clone(), self.rules.clone(), folded);
        let (mut base_rows, mut verdicts, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (_, frame) in base {
            let (keys, numbers) = unnumbered(&self.file.read(*frame)?)?;
            for patch in apply.patches(&keys)? {
                base_rows.push(numbers.value(patch.base_row));
                let (verdict, row) = coded(patch.verdict);
                verdicts.push(verdict);
                rows.push(row);
            }
        }
        let mut leaf = Leaf::default();
        let sources = apply.sources();
        let Some(source) = sources.first() else { return Ok(leaf) };
        for from in (0..rows.len()).step_by(frame_rows) {
            let to = (from + frame_rows).min(rows.len());
            let part = |range: std::ops::Range<usize>| rows.get(range).unwrap_or_default().to_vec();
            let batch = NumberedRows {
                numbers: base_rows.get(from..to).unwrap_or_default().to_vec().into(),
                verdicts: Some(verdicts.get(from..to).unwrap_or_default().to_vec().into()),
                rows: source.take(&UInt32Array::from(part(from..to)))?,
            };
            leaf.patches.push(&batch, &mut self.file)?;
        }
        let unmet = apply.unmet();
        for part in unmet.chunks(frame_rows) {
            let numbers = part.iter().map(|(entry, _)| arrivals.get(*entry).copied().unwrap_or_default());
            let batch = NumberedRows {
                numbers: numbers.collect::<Vec<_>>().into(),
                verdicts: None,
                rows: source.take(&UInt32Array::from_iter_values(part.iter().map(|(_, at)| at.row)))?,
            };
            leaf.rest.push(&batch, &mut self.file)?;
        }
        Ok(leaf)
    }
}

fn partitions() -> Vec<Partition> {
    (0..FAN_OUT).map(|_| Partition::default()).collect()
}

/// The rows that go to each partition, by the hash of their keys.
fn rows_of<'a>(keys: impl Iterator<Item = &'a str>, level: u64) -> Vec<Vec<u32>> {
    // Another seed at each level, and other bits than the tables of keys use.
    let hasher = FixedState::with_seed(level.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut rows = vec![Vec::new(); FAN_OUT];
    for (row, key) in keys.enumerate() {
        let partition = (hasher.hash_one(key.as_bytes()) >> 32) as usize % FAN_OUT;
        if let Some(rows) = rows.get_mut(partition) {
            rows.push(row as u32);
        }
    }
    rows
}

//! A slice whose log records do not fit the memory: keys are partitioned by hash.
//!
//! ```text
//! log records ─┐ by key hash                       ┌─> patches of base rows ─┐
//!              ├───────────> partition: fold, apply ┤                         ├─> rows
//! base keys ───┘                                   └─> new rows ─────────────┘
//! ```
//!
//! All records of a key meet in one partition, in log order, so each partition is folded as a
//! whole slice would be. One that is still too large is partitioned again by another hash. Each
//! leaves its patches, sorted by base row, and its new rows, sorted by first arrival; then the
//! base is read once more and both are merged into its stream.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt8Array,
    UInt32Array, UInt64Array,
};
use arrow::compute::{interleave, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, UInt8Type, UInt64Type};
use bytes::Bytes;
use foldhash::fast::FixedState;
use lakebed_hudi::log_file::{DeleteRecord, DeleteRecords, encode_deletes};

use super::apply::{Apply, Patch, PatchRows, Verdict, patched};
use super::fold::Fold;
use super::slice::Batches;
use super::spill::{Frame, SpillFile};
use super::{
    Deleted, Fill, LogRecords, MergeColumns, MergeCounts, MergeError, MergeResources, MergeRules, SliceSource,
};
use crate::memory::batch_bytes;
use crate::table::conform;

/// Partitions that one is divided into.
const FAN_OUT: usize = 16;
/// By then a partition has one key in 16^6: dividing it further does not help.
const LEVELS_MAX: u64 = 6;
const FRAME_ROWS_MAX: usize = 8192;
/// Rows of new keys per batch that comes out.
const REST_ROWS: usize = 8192;

/// Number columns of frames; they stand behind all others.
const ARRIVAL: &str = "arrival";
const BASE_ROW: &str = "base row";

/// Log records in the spill file.
#[derive(Debug, Clone, Copy)]
struct LogFrame {
    frame: Frame,
    kind: FrameKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrameKind {
    Rows { partial: bool },
    Deletes,
}

/// What a hash leads to.
#[derive(Debug, Default)]
struct Partition {
    logs: Vec<LogFrame>,
    base: Vec<Frame>,
}

/// What a folded partition does to the slice.
#[derive(Debug, Default)]
struct Leaf {
    patches: VecDeque<Frame>,
    rest: VecDeque<Frame>,
    /// The patches or new rows read last, and how far they are used.
    open: Option<(Arc<OpenFrame>, usize)>,
}

/// A frame of patches or new rows in memory.
#[derive(Debug)]
struct OpenFrame {
    numbers: UInt64Array,
    verdicts: Option<UInt8Array>,
    rows: PatchRows,
}

/// The rows of a slice, merged partition by partition.
pub(super) struct PartitionedRows<'a> {
    columns: Arc<MergeColumns>,
    base_fill: Fill,
    file: SpillFile,
    leaves: Vec<Leaf>,
    base: Batches<'a>,
    base_rows: u64,
    base_done: bool,
}

impl<'a> PartitionedRows<'a> {
    /// Folds all log records of `source`, and looks up its base keys.
    pub(super) fn new(
        source: &'a dyn SliceSource,
        columns: Arc<MergeColumns>,
        rules: &Arc<MergeRules>,
        resources: &MergeResources,
    ) -> Result<Self, MergeError> {
        let mut work = Partitioning {
            key_columns: Arc::new(columns.keys_and_ordering()),
            columns: columns.clone(),
            rules: rules.clone(),
            budget_bytes: resources.budget_bytes,
            file: resources.spill.file()?,
            frame_bytes: 0,
            leaves: Vec::new(),
            partial: false,
        };
        let partitions = work.partition_source(source)?;
        work.frame_bytes = frame_bytes(resources.budget_bytes, work.file.bytes());
        for partition in partitions {
            work.fold(&partition, 0)?;
        }
        let base_fill = if work.partial { Fill::Nothing } else { rules.fill.clone() };
        let base = source.base(columns.kept_schema())?;
        let (file, leaves) = (work.file, work.leaves);
        Ok(Self { columns, base_fill, file, leaves, base, base_rows: 0, base_done: false })
    }

    pub(super) fn next_batch(&mut self, counts: &mut MergeCounts) -> Result<Option<RecordBatch>, MergeError> {
        while !self.base_done {
            let Some(batch) = self.base.next().transpose()? else {
                self.base_done = true;
                self.leaves.iter_mut().for_each(|leaf| leaf.open = None);
                break;
            };
            let merged = self.patch(&conform(&batch, self.columns.kept_schema())?, counts)?;
            if merged.num_rows() > 0 {
                return Ok(Some(self.columns.output(&merged)?));
            }
        }
        let rest = self.next_rest()?;
        counts.added += rest.as_ref().map_or(0, |rest| rest.num_rows() as u64);
        rest.map(|rest| self.columns.output(&rest)).transpose()
    }

    /// Applies the patches of the next base rows, `base`.
    fn patch(&mut self, base: &RecordBatch, counts: &mut MergeCounts) -> Result<RecordBatch, MergeError> {
        let first = self.base_rows;
        self.base_rows += base.num_rows() as u64;
        let mut sources: Vec<Arc<OpenFrame>> = Vec::new();
        let mut patches = Vec::new();
        for leaf in &mut self.leaves {
            while let Some((frame, used)) = leaf.next_frame(&mut self.file, |leaf| &mut leaf.patches)? {
                let number = sources.len() as u32;
                let mut at = used;
                while at < frame.numbers.len() && frame.numbers.value(at) < self.base_rows {
                    let base_row = (frame.numbers.value(at) - first) as usize;
                    let row = at as u32;
                    let verdict = match frame.verdicts.as_ref().map(|v| v.value(at)) {
                        Some(DELETE) => Verdict::Delete,
                        Some(FILL) => Verdict::Fill(row),
                        _ => Verdict::Replace(row),
                    };
                    patches.push(Patch { base_row, source: number, verdict });
                    at += 1;
                }
                if at > used {
                    sources.push(frame.clone());
                }
                leaf.open = Some((frame.clone(), at));
                if at < frame.numbers.len() {
                    break;
                }
            }
        }
        if patches.is_empty() {
            return Ok(base.clone());
        }
        counts.add_patches(&patches);
        patches.sort_unstable_by_key(|patch| patch.base_row);
        let sources: Vec<&PatchRows> = sources.iter().map(|frame| &frame.rows).collect();
        patched(base, &patches, &sources, &self.base_fill)
    }

    /// The next new rows, by first arrival over all leaves.
    fn next_rest(&mut self) -> Result<Option<RecordBatch>, MergeError> {
        let mut heads = BinaryHeap::new();
        for (number, leaf) in self.leaves.iter_mut().enumerate() {
            heads.extend(leaf.next_arrival(&mut self.file)?.map(|arrival| Reverse((arrival, number))));
        }
        let mut sources: Vec<Arc<OpenFrame>> = Vec::new();
        let mut indices = Vec::with_capacity(REST_ROWS);
        while indices.len() < REST_ROWS
            && let Some(Reverse((_, number))) = heads.pop()
        {
            let Some(leaf) = self.leaves.get_mut(number) else { continue };
            if let Some((frame, used)) = &mut leaf.open {
                let known = sources.iter().rposition(|source| Arc::ptr_eq(source, frame));
                let source = known.unwrap_or_else(|| {
                    sources.push(frame.clone());
                    sources.len() - 1
                });
                indices.push((source, *used));
                *used += 1;
            }
            heads.extend(leaf.next_arrival(&mut self.file)?.map(|arrival| Reverse((arrival, number))));
        }
        if indices.is_empty() {
            return Ok(None);
        }
        let schema = self.columns.kept_schema().clone();
        let columns = (0..schema.fields().len()).map(|column| {
            let arrays: Vec<&dyn Array> =
                sources.iter().map(|source| source.rows.rows.column(column).as_ref()).collect();
            interleave(&arrays, &indices)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let count = RecordBatchOptions::new().with_row_count(Some(indices.len()));
        Ok(Some(RecordBatch::try_new_with_options(schema, columns, &count)?))
    }
}

impl Leaf {
    /// The frame that is used, with how far; the next one of `frames` where it is used up.
    fn next_frame(
        &mut self,
        file: &mut SpillFile,
        frames: fn(&mut Self) -> &mut VecDeque<Frame>,
    ) -> Result<Option<(Arc<OpenFrame>, usize)>, MergeError> {
        if let Some((frame, used)) = &self.open
            && *used < frame.numbers.len()
        {
            return Ok(Some((frame.clone(), *used)));
        }
        self.open = None;
        let Some(frame) = frames(self).pop_front() else { return Ok(None) };
        let frame = Arc::new(OpenFrame::of(&file.read(frame)?));
        self.open = Some((frame.clone(), 0));
        Ok(Some((frame, 0)))
    }

    fn next_arrival(&mut self, file: &mut SpillFile) -> Result<Option<u64>, MergeError> {
        let next = self.next_frame(file, |leaf| &mut leaf.rest)?;
        Ok(next.map(|(frame, used)| frame.numbers.value(used)))
    }
}

/// Folding, partition by partition.
struct Partitioning {
    columns: Arc<MergeColumns>,
    /// Record key and ordering columns alone.
    key_columns: Arc<MergeColumns>,
    rules: Arc<MergeRules>,
    budget_bytes: usize,
    /// How large frames of patches and new rows are: of each leaf one is in memory.
    frame_bytes: usize,
    file: SpillFile,
    leaves: Vec<Leaf>,
    /// A partial block has come. Every partition is told, since all merging changes with it.
    partial: bool,
}

const DELETE: u8 = 0;
const REPLACE: u8 = 1;
const FILL: u8 = 2;

impl Partitioning {
    fn partition_source(&mut self, source: &dyn SliceSource) -> Result<Vec<Partition>, MergeError> {
        let mut partitions: Vec<Partition> = (0..FAN_OUT).map(|_| Partition::default()).collect();
        let mut arrived = 0;
        for records in source.logs(self.columns.read_schema())? {
            let records = records?;
            let count = match &records {
                LogRecords::Rows { batch, .. } => batch.num_rows(),
                LogRecords::Deletes(deletes) => deletes.len(),
            };
            let arrivals = UInt64Array::from_iter_values(arrived..arrived + count as u64);
            arrived += count as u64;
            self.put_logs(&records, &arrivals, 0, &mut partitions)?;
        }
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
                (numbered(&rows, ARRIVAL, arrivals.clone())?, keys, FrameKind::Rows { partial: *partial })
            }
            LogRecords::Deletes(deletes) => {
                let keys = deletes.iter().map(|delete| delete.record_key.clone()).collect();
                (numbered(&encoded(deletes)?, ARRIVAL, arrivals.clone())?, keys, FrameKind::Deletes)
            }
        };
        let tells_all = kind == FrameKind::Rows { partial: true };
        let rows = rows_of(keys.iter().map(String::as_str), level);
        for (rows, partition) in rows.iter().zip(partitions) {
            if !rows.is_empty() || tells_all {
                let part = take_record_batch(&batch, &UInt32Array::from(rows.clone()))?;
                partition.logs.push(LogFrame { frame: self.file.write(&part)?, kind });
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
        for (rows, partition) in rows.iter().zip(partitions).filter(|(rows, _)| !rows.is_empty()) {
            let part = take_record_batch(batch, &UInt32Array::from(rows.clone()))?;
            partition.base.push(self.file.write(&part)?);
        }
        Ok(())
    }

    /// Folds a partition into a leaf, or into several where it is too large.
    fn fold(&mut self, partition: &Partition, level: u64) -> Result<(), MergeError> {
        let mut fold = Fold::new(self.columns.clone(), self.rules.clone());
        for frame in &partition.logs {
            let (records, arrivals) = self.read_logs(*frame)?;
            fold.push_numbered(&records, arrivals.values())?;
            let divisible = level < LEVELS_MAX && fold.keys() > 1;
            if divisible && !fold.fits(self.budget_bytes)? {
                drop(fold);
                return self.divide(partition, level + 1);
            }
        }
        if fold.keys() > 0 {
            let leaf = self.apply(fold, &partition.base)?;
            self.leaves.push(leaf);
        }
        Ok(())
    }

    fn divide(&mut self, partition: &Partition, level: u64) -> Result<(), MergeError> {
        let mut parts: Vec<Partition> = (0..FAN_OUT).map(|_| Partition::default()).collect();
        for frame in &partition.logs {
            let (records, arrivals) = self.read_logs(*frame)?;
            self.put_logs(&records, &arrivals, level, &mut parts)?;
        }
        for frame in &partition.base {
            let keys = self.file.read(*frame)?;
            self.put_base(&keys, level, &mut parts)?;
        }
        parts.iter().try_for_each(|part| self.fold(part, level))
    }

    fn read_logs(&mut self, frame: LogFrame) -> Result<(LogRecords, UInt64Array), MergeError> {
        let (batch, arrivals) = unnumbered(&self.file.read(frame.frame)?)?;
        let records = match frame.kind {
            FrameKind::Rows { partial } => LogRecords::Rows { batch, partial },
            FrameKind::Deletes => LogRecords::Deletes(decoded(&batch)?),
        };
        Ok((records, arrivals))
    }

    /// What the folded records of a partition do to its base rows, and its new rows.
    fn apply(&mut self, fold: Fold, base: &[Frame]) -> Result<Leaf, MergeError> {
        let (folded, arrivals) = fold.finish_numbered()?;
        let row_bytes = batch_bytes(&folded.rows.rows) / folded.rows.rows.num_rows().max(1);
        let frame_rows = (self.frame_bytes / row_bytes.max(1)).clamp(1, FRAME_ROWS_MAX);
        let mut apply = Apply::new(self.key_columns.clone(), self.rules.clone(), folded);
        let (mut base_rows, mut verdicts, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for frame in base {
            let (keys, numbers) = unnumbered(&self.file.read(*frame)?)?;
            for patch in apply.patches(&keys)? {
                base_rows.push(numbers.value(patch.base_row));
                let (verdict, row) = match patch.verdict {
                    Verdict::Delete => (DELETE, None),
                    Verdict::Replace(row) => (REPLACE, Some(row)),
                    Verdict::Fill(row) => (FILL, Some(row)),
                };
                verdicts.push(verdict);
                rows.push(row);
            }
        }
        let mut leaf = Leaf::default();
        let source = apply.entry_rows();
        for from in (0..rows.len()).step_by(frame_rows) {
            let to = (from + frame_rows).min(rows.len());
            let part = |range: std::ops::Range<usize>| rows.get(range).unwrap_or_default().to_vec();
            let batch = OpenFrame {
                numbers: UInt64Array::from(base_rows.get(from..to).unwrap_or_default().to_vec()),
                verdicts: Some(UInt8Array::from(verdicts.get(from..to).unwrap_or_default().to_vec())),
                rows: source.take(&UInt32Array::from(part(from..to)))?,
            };
            leaf.patches.push_back(self.file.write(&batch.to_batch()?)?);
        }
        let unmet = apply.unmet();
        for part in unmet.chunks(frame_rows) {
            let numbers = part.iter().map(|(entry, _)| arrivals.get(*entry).copied().unwrap_or_default());
            let batch = OpenFrame {
                numbers: numbers.collect::<Vec<_>>().into(),
                verdicts: None,
                rows: source.take(&UInt32Array::from_iter_values(part.iter().map(|(_, row)| *row)))?,
            };
            leaf.rest.push_back(self.file.write(&batch.to_batch()?)?);
        }
        Ok(leaf)
    }
}

impl OpenFrame {
    /// Columns: the rows', a mask `open N` for each column that has one, verdicts, numbers.
    fn to_batch(&self) -> Result<RecordBatch, MergeError> {
        let mut fields: Vec<Arc<Field>> = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (number, (field, column)) in
            self.rows.rows.schema_ref().fields().iter().zip(self.rows.rows.columns()).enumerate()
        {
            // Deletes have no row: their columns are null whatever the table says.
            fields.push(Arc::new(Field::new(format!("row {number}"), field.data_type().clone(), true)));
            columns.push(column.clone());
        }
        for (number, open) in self.rows.open.iter().enumerate() {
            if let Some(open) = open {
                fields.push(Arc::new(Field::new(format!("open {number}"), DataType::Boolean, false)));
                columns.push(Arc::new(BooleanArray::new(open.clone(), None)));
            }
        }
        if let Some(verdicts) = &self.verdicts {
            fields.push(Arc::new(Field::new("verdict", DataType::UInt8, false)));
            columns.push(Arc::new(verdicts.clone()));
        }
        let count = RecordBatchOptions::new().with_row_count(Some(self.numbers.len()));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &count)?;
        numbered(&batch, BASE_ROW, self.numbers.clone())
    }

    fn of(batch: &RecordBatch) -> Self {
        let mut frame = Self {
            numbers: UInt64Array::from(Vec::<u64>::new()),
            verdicts: None,
            rows: PatchRows { rows: RecordBatch::new_empty(Arc::new(Schema::empty())), open: Vec::new() },
        };
        let rows = batch.schema_ref().fields().iter().take_while(|f| f.name().starts_with("row ")).count();
        frame.rows.open = vec![None; rows];
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()).skip(rows) {
            let open = field.name().strip_prefix("open ").and_then(|n| n.parse::<usize>().ok());
            if let Some(open) = open.and_then(|n| frame.rows.open.get_mut(n)) {
                *open = Some(column.as_boolean().values().clone());
            } else if field.name() == "verdict" {
                frame.verdicts = Some(column.as_primitive::<UInt8Type>().clone());
            } else {
                frame.numbers = column.as_primitive::<UInt64Type>().clone();
            }
        }
        if let Ok(batch) = batch.project(&(0..rows).collect::<Vec<_>>()) {
            frame.rows.rows = batch;
        }
        frame
    }
}

/// A quarter of the budget, shared by as many leaves as `put_aside_bytes` are likely to end in.
fn frame_bytes(budget_bytes: usize, put_aside_bytes: u64) -> usize {
    let mut leaves = FAN_OUT;
    while put_aside_bytes / leaves as u64 > budget_bytes as u64 / 2 {
        leaves *= FAN_OUT;
    }
    budget_bytes / 4 / leaves
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

fn numbered(batch: &RecordBatch, name: &str, numbers: UInt64Array) -> Result<RecordBatch, MergeError> {
    let mut fields: Vec<_> = batch.schema_ref().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(name, DataType::UInt64, false)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(numbers));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn unnumbered(batch: &RecordBatch) -> Result<(RecordBatch, UInt64Array), MergeError> {
    let last = batch.num_columns().saturating_sub(1);
    let numbers = batch.column(last).as_primitive::<UInt64Type>().clone();
    Ok((batch.project(&(0..last).collect::<Vec<_>>())?, numbers))
}

/// Deletes as a column, each in the form of a delete block.
fn encoded(deletes: &[Deleted]) -> Result<RecordBatch, MergeError> {
    let content = |delete: &Deleted| {
        let record = DeleteRecord {
            record_key: delete.record_key.clone(),
            partition_path: None,
            ordering: delete.ordering.clone(),
        };
        encode_deletes(&[record]).map_err(MergeError::SpilledDelete)
    };
    let contents = deletes.iter().map(content).collect::<Result<Vec<_>, _>>()?;
    let column: ArrayRef = Arc::new(BinaryArray::from_iter_values(contents));
    Ok(RecordBatch::try_from_iter([("delete", column)])?)
}

fn decoded(batch: &RecordBatch) -> Result<Vec<Deleted>, MergeError> {
    let mut deletes = Vec::with_capacity(batch.num_rows());
    for content in batch.column(0).as_binary::<i32>().iter().flatten() {
        let records = DeleteRecords::try_new(&Bytes::copy_from_slice(content));
        for record in records.map_err(MergeError::SpilledDelete)? {
            let record = record.map_err(MergeError::SpilledDelete)?;
            deletes.push(Deleted { record_key: record.record_key, ordering: record.ordering });
        }
    }
    Ok(deletes)
}

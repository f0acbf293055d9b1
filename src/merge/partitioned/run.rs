//! Rows in the spill file in order of their numbers, and several such merged.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt8Array, UInt64Array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, Schema, UInt8Type, UInt64Type};

use super::super::MergeError;
use super::super::patch::{Patch, PatchRows, Verdict};
use super::super::spill::{Frame, SpillFile};
use super::frame::numbered;
use crate::memory::batch_bytes;

/// By these it is known how large rows are.
const FIRST_FRAME_ROWS: usize = 64;

const FRAME_ROWS_MAX: usize = 8192;

/// The name of the numbers' column.
const NUMBER: &str = "number";

const DELETE: u8 = 0;
const REPLACE: u8 = 1;
const FILL: u8 = 2;

/// A verdict as it stands in a frame, and the row that it goes with.
pub(super) fn coded(verdict: Verdict) -> (u8, Option<u32>) {
    match verdict {
        Verdict::Delete => (DELETE, None),
        Verdict::Replace(row) => (REPLACE, Some(row)),
        Verdict::Fill(row) => (FILL, Some(row)),
    }
}

/// How many rows of a frame of `bytes` there are, if they are like `rows`.
pub(super) fn rows_in(bytes: usize, rows: &RecordBatch) -> usize {
    let row_bytes = batch_bytes(rows) / rows.num_rows().max(1);
    (bytes / row_bytes.max(1)).clamp(1, FRAME_ROWS_MAX)
}

/// Rows with numbers: patches with those of the base rows that they go to, new rows with those of
/// their first arrivals.
#[derive(Debug)]
pub(super) struct NumberedRows {
    pub(super) numbers: UInt64Array,
    /// What is done to each base row; `None` for new rows.
    pub(super) verdicts: Option<UInt8Array>,
    pub(super) rows: PatchRows,
}

/// Frames of [`NumberedRows`] whose numbers ascend.
#[derive(Debug, Default)]
pub(super) struct Run {
    frames: VecDeque<Frame>,
    /// The frame read last, and how far it is used.
    open: Option<(Arc<NumberedRows>, usize)>,
}

impl Run {
    /// Adds rows, whose numbers are greater than all before them.
    pub(super) fn push(&mut self, rows: &NumberedRows, file: &mut SpillFile) -> Result<(), MergeError> {
        self.frames.push_back(file.write(&rows.to_batch()?)?);
        Ok(())
    }

    /// The number of the next row.
    fn head(&mut self, file: &mut SpillFile) -> Result<Option<u64>, MergeError> {
        loop {
            if let Some((frame, used)) = &self.open
                && *used < frame.numbers.len()
            {
                return Ok(Some(frame.numbers.value(*used)));
            }
            self.open = None;
            let Some(frame) = self.frames.pop_front() else { return Ok(None) };
            self.open = Some((Arc::new(NumberedRows::of(&file.read(frame)?)), 0));
        }
    }
}

/// Several runs in order of their numbers.
#[derive(Debug)]
pub(super) struct MergedRuns {
    runs: Vec<Run>,
    /// The next number of each run; `None` before the first row is asked for.
    heads: Option<BinaryHeap<Reverse<(u64, usize)>>>,
}

impl MergedRuns {
    pub(super) fn new(runs: Vec<Run>) -> Self {
        Self { runs, heads: None }
    }

    /// The next rows, at most `rows_max`, whose numbers are less than `until`; `None` if there are
    /// none.
    pub(super) fn next(
        &mut self,
        file: &mut SpillFile,
        until: u64,
        rows_max: usize,
    ) -> Result<Option<NumberedRows>, MergeError> {
        let mut heads = match self.heads.take() {
            Some(heads) => heads,
            None => self.first_heads(file)?,
        };
        let (mut sources, mut picked): (Vec<Arc<NumberedRows>>, _) = (Vec::new(), Vec::new());
        while picked.len() < rows_max
            && let Some(Reverse((_, number))) =
                heads.peek().copied().filter(|Reverse((head, _))| *head < until)
        {
            heads.pop();
            let Some(run) = self.runs.get_mut(number) else { continue };
            if let Some((frame, used)) = &mut run.open {
                let known = sources.iter().rposition(|source| Arc::ptr_eq(source, frame));
                let source = known.unwrap_or_else(|| {
                    sources.push(frame.clone());
                    sources.len() - 1
                });
                picked.push((source, *used));
                *used += 1;
            }
            heads.extend(run.head(file)?.map(|head| Reverse((head, number))));
        }
        self.heads = Some(heads);
        gathered(&sources, &picked)
    }

    fn first_heads(&mut self, file: &mut SpillFile) -> Result<BinaryHeap<Reverse<(u64, usize)>>, MergeError> {
        let mut heads = BinaryHeap::with_capacity(self.runs.len());
        for (number, run) in self.runs.iter_mut().enumerate() {
            heads.extend(run.head(file)?.map(|head| Reverse((head, number))));
        }
        Ok(heads)
    }

    /// All rows as one run, in frames of about `frame_bytes`.
    pub(super) fn into_run(mut self, file: &mut SpillFile, frame_bytes: usize) -> Result<Run, MergeError> {
        let mut run = Run::default();
        let mut frame_rows = FIRST_FRAME_ROWS;
        while let Some(rows) = self.next(file, u64::MAX, frame_rows)? {
            frame_rows = rows_in(frame_bytes, &rows.rows.rows);
            run.push(&rows, file)?;
        }
        Ok(run)
    }
}

/// The rows of `sources` at `picked`, each a source and a row of it.
fn gathered(
    sources: &[Arc<NumberedRows>],
    picked: &[(usize, usize)],
) -> Result<Option<NumberedRows>, MergeError> {
    let Some(first) = sources.first() else { return Ok(None) };
    let pick = |array_of: &dyn Fn(&NumberedRows) -> Option<&dyn Array>| {
        let arrays: Option<Vec<&dyn Array>> = sources.iter().map(|source| array_of(source)).collect();
        arrays.map(|arrays| interleave(&arrays, picked)).transpose()
    };
    let numbers = pick(&|source| Some(&source.numbers))?;
    let verdicts = pick(&|source| source.verdicts.as_ref().map(|verdicts| verdicts as &dyn Array))?;
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut open = Vec::new();
    for column in 0..first.rows.rows.num_columns() {
        columns.extend(pick(&|source| source.rows.rows.columns().get(column).map(AsRef::as_ref))?);
        open.push(picked_open(sources, picked, column));
    }
    let count = RecordBatchOptions::new().with_row_count(Some(picked.len()));
    let rows = RecordBatch::try_new_with_options(first.rows.rows.schema(), columns, &count)?;
    Ok(Some(NumberedRows {
        numbers: numbers.map_or_else(no_numbers, |numbers| numbers.as_primitive::<UInt64Type>().clone()),
        verdicts: verdicts.map(|verdicts| verdicts.as_primitive::<UInt8Type>().clone()),
        rows: PatchRows { rows, open },
    }))
}

/// Which of the picked rows leave `column` to the base row; `None` where none does.
fn picked_open(
    sources: &[Arc<NumberedRows>],
    picked: &[(usize, usize)],
    column: usize,
) -> Option<BooleanBuffer> {
    let masks: Vec<Option<&BooleanBuffer>> =
        sources.iter().map(|source| source.rows.open.get(column)?.as_ref()).collect();
    if masks.iter().all(Option::is_none) {
        return None;
    }
    let is_open =
        |(source, row): &(usize, usize)| masks.get(*source).is_some_and(|m| m.is_some_and(|m| m.value(*row)));
    Some(picked.iter().map(is_open).collect())
}

fn no_numbers() -> UInt64Array {
    UInt64Array::from(Vec::<u64>::new())
}

impl NumberedRows {
    /// The patches of base rows, which are counted from `first`.
    pub(super) fn patches(&self, first: u64) -> Vec<Patch> {
        let patch = |(row, number): (u32, &u64)| {
            let verdict = match self.verdicts.as_ref().map(|verdicts| verdicts.value(row as usize)) {
                Some(DELETE) => Verdict::Delete,
                Some(FILL) => Verdict::Fill(row),
                _ => Verdict::Replace(row),
            };
            Patch { base_row: (number - first) as usize, source: 0, verdict }
        };
        (0..).zip(self.numbers.values()).map(patch).collect()
    }

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
        numbered(&batch, NUMBER, self.numbers.clone())
    }

    fn of(batch: &RecordBatch) -> Self {
        let mut frame = Self {
            numbers: no_numbers(),
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

//! Rows put in order, in as little memory as there is.
//!
//! Rows are gathered until half of the memory is taken, sorted, and put aside as a run; runs are merged, a few at
//! a time, until those that are left can be merged on the way out. Rows that are equal keep their order.

use std::cmp::Ordering;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};

use super::WriteError;
use super::run_store::{Run, RunStore};
use crate::memory::batch_bytes;
use crate::merge::MergeError;

/// So many runs are merged at a time.
const RUNS_AT_ONCE: usize = 32;

/// Batches that come out, and those of runs, have at most so many rows.
const BATCH_ROWS: usize = 8_192;

/// Batches of runs are not made smaller than this, or reading them takes longer than merging.
const BATCH_BYTES_MIN: usize = 16 << 10;

/// Why rows cannot be sorted as they are to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SortError {
    /// There is no such column.
    #[error("rows cannot be sorted by column {column:?}, which the table does not have; it has {}", known.join(", "))]
    Unknown {
        /// The column.
        column: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// Values of the column have no order.
    #[error("rows cannot be sorted by column {column:?}: values of type {data_type} have no order")]
    Unordered {
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
    },
}

/// By which columns rows are sorted: ascending, nulls first, text by its bytes.
///
/// Source: the linear `LayoutOptimizationStrategy`, as `RowCustomColumnsSortPartitioner` sorts.
#[derive(Debug, Clone)]
pub(super) struct SortOrder {
    /// The numbers of the columns.
    columns: Vec<usize>,
    fields: Vec<SortField>,
}

impl SortOrder {
    /// By the columns of `schema` with these names.
    pub(super) fn new(schema: &SchemaRef, names: &[String]) -> Result<Self, SortError> {
        let mut order = Self { columns: Vec::new(), fields: Vec::new() };
        for name in names {
            let Some((number, field)) = schema.column_with_name(name) else {
                let known = schema.fields().iter().map(|field| field.name().clone()).collect();
                return Err(SortError::Unknown { column: name.clone(), known });
            };
            let data_type = field.data_type();
            let sort_field = SortField::new(data_type.clone());
            if data_type.is_nested() || !RowConverter::supports_fields(std::slice::from_ref(&sort_field)) {
                return Err(SortError::Unordered { column: name.clone(), data_type: data_type.clone() });
            }
            order.columns.push(number);
            order.fields.push(sort_field);
        }
        Ok(order)
    }
}

/// Takes rows, and gives them back in order.
pub(super) struct Sorter<'a> {
    keys: SortKeys,
    runs: &'a RunStore,
    budget_bytes: usize,
    /// Rows in memory, each batch with its keys.
    held: Vec<(RecordBatch, Rows)>,
    held_bytes: usize,
    put_aside: Vec<Run>,
}

/// Makes what rows are compared by.
struct SortKeys {
    columns: Vec<usize>,
    converter: RowConverter,
}

impl SortKeys {
    fn of(&self, batch: &RecordBatch) -> Result<Rows, WriteError> {
        let columns: Vec<_> = self.columns.iter().map(|number| batch.column(*number).clone()).collect();
        Ok(self.converter.convert_columns(&columns)?)
    }
}

impl<'a> Sorter<'a> {
    /// Sorts in about `budget_bytes`; what does not fit goes to `runs`.
    pub(super) fn new(
        order: &SortOrder,
        budget_bytes: usize,
        runs: &'a RunStore,
    ) -> Result<Self, WriteError> {
        let converter = RowConverter::new(order.fields.clone())?;
        let keys = SortKeys { columns: order.columns.clone(), converter };
        Ok(Self { keys, runs, budget_bytes, held: Vec::new(), held_bytes: 0, put_aside: Vec::new() })
    }

    /// Takes rows. May block on the local disk.
    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<(), WriteError> {
        let keys = self.keys.of(&batch)?;
        self.held_bytes += batch_bytes(&batch) + keys.size();
        self.held.push((batch, keys));
        if self.held_bytes < self.budget_bytes / 2 {
            return Ok(());
        }
        let (runs, mut run) = (self.runs, Run::default());
        self.sort_held(|batch| runs.append(&mut run, &[batch]))?;
        self.put_aside.push(run);
        Ok(())
    }

    /// Gives all rows to `take`, in order.
    pub(super) fn finish(
        mut self,
        mut take: impl FnMut(RecordBatch) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        if self.put_aside.is_empty() {
            return self.sort_held(take);
        }
        let (runs, mut last) = (self.runs, Run::default());
        self.sort_held(|batch| runs.append(&mut last, &[batch]))?;
        let mut sorted = std::mem::take(&mut self.put_aside);
        sorted.push(last);
        while sorted.len() > RUNS_AT_ONCE {
            let mut fewer = Vec::new();
            for some in sorted.chunks(RUNS_AT_ONCE) {
                let mut merged = Run::default();
                self.merge(some, |batch| runs.append(&mut merged, &[batch]))?;
                fewer.push(merged);
            }
            sorted = fewer;
        }
        self.merge(&sorted, &mut take)
    }

    /// How many rows a batch has of which `rows` take `bytes`: a batch of each run is held while they are merged.
    fn batch_rows(&self, rows: usize, bytes: usize) -> usize {
        let batch_bytes = (self.budget_bytes / 4 / RUNS_AT_ONCE).max(BATCH_BYTES_MIN);
        (rows.saturating_mul(batch_bytes) / bytes.max(1)).clamp(1, BATCH_ROWS)
    }

    /// Gives the rows in memory to `take`, in order.
    fn sort_held(
        &mut self,
        mut take: impl FnMut(RecordBatch) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let held = std::mem::take(&mut self.held);
        let bytes = std::mem::take(&mut self.held_bytes);
        let mut order: Vec<(u32, u32)> = Vec::new();
        for ((_, keys), batch) in held.iter().zip(0..) {
            order.extend((0..keys.num_rows() as u32).map(|row| (batch, row)));
        }
        let key = |(batch, row): (u32, u32)| held[batch as usize].1.row(row as usize);
        order.sort_by(|a, b| key(*a).cmp(&key(*b)));
        let batches: Vec<&RecordBatch> = held.iter().map(|(batch, _)| batch).collect();
        for part in order.chunks(self.batch_rows(order.len(), bytes)) {
            let rows: Vec<_> = part.iter().map(|(batch, row)| (*batch as usize, *row as usize)).collect();
            take(interleave_record_batch(&batches, &rows)?)?;
        }
        Ok(())
    }

    /// Gives the rows of sorted runs to `take`, in order.
    fn merge(
        &self,
        runs: &[Run],
        mut take: impl FnMut(RecordBatch) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let mut merging = Merging::new(&self.keys, runs, self.runs)?;
        while let Some(batch) = merging.next()? {
            take(batch)?;
        }
        Ok(())
    }
}

/// A run that is read.
struct Cursor<'a> {
    batches: Box<dyn Iterator<Item = Result<RecordBatch, MergeError>> + 'a>,
    keys: Rows,
    /// Where its rows lie among the batches that are held.
    batch: usize,
    row: usize,
}

/// Sorted runs on their way into one.
struct Merging<'a> {
    keys: &'a SortKeys,
    cursors: Vec<Cursor<'a>>,
    /// The runs that have rows left, the one with the least row last.
    waiting: Vec<usize>,
    /// Batches of which rows wait, or are part of the next one that comes out.
    held: Vec<RecordBatch>,
}

impl<'a> Merging<'a> {
    fn new(keys: &'a SortKeys, runs: &'a [Run], store: &'a RunStore) -> Result<Self, WriteError> {
        let mut merging = Self { keys, cursors: Vec::new(), waiting: Vec::new(), held: Vec::new() };
        for run in runs {
            let mut batches = store.read(run);
            let Some(batch) = batches.next().transpose()? else { continue };
            let keys = keys.of(&batch)?;
            merging.cursors.push(Cursor {
                batches: Box::new(batches),
                keys,
                batch: merging.held.len(),
                row: 0,
            });
            merging.held.push(batch);
        }
        let mut waiting: Vec<usize> = (0..merging.cursors.len()).collect();
        waiting.sort_by(|a, b| merging.order(*b, *a));
        merging.waiting = waiting;
        Ok(merging)
    }

    fn order(&self, a: usize, b: usize) -> Ordering {
        let key = |number: usize| self.cursors[number].keys.row(self.cursors[number].row);
        key(a).cmp(&key(b)).then(a.cmp(&b))
    }

    /// The next rows: as many as a batch of the runs has at most.
    fn next(&mut self) -> Result<Option<RecordBatch>, WriteError> {
        let most = self.held.iter().map(RecordBatch::num_rows).max().unwrap_or_default();
        let mut rows = Vec::with_capacity(most);
        while rows.len() < most {
            let Some(least) = self.waiting.pop() else { break };
            rows.push((self.cursors[least].batch, self.cursors[least].row));
            if self.advance(least)? {
                let place = self.waiting.partition_point(|other| self.order(*other, least).is_gt());
                self.waiting.insert(place, least);
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let held: Vec<&RecordBatch> = self.held.iter().collect();
        let batch = interleave_record_batch(&held, &rows)?;
        self.let_go();
        Ok(Some(batch))
    }

    /// Goes on to the next row of a run, if it has one.
    fn advance(&mut self, number: usize) -> Result<bool, WriteError> {
        let cursor = &mut self.cursors[number];
        cursor.row += 1;
        if cursor.row < cursor.keys.num_rows() {
            return Ok(true);
        }
        let Some(batch) = cursor.batches.next().transpose()? else { return Ok(false) };
        (cursor.keys, cursor.batch, cursor.row) = (self.keys.of(&batch)?, self.held.len(), 0);
        self.held.push(batch);
        Ok(true)
    }

    /// Lets go of batches of which no row is left.
    fn let_go(&mut self) {
        let mut held = Vec::with_capacity(self.waiting.len());
        for number in &self.waiting {
            let cursor = &mut self.cursors[*number];
            held.push(self.held[cursor.batch].clone());
            cursor.batch = held.len() - 1;
        }
        self.held = held;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array as _, ArrayRef, AsArray as _, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;
    use crate::memory::SpillArea;

    type Row = (Option<i64>, Option<String>, i64);

    fn batch(rows: &[Row]) -> RecordBatch {
        let n: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>());
        let t: ArrayRef = Arc::new(rows.iter().map(|row| row.1.clone()).collect::<StringArray>());
        let at: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int64Array>());
        RecordBatch::try_from_iter_with_nullable([("n", n, true), ("t", t, true), ("at", at, true)]).unwrap()
    }

    fn rows(batch: &RecordBatch) -> Vec<Row> {
        let [n, at] = [0, 2].map(|column| batch.column(column).as_primitive::<Int64Type>());
        let t = batch.column(1).as_string::<i32>();
        let row = |row| {
            let text = t.is_valid(row).then(|| t.value(row).to_owned());
            (n.is_valid(row).then(|| n.value(row)), text, at.value(row))
        };
        (0..batch.num_rows()).map(row).collect()
    }

    fn sorted(batches: &[Vec<Row>], by: &[&str], budget_bytes: usize) -> (Vec<Row>, usize) {
        let by: Vec<String> = by.iter().map(|name| (*name).to_owned()).collect();
        let order = SortOrder::new(&batch(&[]).schema(), &by).unwrap();
        let runs = RunStore::new(SpillArea::default());
        let mut sorter = Sorter::new(&order, budget_bytes, &runs).unwrap();
        for rows in batches {
            sorter.push(batch(rows)).unwrap();
        }
        let (put_aside, mut found) = (sorter.put_aside.len(), Vec::new());
        sorter
            .finish(|batch| {
                assert!(batch.num_rows() > 0);
                found.extend(rows(&batch));
                Ok(())
            })
            .unwrap();
        (found, put_aside)
    }

    fn any_batches() -> impl Strategy<Value = Vec<Vec<Row>>> {
        let text = prop::option::of("[a-cé]{0,3}");
        let row = (prop::option::of(-3..3_i64), text);
        let batch = prop::collection::vec(row, 0..40);
        prop::collection::vec(batch, 0..60).prop_map(|batches| {
            let mut at = 0;
            let mut numbered = |(n, t)| {
                at += 1;
                (n, t, at)
            };
            batches.into_iter().map(|rows| rows.into_iter().map(&mut numbered).collect()).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the memory, rows come as a stable sort in memory has them.
        #[test]
        fn rows_come_in_order_and_equal_ones_as_they_came(
            batches in any_batches(), budget_bytes in prop_oneof![Just(1_usize), Just(40_000), Just(usize::MAX)],
            by_text in any::<bool>(),
        ) {
            let mut expected: Vec<Row> = batches.iter().flatten().cloned().collect();
            if by_text {
                expected.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
            } else {
                expected.sort_by_key(|row| row.0);
            }
            let by: &[&str] = if by_text { &["t", "n"] } else { &["n"] };
            let (found, put_aside) = sorted(&batches, by, budget_bytes);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(put_aside, match budget_bytes { 1 => batches.len(), usize::MAX => 0, _ => put_aside });
        }
    }

    #[test]
    fn columns_that_are_not_there_or_have_no_order_are_named() {
        let nested = RecordBatch::try_from_iter([(
            "list",
            Arc::new(arrow::array::ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]))
                as ArrayRef,
        )]);
        let schema = nested.unwrap().schema();
        let refused = |name: &str| SortOrder::new(&schema, &[name.to_owned()]).unwrap_err().to_string();
        assert!(
            refused("x").contains("\"x\", which the table does not have; it has list"),
            "{}",
            refused("x")
        );
        assert!(refused("list").contains("have no order"), "{}", refused("list"));
    }
}

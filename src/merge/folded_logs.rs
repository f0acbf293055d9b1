//! The logs of a slice, folded, for whoever takes base rows apart by column.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanArray, RecordBatch, StringArray, make_comparator,
};
use arrow::compute::{SortOptions, filter};
use arrow::datatypes::SchemaRef;

use super::apply::{Apply, NamedRows};
use super::columns::columns_for;
use super::fold::{Fold, RowRef};
use super::patch::{Patch, Places, Verdict};
use super::{Fill, MergeColumns, MergeCounts, MergeError, MergeResources, MergeRules, SliceSource};
use crate::table::conform;

/// The logs of a slice, folded: what they do to base rows is asked batch by batch, and what that makes of a
/// column, column by column. So a column that stays as it is need not be decoded.
#[derive(Debug)]
pub struct FoldedLogs {
    columns: Arc<MergeColumns>,
    /// Record key and ordering columns alone.
    key_columns: Arc<MergeColumns>,
    apply: Apply,
    /// Columns of which some log record says something.
    said: Vec<bool>,
    counts: MergeCounts,
}

/// What happens to some of the rows of a batch.
#[derive(Debug, Clone)]
pub struct RowChanges {
    patches: Arc<[Patch]>,
    rows: usize,
    deletes: usize,
    /// Where the rows that come of it come from, once that is asked for.
    places: Arc<OnceLock<Places>>,
}

impl RowChanges {
    /// Nothing happens to `rows` rows.
    pub fn none(rows: usize) -> Self {
        Self::of(Vec::new(), rows)
    }

    /// What happens to some of the rows, as a batch of their own.
    pub fn part(&self, range: Range<usize>) -> Self {
        if range == (0..self.rows) {
            return self.clone();
        }
        let from = self.patches.partition_point(|patch| patch.base_row < range.start);
        let to = self.patches.partition_point(|patch| patch.base_row < range.end);
        let patches = self.patches.get(from..to).unwrap_or_default().iter();
        let moved = |patch: &Patch| Patch { base_row: patch.base_row - range.start, ..*patch };
        Self::of(patches.map(moved).collect(), range.len())
    }

    fn of(patches: Vec<Patch>, rows: usize) -> Self {
        let deletes = patches.iter().filter(|patch| patch.verdict == Verdict::Delete).count();
        Self { patches: patches.into(), rows, deletes, places: Arc::default() }
    }

    /// How many rows of the batch stay, changed or not.
    pub fn rows_left(&self) -> usize {
        self.rows - self.deletes
    }

    /// Whether rows go.
    pub fn has_deletes(&self) -> bool {
        self.deletes > 0
    }

    /// Whether nothing happens.
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty()
    }
}

impl FoldedLogs {
    /// Folds the logs of `source`; `None` if they take more than the memory of `resources`.
    ///
    /// # Errors
    /// Files that cannot be read and log records that cannot be merged.
    pub fn fold(
        source: &dyn SliceSource,
        columns: &Arc<MergeColumns>,
        rules: &Arc<MergeRules>,
        resources: &MergeResources,
    ) -> Result<Option<Self>, MergeError> {
        let columns = columns_for(source, columns);
        let Some((fold, counts)) = Fold::of_logs(source, &columns, rules, resources.budget_bytes)? else {
            return Ok(None);
        };
        let key_columns = Arc::new(columns.keys_and_ordering());
        let apply = Apply::new(key_columns.clone(), rules.clone(), fold.finish()?);
        let says = |column| apply.sources().iter().any(|source| source.says(column));
        let said = (0..columns.kept_schema().fields().len()).map(says).collect();
        Ok(Some(Self { columns, key_columns, apply, said, counts }))
    }

    /// What [`FoldedLogs::changes`] asks of base rows: the record key, then the ordering columns.
    pub fn key_schema(&self) -> &SchemaRef {
        self.key_columns.read_schema()
    }

    /// Which of the `keys` of a batch log records name.
    pub fn named(&self, keys: &StringArray) -> NamedRows {
        self.apply.named(keys)
    }

    /// What happens to the `named` rows of a batch, which has the columns of [`FoldedLogs::key_schema`]. Each
    /// batch of base rows is asked for once, in their order: of two rows of a key the first one changes.
    ///
    /// # Errors
    /// Null keys, and ordering values that do not compare.
    pub fn changes(&mut self, named: &NamedRows, base: &RecordBatch) -> Result<RowChanges, MergeError> {
        let patches = self.apply.patches_of(named, &conform(base, self.key_columns.read_schema())?)?;
        self.counts.add_patches(&patches);
        Ok(RowChanges::of(patches, base.num_rows()))
    }

    /// Whether `changes` may make another column of `column`, a number of
    /// [`MergeColumns::output_schema`](MergeColumns::output_schema), without a look at the base: not if no
    /// log record says anything of it.
    pub fn may_change(&self, column: usize, changes: &RowChanges) -> bool {
        if !changes.has_deletes() && self.said.get(column) == Some(&false) {
            return false;
        }
        let sources = self.apply.sources();
        let is_open = |patch: &Patch, row: u32| {
            let open =
                sources.get(patch.source as usize).and_then(|source| source.open.get(column)?.as_ref());
            open.is_some_and(|open| open.value(row as usize))
        };
        let fills = *self.apply.base_fill() != Fill::Nothing;
        changes.patches.iter().any(|patch| match patch.verdict {
            Verdict::Delete => true,
            Verdict::Replace(row) => !is_open(patch, row),
            Verdict::Fill(_) => fills,
        })
    }

    /// Whether `changes` make another column of `base`, which may be text as views. Values are told apart by
    /// their bits.
    ///
    /// # Errors
    /// Columns of different types.
    pub fn changes_column(
        &self,
        column: usize,
        base: &ArrayRef,
        changes: &RowChanges,
    ) -> Result<bool, MergeError> {
        let sources = self.apply.sources();
        let mut comparators: Vec<Option<Differs>> = sources.iter().map(|_| None).collect();
        let base_open = self.apply.base_fill().open_rows(base);
        for patch in changes.patches.iter() {
            let number = patch.source as usize;
            let Some((source, differs)) = sources.get(number).zip(comparators.get_mut(number)) else {
                return Ok(true);
            };
            let row = match patch.verdict {
                Verdict::Delete => return Ok(true),
                Verdict::Replace(row) => {
                    let open = source.open.get(column).and_then(Option::as_ref);
                    (!open.is_some_and(|open| open.value(row as usize))).then_some(row)
                }
                Verdict::Fill(row) => {
                    base_open.as_ref().is_some_and(|open| open.value(patch.base_row)).then_some(row)
                }
            };
            let Some(row) = row else { continue };
            let differs = match differs {
                Some(differs) => differs,
                None => match self::differs(base, source.rows.column(column)) {
                    Some(made) => differs.insert(made),
                    None => return Ok(true),
                },
            };
            if differs(patch.base_row, row as usize) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A column of base rows after `changes`; where `base` is text as views, views of its bytes.
    ///
    /// # Errors
    /// Columns of different types.
    pub fn changed_column(
        &self,
        column: usize,
        base: &ArrayRef,
        changes: &RowChanges,
    ) -> Result<ArrayRef, MergeError> {
        let places = changes.places.get_or_init(|| Places::new(base.len(), &changes.patches));
        places.patched(column, base, &changes.patches, &self.apply.sources(), self.apply.base_fill())
    }

    /// A column of base rows that no log record changes, without the rows that go.
    ///
    /// # Errors
    /// Arrow's.
    pub fn without_deleted(&self, base: &ArrayRef, changes: &RowChanges) -> Result<ArrayRef, MergeError> {
        if !changes.has_deletes() {
            return Ok(base.clone());
        }
        let mut stays = vec![true; base.len()];
        for patch in changes.patches.iter().filter(|patch| patch.verdict == Verdict::Delete) {
            if let Some(stays) = stays.get_mut(patch.base_row) {
                *stays = false;
            }
        }
        Ok(filter(base, &BooleanArray::from(stays))?)
    }

    /// The rows of keys that no base row had, in order of arrival, when all base rows were asked for.
    pub fn new_rows(&mut self) -> NewRows {
        let rows: Vec<RowRef> = self.apply.unmet().into_iter().map(|(_, row)| row).collect();
        self.counts.added = rows.len() as u64;
        NewRows { rows, at: 0 }
    }

    /// The next of `new` rows, at most `rows_max`: a batch of the columns of
    /// [`MergeColumns::output_schema`]; `None` after the last.
    ///
    /// # Errors
    /// Rows that Arrow cannot join.
    pub fn next_new(&self, new: &mut NewRows, rows_max: usize) -> Result<Option<RecordBatch>, MergeError> {
        let next = new.rows.get(new.at..new.rows.len().min(new.at + rows_max)).unwrap_or_default();
        new.at += next.len();
        if next.is_empty() { Ok(None) } else { self.apply.rows_of(next, &self.columns).map(Some) }
    }

    /// What came of the logs so far.
    pub fn counts(&self) -> MergeCounts {
        self.counts
    }
}

/// Whether rows of two columns have different values.
type Differs = Box<dyn Fn(usize, usize) -> bool>;

/// For columns that Arrow can compare.
fn differs(a: &ArrayRef, b: &ArrayRef) -> Option<Differs> {
    if let (Some(a), Some(b)) = (a.as_string_view_opt(), b.as_string_opt::<i32>()) {
        let (a, b) = (a.clone(), b.clone());
        return Some(Box::new(move |row, other| match (a.is_null(row), b.is_null(other)) {
            (false, false) => a.value(row) != b.value(other),
            (is_null, other_is_null) => is_null != other_is_null,
        }));
    }
    let compare = make_comparator(a, b, SortOptions::default()).ok()?;
    Some(Box::new(move |row, other| compare(row, other) != Ordering::Equal))
}

/// Rows of keys that no base row had.
#[derive(Debug)]
pub struct NewRows {
    rows: Vec<RowRef>,
    at: usize,
}

impl NewRows {
    /// How many are still to come.
    pub fn left(&self) -> usize {
        self.rows.len() - self.at
    }
}

//! Step one: all log records of a key become one entry.

mod entry;
mod gather;

use std::sync::Arc;

use arrow::array::{BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::compute::filter_record_batch;

use super::key_table::KeyTable;
use super::ordering::EntryOrdering;
use super::patch::PatchRows;
use super::{Deleted, Fill, LogRecords, MergeColumns, MergeCounts, MergeError, MergeRules, SliceSource};
use crate::memory::batch_bytes;
use crate::table::conform;

pub(super) use entry::RowRef;
use entry::{Entry, Link, NONE};
use gather::{LogBatch, Presence};

/// The log records of a slice, folded as far as they have come.
#[derive(Debug)]
pub(super) struct Fold {
    columns: Arc<MergeColumns>,
    rules: Arc<MergeRules>,
    keys: KeyTable,
    entries: Vec<Entry>,
    batches: Vec<LogBatch>,
    /// Rows that fill what the rows before them leave open: links of [`Entry::fill`] lists.
    links: Vec<Link>,
    /// A partial block has come: from now on columns are filled by presence.
    partial: bool,
    /// Numbers of the records that named each key first, if records come with numbers.
    arrivals: Vec<u64>,
    /// Rows of `batches`.
    batch_rows: usize,
    /// How many of `batches` were counted when somebody last asked, and what they take.
    counted_batches: usize,
    counted_bytes: usize,
}

/// What was folded: an entry per key, with its row.
#[derive(Debug)]
pub(super) struct Folded {
    pub(super) keys: KeyTable,
    pub(super) entries: Vec<FoldedEntry>,
    /// Where the rows of the entries lie.
    pub(super) sources: Vec<PatchRows>,
    /// How base rows that stay are filled: they have all columns, so not by presence.
    pub(super) base_fill: Fill,
}

/// What the logs say of a key.
#[derive(Debug)]
pub(super) struct FoldedEntry {
    pub(super) ordering: EntryOrdering,
    /// The row in [`Folded::sources`]; `None` for a delete.
    pub(super) row: Option<RowRef>,
}

/// What is left of log records that are to be written: see [`Fold::winners`].
#[derive(Debug)]
pub(super) struct Winners {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) deletes: Vec<(String, EntryOrdering)>,
}

impl Fold {
    pub(super) fn new(columns: Arc<MergeColumns>, rules: Arc<MergeRules>) -> Self {
        Self {
            columns,
            rules,
            keys: KeyTable::new(),
            entries: Vec::new(),
            batches: Vec::new(),
            links: Vec::new(),
            partial: false,
            arrivals: Vec::new(),
            batch_rows: 0,
            counted_batches: 0,
            counted_bytes: 0,
        }
    }

    /// The logs of `source`, folded, with what was read of them; `None` if they take more than `budget_bytes`.
    pub(super) fn of_logs(
        source: &dyn SliceSource,
        columns: &Arc<MergeColumns>,
        rules: &Arc<MergeRules>,
        budget_bytes: usize,
    ) -> Result<Option<(Self, MergeCounts)>, MergeError> {
        let mut fold = Self::new(columns.clone(), rules.clone());
        let mut counts = MergeCounts::default();
        for records in source.logs(columns.read_schema())? {
            let records = records?;
            counts.log_records += records.count() as u64;
            fold.push(&records)?;
            if !fold.fits(budget_bytes)? {
                return Ok(None);
            }
        }
        counts.log_keys = fold.keys() as u64;
        Ok(Some((fold, counts)))
    }

    /// Makes room for the keys of so many more records, if no two have the same.
    pub(super) fn reserve(&mut self, records: usize) {
        self.keys.reserve(records);
        self.entries.reserve(records);
    }

    /// Takes the next piece of the logs.
    pub(super) fn push(&mut self, records: &LogRecords) -> Result<(), MergeError> {
        self.push_numbered(records, &[])
    }

    /// Takes the next piece of the logs, whose records have the numbers `arrivals`.
    pub(super) fn push_numbered(&mut self, records: &LogRecords, arrivals: &[u64]) -> Result<(), MergeError> {
        match records {
            LogRecords::Rows { batch, partial } => self.push_rows(batch, *partial, arrivals),
            LogRecords::Deletes(deletes) => deletes
                .iter()
                .enumerate()
                .try_for_each(|(record, delete)| self.push_delete(delete, arrivals.get(record))),
        }
    }

    /// How many keys have come.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Whether the fold takes at most `budget_bytes`, its end by [`Fold::finish`] included; lets rows go
    /// that lost, if that helps.
    pub(super) fn fits(&mut self, budget_bytes: usize) -> Result<bool, MergeError> {
        let share = if self.links.is_empty() { budget_bytes } else { budget_bytes / 2 };
        self.takes_at_most(share)
    }

    /// The same, with its end by [`Fold::finish_numbered`], where all rows are brought into one batch.
    pub(super) fn fits_gathered(&mut self, budget_bytes: usize) -> Result<bool, MergeError> {
        self.takes_at_most(budget_bytes / 2)
    }

    fn takes_at_most(&mut self, bytes: usize) -> Result<bool, MergeError> {
        if self.memory_bytes() <= bytes {
            return Ok(true);
        }
        // Bringing rows together takes the room of those that stay once more.
        if self.batch_rows >= 2 * self.entries.len() {
            self.compact()?;
        }
        Ok(self.memory_bytes() <= bytes)
    }

    /// Whether rows may be filled from others.
    fn fills(&self) -> bool {
        self.partial || self.rules.fill != Fill::Nothing
    }

    fn push_rows(&mut self, batch: &RecordBatch, partial: bool, arrivals: &[u64]) -> Result<(), MergeError> {
        if partial && !self.partial {
            // What was filled under the table's own mode must not be filled again by presence.
            self.compact()?;
            self.partial = true;
        }
        let schema = self.columns.read_schema().clone();
        let present = if partial {
            let has = |field: &Arc<arrow::datatypes::Field>| batch.column_by_name(field.name()).is_some();
            Presence::Columns(self.columns.kept_schema().fields().iter().map(has).collect())
        } else {
            Presence::All
        };
        let rows = conform(batch, &schema)?;
        let columns = self.columns.clone();
        let keys = columns.keys(&rows, "log block")?;
        let ordering = columns.ordering(&rows)?;
        let deleted = columns.deleted(&rows)?;
        let number = self.batches.len() as u32;
        self.put_batch(LogBatch { rows: columns.kept(&rows)?, present });
        self.reserve(rows.num_rows().saturating_sub(self.entries.len()));
        for row in 0..rows.num_rows() {
            let incoming = Entry {
                ordering: ordering.get(row),
                deleted: deleted.as_ref().is_some_and(|flags| flags.value(row)),
                row: RowRef { batch: number, row: row as u32 },
                fill: None,
            };
            let (entry, is_new) = self.keys.insert(keys.value(row));
            if is_new {
                self.entries.push(incoming);
                self.arrivals.extend(arrivals.get(row));
            } else {
                self.merge(entry, incoming)?;
            }
        }
        Ok(())
    }

    fn put_batch(&mut self, batch: LogBatch) {
        self.batch_rows += batch.rows.num_rows();
        self.batches.push(batch);
    }

    /// Puts a later row of a key over its entry.
    fn merge(&mut self, number: u32, incoming: Entry) -> Result<(), MergeError> {
        let fills = self.fills();
        let event_time = self.rules.event_time();
        let Self { keys, entries, links, .. } = self;
        let Some(entry) = entries.get_mut(number as usize) else { return Ok(()) };
        let unconditional = |e: &Entry| e.deleted && e.ordering.is_commit_time();
        let incoming_stays = if !event_time || unconditional(entry) || unconditional(&incoming) {
            true
        } else {
            let order = incoming.ordering.compare(&entry.ordering);
            order
                .map_err(|source| MergeError::Ordering { record_key: keys.key(number).to_owned(), source })?
                .is_ge()
        };
        let fill = fills && !entry.deleted && !incoming.deleted;
        match (incoming_stays, fill) {
            (true, true) => entry.put_before(incoming, links),
            (true, false) => *entry = incoming,
            (false, true) => entry.put_behind(incoming.row, links),
            (false, false) => {}
        }
        Ok(())
    }

    fn push_delete(&mut self, delete: &Deleted, arrival: Option<&u64>) -> Result<(), MergeError> {
        let tombstone = Entry {
            ordering: delete.ordering.clone().into(),
            deleted: true,
            row: RowRef { batch: NONE, row: NONE },
            fill: None,
        };
        let (number, is_new) = self.keys.insert(&delete.record_key);
        if is_new {
            self.entries.push(tombstone);
            self.arrivals.extend(arrival);
            return Ok(());
        }
        let event_time = self.rules.event_time();
        let Some(entry) = self.entries.get_mut(number as usize) else { return Ok(()) };
        let entry_stays = event_time
            && (entry.deleted && entry.ordering.is_commit_time()
                || !tombstone.ordering.is_commit_time()
                    && entry.ordering.is_same_class(&tombstone.ordering)
                    && entry
                        .ordering
                        .compare(&tombstone.ordering)
                        .map_err(|source| MergeError::Ordering {
                            record_key: delete.record_key.clone(),
                            source,
                        })?
                        .is_gt());
        if !entry_stays {
            *entry = tombstone;
        }
        Ok(())
    }

    /// Bytes of memory in use. Batches that share buffers count each.
    fn memory_bytes(&mut self) -> usize {
        let new = self.batches.iter().skip(self.counted_batches);
        self.counted_bytes += new.map(|batch| batch_bytes(&batch.rows)).sum::<usize>();
        self.counted_batches = self.batches.len();
        self.counted_bytes
            + self.keys.memory_bytes()
            + self.entries.capacity() * size_of::<Entry>()
            + self.links.capacity() * size_of::<Link>()
    }

    /// Ends the fold. Rows stay where they are, unless some are filled from others.
    pub(super) fn finish(mut self) -> Result<Folded, MergeError> {
        if !self.links.is_empty() {
            self.compact()?;
        }
        Ok(self.folded().0)
    }

    /// Ends the fold, with all rows in one batch, in the order of their first arrival; with the numbers of
    /// the records that named each entry's key first.
    pub(super) fn finish_numbered(mut self) -> Result<(Folded, Vec<u64>), MergeError> {
        self.compact()?;
        Ok(self.folded())
    }

    fn folded(mut self) -> (Folded, Vec<u64>) {
        let batches = std::mem::take(&mut self.batches).into_iter();
        let sources = batches.map(|batch| PatchRows { open: self.open_rows(&batch), rows: batch.rows });
        let sources = sources.collect();
        let base_fill = if self.partial { Fill::Nothing } else { self.rules.fill.clone() };
        let entries = self.entries.into_iter();
        let entries = entries
            .map(|e| FoldedEntry { ordering: e.ordering, row: (!e.deleted).then_some(e.row) })
            .collect();
        (Folded { keys: self.keys, entries, sources, base_fill }, self.arrivals)
    }

    /// Ends the fold: the rows that stay, where they are, and the keys that end deleted.
    pub(super) fn winners(mut self) -> Result<Winners, MergeError> {
        if self.entries.iter().any(|entry| entry.fill.is_some()) {
            self.compact()?;
        }
        let mut kept: Vec<BooleanBufferBuilder> =
            self.batches.iter().map(|batch| builder_of_false(batch.rows.num_rows())).collect();
        let mut deletes = Vec::new();
        for (number, entry) in self.entries.into_iter().enumerate() {
            if entry.deleted {
                deletes.push((self.keys.key(number as u32).to_owned(), entry.ordering));
            } else if let Some(kept) = kept.get_mut(entry.row.batch as usize) {
                kept.set_bit(entry.row.row as usize, true);
            }
        }
        let mut batches = Vec::with_capacity(kept.len());
        for (batch, mut kept) in self.batches.into_iter().zip(kept) {
            let kept = BooleanArray::new(kept.finish(), None);
            match kept.true_count() {
                0 => {}
                all if all == batch.rows.num_rows() => batches.push(batch.rows),
                _ => batches.push(filter_record_batch(&batch.rows, &kept)?),
            }
        }
        Ok(Winners { batches, deletes })
    }
}

fn builder_of_false(rows: usize) -> BooleanBufferBuilder {
    let mut builder = BooleanBufferBuilder::new(rows);
    builder.append_n(rows, false);
    builder
}

//! Which rows a table has after a script: the plain model that both sides are checked against.

use std::collections::BTreeMap;

use super::shape::{Cell, Ordering};
use super::step::Change;

/// The rows of a table, by key number.
///
/// The greater ordering value wins, and of equal ones the later. A delete with an ordering value
/// is remembered until a compaction, in copy-on-write tables until the end of the write; one without
/// deletes whatever is there and is forgotten.
/// Scripts keep late rows off keys that were deleted without an ordering value: what Hudi shows
/// then depends on where the older row lies, and fixtures of their own show that. For the same
/// reason they keep late rows, and rows of deleted keys, off tables with partial rows.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// By key, the rank of its row, and the row over those that came before it.
    rows: BTreeMap<u32, (u32, Vec<Cell>)>,
    /// By key, the rank of its delete.
    deleted: BTreeMap<u32, u32>,
}

impl Model {
    /// Applies a write.
    pub fn write(&mut self, changes: &[Change], wide: bool, ordering: Ordering) {
        for change in changes {
            let rank = ordering.rank(change.order);
            for cell in change.cells(wide) {
                self.change(rank, cell, change.delete);
            }
        }
    }

    fn change(&mut self, rank: u32, cell: Cell, delete: bool) {
        let newest = self.rows.get(&cell.key).map(|row| row.0).max(self.deleted.get(&cell.key).copied());
        if newest.is_some_and(|newest| rank < newest) {
            return;
        }
        if delete {
            self.rows.remove(&cell.key);
            self.deleted.insert(cell.key, rank);
        } else {
            self.deleted.remove(&cell.key);
            let (newest, cells) = self.rows.entry(cell.key).or_default();
            *newest = rank;
            cells.insert(0, cell);
        }
    }

    /// Deletes keys, whatever their ordering values are.
    pub fn delete(&mut self, keys: std::ops::Range<u32>) {
        for key in keys {
            self.rows.remove(&key);
            self.deleted.remove(&key);
        }
    }

    /// Removes all rows, and what is known of deletes, where `removed` says so of the key.
    pub fn remove(&mut self, removed: impl Fn(u32) -> bool) {
        self.rows.retain(|key, _| !removed(*key));
        self.deleted.retain(|key, _| !removed(*key));
    }

    /// A compaction of everything: deletes are forgotten.
    pub fn compact(&mut self) {
        self.deleted.clear();
    }

    /// The rows; then those under them, as often as any key was written, for a key that has no more
    /// its lowest row again.
    pub fn layers(&self) -> Vec<Vec<Cell>> {
        let depth = self.rows.values().map(|(_, cells)| cells.len()).max().unwrap_or(1);
        let layer = |number: usize| {
            let cells = self.rows.values().filter_map(|(_, cells)| cells.get(number).or(cells.last()));
            cells.copied().collect()
        };
        (0..depth).map(layer).collect()
    }
}

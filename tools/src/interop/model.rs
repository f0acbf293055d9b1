//! Which rows a table has after a script: the plain model that both sides are checked against.

use std::collections::BTreeMap;

use super::script::Change;
use super::shape::Cell;

/// The rows of a table, by key number.
///
/// The greater ordering value wins, and of equal ones the later. A delete with an ordering value
/// is remembered until a compaction, in copy-on-write tables until the end of the write; one without
/// deletes whatever is there and is forgotten.
/// Scripts keep late rows off keys that were deleted without an ordering value: what Hudi shows
/// then depends on where the older row lies, and fixtures of their own show that.
#[derive(Debug, Default)]
pub struct Model {
    /// By key, the rank of its row and the row.
    rows: BTreeMap<u32, (u32, Cell)>,
    /// By key, the rank of its delete.
    deleted: BTreeMap<u32, u32>,
}

impl Model {
    /// Applies a write. `ordered` is false where arrival alone decides.
    pub fn write(&mut self, changes: &[Change], ordered: bool) {
        for change in changes {
            let rank = if ordered { change.order } else { 0 };
            for key in change.keys.clone() {
                let cell = Cell { key, order: change.order, salt: change.salt };
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
            self.rows.insert(cell.key, (rank, cell));
        }
    }

    /// Deletes keys, whatever their ordering values are.
    pub fn delete(&mut self, keys: std::ops::Range<u32>) {
        for key in keys {
            self.rows.remove(&key);
            self.deleted.remove(&key);
        }
    }

    /// Replaces all rows for which `replaced` says so by those of a write.
    pub fn overwrite(&mut self, changes: &[Change], replaced: impl Fn(u32) -> bool) {
        self.rows.retain(|key, _| !replaced(*key));
        self.deleted.retain(|key, _| !replaced(*key));
        self.write(changes, true);
    }

    /// A compaction of everything: deletes are forgotten.
    pub fn compact(&mut self) {
        self.deleted.clear();
    }

    /// The rows.
    pub fn cells(&self) -> Vec<Cell> {
        self.rows.values().map(|row| row.1).collect()
    }
}
